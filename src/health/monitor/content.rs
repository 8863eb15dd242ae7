//! What the body of an HTTP answer must hold: a text, a match of a regular expression, values of a JSON document.
//! It judges octets that it is given and never reads any; a body that fails a check fails the probe, or degrades it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::Problems;
use crate::health::report::Outcome;

/// Longest text or pattern that is searched for.
pub const MAX_PATTERN: usize = 1024;
/// At most this many JSON values are looked at: a health page, not a database.
pub const MAX_JSON_CHECKS: usize = 32;
/// Octets that a compiled pattern may take; each target holds one.
pub const MAX_REGEX_OCTETS: usize = 1 << 20;

/// What is demanded of a body; empty = nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// A text or pattern that the body must hold.
    pub body: Option<Body>,
    /// JSON values by pointer (RFC 6901), sorted.
    pub json: Box<[(Box<str>, JsonRule)]>,
    /// Where in a JSON document it stands how much the target works on; demands nothing.
    pub active: Option<Box<str>>,
}

/// What must stand in the first 64 KiB of a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Body {
    /// This text, octet for octet.
    Contains(Box<str>),
    /// A match of this regular expression.
    Matches(Box<str>),
}

/// What one JSON value must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JsonRule {
    /// Exactly this text.
    Text(Box<str>),
    /// Exactly this truth value.
    Flag(bool),
    /// Exactly this number, in thousandths.
    Number(i64),
    /// A number inside limits.
    Limits(Limits),
}

/// Limits of a number, in thousandths; a number on a limit is over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limits {
    /// Degraded from here up.
    pub degraded: Option<i64>,
    /// Failed from here up.
    pub fail: Option<i64>,
    /// Degraded from here down.
    pub degraded_below: Option<i64>,
    /// Failed from here down.
    pub fail_below: Option<i64>,
}

impl Content {
    /// True if the body need not be looked at.
    pub fn is_empty(&self) -> bool {
        self.body.is_none() && self.json.is_empty() && self.active.is_none()
    }

    /// True if a limit degrades rather than fails.
    pub fn can_degrade(&self) -> bool {
        let degrades = |rule: &JsonRule| matches!(rule, JsonRule::Limits(limits) if limits.degraded.or(limits.degraded_below).is_some());
        self.json.iter().any(|(_, rule)| degrades(rule))
    }

    /// How much the target works on, where its document says so; fractions are rounded, and what is no number says nothing.
    pub fn active(&self, body: &[u8]) -> Option<u32> {
        let pointer = self.active.as_deref()?;
        let document: Value = serde_json::from_slice(body).ok()?;
        let number = document.pointer(pointer)?.as_f64().filter(|number| *number >= 0.0)?;
        // The cast saturates.
        Some(number.round() as u32)
    }

    /// Judges the JSON part: the worst finding and its reason, or success. `cut` says that the body went on beyond what was read.
    /// `told` hears of every value: its pointer, what it makes of the probe, and what it is.
    pub fn judge_json(&self, body: &[u8], cut: bool, told: &mut impl FnMut(&str, Outcome, &str)) -> (Outcome, Option<String>) {
        if self.json.is_empty() {
            return (Outcome::Success, None);
        }
        let mut unreadable = |why: &str| {
            told("json", Outcome::Failure, why);
            (Outcome::Failure, Some(why.to_owned()))
        };
        if cut {
            return unreadable("the JSON body is too long");
        }
        let Ok(document) = serde_json::from_slice::<Value>(body) else { return unreadable("the body is not JSON") };
        let mut worst = (Outcome::Success, None);
        for (pointer, rule) in &self.json {
            let (outcome, why) = rule.judge(document.pointer(pointer));
            let name = if pointer.is_empty() { "the document" } else { pointer };
            told(name, outcome, why.as_deref().unwrap_or("as it must be"));
            if outcome > worst.0 {
                worst = (outcome, why.map(|why| format!("{name} {why}")));
            }
        }
        worst
    }
}

