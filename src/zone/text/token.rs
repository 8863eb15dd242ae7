//! Cuts master-file text (RFC 1035 5.1) into entries and tokens: comments go, parentheses join lines, quotes and escapes hold words together.
//! It resolves no escape and knows no record type.

use std::fmt;

/// Octets of one entry, its parentheses included: no record data is longer in text, each octet of it written as `\DDD`.
pub const MAX_ENTRY_OCTETS: usize = 512 * 1024;

/// Entries that are given up because their `)` is missing are read again from their second line, this many times in a file.
const MAX_UNCLOSED: usize = 8;

/// One field of an entry, as it stands in the text: escapes are not resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'t> {
    /// Without the quotes around it.
    pub text: &'t str,
    /// Whether it stood in quotes.
    pub quoted: bool,
    /// Octets before it in the text.
    pub at: usize,
}

/// One record or directive; its tokens are in the caller's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The line began with a blank, so the owner is that of the record before.
    pub inherits_owner: bool,
}

/// Text that cannot be cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexFault {
    /// Octets before it in the text.
    pub at: usize,
    /// What is wrong.
    pub kind: LexFaultKind,
}

/// What keeps a text from being cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexFaultKind {
    /// No second quote on the line.
    OpenQuote,
    /// `(` without `)`.
    OpenParenthesis,
    /// `)` without `(`.
    StrayParenthesis,
    /// A quote inside a word, other than after its `=` (RFC 9460 2.1).
    QuoteInWord,
    /// Text right behind a closing quote.
    TextAfterQuote,
    /// A backslash with nothing to escape.
    LoneBackslash,
    /// A character that must be written as `\DDD`.
    Control(char),
    /// `;` where no comment may stand.
    Comment,
    /// Over [`MAX_ENTRY_OCTETS`].
    TooLong,
}

impl fmt::Display for LexFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LexFaultKind::OpenQuote => "the quote that opens here is not closed on this line",
            LexFaultKind::OpenParenthesis => "this parenthesis is never closed",
            LexFaultKind::StrayParenthesis => "this parenthesis has no partner",
            LexFaultKind::QuoteInWord => "a quote stands inside a word: quote the whole text, or write `\\\"`",
            LexFaultKind::TextAfterQuote => "there is text right behind a closing quote: put a space between them",
            LexFaultKind::LoneBackslash => "`\\` stands at the end and escapes nothing",
            LexFaultKind::Comment => "`;` begins a comment, and there is none here: quote the text that holds it",
            LexFaultKind::TooLong => return write!(f, "the record is longer than {MAX_ENTRY_OCTETS} octets of text"),
            LexFaultKind::Control(c) => return write!(f, "the control character {c:?} must be written as `\\{:03}`", u32::from(*c)),
        })
    }
}

/// Walks through a text, entry by entry.
#[derive(Debug)]
pub struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Where the entry at hand began, and on which line.
    start: usize,
    line: u32,
    /// Lines passed within the entry at hand.
    lines: u32,
    comments: bool,
    unclosed: usize,
}

