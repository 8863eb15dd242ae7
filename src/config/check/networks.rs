//! The overrides of `networks:`, inline or as a CSV file: what the operator knows better than the geo data.
//! It resolves regions to their point; which override wins over which is for the place table.

use std::path::Path;
use std::sync::Arc;

use super::rules::known_region;
use super::{Regions, prefix_fault};
use crate::config::files;
use crate::config::spec::{Field, Fields as Keys, Key, Node};
use crate::diag::{Diagnostics, Mark, Source};
use crate::geo::source::MAX_NAME_OCTETS;
use crate::geo::source::csv::{NetworkRow, read_networks};
use crate::geo::special::embedded_network;
use crate::geo::{Code, Fields, Override, Point, Prefix, RegionId, conflicting_overrides};
use crate::number;

/// Keys of one override.
const KEYS: [&str; 8] = ["region", "latitude", "longitude", "country", "continent", "subdivision", "city", "asn"];

/// What stands under `networks:`.
const WANTED: &str = "a map of networks, or a CSV file of them";

/// An override and where it stands.
type Placed = (Override, Mark);

/// The overrides in the order of the file; no block has two meanings (G6).
pub(in crate::config) fn networks(server: &Keys<'_>, regions: &Regions, out: &mut Diagnostics) -> Vec<Override> {
    let Some(field) = server.get("networks") else { return Vec::new() };
    let placed = match field.scalar() {
        Some(text) => from_csv(&files::resolve(text, &field.node.mark), &field, regions, out),
        None => {
            let entries = field.map(WANTED, out).unwrap_or_default();
            entries.iter().filter_map(|(key, node)| entry(key, node, regions, out)).collect()
        }
    };
    placed.iter().for_each(|(network, mark)| warn_if_embedded(&network.prefix, mark, out));
    let (overrides, marks): (Vec<Override>, Vec<Mark>) = placed.into_iter().unzip();
    for (first, second) in conflicting_overrides(&overrides) {
        let text = format!("the network `{}` stands twice with different values", overrides[first].prefix);
        let hint = format!("the first is on line {}; keep one of them", marks[first].line);
        out.error_hint(marks[second].clone(), text, hint);
    }
    overrides
}

/// Warns of an IPv6 network that no client is ever looked up by (S8).
pub(super) fn warn_if_embedded(prefix: &Prefix, mark: &Mark, out: &mut Diagnostics) {
    if let Some(v4) = embedded_network(prefix) {
        let text = format!("`{prefix}` holds IPv4 addresses, which are looked up as IPv4: this network is never met");
        out.warning_hint(mark.clone(), text, format!("write `{v4}`"));
    }
}

/// `NETWORK: {...}`, or `NETWORK: REGION`.
fn entry(key: &Key, node: &Node, regions: &Regions, out: &mut Diagnostics) -> Option<Placed> {
    let prefix = match key.text.parse() {
        Ok(prefix) => Some(prefix),
        Err(error) => {
            let (text, hint) = prefix_fault(&key.text, error);
            out.error_hint(key.mark.clone(), text, hint);
            None
        }
    };
    let field = Field { key: &key.text, node };
    let (fields, pin) = match field.scalar() {
        Some(name) => (Fields::default(), known_region(name, &node.mark, regions, out)),
        None => {
            let keys =
                field.fields("a region, or a map such as `{region: eu-west}` or `{latitude: 48.85, longitude: 2.35}`", &KEYS, out)?;
            if keys.is_empty() {
                let text = format!("nothing is said of the network `{}`", key.text);
                out.error_hint(key.mark.clone(), text, "name its `region`, or its `latitude` and `longitude`");
            }
            let pin = keys.get("region").and_then(|field| known_region(field.text("a region", out)?, &field.node.mark, regions, out));
            (place(&keys, out), pin)
        }
    };
    Some((with_region(prefix?, fields, pin, regions), key.mark.clone()))
}

fn from_csv(path: &Path, named: &Field<'_>, regions: &Regions, out: &mut Diagnostics) -> Vec<Placed> {
    let Some(source) = files::read_text(path, files::MAX_TEXT_OCTETS, &named.node.mark, out) else { return Vec::new() };
    match read_networks(path, source.text.as_bytes()) {
        Ok(rows) => rows.into_iter().map(|row| from_row(row, &source, regions, out)).collect(),
        Err(faults) => {
            out.extend(faults);
            Vec::new()
        }
    }
}