impl fmt::Display for Body {
    /// `"ready"`, `/^v[0-9]+$/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Contains(text) => write!(f, "\"{text}\""),
            Body::Matches(pattern) => write!(f, "/{pattern}/"),
        }
    }
}

impl JsonRule {
    fn judge(&self, value: Option<&Value>) -> (Outcome, Option<String>) {
        let Some(value) = value else { return (Outcome::Failure, Some("is missing".to_owned())) };
        let wanted = match self {
            JsonRule::Limits(limits) => return limits.judge(value),
            JsonRule::Text(text) => (value.as_str() == Some(text)).then_some(()).ok_or_else(|| format!("\"{text}\"")),
            JsonRule::Flag(flag) => (value.as_bool() == Some(*flag)).then_some(()).ok_or_else(|| flag.to_string()),
            JsonRule::Number(milli) => (thousandths(value) == Some(*milli as f64)).then_some(()).ok_or_else(|| shown(*milli)),
        };
        match wanted {
            Ok(()) => (Outcome::Success, None),
            Err(wanted) => (Outcome::Failure, Some(format!("is {value}, not {wanted}"))),
        }
    }
}

impl Limits {
    fn judge(&self, value: &Value) -> (Outcome, Option<String>) {
        let Some(milli) = thousandths(value) else { return (Outcome::Failure, Some(format!("is {value}, not a number"))) };
        let over = |limit: Option<i64>| limit.filter(|limit| milli >= *limit as f64);
        let under = |limit: Option<i64>| limit.filter(|limit| milli <= *limit as f64);
        let found = |outcome, limit: i64| (outcome, Some(format!("is {value}, limit {}", shown(limit))));
        match (over(self.fail).or(under(self.fail_below)), over(self.degraded).or(under(self.degraded_below))) {
            (Some(limit), _) => found(Outcome::Failure, limit),
            (None, Some(limit)) => found(Outcome::Degraded, limit),
            (None, None) => (Outcome::Success, None),
        }
    }
}

/// A JSON number in thousandths; the product of a finite number may be infinite, which compares as it should.
fn thousandths(value: &Value) -> Option<f64> {
    value.as_f64().map(|number| (number * 1000.0).round())
}

fn shown(milli: i64) -> String {
    (milli as f64 / 1000.0).to_string()
}

/// `body: TEXT`, `body: {contains: TEXT}` or `body: {regex: PATTERN}`.
#[derive(Debug, Clone, Default)]
pub(super) struct BodySpec(BodyKeys);

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyKeys {
    contains: Option<Spanned<String>>,
    regex: Option<Spanned<String>>,
}

/// The rule of one pointer as typed.
#[derive(Debug, Clone)]
pub(super) enum JsonSpec {
    Text(String),
    Flag(bool),
    Number(f64),
    Limits(LimitKeys),
}

#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitKeys {
    degraded: Option<f64>,
    fail: Option<f64>,
    degraded_below: Option<f64>,
    fail_below: Option<f64>,
}

/// The checked demands; what is wrong goes to `problems`.
pub(super) fn check(
    body: Option<BodySpec>,
    json: Option<BTreeMap<String, Spanned<JsonSpec>>>,
    active: Option<Spanned<String>>,
    problems: &mut Problems,
) -> Content {
    let body = body.and_then(|BodySpec(keys)| check_body(keys, problems));
    let json = json.unwrap_or_default();
    if json.len() > MAX_JSON_CHECKS {
        problems.add_unplaced(format!("{} values under `json`, at most {MAX_JSON_CHECKS} are allowed", json.len()));
    }
    let rules = json.into_iter().filter_map(|(pointer, rule)| check_rule(pointer, &rule, problems));
    let json = rules.collect();
    let active = active.filter(|pointer| is_pointer(&pointer.value, pointer, problems)).map(|pointer| pointer.value.into());
    Content { body, json, active }
}