impl<'t> Lexer<'t> {
    /// Over a master file.
    pub fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, at: 0, start: 0, line: 1, lines: 0, comments: true, unclosed: 0 }
    }

    /// Over the data of one record, in which a comment would be a mistake.
    pub fn of_data(text: &'t str) -> Lexer<'t> {
        Lexer { comments: false, ..Lexer::new(text) }
    }

    /// The next entry, its tokens (at least one) put into `tokens`; after a fault it goes on behind the line of the fault.
    pub fn next(&mut self, tokens: &mut Vec<Token<'t>>) -> Option<Result<Entry, LexFault>> {
        while self.at < self.text.len() {
            tokens.clear();
            self.line += std::mem::take(&mut self.lines);
            self.start = self.at;
            let inherits_owner = matches!(self.peek(), Some(b' ' | b'\t'));
            match self.entry(tokens) {
                Ok(()) if tokens.is_empty() => {}
                Ok(()) => return Some(Ok(Entry { inherits_owner })),
                Err(fault) => {
                    self.recover(fault);
                    return Some(Err(fault));
                }
            }
        }
        None
    }

    /// Line and column in characters, both from 1, of a place in the entry at hand.
    pub fn place(&self, at: usize) -> (u32, u32) {
        let before = &self.text.as_bytes()[self.start..at];
        let line_start = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |newline| newline + 1);
        let lines = before[..line_start].iter().filter(|octet| **octet == b'\n').count();
        // Characters, not octets: those that go on a character in UTF-8 do not count.
        let column = 1 + before[line_start..].iter().filter(|octet| **octet & 0xc0 != 0x80).count();
        (self.line + lines as u32, column as u32)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Up to the end of the line, or of the line that closes the last parenthesis.
    fn entry(&mut self, tokens: &mut Vec<Token<'t>>) -> Result<(), LexFault> {
        let mut open: Vec<usize> = Vec::new();
        while let Some(octet) = self.peek() {
            match octet {
                b'\n' => {
                    self.at += 1;
                    self.lines += 1;
                    if open.is_empty() {
                        return Ok(());
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' if self.comments => self.at = self.line_end(self.at),
                b';' => return Err(self.fault(LexFaultKind::Comment)),
                b'(' => {
                    open.push(self.at);
                    self.at += 1;
                }
                b')' => {
                    if open.pop().is_none() {
                        return Err(self.fault(LexFaultKind::StrayParenthesis));
                    }
                    self.at += 1;
                }
                b'"' => tokens.push(self.quoted()?),
                _ => tokens.push(self.word()?),
            }
            match open.first() {
                _ if self.at - self.start <= MAX_ENTRY_OCTETS => {}
                Some(_) => break,
                None => return Err(LexFault { at: self.start, kind: LexFaultKind::TooLong }),
            }
        }
        match open.first() {
            Some(&at) => Err(LexFault { at, kind: LexFaultKind::OpenParenthesis }),
            None => Ok(()),
        }
    }

    fn word(&mut self) -> Result<Token<'t>, LexFault> {
        let at = self.at;
        while let Some(octet) = self.peek() {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';' => break,
                b'\\' => self.escape()?,
                b'"' if self.at > at && self.text.as_bytes()[self.at - 1] == b'=' => {
                    self.quoted()?;
                    break;
                }
                b'"' => return Err(self.fault(LexFaultKind::QuoteInWord)),
                0..=0x1f | 0x7f => return Err(self.fault(LexFaultKind::Control(char::from(octet)))),
                _ => self.at += 1,
            }
        }
        Ok(Token { text: &self.text[at..self.at], quoted: false, at })
    }

    fn quoted(&mut self) -> Result<Token<'t>, LexFault> {
        let at = self.at;
        let open = LexFault { at, kind: LexFaultKind::OpenQuote };
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape().map_err(|_| open)?,
                None | Some(b'\n') => return Err(open),
                Some(octet) if octet < b' ' && octet != b'\t' || octet == 0x7f => {
                    return Err(self.fault(LexFaultKind::Control(char::from(octet))));
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';') => {}
            Some(_) => return Err(self.fault(LexFaultKind::TextAfterQuote)),
        }
        Ok(Token { text: &self.text[at + 1..self.at - 1], quoted: true, at })
    }

    /// Past a backslash and what it escapes.
    fn escape(&mut self) -> Result<(), LexFault> {
        match self.text.as_bytes().get(self.at + 1) {
            None | Some(b'\n' | b'\r') => Err(self.fault(LexFaultKind::LoneBackslash)),
            Some(_) => {
                self.at += 2;
                Ok(())
            }
        }
    }

    fn fault(&self, kind: LexFaultKind) -> LexFault {
        LexFault { at: self.at, kind }
    }

    fn line_end(&self, from: usize) -> usize {
        self.text.as_bytes()[from..].iter().position(|octet| *octet == b'\n').map_or(self.text.len(), |length| from + length)
    }

    /// Goes on behind the line of the fault. Behind a `(` that was never closed, lines that begin with a blank most likely belong to it.
    fn recover(&mut self, fault: LexFault) {
        let unclosed = fault.kind == LexFaultKind::OpenParenthesis;
        self.unclosed += usize::from(unclosed);
        if self.unclosed > MAX_UNCLOSED {
            self.at = self.text.len();
            return;
        }
        self.at = (self.line_end(fault.at) + 1).min(self.text.len());
        while unclosed && matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at = (self.line_end(self.at) + 1).min(self.text.len());
        }
        let passed = &self.text.as_bytes()[self.start..self.at];
        self.lines = passed.iter().filter(|octet| **octet == b'\n').count() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each entry as its tokens, joined by `|`, quoted ones in quotes; faults as line:column and text.
    fn cut(text: &str) -> Vec<String> {
        let (mut lexer, mut tokens, mut entries) = (Lexer::new(text), Vec::new(), Vec::new());
        while let Some(entry) = lexer.next(&mut tokens) {
            entries.push(match entry {
                Ok(entry) => {
                    let shown = tokens.iter().map(|token| if token.quoted { format!("{:?}", token.text) } else { token.text.to_owned() });
                    format!("{}{}", if entry.inherits_owner { "+" } else { "" }, shown.collect::<Vec<_>>().join("|"))
                }
                Err(fault) => {
                    let (line, column) = lexer.place(fault.at);
                    format!("{line}:{column} {}", fault.kind)
                }
            });
        }
        entries
    }

    #[test]
    fn comments_end_lines_and_parentheses_join_them() {
        assert_eq!(cut("a b ; c\n\n ; nothing\n\tc (d ; e\n ( f)\r\n) g\nh"), ["a|b", "+c|d|f|g", "h"]);
        assert_eq!(cut("a;b\nc(d)e\n"), ["a", "c|d|e"]);
    }

    #[test]
    fn quotes_and_escapes_hold_words_together() {
        assert_eq!(cut(r#"a "b ;(" c\ d\;e "" "f\"g" alpn="h2,h3" x"#), [r#"a|"b ;("|c\ d\;e|""|"f\\\"g"|alpn="h2,h3"|x"#]);
        assert_eq!(cut("ä ö\u{a0}ü"), ["ä|ö\u{a0}ü"]);
    }

    #[test]
    fn faults_know_their_place_and_hide_nothing_behind_them() {
        assert_eq!(cut("ä \"b\nc d"), ["1:3 the quote that opens here is not closed on this line", "c|d"]);
        assert_eq!(cut("a ) b\nc"), ["1:3 this parenthesis has no partner", "c"]);
        assert_eq!(cut("a (\n  1\n  2\nb c\n"), ["1:3 this parenthesis is never closed", "b|c"]);
        assert!(cut("a \"b\"c\nd")[0].starts_with("1:6 there is text right behind"));
        assert!(cut("a b\"c\"\nd")[0].starts_with("1:4 a quote stands inside a word"));
        assert!(cut("a (\n b\\\n c)\nd")[0].starts_with("2:3 `\\` stands at the end"));
        assert_eq!(cut("a\u{7}b")[0], "1:2 the control character '\\u{7}' must be written as `\\007`");
    }

    #[test]
    fn open_parentheses_cost_linear_time() {
        let text = "a (\n".repeat(200_000);
        let faults = cut(&text);
        assert!(faults.len() <= MAX_UNCLOSED + 1, "{}", faults.len());
    }

    #[test]
    fn comments_are_no_part_of_record_data() {
        let mut tokens = Vec::new();
        let fault = Lexer::of_data("0 issue ;").next(&mut tokens).unwrap().unwrap_err();
        assert_eq!(fault, LexFault { at: 8, kind: LexFaultKind::Comment });
    }
}
