//! Rust sources as tokens: just enough to see what a file imports, without a parser among the dependencies.

/// A word, `::`, or a single sign. Comments are left out; texts and characters are empty.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// The sign or word.
    pub(crate) text: String,
    /// Its line, from 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// The tokens of a Rust source, as far as imports need them.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let bytes = source.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let start = at;
        let text = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += source[at..].find('\n').unwrap_or(bytes.len() - at);
                ""
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = end_of_comment(bytes, at);
                ""
            }
            b'"' => {
                at = end_of_text(bytes, at);
                "\"\""
            }
            b'\'' => {
                at = end_of_quote(source, at);
                "''"
            }
            b':' if bytes.get(at + 1) == Some(&b':') => {
                at += 2;
                "::"
            }
            byte if byte == b'_' || byte.is_ascii_alphanumeric() => {
                at += bytes[at..].iter().take_while(|byte| **byte == b'_' || byte.is_ascii_alphanumeric()).count();
                let word = &source[start..at];
                if let (b"r" | b"br" | b"cr", Some(end)) = (word.as_bytes(), end_of_raw_text(source, at)) {
                    at = end;
                    "\"\""
                } else {
                    word
                }
            }
            byte if byte.is_ascii() => {
                at += 1;
                source[start..at].trim()
            }
            _ => {
                at += source[at..].chars().next().map_or(1, char::len_utf8);
                ""
            }
        };
        if !text.is_empty() {
            tokens.push(Token { text: text.to_owned(), line });
        }
        line += bytes[start..at].iter().filter(|byte| **byte == b'\n').count();
    }
    tokens
}

fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of `r"..."` or `r#"..."#` after its prefix; `None` where no raw text begins.
fn end_of_raw_text(source: &str, after_prefix: usize) -> Option<usize> {
    let rest = &source[after_prefix..];
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    let body = rest[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(after_prefix + hashes + 1 + body.find(&close)? + close.len())
}

/// The end of a character or of a lifetime.
fn end_of_quote(source: &str, start: usize) -> usize {
    let bytes = source.as_bytes();
    if bytes.get(start + 1) == Some(&b'\\') {
        return source[start + 3..].find('\'').map_or(bytes.len(), |end| start + 3 + end + 1);
    }
    let character = source[start + 1..].chars().next().map_or(1, char::len_utf8);
    if bytes.get(start + 1 + character) == Some(&b'\'') { start + 1 + character + 1 } else { start + 1 }
}
