//! From the tokens of a record's data to its wire form, part by part as its shape says.
//! Every fault names the token that it stands at; nothing is guessed and nothing left over is overlooked.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::shape::{self, Part, Shape};
use super::token::{Lexer, Token};
use super::{check, code, location, params};
use crate::name::Name;
use crate::number;
use crate::wire::rtype;
use crate::zone::rrset::{MAX_RDATA_OCTETS, MAX_STRING_OCTETS};

/// What begins data in the generic form (RFC 3597 5).
const GENERIC: &str = "\\#";

/// How the generic form is written.
const GENERIC_FORM: &str = "write `\\# LENGTH HEX`, as in `\\# 4 c0000201` (RFC 3597)";

/// At most this many characters of a wrong text are repeated in a message.
const MAX_SHOWN_CHARS: usize = 48;

/// Record data that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFault {
    /// Index of the token at fault; the number of tokens where one is missing.
    pub token: usize,
    /// What is wrong, without a full stop.
    pub text: String,
    /// How it is written, where that helps.
    pub hint: Option<String>,
}

impl fmt::Display for DataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The data of one record from its master-file text; names without a final dot are relative to `origin`.
pub fn rdata_from_text(record_type: u16, text: &str, origin: &Name) -> Result<Vec<u8>, DataFault> {
    let fault = |text: String| DataFault { token: 0, text, hint: None };
    if let Some(control) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(fault(format!("record data must not hold the control character {control:?}")));
    }
    let mut tokens = Vec::new();
    if let Some(Err(broken)) = Lexer::of_data(text).next(&mut tokens) {
        return Err(fault(broken.kind.to_string()));
    }
    rdata_from_tokens(record_type, &tokens, origin)
}

/// The data of one record from its tokens.
pub fn rdata_from_tokens(record_type: u16, tokens: &[Token<'_>], origin: &Name) -> Result<Vec<u8>, DataFault> {
    let mut data = Data { tokens, next: 0, origin, out: Vec::new() };
    let shape = shape::of(record_type);
    let of_form = |text: String| DataFault { token: 0, text, hint: shape.map(Shape::hint) };
    let generic = tokens.first().is_some_and(|token| token.text == GENERIC && !token.quoted);
    match shape {
        _ if generic => {
            data.generic()?;
            check::structure(record_type, &data.out).map_err(of_form)?;
        }
        Some(shape) => data.shaped(shape)?,
        None => {
            let text = format!("{} has no text form of its own here", rtype::name(record_type));
            return Err(DataFault { token: 0, text, hint: Some(GENERIC_FORM.to_owned()) });
        }
    }
    if data.out.len() > MAX_RDATA_OCTETS {
        return Err(of_form(format!("record data of {} octets is over {MAX_RDATA_OCTETS}", data.out.len())));
    }
    check::meaning(record_type, &data.out).map_err(of_form)?;
    Ok(data.out)
}

/// A text for a message.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// The data of one record while it is read.
pub(super) struct Data<'a, 't> {
    tokens: &'a [Token<'t>],
    next: usize,
    origin: &'a Name,
    out: Vec<u8>,
}

impl<'a, 't> Data<'a, 't> {
    fn shaped(&mut self, shape: &Shape) -> Result<(), DataFault> {
        let fault = |token: usize, text: String| DataFault { token, text, hint: Some(shape.hint()) };
        for part in shape.parts {
            let first = self.next;
            if first == self.tokens.len() && !matches!(part, Part::Params) {
                return Err(fault(first, format!("{} data ends too early", rtype::name(shape.rtype))));
            }
            // Where there is one part only, its fault says all.
            let hint = |fault: DataFault| DataFault {
                hint: fault.hint.filter(|_| shape.parts.len() > 1 || matches!(part, Part::Location)),
                ..fault
            };
            self.part(*part).map_err(|text| hint(fault(first.max(self.next.saturating_sub(1)), text)))?;
        }
        match self.tokens.get(self.next) {
            None => Ok(()),
            Some(token) => Err(fault(self.next, format!("`{}` is too much for {} data", shown(token.text), rtype::name(shape.rtype)))),
        }
    }

