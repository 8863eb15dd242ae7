//! Typed readers: they take a value out of a node or report what stands there instead, and always go on.
//! They judge single values only; what must hold between values is for `check`.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;

use super::typed::key_hint;
use super::{Key, Node, Value};
use crate::diag::{Diagnostics, Mark, nearest};
use crate::number;

/// At most this many characters of a wrong value are repeated in a message.
const MAX_SHOWN_CHARS: usize = 48;

/// The hint where a key and its value were read as one text.
pub(in crate::config) const NO_SPACE: &str = "put a space after the colon";

/// One value under a key, or one of the values where the key holds a list.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Field<'n> {
    /// The key, for messages.
    pub(in crate::config) key: &'n str,
    /// The value.
    pub(in crate::config) node: &'n Node,
}

/// A map of which the keys are known.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Fields<'n> {
    /// Where the map begins.
    pub(in crate::config) mark: &'n Mark,
    entries: &'n [(Key, Node)],
}

impl Node {
    /// The value for a message: short texts as typed, in backticks.
    pub(in crate::config) fn shown(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Scalar { .. } if self.is_null() => "empty".to_owned(),
            Value::Scalar { text, .. } => format!("`{}`", shortened(text)),
        }
    }
}

/// A text for a message: one line, not too long.
pub(in crate::config) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

impl<'n> Fields<'n> {
    /// Whether the map has no key at all.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a key; a key without a value counts as one that is wrong, not as one that is absent.
    pub(in crate::config) fn get(&self, key: &str) -> Option<Field<'n>> {
        self.entries.iter().find(|(have, _)| &*have.text == key).map(|(key, node)| Field { key: &key.text, node })
    }

    /// Where the key stands, else where the map begins.
    pub(in crate::config) fn key_mark(&self, key: &str) -> Mark {
        self.entries.iter().find(|(have, _)| &*have.text == key).map_or(self.mark, |(key, _)| &key.mark).clone()
    }

    /// Whether another key looks like a slip for this one, which has been reported then.
    pub(in crate::config) fn misspells(&self, key: &str) -> bool {
        self.entries.iter().any(|(have, _)| &*have.text != key && nearest(&have.text, [key]).is_some())
    }

    /// The entry of a key that must be there.
    pub(in crate::config) fn need(&self, key: &str, example: &str, out: &mut Diagnostics) -> Option<Field<'n>> {
        let found = self.get(key);
        if found.is_none() && !self.misspells(key) {
            // The map of a whole file begins in the first column, and then the file is the place.
            let mark = if self.mark.column == 1 { Mark::file(&self.mark.source) } else { self.mark.clone() };
            out.error_hint(mark, format!("the key `{key}` is missing"), format!("add `{key}: {example}`"));
        }
        found
    }
}

impl<'n> Field<'n> {
    /// The mark of the value.
    pub(in crate::config) fn mark(&self) -> Mark {
        self.node.mark.clone()
    }

    /// Reports that the value should have been `wanted`.
    pub(in crate::config) fn refuse(&self, wanted: impl fmt::Display, out: &mut Diagnostics) {
        self.refuse_with(wanted, None, out);
    }

    /// Reports that the value should have been `wanted`, with advice.
    pub(in crate::config) fn refuse_hint(&self, wanted: impl fmt::Display, hint: impl Into<String>, out: &mut Diagnostics) {
        self.refuse_with(wanted, Some(hint.into()), out);
    }

    fn refuse_with(&self, wanted: impl fmt::Display, hint: Option<String>, out: &mut Diagnostics) {
        let key = shortened(self.key);
        let (text, hint) = if self.node.is_null() {
            (format!("`{key}` has no value"), Some(format!("give {wanted}, or remove the key")))
        } else {
            let no_space = || self.scalar().filter(|text| lacks_space(text)).map(|_| NO_SPACE.to_owned());
            (format!("`{key}` must be {wanted}, not {}", self.node.shown()), hint.or_else(no_space))
        };
        match hint {
            Some(hint) => out.error_hint(self.mark(), text, hint),
            None => out.error(self.mark(), text),
        }
    }

