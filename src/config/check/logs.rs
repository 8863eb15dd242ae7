//! `log:` and `query_log:` of the server file: how the log is written, and which queries are logged where.
//! It opens nothing.

use std::path::PathBuf;

use super::prefix;
use crate::answer::Class;
use crate::config::files;
use crate::config::model::{Log, LogFormat, LoggedName, QueryLog, QueryLogTo};
use crate::config::spec::Field;
use crate::diag::Diagnostics;
use crate::name::Name;

const LOG_KEYS: [&str; 2] = ["format", "level"];

const QUERY_LOG_KEYS: [&str; 8] = ["json", "dnstap", "dnstap_socket", "sample", "answers", "zones", "clients", "names"];

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Largest part that may be left out: one in a billion is none.
const MAX_SAMPLE: u64 = 1_000_000_000;

/// Zones of a filter: each sample is compared with all of them.
const MAX_ZONES: usize = 1_000;

/// Networks and names of a filter: each query is compared with all of them, by the thread that answers it.
const MAX_FILTERS: usize = 64;

/// `log:`, a format or a map.
pub(super) fn log(field: &Field<'_>, out: &mut Diagnostics) -> Log {
    if field.scalar().is_some() {
        return Log { format: format(field, out), level: None };
    }
    let Some(keys) = field.fields("`text`, `json`, or a map with `format` and `level`", &LOG_KEYS, out) else { return Log::default() };
    let level = |text: &str| LEVELS.contains(&text).then(|| text.to_owned());
    Log {
        format: keys.get("format").map(|field| format(&field, out)).unwrap_or_default(),
        level: keys.get("level").and_then(|field| field.parsed("`error`, `warn`, `info`, `debug` or `trace`", out, level)),
    }
}

fn format(field: &Field<'_>, out: &mut Diagnostics) -> LogFormat {
    let read = |text: &str| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    };
    field.parsed("`text` or `json`", out, read).unwrap_or_default()
}

/// `query_log:`; the identity of dnstap is the name of this node.
pub(super) fn query_log(field: &Field<'_>, identity: Option<&[u8]>, out: &mut Diagnostics) -> Option<QueryLog> {
    let keys = field.fields("a map such as `{json: queries.jsonl, sample: 100}`", &QUERY_LOG_KEYS, out)?;
    let mut path = |key| keys.get(key).map(|field| Some(files::resolve(field.text("a file", out)?, &field.node.mark)));
    let (json, dnstap, socket) = (path("json"), path("dnstap"), path("dnstap_socket"));
    let to = |path: Option<PathBuf>, kind: fn(PathBuf) -> QueryLogTo| path.map(kind);
    let to = match (json, dnstap, socket) {
        (Some(path), None, None) => to(path, QueryLogTo::Json),
        (None, Some(path), None) => to(path, QueryLogTo::Dnstap),
        (None, None, Some(path)) => to(path, QueryLogTo::DnstapSocket),
        _ => {
            let hint = "give one of `json: FILE`, `dnstap: FILE` and `dnstap_socket: PATH`";
            out.error_hint(field.mark(), "`query_log` needs one place to write to", hint);
            None
        }
    };
    let sample = keys.get("sample").and_then(|field| field.whole(1..=MAX_SAMPLE, out)).unwrap_or(1);
    let answers = keys.get("answers").map(|field| answers(&field, out)).unwrap_or_default();
    let zones = keys.get("zones").map(|field| zones(&field, out)).unwrap_or_default();
    let clients = keys.get("clients").map(|field| filters(&field, "one or more networks", out, prefix)).unwrap_or_default();
    let names = keys.get("names").map(|field| filters(&field, "one or more names", out, named)).unwrap_or_default();
    Some(QueryLog { to: to?, sample, answers, zones, clients, names, identity: identity.unwrap_or_default().to_vec() })
}

fn filters<T>(field: &Field<'_>, wanted: &str, out: &mut Diagnostics, read: impl Fn(&Field<'_>, &mut Diagnostics) -> Option<T>) -> Vec<T> {
    let list = field.filled_list(wanted, out);
    if list.len() > MAX_FILTERS {
        out.error(field.mark(), format!("`{}` has {} entries, at most {MAX_FILTERS} are allowed", field.key, list.len()));
    }
    list.iter().take(MAX_FILTERS).filter_map(|item| read(item, out)).collect()
}

/// A name, or `*.NAME` for all below it.
fn named(item: &Field<'_>, out: &mut Diagnostics) -> Option<LoggedName> {
    item.parsed("a name, or `*.` and a name for all below it", out, |text| {
        let (text, is_below) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        Some(LoggedName { name: Name::parse(text, Some(&Name::root())).ok()?, is_below })
    })
}

fn answers(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Class> {
    let names: Vec<String> = Class::ALL.iter().map(|class| format!("`{}`", class.name())).collect();
    let wanted = format!("one of {}", names.join(", "));
    let class = |text: &str| Class::ALL.into_iter().find(|class| class.name() == text);
    field.filled_list(&wanted, out).iter().filter_map(|item| item.parsed(&wanted, out, class)).collect()
}

fn zones(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Name> {
    let list = field.filled_list("one or more zones", out);
    if list.len() > MAX_ZONES {
        out.error(field.mark(), format!("`zones` has {} zones, at most {MAX_ZONES} are allowed", list.len()));
    }
    list.iter().take(MAX_ZONES).filter_map(|item| item.parsed("the name of a zone", out, |text| Name::parse(text, None).ok())).collect()
}