    /// Reads one part; the fault stands at the last token taken.
    fn part(&mut self, part: Part) -> Result<(), String> {
        match part {
            Part::V4 => self.take(|text| Some(text.parse::<Ipv4Addr>().ok()?.octets()), format_args!("an IPv4 address")),
            Part::V6 => self.take(|text| Some(text.parse::<Ipv6Addr>().ok()?.octets()), format_args!("an IPv6 address")),
            Part::Name => self.name(),
            Part::Host => self.host(),
            Part::U8(what) => self.code(what, &[], u8::MAX.into(), 1),
            Part::U16(what) => self.code(what, &[], u16::MAX.into(), 2),
            Part::U32(what) => self.code(what, &[], u32::MAX, 4),
            Part::Code8(what, codes) => self.code(what, codes, u8::MAX.into(), 1),
            Part::Code16(what, codes) => self.code(what, codes, u16::MAX.into(), 2),
            Part::Seconds(what) => {
                let wanted = format_args!("a time for `{what}`: seconds, or as in `1h30m`");
                self.take(|text| number::seconds(text).map(u32::to_be_bytes), wanted)
            }
            Part::String => self.string(),
            Part::Strings => (self.next..self.tokens.len()).try_for_each(|_| self.string()),
            Part::Text => {
                let token = self.token();
                self.octets(&token)
            }
            Part::Tag => self.tag(),
            Part::Hex(_) | Part::Base64(_) => self.rest(part),
            Part::Eui(octets) => self.eui(octets),
            Part::Location => self.location(),
            Part::Params => self.params(),
        }
    }