fn from_row(row: NetworkRow, source: &Arc<Source>, regions: &Regions, out: &mut Diagnostics) -> Placed {
    let mark = Mark::new(source, row.line, 1);
    let pin = row.region.and_then(|name| known_region(&name, &mark, regions, out));
    (with_region(row.prefix, row.fields, pin, regions), mark)
}

/// A pinned network stands where its region stands, unless it has coordinates of its own.
fn with_region(prefix: Prefix, mut fields: Fields, pin: Option<RegionId>, regions: &Regions) -> Override {
    if fields.point.is_none() {
        fields.point = pin.and_then(|id| regions.location(id));
    }
    Override { prefix, fields, pin }
}

/// The fields of a place as an override gives them.
fn place(keys: &Keys<'_>, out: &mut Diagnostics) -> Fields {
    let name = |key: &str, out: &mut Diagnostics| -> Option<Box<str>> {
        keys.get(key)?.parsed(&format!("a name of at most {MAX_NAME_OCTETS} octets"), out, |text| {
            (text.len() <= MAX_NAME_OCTETS).then(|| text.into())
        })
    };
    Fields {
        point: point(keys, out),
        continent: keys.get("continent").and_then(|field| continent(&field, out)),
        country: keys.get("country").and_then(|field| country(&field, out)),
        subdivision: keys.get("subdivision").and_then(|field| subdivision_part(&field, out)),
        city: name("city", out),
        asn: keys.get("asn").and_then(|field| asn(&field, out)),
    }
}

/// `latitude` and `longitude`, both or neither.
pub(super) fn point(keys: &Keys<'_>, out: &mut Diagnostics) -> Option<Point> {
    match (keys.get("latitude"), keys.get("longitude")) {
        (Some(latitude), Some(longitude)) => {
            let latitude = latitude.decimal(-90.0..=90.0, out);
            let longitude = longitude.decimal(-180.0..=180.0, out);
            Point::new(latitude?, longitude?).ok()
        }
        (None, None) => None,
        (Some(_), None) => {
            out.error_hint(keys.key_mark("latitude"), "`latitude` without `longitude`", "give both");
            None
        }
        (None, Some(_)) => {
            out.error_hint(keys.key_mark("longitude"), "`longitude` without `latitude`", "give both");
            None
        }
    }
}

/// A country of two letters.
pub(super) fn country(field: &Field<'_>, out: &mut Diagnostics) -> Option<Code> {
    let code = field.scalar().and_then(Code::parse);
    if code.is_none() {
        field.refuse_hint("the two letters of a country (ISO 3166-1)", "for example `DE`, `FR` or `US`", out);
    }
    code
}

/// A continent of two letters.
pub(super) fn continent(field: &Field<'_>, out: &mut Diagnostics) -> Option<Code> {
    let code = field.scalar().and_then(Code::continent);
    if code.is_none() {
        let hint = "AF Africa, AN Antarctica, AS Asia, EU Europe, NA North America, OC Oceania, SA South America";
        field.refuse_hint("the two letters of a continent", hint, out);
    }
    code
}

/// The number of an autonomous system, with or without `AS` before it.
pub(super) fn asn(field: &Field<'_>, out: &mut Diagnostics) -> Option<u32> {
    field.parsed("the number of an autonomous system, such as `64500`", out, number::asn)
}

/// `US-CA` or `CA`, in capitals.
pub(super) fn subdivision(field: &Field<'_>, out: &mut Diagnostics) -> Option<String> {
    field.parsed("a code such as `US-CA` (ISO 3166-2)", out, |text| {
        let part = match text.split_once('-') {
            Some((country, part)) => Code::parse(country).map(|_| part)?,
            None => text,
        };
        let fits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| text.to_ascii_uppercase())
    })
}

/// The part behind the hyphen, as places hold it.
fn subdivision_part(field: &Field<'_>, out: &mut Diagnostics) -> Option<Box<str>> {
    let text = subdivision(field, out)?;
    Some(text.rsplit('-').next().unwrap_or(&text).into())
}
