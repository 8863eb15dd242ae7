//! `capacity:` of a region or a service: what it can bear, and how its load becomes known.
//! Who sheds clients and how many is worked out while the server runs, in `health`.

use crate::config::spec::{Field, Fields, Value};
use crate::diag::Diagnostics;
use crate::health::{Capacity, LoadSource};

/// Keys of the long form.
const KEYS: [&str; 4] = ["soft", "hard", "per_answer", "load"];

/// The largest load that may be named: far more than any region bears, whatever the unit.
const MAX_LOAD: f64 = 1e12;

/// Where only one limit is given the other is worked out: clients are shed from four fifths of what can be borne.
const SOFT_OF_HARD_PERCENT: u64 = 80;

/// `1000`, or `{soft: 800, hard: 1000, per_answer: 2.5, load: answers}`.
pub(super) fn capacity(field: &Field<'_>, out: &mut Diagnostics) -> Option<Capacity> {
    if !matches!(field.node.value, Value::Map(_)) {
        let source = LoadSource::Answers { each_milli: 1000 };
        return limited(field, (None, Some(load_milli(field, out)?)), source, out);
    }
    let fields = field.fields("a load, or a map with `soft` and `hard`", &KEYS, out)?;
    // The outer option is none where a load was refused.
    let [soft_milli, hard_milli, each_milli] = ["soft", "hard", "per_answer"].map(|key| match fields.get(key) {
        None => Some(None),
        Some(field) => load_milli(&field, out).map(Some),
    });
    let source = source(&fields, each_milli.flatten(), out);
    each_milli?;
    limited(field, (soft_milli?, hard_milli?), source?, out)
}

/// A load over 0, in thousandths.
fn load_milli(field: &Field<'_>, out: &mut Diagnostics) -> Option<u64> {
    // At most 10^15, which fits.
    field.decimal(0.001..=MAX_LOAD, out).map(|load| (load * 1000.0).round() as u64)
}

fn source(fields: &Fields<'_>, each_milli: Option<u64>, out: &mut Diagnostics) -> Option<LoadSource> {
    let field = fields.get("load");
    match field.map_or(Some("answers"), |field| field.scalar()) {
        Some("answers") => return Some(LoadSource::Answers { each_milli: each_milli.unwrap_or(1000) }),
        Some("pushed") if fields.get("per_answer").is_none() => return Some(LoadSource::Pushed),
        Some("pushed") => {
            let hint = "a load that is told is taken as it is; remove `per_answer`";
            out.error_hint(fields.key_mark("per_answer"), "`per_answer` beside `load: pushed`", hint);
        }
        _ => {
            let hint = "the server counts its own `answers`; `pushed` loads are told by `meridian ctl load`";
            field.iter().for_each(|field| field.refuse_hint("`answers` or `pushed`", hint, out));
        }
    }
    None
}

/// With the limit that was not given.
fn limited(field: &Field<'_>, limits_milli: (Option<u64>, Option<u64>), source: LoadSource, out: &mut Diagnostics) -> Option<Capacity> {
    let (soft_milli, hard_milli) = match limits_milli {
        (Some(soft_milli), Some(hard_milli)) => (soft_milli, hard_milli),
        (Some(soft_milli), None) => (soft_milli, soft_milli * 100 / SOFT_OF_HARD_PERCENT),
        (None, Some(hard_milli)) => ((hard_milli * SOFT_OF_HARD_PERCENT / 100).max(1), hard_milli),
        (None, None) => {
            out.error_hint(
                field.mark(),
                "`capacity` has neither `soft` nor `hard`",
                "write for example `capacity: {soft: 800, hard: 1000}`",
            );
            return None;
        }
    };
    if soft_milli > hard_milli {
        let text = format!("`soft` ({}) is over `hard` ({})", soft_milli as f64 / 1000.0, hard_milli as f64 / 1000.0);
        out.error_hint(field.mark(), text, "clients are shed from `soft` on; `hard` is what can be borne at most");
        return None;
    }
    Some(Capacity { soft_milli, hard_milli, source })
}
