//! What a reload moves, in one line of the log. It is worked out of a small sample, beside the server that answers.

use std::sync::Arc;

use super::{Audience, Comparer};
use crate::geo::Family;
use crate::snapshot::{Catalog, Snapshot};

/// Names in the line.
const MAX_NAMES: usize = 5;

/// What another catalog moves with everything up, in one line: the names that move most, and their largest way.
pub fn summary(before: &Arc<Catalog>, after: &Arc<Catalog>) -> String {
    let up = |catalog: &Arc<Catalog>| Snapshot { catalog: Arc::clone(catalog), ..Snapshot::default() };
    let (one, other) = (up(before), up(after));
    let comparer = Comparer::new([before, after], &Audience::Addresses).coarse();
    let mut moved: Vec<(f64, String)> = Vec::new();
    for (family, rtype) in [(Family::V4, "A"), (Family::V6, "AAAA")] {
        for comparison in comparer.compare([&one, &other], family, None, || {}) {
            let largest = comparison.moves.iter().max_by(|(_, one), (_, other)| one.weight.total_cmp(&other.weight));
            let (Some(((from, to), way)), Some(name)) = (largest, comparison.names.first()) else { continue };
            let (all, most) = (comparison.percent(comparison.moved()), comparison.percent(way.weight));
            let alike = if comparison.names.len() > 1 { format!(" (and {} alike)", comparison.names.len() - 1) } else { String::new() };
            moved.push((all, format!("{name} {rtype}{alike} {all:.2} % ({from} -> {to} {most:.2} %)")));
        }
    }
    moved.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let more = moved.len().saturating_sub(MAX_NAMES);
    let mut texts: Vec<String> = moved.into_iter().take(MAX_NAMES).map(|(_, text)| text).collect();
    match (texts.is_empty(), more) {
        (true, _) => return "no client of any name moves".into(),
        (_, 0) => {}
        _ => texts.push(format!("and {more} more")),
    }
    format!("clients move: {}", texts.join(", "))
}