    /// The next token; `shaped` has seen that there is one.
    fn token(&mut self) -> Token<'t> {
        self.next += 1;
        self.tokens.get(self.next - 1).copied().unwrap_or(Token { text: "", quoted: false, at: 0 })
    }

    fn take<T: AsRef<[u8]>>(&mut self, read: impl FnOnce(&str) -> Option<T>, wanted: fmt::Arguments<'_>) -> Result<(), String> {
        let token = self.token();
        let octets = read(token.text).ok_or_else(|| format!("`{}` is not {wanted}", shown(token.text)))?;
        self.out.extend_from_slice(octets.as_ref());
        Ok(())
    }

    /// A number up to `most`, or a mnemonic of one, as the last `octets` octets of its 32 bits.
    fn code(&mut self, what: &str, codes: &[(u16, &str)], most: u32, octets: usize) -> Result<(), String> {
        let named = |text: &str| codes.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(code, _)| u32::from(*code));
        let token = self.token();
        let value = number::digits(token.text).filter(|value| *value <= most).or_else(|| named(token.text));
        let or = if codes.is_empty() { "" } else { ", or its mnemonic" };
        let value = value.ok_or_else(|| format!("`{}` is not a number for `{what}` (0 to {most}){or}", shown(token.text)))?;
        self.out.extend_from_slice(&value.to_be_bytes()[4 - octets..]);
        Ok(())
    }

    fn name(&mut self) -> Result<(), String> {
        let token = self.token();
        match Name::parse(token.text, Some(self.origin)) {
            Ok(name) => {
                self.out.extend_from_slice(name.as_wire());
                Ok(())
            }
            Err(error) => Err(format!("`{}` is not a name: {error}", shown(token.text))),
        }
    }

    fn host(&mut self) -> Result<(), String> {
        let text = self.tokens[self.next].text;
        if text.strip_suffix('.').unwrap_or(text).parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok() {
            self.next += 1;
            return Err(format!("`{text}` is an address: give a name that has it as its A or AAAA"));
        }
        self.name()
    }

    fn octets(&mut self, token: &Token<'_>) -> Result<(), String> {
        let bad =
            || format!("`{}` has a bad escape: write `\\` and three digits up to 255, or `\\` and another character", shown(token.text));
        code::unescape(token.text, &mut self.out).ok_or_else(bad)
    }

    fn string(&mut self) -> Result<(), String> {
        let token = self.token();
        if !token.quoted && token.text.ends_with('"') && token.text.contains("=\"") {
            return Err(format!("`{}` has a quote inside: quote the whole text, or write `\\\"`", shown(token.text)));
        }
        let start = self.out.len();
        self.out.push(0);
        self.octets(&token)?;
        let length = self.out.len() - start - 1;
        self.out[start] = u8::try_from(length)
            .map_err(|_| format!("`{}` has {length} octets, a string at most {}: split it", shown(token.text), MAX_STRING_OCTETS))?;
        Ok(())
    }

    fn tag(&mut self) -> Result<(), String> {
        let token = self.token();
        let length = u8::try_from(token.text.len()).unwrap_or(u8::MAX);
        self.out.push(length);
        self.out.extend_from_slice(token.text.as_bytes());
        if check::is_tag(token.text.as_bytes()) { Ok(()) } else { Err(format!("`{}` is not a tag: letters and digits", shown(token.text))) }
    }

    /// All that is left, as one value that blanks may divide.
    fn rest(&mut self, part: Part) -> Result<(), String> {
        let tokens = &self.tokens[self.next..];
        let texts = tokens.iter().map(|token| token.text);
        let start = self.out.len();
        let (done, what, form) = match part {
            Part::Base64(what) => (code::read_base64(texts, &mut self.out), what, "base64"),
            Part::Hex(what) => (code::read_hex(texts, &mut self.out), what, "hexadecimal digits in pairs"),
            _ => (None, "text", "empty"),
        };
        if done.is_none() || self.out.len() == start {
            self.next += 1;
            return Err(format!("the {what} must be {form}, not `{}`", shown(tokens[0].text)));
        }
        self.next = self.tokens.len();
        Ok(())
    }

    fn eui(&mut self, octets: usize) -> Result<(), String> {
        let read = |text: &str| {
            let mut read = Vec::with_capacity(octets);
            for pair in text.split('-') {
                code::read_hex([pair].into_iter().filter(|pair| pair.len() == 2), &mut read)?;
            }
            (text.len() == 3 * octets - 1 && read.len() == octets).then_some(read)
        };
        self.take(read, format_args!("{octets} octets in hexadecimal with hyphens between them"))
    }

    fn location(&mut self) -> Result<(), String> {
        let texts: Vec<&str> = self.tokens[self.next..].iter().map(|token| token.text).collect();
        let (octets, taken) = location::read(&texts).map_err(|(token, text)| {
            self.next += token + 1;
            text
        })?;
        self.out.extend(octets);
        self.next += taken;
        Ok(())
    }

    fn params(&mut self) -> Result<(), String> {
        let tokens = &self.tokens[self.next..];
        let done = params::read(tokens, &mut self.out);
        self.next += done.as_ref().err().map_or(tokens.len(), |(token, _)| token + 1);
        done.map_err(|(_, text)| text)
    }

    /// `\# LENGTH HEX...` (RFC 3597 5).
    fn generic(&mut self) -> Result<(), DataFault> {
        let fault = |token: usize, text: String| Err(DataFault { token, text, hint: Some(GENERIC_FORM.to_owned()) });
        let Some(length) = self.tokens.get(1).and_then(|token| number::digits::<u16>(token.text)) else {
            return fault(1, "there is no length behind `\\#`".to_owned());
        };
        let hex = self.tokens.get(2..).unwrap_or_default();
        if code::read_hex(hex.iter().map(|token| token.text), &mut self.out).is_none() {
            return fault(2, format!("the data behind `\\# {length}` is not hexadecimal"));
        }
        if self.out.len() != usize::from(length) {
            return fault(1, format!("`\\# {length}` is followed by {} octets", self.out.len()));
        }
        Ok(())
    }
}
