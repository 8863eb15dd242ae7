//! `$GENERATE` as BIND reads it: a range, a step, and templates in which `$` and `${offset,width,radix}` stand for the number.
//! It makes texts; what they say is read like any other record.

use std::fmt::Write;

use crate::number;
use crate::zone::text::token::Token;

/// Largest number of a range, as in BIND.
const MAX_NUMBER: u32 = i32::MAX as u32;

/// Largest width: no name is longer.
const MAX_WIDTH: usize = 255;

/// `start-stop` or `start-stop/step`.
pub(super) fn range(text: &str) -> Option<impl Iterator<Item = u32>> {
    let (span, step) = text.split_once('/').unwrap_or((text, "1"));
    let (start, stop) = span.split_once('-')?;
    let number = |text| number::digits::<u32>(text).filter(|number| *number <= MAX_NUMBER);
    let (start, stop, step) = (number(start)?, number(stop)?, number(step).filter(|step| *step > 0)?);
    (start <= stop).then(|| (start..=stop).step_by(step as usize))
}

/// A record with the number left open.
pub(super) struct Template<'t> {
    pub(super) owner: &'t str,
    /// TTL and type.
    pub(super) head: String,
    pub(super) data: String,
}

impl Template<'_> {
    /// The record of a number.
    pub(super) fn record(&self, number: u32) -> Result<String, String> {
        Ok(format!("{} {} {}", expand(self.owner, number)?, self.head, expand(&self.data, number)?))
    }
}

/// The data as one text. As in BIND, quotes around all of it only hold it together: a TXT of one string is written `"\"...\""`.
pub(super) fn data_template(tokens: &[Token<'_>]) -> String {
    match tokens {
        [token] if token.quoted => token.text.replace("\\\"", "\""),
        _ => {
            let texts = tokens.iter().map(|token| if token.quoted { format!("\"{}\"", token.text) } else { token.text.to_owned() });
            texts.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A template with the number put in; the error says what is wrong with the template.
fn expand(template: &str, number: u32) -> Result<String, String> {
    let mut text = String::with_capacity(template.len() + 8);
    let mut rest = template;
    while let Some(at) = rest.find(['$', '\\']) {
        text += &rest[..at];
        let (special, tail) = rest.split_at(at).1.split_at(1);
        if special == "\\" {
            // An escape is for those who read the text: `\$` is the character.
            let escaped = tail.chars().next().map_or(0, char::len_utf8);
            text += &rest[at..at + 1 + escaped];
            rest = &tail[escaped..];
        } else if let Some(tail) = tail.strip_prefix('$') {
            text += "\\$";
            rest = tail;
        } else if let Some(tail) = tail.strip_prefix('{') {
            let (format, tail) = tail.split_once('}').ok_or_else(|| format!("`{template}` has a `${{` without `}}`"))?;
            let wanted = || {
                format!(
                    "`${{{format}}}` must be `${{offset}}`, `${{offset,width}}` or `${{offset,width,radix}}`, radix one of d, o, x, X, n, N"
                )
            };
            let format = Format::from_text(format).ok_or_else(wanted)?;
            format.write(number, &mut text).ok_or_else(|| format!("`{template}` is below 0 at {number}"))?;
            rest = tail;
        } else {
            text += &number.to_string();
            rest = tail;
        }
    }
    Ok(text + rest)
}

/// What stands in the braces.
struct Format {
    offset: i64,
    width: usize,
    radix: Radix,
}

enum Radix {
    Decimal,
    Octal,
    Hex,
    UpperHex,
    /// Hexadecimal digits from the last to the first, with dots between them, as `ip6.arpa` has them.
    Nibbles,
    UpperNibbles,
}

impl Format {
    fn from_text(text: &str) -> Option<Format> {
        let mut parts = text.splitn(3, ',');
        let offset = parts.next()?.parse::<i32>().ok()?.into();
        let width = parts.next().map_or(Some(0), |width| width.parse().ok().filter(|width| *width <= MAX_WIDTH))?;
        let radix = match parts.next().unwrap_or("d") {
            "d" => Radix::Decimal,
            "o" => Radix::Octal,
            "x" => Radix::Hex,
            "X" => Radix::UpperHex,
            "n" => Radix::Nibbles,
            "N" => Radix::UpperNibbles,
            _ => return None,
        };
        Some(Format { offset, width, radix })
    }

    /// `None` where offset and number give less than 0.
    fn write(&self, number: u32, out: &mut String) -> Option<()> {
        let value = u32::try_from(i64::from(number) + self.offset).ok()?;
        let width = self.width;
        match self.radix {
            Radix::Decimal => write!(out, "{value:0width$}"),
            Radix::Octal => write!(out, "{value:0width$o}"),
            Radix::Hex => write!(out, "{value:0width$x}"),
            Radix::UpperHex => write!(out, "{value:0width$X}"),
            Radix::Nibbles => write!(out, "{}", nibbles(&format!("{value:x}"), width)),
            Radix::UpperNibbles => write!(out, "{}", nibbles(&format!("{value:X}"), width)),
        }
        .ok()
    }
}

/// The width counts the dots as well.
fn nibbles(hex: &str, width: usize) -> String {
    let digits = hex.len().max(width.div_ceil(2));
    let filled = format!("{hex:0>digits$}");
    let mut text: Vec<String> = filled.chars().rev().map(String::from).collect();
    // An even width ends in a dot.
    if width > hex.len() * 2 - 1 && width.is_multiple_of(2) {
        text.push(String::new());
    }
    text.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_a_step() {
        let numbers = |text: &str| range(text).map(|numbers| numbers.collect::<Vec<u32>>());
        assert_eq!(numbers("1-3"), Some(vec![1, 2, 3]));
        assert_eq!(numbers("0-10/5"), Some(vec![0, 5, 10]));
        assert_eq!(numbers("7-7"), Some(vec![7]));
        for bad in ["", "1", "3-1", "1-3/0", "1-3/-1", "a-b", "-1-3", "1-2147483648", "1-+3", "1-3/"] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }

    #[test]
    fn templates_are_those_of_bind() {
        for (template, number, expected) in [
            ("h$", 5, "h5"),
            ("$.0.0.10", 5, "5.0.0.10"),
            ("no", 5, "no"),
            ("${0,3}", 5, "005"),
            ("${0,3}", 5555, "5555"),
            ("${-1}", 5, "4"),
            ("a${10,4,x}b", 5, "a000fb"),
            ("${0,0,X}${0,3,o}", 250, "FA372"),
            ("${0,2,o}", 8, "10"),
            ("\\$$", 5, "\\$5"),
            ("$$$", 5, "\\$5"),
            ("${0,3,n}", 0x1f, "f.1"),
            ("${0,8,n}", 0x1f, "f.1.0.0."),
            ("${0,7,N}", 0x1f, "F.1.0.0"),
            ("${0,1,n}", 0x1f, "f.1"),
            ("ä$", 1, "ä1"),
        ] {
            assert_eq!(expand(template, number).as_deref(), Ok(expected), "{template}");
        }
        for bad in ["${", "${}", "${1,2,3}", "${1,2,dd}", "${a}", "${0,256}", "${0,-1}", "${-6}"] {
            assert!(expand(bad, 5).is_err(), "{bad}");
        }
    }
}
