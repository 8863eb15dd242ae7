//! What watches the endpoints of a service: its monitors, what they must say together, named checks, and how the region comes back.
//! How a probe is made is judged by the monitor's own file in `health`.

use std::collections::HashMap;

use super::{is_word, reference_hint};
use crate::config::model::Offer;
use crate::config::spec::{Field, Fields};
use crate::config::{files, seen};
use crate::diag::{Diagnostics, Mark};
use crate::health::monitor::tls::MAX_PEM_OCTETS;
use crate::health::view::ADMIT_ALL;
use crate::health::{Combine, Monitor, MonitorSpec, TargetKey};

/// Monitors of one service: each is a probe for every endpoint.
const MAX_MONITORS: usize = 8;

/// Named checks that one service or region may require.
const MAX_REQUIRED: usize = 16;

/// Longest ramp: a day.
const MAX_RAMP_S: u64 = 86_400;

/// The name of a check that must be up, where it was typed.
#[derive(Debug, Clone)]
pub(super) struct Required {
    name: String,
    mark: Mark,
}

/// Named checks of all region files.
#[derive(Debug, Default)]
pub(super) struct NamedChecks(HashMap<String, (Option<TargetKey>, Mark)>);

impl NamedChecks {
    /// Takes over `checks:` of one file: monitors with an address of their own.
    pub(super) fn add(&mut self, field: &Field<'_>, out: &mut Diagnostics) {
        for (key, node) in field.map("a map of checks by name", out).unwrap_or_default() {
            if !is_word(&key.text) {
                out.error(key.mark.clone(), format!("`{}` cannot be the name of a check", key.text));
            }
            let check = Field { key: &key.text, node };
            let target = monitor(&check, out).and_then(|monitor| match monitor.address {
                Some(address) => Some(monitor.target(address)),
                None => {
                    let text = format!("the check `{}` has no address", key.text);
                    out.error_hint(check.mark(), text, "add `address: 192.0.2.5`; a named check belongs to no endpoint");
                    None
                }
            });
            if let Some((_, first)) = self.0.insert(key.text.to_string(), (target, key.mark.clone())) {
                let hint = format!("the first is at {}:{}", first.source.path.display(), first.line);
                out.error_hint(key.mark.clone(), format!("the check `{}` stands twice", key.text), hint);
            }
        }
    }

    /// The targets of these names; unknown ones are reported if `complete`.
    pub(super) fn resolve(&self, required: &[Required], complete: bool, out: &mut Diagnostics) -> Vec<TargetKey> {
        let resolve = |required: &Required| match self.0.get(&required.name) {
            Some((target, _)) => target.clone(),
            None => {
                if complete {
                    let hint = reference_hint(&required.name, self.0.keys().map(String::as_str), "checks");
                    out.error_hint(required.mark.clone(), format!("there is no check `{}`", required.name), hint);
                }
                None
            }
        };
        required.iter().filter_map(resolve).collect()
    }
}

/// Everything beside `endpoints`; what is wrong keeps its default. Gives back the checks that are required.
pub(super) fn settings(fields: &Fields<'_>, offer: &mut Offer, out: &mut Diagnostics) -> Vec<Required> {
    if let Some(field) = fields.get("monitor") {
        let list = field.filled_list("a monitor or a list of them", out);
        if list.len() > MAX_MONITORS {
            out.error(field.mark(), format!("there are {} monitors, at most {MAX_MONITORS} are allowed", list.len()));
        }
        offer.monitors = list.iter().take(MAX_MONITORS).filter_map(|field| monitor(field, out)).collect();
    }
    if let Some(field) = fields.get("combine") {
        offer.combine = combine(&field, offer.monitors.len(), out).unwrap_or_default();
    }
    if let Some(field) = fields.get("failback") {
        match field.scalar() {
            Some("auto") => {}
            Some("manual") => offer.recovery.manual = true,
            _ => field.refuse_hint("`auto` or `manual`", "`manual` waits for `meridian ctl clear` after each failure", out),
        }
    }
    if let Some(ramp_s) = fields.get("ramp").and_then(|field| field.seconds(0..=MAX_RAMP_S, out)) {
        // At most a day, which fits.
        offer.recovery.ramp_ms = ramp_s * 1000;
    }
    if let Some(percent) = fields.get("degraded_admit").and_then(|field| percent(&field, out)) {
        offer.degraded_admit = u16::from(percent) * (ADMIT_ALL / 4) / 25;
    }
    fields.get("requires").map(|field| required(&field, out)).unwrap_or_default()
}

/// `requires: NAME` or a list of names.
pub(super) fn required(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Required> {
    let list = field.filled_list("the names of checks", out);
    if list.len() > MAX_REQUIRED {
        out.error(field.mark(), format!("`requires` has {} names, at most {MAX_REQUIRED} are allowed", list.len()));
    }
    let name = |field: &Field<'_>| Some(Required { name: field.text("the name of a check", out)?.to_owned(), mark: field.mark() });
    list.iter().take(MAX_REQUIRED).filter_map(name).collect()
}

/// `all`, `any` or a number of monitors.
fn combine(field: &Field<'_>, monitors: usize, out: &mut Diagnostics) -> Option<Combine> {
    match field.scalar() {
        Some("all") => Some(Combine::All),
        Some("any") => Some(Combine::Any),
        text => {
            let count = text.and_then(|text| text.parse::<u32>().ok()).filter(|count| (1..=monitors as u64).contains(&u64::from(*count)));
            if count.is_none() {
                let hint = format!("the service has {monitors} monitors");
                field.refuse_hint("`all`, `any` or how many of the monitors must be up", hint, out);
            }
            count.map(Combine::AtLeast)
        }
    }
}

/// `50%`.
pub(super) fn percent(field: &Field<'_>, out: &mut Diagnostics) -> Option<u8> {
    let read = |text: &str| text.strip_suffix('%')?.trim().parse::<u8>().ok().filter(|percent| (1..=100).contains(percent));
    field.parsed("a share from `1%` to `100%`", out, read)
}

/// Reads a file that a monitor names; relative paths start at the folder of the file that names it.
fn read_beside(path: &str, mark: &Mark) -> Result<Vec<u8>, String> {
    let path = files::resolve(path, mark);
    let octets = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
    if octets > MAX_PEM_OCTETS as u64 {
        return Err(format!("it has {octets} octets, at most {MAX_PEM_OCTETS} are allowed"));
    }
    std::fs::read(&path).map_err(|error| error.to_string())
}

/// The monitor, as its own file reads and judges it.
fn monitor(field: &Field<'_>, out: &mut Diagnostics) -> Option<Monitor> {
    let spec: MonitorSpec = field.typed(out)?;
    let read = &mut |path: &str| {
        seen::file(&files::resolve(path, &field.node.mark), out);
        read_beside(path, &field.node.mark)
    };
    let problems = match spec.check(read) {
        Ok(monitor) => return Some(monitor),
        Err(problems) => problems,
    };
    for problem in problems {
        let mark = problem.place.map_or_else(|| field.mark(), |(line, column)| Mark::new(&field.node.mark.source, line, column));
        match problem.hint {
            Some(hint) => out.error_hint(mark, problem.what, hint),
            None => out.error(mark, problem.what),
        }
    }
    None
}