fn check_body(keys: BodyKeys, problems: &mut Problems) -> Option<Body> {
    let (text, is_pattern) = match (keys.contains, keys.regex) {
        (Some(text), None) => (text, false),
        (None, Some(pattern)) => (pattern, true),
        _ => {
            problems.add_unplaced("`body` must be a text, or a map with one of `contains` and `regex`");
            return None;
        }
    };
    if text.value.is_empty() || text.value.len() > MAX_PATTERN {
        problems.add(&text, format!("`body` must be from 1 to {MAX_PATTERN} octets"));
        return None;
    }
    if !is_pattern {
        return Some(Body::Contains(text.value.into()));
    }
    if let Err(error) = pattern(&text.value) {
        let last = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        problems.add_hint(&text, format!("`regex` cannot be used: {last}"), "the syntax is that of the Rust crate `regex`");
        return None;
    }
    Some(Body::Matches(text.value.into()))
}

/// The compiled form of a pattern, bounded in size; matching takes linear time whatever the pattern.
pub fn pattern(text: &str) -> Result<regex::bytes::Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(text).size_limit(MAX_REGEX_OCTETS).dfa_size_limit(MAX_REGEX_OCTETS).build()
}

/// Reports what is no JSON pointer.
fn is_pointer<T>(text: &str, at: &Spanned<T>, problems: &mut Problems) -> bool {
    let fits = text.is_empty() || text.starts_with('/');
    if !fits {
        let hint = format!("write `/{}`, with `/` between the names and `~1` for a `/` in one (RFC 6901)", text.replace('.', "/"));
        problems.add_hint(at, format!("`{}` is not a JSON pointer", text.escape_default()), hint);
    }
    fits
}

fn check_rule(pointer: String, rule: &Spanned<JsonSpec>, problems: &mut Problems) -> Option<(Box<str>, JsonRule)> {
    if !is_pointer(&pointer, rule, problems) {
        return None;
    }
    let checked = match &rule.value {
        JsonSpec::Text(text) => JsonRule::Text(text.as_str().into()),
        JsonSpec::Flag(flag) => JsonRule::Flag(*flag),
        JsonSpec::Number(number) => JsonRule::Number(milli(*number)),
        JsonSpec::Limits(keys) => JsonRule::Limits(check_limits(keys, rule, problems)?),
    };
    Some((pointer.into(), checked))
}

fn check_limits(keys: &LimitKeys, at: &Spanned<JsonSpec>, problems: &mut Problems) -> Option<Limits> {
    let of = |key: Option<f64>| key.map(milli);
    let limits = Limits {
        degraded: of(keys.degraded),
        fail: of(keys.fail),
        degraded_below: of(keys.degraded_below),
        fail_below: of(keys.fail_below),
    };
    if limits == Limits::default() {
        problems.add_hint(at, "no limit is given", "write for example `{degraded: 80, fail: 95}`");
        return None;
    }
    let unreachable = matches!((limits.degraded, limits.fail), (Some(degraded), Some(fail)) if degraded >= fail)
        || matches!((limits.degraded_below, limits.fail_below), (Some(degraded), Some(fail)) if degraded <= fail);
    if unreachable {
        let hint = "`degraded` must come before `fail`; where small numbers are bad write `degraded_below` and `fail_below`";
        problems.add_hint(at, "`degraded` can never be reached", hint);
        return None;
    }
    Some(limits)
}

/// Thousandths; the cast saturates.
fn milli(number: f64) -> i64 {
    (number * 1000.0).round() as i64
}

