//! Geo data as a MaxMind DB file, of MaxMind or of any vendor that uses the usual paths; IPv4 inside the IPv6 tree lands in IPv4.
//! It never maps a file and never trusts one: whatever is wrong in it is one error about the file, not a crash.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};

use super::paths::{FIELDS, Paths, Step};
use super::{Collector, MAX_NETWORKS, Rows, clean_name, clean_subdivision, refusal};
use crate::diag::{Diagnostics, Mark};
use crate::geo::place::{Code, Fields, Point};
use crate::geo::prefix::Prefix;
use crate::geo::special::is_embedded;
use crate::number;

/// A tree of n nodes has n + 1 leaves; thrice as many means that subtrees are shared until the tree explodes.
const MAX_LEAVES_PER_NODE: u64 = 3;

/// Trees smaller than this may share what they like.
const MIN_LEAF_LIMIT: u64 = 4096;

/// The usual ways to each of [`FIELDS`], those of other vendors behind MaxMind's.
/// Never `registered_country`: where a network is registered is not where it is used (G5).
const USUAL: [&[&[PathElement<'static>]]; FIELDS.len()] = [
    &[&[key("location"), key("latitude")], &[key("latitude")], &[key("lat")]],
    &[&[key("location"), key("longitude")], &[key("longitude")], &[key("lng")], &[key("lon")]],
    &[&[key("country"), key("iso_code")], &[key("country_code")], &[key("country")]],
    &[&[key("continent"), key("code")], &[key("continent_code")], &[key("continent")]],
    &[&[key("subdivisions"), PathElement::Index(0), key("iso_code")], &[key("region_code")]],
    &[&[key("city"), key("names"), key("en")], &[key("city")]],
    &[&[key("autonomous_system_number")], &[key("traits"), key("autonomous_system_number")], &[key("asn")]],
];

/// Indices into [`FIELDS`].
const LATITUDE: usize = 0;
const LONGITUDE: usize = 1;
const COUNTRY: usize = 2;
const CONTINENT: usize = 3;
const SUBDIVISION: usize = 4;
const CITY: usize = 5;
const ASN: usize = 6;

/// The ways into one database: for each field those that are tried, in order.
type Ways<'p> = [Vec<Vec<PathElement<'p>>>; FIELDS.len()];

const fn key(name: &'static str) -> PathElement<'static> {
    PathElement::Key(name)
}

/// Reads a database from its bytes; `paths` are those that were named for it.
pub fn read(path: &Path, paths: &Paths, bytes: &[u8]) -> Result<Rows, Diagnostics> {
    let refuse = |error: MaxMindDbError| {
        refusal(path, format!("is not a sound MaxMind DB file: {error}"), "fetch the file again, it is damaged or cut short")
    };
    let reader = Reader::from_source(bytes).map_err(refuse)?;
    let mut gathering = Gathering { ways: ways(paths), ..Gathering::default() };
    gathering.networks(&reader).map_err(refuse)?;
    let mut warnings = Diagnostics::new();
    if gathering.collector.len() == 0 {
        warnings.warning(Mark::path(path), "holds no network");
    } else if gathering.collector.records.list.iter().all(Fields::is_empty) {
        warnings.warning_hint(
            Mark::path(path),
            format!("type `{}` says nothing of places at the usual paths", reader.metadata().database_type.escape_default()),
            "coordinates are expected at `location.latitude` and `location.longitude`, the country at `country.iso_code`; name others by `paths`",
        );
    } else {
        for field in (0..FIELDS.len()).filter(|field| paths.get(*field).is_some() && !gathering.found[*field]) {
            let text = format!("no record has a value for `{}` at the path that `paths` names", FIELDS[field]);
            warnings.warning_hint(Mark::path(path), text, "look into a record of the file; `a.0.b` is key `a`, first of its list, key `b`");
        }
    }
    if gathering.bad_points > 0 {
        let text = format!("{} records have coordinates that are no point on the globe; they are ignored", gathering.bad_points);
        warnings.warning(Mark::path(path), text);
    }
    Ok(gathering.collector.finish(path, Some(reader.metadata().build_epoch), warnings))
}

/// What was gathered of a database so far.
#[derive(Default)]
struct Gathering<'p> {
    ways: Ways<'p>,
    collector: Collector,
    /// Offset of a record in the file -> its number: each is decoded once.
    decoded: HashMap<usize, u32>,
    bad_points: usize,
    /// Whether any record had a value for each of [`FIELDS`].
    found: [bool; FIELDS.len()],
}

impl Gathering<'_> {
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
        let coordinates = (self.number(found, LATITUDE)?, self.number(found, LONGITUDE)?);
        Ok(Fields {
            point: self.point(coordinates.0, coordinates.1),
            country: self.text(found, COUNTRY, Code::parse)?,
            continent: self.text(found, CONTINENT, Code::continent)?,
            subdivision: self.text(found, SUBDIVISION, clean_subdivision)?,
            city: self.text(found, CITY, clean_name)?,
            asn: self.asn(found)?,
        })
    }

    /// The first text on the ways that `parse` takes.
    fn text<T>(
        &mut self,
        record: &LookupResult<'_, &[u8]>,
        field: usize,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, MaxMindDbError> {
        self.first(field, |way| Ok(lenient(record.decode_path::<&str>(way))?.and_then(&parse)))
    }

    /// The first number on the ways; some vendors write numbers as text.
    fn number(&mut self, record: &LookupResult<'_, &[u8]>, field: usize) -> Result<Option<f64>, MaxMindDbError> {
        let number = self.first(field, |way| lenient(record.decode_path::<f64>(way)))?;
        if number.is_some() { Ok(number) } else { self.text(record, field, |text| text.trim().parse().ok()) }
    }

    fn asn(&mut self, record: &LookupResult<'_, &[u8]>) -> Result<Option<u32>, MaxMindDbError> {
        let number = self.first(ASN, |way| lenient(record.decode_path::<u32>(way)))?;
        if number.is_some() { Ok(number) } else { self.text(record, ASN, |text| number::asn(text.trim())) }
    }

    /// What `read` finds first on the ways to a field.
    fn first<T>(
        &mut self,
        field: usize,
        read: impl Fn(&[PathElement<'_>]) -> Result<Option<T>, MaxMindDbError>,
    ) -> Result<Option<T>, MaxMindDbError> {
        for way in &self.ways[field] {
            if let Some(value) = read(way)? {
                self.found[field] = true;
                return Ok(Some(value));
            }
        }
        Ok(None)
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

/// A path that was named is the only one for its field.
fn ways(paths: &Paths) -> Ways<'_> {
    let element = |step| match step {
        &Step::Index(index) => PathElement::Index(index),
        Step::Key(key) => PathElement::Key(key),
    };
    std::array::from_fn(|field| match paths.get(field) {
        Some(way) => vec![way.iter().map(element).collect()],
        None => USUAL[field].iter().map(|way| way.to_vec()).collect(),
    })
}

/// A value of another type, or a way through something that is no map, is a missing value; a damaged file stays an error.
fn lenient<T>(value: Result<Option<T>, MaxMindDbError>) -> Result<Option<T>, MaxMindDbError> {
    match value {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::prefix::Family;
    use crate::geo::sweep::Net;
    use proptest::prelude::*;
    use std::path::PathBuf;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/mmdb");

    /// The files of a folder of the test databases; none (and a printed reason) where the databases are not at hand.
    fn files(folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(Path::new(FOLDER).join(folder)) else {
            println!("skipped: no test databases at {FOLDER}");
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "mmdb")).collect()
    }

    fn rows_of(name: &str) -> Option<Rows> {
        let path = Path::new(FOLDER).join("test-data").join(name);
        let bytes = std::fs::read(&path).inspect_err(|_| println!("skipped: no test databases at {FOLDER}")).ok()?;
        Some(read(&path, &Paths::default(), &bytes).unwrap())
    }

    fn said<'r>(rows: &'r Rows, network: &str) -> &'r Fields {
        let prefix: Prefix = network.parse().unwrap();
        let v4 = rows.v4.iter().find(|net| net.prefix() == prefix).map(|net| net.value);
        let value = v4.or_else(|| rows.v6.iter().find(|net| net.prefix() == prefix).map(|net| net.value));
        &rows.records[value.unwrap() as usize]
    }

    #[test]
    fn g7_every_sound_database_is_read_and_every_broken_one_is_one_clear_error() {
        let broken = ["Broken-Double", "Invalid-Node-Count", "broken-pointers", "broken-search-tree"];
        for path in files("test-data") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let result = read(&path, &Paths::default(), &std::fs::read(&path).unwrap());
            assert_eq!(result.is_err(), broken.iter().any(|word| name.contains(word)), "{name}");
            match result {
                Ok(rows) => assert!(rows.v4.len() + rows.v6.len() > 0 && rows.built_s.is_some(), "{name}"),
                Err(diagnostics) => assert_one_clear_error(&diagnostics, &name),
            }
        }
    }

    #[test]
    fn g7_no_malformed_database_crashes() {
        let folders = ["bad-data/libmaxminddb", "bad-data/maxminddb-golang", "bad-data/maxminddb-python"];
        for path in folders.iter().flat_map(|folder| files(folder)) {
            // Some are odd only where we never look; those may load.
            if let Err(diagnostics) = read(&path, &Paths::default(), &std::fs::read(&path).unwrap()) {
                assert_one_clear_error(&diagnostics, &path.to_string_lossy());
            }
        }
    }

    fn assert_one_clear_error(diagnostics: &Diagnostics, name: &str) {
        assert!(diagnostics.has_errors() && diagnostics.iter().count() == 1, "{name}: {diagnostics}");
        assert!(diagnostics.to_string().contains("is not a sound MaxMind DB file: "), "{diagnostics}");
    }

    #[test]
    fn empty_and_foreign_bytes_are_refused() {
        for bytes in [&b""[..], b"network,latitude\n", &[0; 4096]] {
            assert_one_clear_error(&read(Path::new("x.mmdb"), &Paths::default(), bytes).unwrap_err(), "x");
        }
    }

    #[test]
    fn g5_the_usual_paths_are_read_and_the_registered_country_is_not_the_country() {
        let Some(rows) = rows_of("GeoIP2-City-Test.mmdb") else { return };
        assert_eq!((rows.count(Family::V4), rows.count(Family::V6)), (20, 230));
        let london = said(&rows, "81.2.69.160/27");
        assert_eq!(london.point, Point::new(51.5142, -0.0931).ok());
        assert_eq!((london.country, london.continent), (Code::parse("GB"), Code::parse("EU")));
        assert_eq!((london.subdivision.as_deref(), london.city.as_deref()), (Some("ENG"), Some("London")));
        // This record names a continent and a registered country only.
        assert_eq!(said(&rows, "2.3.3.0/24"), &Fields { continent: Code::parse("EU"), ..Fields::default() });
    }

    #[test]
    fn g5_paths_that_are_named_are_read_instead_of_the_usual_ones() {
        let path = Path::new(FOLDER).join("test-data/GeoIP2-City-Test.mmdb");
        let Ok(bytes) = std::fs::read(&path) else { return println!("skipped: no test databases at {FOLDER}") };
        let mut paths = Paths::default();
        let named = [
            (0, "location.longitude"),
            (1, "location.latitude"),
            (2, "registered_country.iso_code"),
            (4, "subdivisions.7.iso_code"),
            (5, "city.names.fr"),
        ];
        named.iter().for_each(|(field, path)| paths.set(*field, path).unwrap());
        let rows = read(&path, &paths, &bytes).unwrap();
        let london = said(&rows, "81.2.69.160/27");
        assert_eq!((london.point, london.country), (Point::new(-0.0931, 51.5142).ok(), Code::parse("US")));
        assert_eq!((london.city.as_deref(), london.continent), (Some("Londres"), Code::parse("EU")));
        let warnings = rows.warnings().to_string();
        assert!(warnings.contains("no record has a value for `subdivision` at the path"), "{warnings}");
        assert_eq!(rows.warnings().iter().filter(|warning| warning.text.contains("no record")).count(), 1, "{warnings}");
    }

    #[test]
    fn a_country_edition_has_no_points_and_an_asn_edition_only_numbers() {
        let Some(countries) = rows_of("GeoIP2-Country-Test.mmdb") else { return };
        assert!(countries.records.iter().all(|record| record.point.is_none()));
        assert!(countries.records.iter().any(|record| record.country.is_some()));
        let numbers = rows_of("GeoLite2-ASN-Test.mmdb").unwrap();
        assert!(numbers.records.iter().all(|record| record.country.is_none() && record.asn.is_some()));
        assert_eq!(said(&numbers, "1.128.0.0/11").asn, Some(1221));
    }

    #[test]
    fn s8_ipv4_lands_in_ipv4_and_aliases_of_it_are_no_ipv6_networks() {
        for name in ["GeoIP2-City-Test.mmdb", "MaxMind-DB-test-mixed-24.mmdb"] {
            let Some(rows) = rows_of(name) else { return };
            assert!(rows.v4.iter().any(|net| net.prefix().length() > 8), "{name}");
            assert!(rows.v6.iter().all(|net| !is_embedded(&net.prefix())), "{name}");
            let low: Prefix = "::/96".parse().unwrap();
            assert!(rows.v6.iter().all(|net| !low.covers(&net.prefix())), "{name}");
        }
    }

    #[test]
    fn a_record_around_all_of_ipv4_speaks_of_ipv4_too() {
        let Some(rows) = rows_of("MaxMind-DB-no-ipv4-search-tree.mmdb") else { return };
        assert_eq!(rows.v4.first().map(Net::prefix), Some(Prefix::ALL_V4));
        assert_eq!(rows.v6.first().map(|net| net.prefix().to_string()), Some("::/64".to_owned()));
    }

    #[test]
    fn g1_zero_zero_and_numbers_off_the_globe_are_no_points() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.point(Some(0.0), Some(0.0)), None);
        assert_eq!(gathering.point(Some(f64::NAN), Some(1.0)), None);
        assert_eq!(gathering.point(Some(1.0), Some(999.0)), None);
        assert_eq!(gathering.point(Some(1.0), None), None);
        assert_eq!(gathering.bad_points, 2);
        assert_eq!(gathering.point(Some(0.0), Some(1.0)), Point::new(0.0, 1.0).ok());
    }

    proptest! {
        #[test]
        fn g7_damage_anywhere_never_crashes(at in any::<proptest::sample::Index>(), byte: u8, cut in any::<Option<proptest::sample::Index>>()) {
            let path = Path::new(FOLDER).join("test-data/GeoIP2-City-Test.mmdb");
            let Ok(mut bytes) = std::fs::read(&path) else { return Ok(()) };
            let index = at.index(bytes.len());
            bytes[index] = byte;
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Err(diagnostics) = read(&path, &Paths::default(), &bytes) {
                prop_assert_eq!(diagnostics.iter().count(), 1);
            }
        }
    }
}
