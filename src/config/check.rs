//! The check: from trees as typed to the Model, one file per kind of thing that is checked. Defaults are filled in here and nowhere else.
//! It never stops at a fault: what is wrong is reported and left out, so that one mistake shows once and hides no other.

mod access;
mod all_down;
mod api;
mod areas;
mod capacity;
mod certificate;
mod encrypted;
mod endpoints;
mod expectations;
mod fences;
mod latencies;
mod limits;
mod logs;
mod monitors;
mod networks;
mod places;
mod records;
mod regions;
mod rules;
mod server;
mod steer;
mod zones;

pub(super) use areas::{Areas, areas};
pub(super) use encrypted::encrypted;
pub(super) use expectations::tests;
pub(super) use latencies::latencies;
pub(super) use networks::networks;
pub(super) use records::{MAX_RECORDS, refusal, unknown_type};
pub(super) use regions::Regions;
pub(super) use server::{SERVER_KEYS, geo_files, server};
pub(super) use steer::Known;
pub(super) use zones::Zones;

use super::spec::Field;
use crate::diag::{Diagnostics, nearest};
use crate::geo::{Prefix, PrefixError};
use crate::health::Override;
use crate::steer::Weight;

/// Largest TTL: 31 bits (RFC 2181 8).
pub(super) const MAX_TTL_S: u64 = (1 << 31) - 1;

/// Longest name of a region or service: it becomes a label of metrics and a column of tables.
const MAX_WORD_CHARS: usize = 63;

/// A network; host bits are an error (G6).
fn prefix(field: &Field<'_>, out: &mut Diagnostics) -> Option<Prefix> {
    const WANTED: &str = "a network such as `192.0.2.0/24` or `2001:db8::/32`";
    let text = field.text(WANTED, out)?;
    match text.parse() {
        Ok(prefix) => Some(prefix),
        Err(error) => {
            let (text, hint) = prefix_fault(text, error);
            out.error_hint(field.mark(), text, hint);
            None
        }
    }
}

/// What is wrong with a network, and what to write.
fn prefix_fault(text: &str, error: PrefixError) -> (String, String) {
    match error {
        PrefixError::HostBits { masked } => {
            let hint = format!("the network is `{masked}`; for this one address write `{}`", text.split('/').next().unwrap_or(text));
            (format!("`{text}` has bits set beyond its prefix length"), hint)
        }
        PrefixError::Address => {
            (format!("`{text}` is not a network"), "write an address and a prefix length, such as `192.0.2.0/24` or `2001:db8::/32`".into())
        }
        PrefixError::Length { family } => {
            (format!("`{text}` is not a network"), format!("{family} has prefix lengths from 0 to {}", family.bits()))
        }
    }
}

/// A weight: a decimal with at most three places.
fn weight(field: &Field<'_>, out: &mut Diagnostics) -> Option<Weight> {
    let wanted = format!("a number from 0 to {} with at most three decimals", Weight::MAX);
    let number = field.scalar().filter(|text| text.bytes().all(|b| b.is_ascii_digit() || b == b'.')).and_then(|text| text.parse().ok());
    let weight = number.and_then(Weight::from_decimal);
    if weight.is_none() {
        field.refuse(wanted, out);
    }
    weight
}

/// `state: up | down | drain`.
fn state(field: &Field<'_>, out: &mut Diagnostics) -> Option<Override> {
    let state = match field.scalar() {
        Some("up") => Some(Override::Up),
        Some("down") => Some(Override::Down),
        Some("drain") => Some(Override::Drain),
        _ => None,
    };
    if state.is_none() {
        field.refuse_hint("`up`, `down` or `drain`", "leave `state` out to let the monitor decide", out);
    }
    state
}

/// A name that the operator chose for a region or a service.
fn is_word(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MAX_WORD_CHARS).contains(&text.len()) && text.chars().all(allowed)
}

/// The hint of a dangling reference.
fn reference_hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> String {
    /// More names than this help nobody.
    const MAX_LISTED: usize = 12;
    if let Some(near) = nearest(word, known.clone()) {
        return format!("did you mean `{near}`?");
    }
    let mut list: Vec<&str> = known.into_iter().take(MAX_LISTED + 1).collect();
    match list.len() {
        0 => format!("there are no {what}"),
        n if n > MAX_LISTED => {
            list.pop();
            format!("the {what} are {}, ...", list.join(", "))
        }
        _ => format!("the {what} are {}", list.join(", ")),
    }
}
