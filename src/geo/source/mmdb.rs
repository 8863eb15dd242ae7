//! Geo data as a MaxMind DB file, of MaxMind or of any vendor that uses the usual paths; IPv4 inside the IPv6 tree lands in IPv4.
//! It never maps a file and never trusts one: whatever is wrong in it is one error about the file, not a crash.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};

use super::{Collector, MAX_NETWORKS, Rows, clean_name, clean_subdivision, parse_asn, refusal};
use crate::diag::{Diagnostics, Mark};
use crate::geo::place::{Code, Fields, Point};
use crate::geo::prefix::Prefix;
use crate::geo::special::is_embedded;

/// A tree of n nodes has n + 1 leaves; thrice as many means that subtrees are shared until the tree explodes.
const MAX_LEAVES_PER_NODE: u64 = 3;

/// Trees smaller than this may share what they like.
const MIN_LEAF_LIMIT: u64 = 4096;

/// A way to a value inside a record.
type Way = &'static [PathElement<'static>];

const LATITUDE: &[Way] = &[&[key("location"), key("latitude")], &[key("latitude")], &[key("lat")]];
const LONGITUDE: &[Way] = &[&[key("location"), key("longitude")], &[key("longitude")], &[key("lng")], &[key("lon")]];
/// Never `registered_country`: where a network is registered is not where it is used (G5).
const COUNTRY: &[Way] = &[&[key("country"), key("iso_code")], &[key("country_code")], &[key("country")]];
const CONTINENT: &[Way] = &[&[key("continent"), key("code")], &[key("continent_code")], &[key("continent")]];
const SUBDIVISION: &[Way] = &[&[key("subdivisions"), PathElement::Index(0), key("iso_code")], &[key("region_code")]];
const CITY: &[Way] = &[&[key("city"), key("names"), key("en")], &[key("city")]];
const ASN: &[Way] = &[&[key("autonomous_system_number")], &[key("traits"), key("autonomous_system_number")], &[key("asn")]];

const fn key(name: &'static str) -> PathElement<'static> {
    PathElement::Key(name)
}

/// Reads a database from its bytes.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Rows, Diagnostics> {
    let refuse = |error: MaxMindDbError| {
        refusal(path, format!("is not a sound MaxMind DB file: {error}"), "fetch the file again; an earlier good one is not replaced")
    };
    let reader = Reader::from_source(bytes).map_err(refuse)?;
    let mut gathering = Gathering::default();
    gathering.networks(&reader).map_err(refuse)?;
    let mut warnings = Diagnostics::new();
    if gathering.collector.len() == 0 {
        warnings.warning(Mark::path(path), "holds no network");
    } else if gathering.collector.records.list.iter().all(Fields::is_empty) {
        warnings.warning_hint(
            Mark::path(path),
            format!("type `{}` says nothing of places at the usual paths", reader.metadata().database_type.escape_default()),
            "coordinates are expected at `location.latitude` and `location.longitude`, the country at `country.iso_code`",
        );
    }
    if gathering.bad_points > 0 {
        let text = format!("{} records have coordinates that are no point on the globe; they are ignored", gathering.bad_points);
        warnings.warning(Mark::path(path), text);
    }
    Ok(gathering.collector.finish(path, Some(reader.metadata().build_epoch), warnings))
}

/// What was gathered of a database so far.
#[derive(Default)]
struct Gathering {
    collector: Collector,
    /// Offset of a record in the file -> its number: each is decoded once.
    decoded: HashMap<usize, u32>,
    bad_points: usize,
}

impl Gathering {
    fn networks(&mut self, reader: &Reader<&[u8]>) -> Result<(), MaxMindDbError> {
        let limit = (u64::from(reader.metadata().node_count) * MAX_LEAVES_PER_NODE).max(MIN_LEAF_LIMIT);
        let mut leaves = 0u64;
        // Leaves without data are asked for too, only to count them: the walk itself must stay bounded.
        for found in reader.networks(WithinOptions::default().include_networks_without_data())? {
            let found = found?;
            leaves += 1;
            if leaves > limit || self.collector.len() > MAX_NETWORKS {
                return Err(MaxMindDbError::invalid_database("the search tree holds more networks than its nodes can"));
            }
            if let Some(offset) = found.offset() {
                self.network(&found, offset)?;
            }
        }
        Ok(())
    }

    fn network(&mut self, found: &LookupResult<'_, &[u8]>, offset: usize) -> Result<(), MaxMindDbError> {
        let network = found.network()?;
        let prefix = Prefix::masked(network.ip(), network.prefix());
        if is_embedded(&prefix) {
            return Ok(());
        }
        let record = match self.decoded.get(&offset) {
            Some(record) => *record,
            None => {
                let fields = self.decode(found)?;
                let record = self.collector.record(fields);
                self.decoded.insert(offset, record);
                record
            }
        };
        self.collector.push(&prefix, record);
        // IPv4 is the block ::/96: a record around it speaks of all IPv4 addresses too.
        if prefix.length() < IPV4_BLOCK_LENGTH && prefix.contains(IPV4_BLOCK) {
            self.collector.push(&Prefix::ALL_V4, record);
        }
        Ok(())
    }

    fn decode(&mut self, found: &LookupResult<'_, &[u8]>) -> Result<Fields, MaxMindDbError> {
        Ok(Fields {
            point: self.point(number(found, LATITUDE)?, number(found, LONGITUDE)?),
            country: text(found, COUNTRY, Code::parse)?,
            continent: text(found, CONTINENT, Code::continent)?,
            subdivision: text(found, SUBDIVISION, clean_subdivision)?,
            city: text(found, CITY, clean_name)?,
            asn: asn(found)?,
        })
    }

    /// Both numbers or none; what is no point is counted, and (0, 0) is how vendors write "unknown" (G1).
    fn point(&mut self, latitude: Option<f64>, longitude: Option<f64>) -> Option<Point> {
        let (latitude, longitude) = (latitude?, longitude?);
        let point = Point::new(latitude, longitude);
        self.bad_points += usize::from(point.is_err());
        point.ok().filter(|_| (latitude, longitude) != (0.0, 0.0))
    }
}

/// The block where IPv4 addresses sit in an IPv6 tree: ::/96.
const IPV4_BLOCK: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
const IPV4_BLOCK_LENGTH: u8 = 96;

/// The first text on the ways that `parse` takes.
fn text<T>(found: &LookupResult<'_, &[u8]>, ways: &[Way], parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, MaxMindDbError> {
    for way in ways {
        if let Some(value) = lenient(found.decode_path::<&str>(way))?.and_then(&parse) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The first number on the ways; some vendors write numbers as text.
fn number(found: &LookupResult<'_, &[u8]>, ways: &[Way]) -> Result<Option<f64>, MaxMindDbError> {
    for way in ways {
        if let Some(value) = lenient(found.decode_path::<f64>(way))? {
            return Ok(Some(value));
        }
    }
    text(found, ways, |text| text.trim().parse().ok())
}

fn asn(found: &LookupResult<'_, &[u8]>) -> Result<Option<u32>, MaxMindDbError> {
    for way in ASN {
        if let Some(value) = lenient(found.decode_path::<u32>(way))? {
            return Ok(Some(value));
        }
    }
    text(found, ASN, parse_asn)
}

/// A value of another type, or a way through something that is no map, is a missing value; a damaged file stays an error.
fn lenient<T>(value: Result<Option<T>, MaxMindDbError>) -> Result<Option<T>, MaxMindDbError> {
    match value {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        other => other,
    }
}