    /// The text of a scalar.
    pub(in crate::config) fn text(&self, wanted: &str, out: &mut Diagnostics) -> Option<&'n str> {
        let text = self.scalar();
        if text.is_none() {
            self.refuse(wanted, out);
        }
        text
    }

    /// The text of a scalar that is not empty, without a word if it is something else.
    pub(in crate::config) fn scalar(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_null() => Some(text),
            _ => None,
        }
    }

    /// What `read` makes of the text of a scalar.
    pub(in crate::config) fn parsed<T>(&self, wanted: &str, out: &mut Diagnostics, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.scalar().and_then(read);
        if value.is_none() {
            self.refuse(wanted, out);
        }
        value
    }

    /// A whole number.
    pub(in crate::config) fn whole<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>, out: &mut Diagnostics) -> Option<T> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(&wanted, out, |text| number::digits(text).filter(|number| range.contains(number))?.try_into().ok())
    }

    /// A decimal; scientific notation, infinities and NaN are not decimals.
    pub(in crate::config) fn decimal(&self, range: RangeInclusive<f64>, out: &mut Diagnostics) -> Option<f64> {
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        self.parsed(&wanted, out, |text| decimal_from_text(text).filter(|number| range.contains(number)))
    }

    /// `true` or `false`; YAML 1.1 took more words for that, which is how the country Norway became false.
    pub(in crate::config) fn flag(&self, out: &mut Diagnostics) -> Option<bool> {
        let hint = match self.scalar() {
            Some("true") => return Some(true),
            Some("false") => return Some(false),
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => Some("write `true`"),
                "no" | "off" | "n" | "false" => Some("write `false`"),
                _ => None,
            },
            None => None,
        };
        self.refuse_with("`true` or `false`", hint.map(str::to_owned), out);
        None
    }

    /// Seconds, as a number or with a unit.
    pub(in crate::config) fn seconds(&self, range: RangeInclusive<u64>, out: &mut Diagnostics) -> Option<u32> {
        let wanted = format!("seconds from {} to {}, or a time such as `30s`, `5m` or `1h30m`", range.start(), range.end());
        self.parsed(&wanted, out, |text| number::seconds(text).filter(|number| range.contains(&u64::from(*number))))
    }

    /// The values of a list, or the one value where there is no list.
    pub(in crate::config) fn list(&self) -> Vec<Field<'n>> {
        match &self.node.value {
            Value::List(items) => items.iter().map(|node| Field { key: self.key, node }).collect(),
            _ => vec![*self],
        }
    }

    /// The same, and an empty list is an error.
    pub(in crate::config) fn filled_list(&self, wanted: &str, out: &mut Diagnostics) -> Vec<Field<'n>> {
        let list = self.list();
        if list.is_empty() {
            out.error_hint(self.mark(), format!("`{}` is an empty list", shortened(self.key)), format!("give {wanted}, or remove the key"));
        }
        list
    }

    /// A map whose keys are names that the operator chose.
    pub(in crate::config) fn map(&self, wanted: &str, out: &mut Diagnostics) -> Option<&'n [(Key, Node)]> {
        match &self.node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.refuse(wanted, out);
                None
            }
        }
    }

    /// A map of known keys; each unknown one is reported.
    pub(in crate::config) fn fields(&self, wanted: &str, known: &[&str], out: &mut Diagnostics) -> Option<Fields<'n>> {
        let entries = self.map(wanted, out)?;
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&&*key.text)) {
            out.error_hint(key.mark.clone(), format!("unknown key `{}`", shortened(&key.text)), key_hint(&key.text, known));
        }
        Some(Fields { mark: &self.node.mark, entries })
    }

    /// A spec that says by serde what it looks like.
    pub(in crate::config) fn typed<T: DeserializeOwned>(&self, out: &mut Diagnostics) -> Option<T> {
        T::deserialize(self.node).map_err(|fault| fault.report(self.key, &self.node.mark, out)).ok()
    }
}

/// Whether a text looks like `key:value` or `key:[value]`.
pub(in crate::config) fn lacks_space(text: &str) -> bool {
    let Some((key, value)) = text.split_once(':') else { return false };
    key.len() > 1 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !value.is_empty()
}

/// `-12.5`, `3`, `+4`, `.5`; nothing else.
fn decimal_from_text(text: &str) -> Option<f64> {
    text.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b)).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_decimals() {
        assert_eq!(
            ["-12.5", ".5", "3", "1e3", "nan", "inf", "1,5"].map(decimal_from_text),
            [Some(-12.5), Some(0.5), Some(3.0), None, None, None, None]
        );
    }

    #[test]
    fn long_values_are_shortened_in_messages() {
        assert_eq!(shortened("a\nb"), "a b");
        assert_eq!(shortened(&"x".repeat(100)).len(), MAX_SHOWN_CHARS + 3);
    }
}
