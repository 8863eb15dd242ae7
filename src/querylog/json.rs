//! A sample as one line of JSON: for `jq`, log shippers and people.
//! Where the query cannot be read, the line says the rest.

use serde_json::{Value, json};

use super::record::Record;
use crate::answer::Reason;
use crate::name::Name;
use crate::snapshot::Catalog;
use crate::wire::{query, rtype};

/// One line without its end. `catalog` is the world that answered, where it is still known; `at_ms` is the time since 1970.
pub(super) fn line(record: &Record, catalog: Option<&Catalog>, at_ms: u64) -> String {
    let outcome = &record.outcome;
    let query = query::parse(record.query()).ok();
    let name = query.as_ref().and_then(|query| Name::from_wire(query.question.name()).ok()).map(|name| name.to_string());
    let subnet = query.as_ref().and_then(|query| query.edns.as_ref()?.ecs).map(|ecs| match ecs.address() {
        Some(address) => format!("{address}/{}", ecs.source()),
        None => format!("none/{}", ecs.source()),
    });
    let region = outcome.region.and_then(|region| Some(catalog?.regions.get(usize::from(region.0))?.name.clone()));
    let zone = outcome.zone.and_then(|zone| Some(catalog?.zones.zones().get(zone.0 as usize)?.apex.to_string()));
    let line: Value = json!({
        "at": at_ms as f64 / 1000.0,
        "client": record.peer.ip().to_string(),
        "port": record.peer.port(),
        "server": record.local.to_string(),
        "transport": record.transport.name(),
        "name": name,
        "type": rtype::name(outcome.qtype),
        "subnet": subnet,
        "answer": outcome.class.name(),
        "rcode": outcome.rcode.0,
        "zone": zone,
        "region": region,
        "reason": (outcome.reason != Reason::None).then(|| outcome.reason.name()),
        "truncated": outcome.truncated,
        "octets": outcome.len,
    });
    line.to_string()
}