impl<'de> Deserialize<'de> for BodySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BodySpec, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = BodySpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a map with one of `contains` and `regex`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BodySpec, E> {
                let contains = Some(Spanned::new(text.to_owned(), Location::UNKNOWN, Location::UNKNOWN));
                Ok(BodySpec(BodyKeys { contains, regex: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BodySpec, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(BodySpec)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for JsonSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonSpec, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = JsonSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, a number, a text, or limits such as `{degraded: 80, fail: 95}`")
            }

            fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Flag(flag))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Number(number as f64))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Number(number as f64))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Number(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JsonSpec, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(JsonSpec::Limits)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(degraded: Option<i64>, fail: Option<i64>, degraded_below: Option<i64>, fail_below: Option<i64>) -> JsonRule {
        JsonRule::Limits(Limits { degraded, fail, degraded_below, fail_below })
    }

    fn judged(pointer: &str, rule: JsonRule, body: &str) -> (Outcome, Option<String>) {
        Content { json: Box::new([(pointer.into(), rule)]), ..Content::default() }.judge_json(body.as_bytes(), false, &mut |_, _, _| {})
    }

    #[test]
    fn limits_are_reached_on_the_number_itself_from_either_side() {
        use Outcome::{Degraded, Failure, Success};
        let cpu = limits(Some(80_000), Some(95_000), None, None);
        let disk = limits(None, None, Some(20_000), Some(5_000));
        for (rule, value, expected) in [
            (&cpu, "79.9", Success),
            (&cpu, "80", Degraded),
            (&cpu, "94.999", Degraded),
            (&cpu, "95", Failure),
            (&cpu, "1e300", Failure),
            (&cpu, "-1e300", Success),
            (&cpu, "\"12\"", Failure),
            (&cpu, "null", Failure),
            (&disk, "20.1", Success),
            (&disk, "20", Degraded),
            (&disk, "5", Failure),
        ] {
            assert_eq!(judged("/v", rule.clone(), &format!("{{\"v\": {value}}}")).0, expected, "{rule:?} {value}");
        }
    }

    #[test]
    fn pointers_follow_rfc_6901_and_what_is_missing_fails() {
        let body = r#"{"a": {"b/c": [1, {"d~e": "ok"}]}, "": true}"#;
        assert_eq!(judged("/a/b~1c/1/d~0e", JsonRule::Text("ok".into()), body), (Outcome::Success, None));
        assert_eq!(judged("/", JsonRule::Flag(true), body), (Outcome::Success, None));
        assert_eq!(judged("/a/b~1c/0", JsonRule::Number(1000), body), (Outcome::Success, None));
        assert_eq!(judged("/a/x", JsonRule::Flag(true), body), (Outcome::Failure, Some("/a/x is missing".into())));
        assert_eq!(judged("/", JsonRule::Flag(false), body), (Outcome::Failure, Some("/ is true, not false".into())));
    }

    #[test]
    fn the_worst_value_decides_and_is_named() {
        let content = Content {
            json: Box::new([
                ("/cpu".into(), limits(Some(80_000), Some(95_000), None, None)),
                ("/db".into(), JsonRule::Flag(true)),
                ("/mem".into(), limits(None, Some(90_000), None, None)),
            ]),
            ..Content::default()
        };
        let judge = |body: &str| content.judge_json(body.as_bytes(), false, &mut |_, _, _| {});
        assert_eq!(judge(r#"{"cpu": 10, "db": true, "mem": 10}"#), (Outcome::Success, None));
        assert_eq!(judge(r#"{"cpu": 85, "db": true, "mem": 10}"#), (Outcome::Degraded, Some("/cpu is 85, limit 80".into())));
        assert_eq!(judge(r#"{"cpu": 85, "db": false, "mem": 10}"#), (Outcome::Failure, Some("/db is false, not true".into())));
        assert_eq!(judge("<html>").1.as_deref(), Some("the body is not JSON"));
        assert_eq!(content.judge_json(b"{}", true, &mut |_, _, _| {}).1.as_deref(), Some("the JSON body is too long"));
    }

    #[test]
    fn what_a_target_works_on_is_any_number_and_never_a_fault() {
        let content = Content { active: Some("/server/active".into()), ..Content::default() };
        let active = |body: &str| content.active(body.as_bytes());
        assert_eq!(active(r#"{"server": {"active": 41}}"#), Some(41));
        assert_eq!([active(r#"{"server": {"active": 0.6}}"#), active(r#"{"server": {"active": 1e300}}"#)], [Some(1), Some(u32::MAX)]);
        for body in ["", "{}", r#"{"server": {"active": "41"}}"#, r#"{"server": {"active": -1}}"#] {
            assert_eq!(active(body), None, "{body}");
        }
        assert!(!content.is_empty());
    }
}
