//! Sources of geo data: the bytes of a file in, rows (networks and what is said of them) out.
//! This room never merges sources and never answers a look-up; a file that is not wholly readable gives no rows at all.

pub mod builtin;
pub mod csv;
pub mod mmdb;
pub mod paths;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::intern::Interned;
use super::place::Fields;
use super::prefix::{Family, Prefix};
use super::sweep::{Address, Net, sort};
use crate::diag::{Diagnostics, Mark};
pub use paths::{GeoFile, Paths};

/// Largest geo file: it is read whole into memory (G7), and the largest databases sold are a quarter of this.
pub const MAX_FILE_OCTETS: u64 = 2 << 30;

/// Most networks in one source, eight times the largest databases sold: 12 octets each for IPv4, 32 for IPv6.
pub const MAX_NETWORKS: usize = 32 << 20;

/// Longest name of a city or a subdivision in octets; the longest real ones have about 170.
pub const MAX_NAME_OCTETS: usize = 256;

/// All networks of one source, sorted, none twice, with the distinct records that they point to.
#[derive(Debug)]
pub struct Rows {
    pub(crate) v4: Vec<Net<u32>>,
    pub(crate) v6: Vec<Net<u128>>,
    /// Distinct records; a network's value is an index into it.
    pub(crate) records: Vec<Fields>,
    pub(crate) built_in: bool,
    path: PathBuf,
    built_s: Option<u64>,
    warnings: Diagnostics,
}

impl Rows {
    /// The file, as the operator names it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of networks of a family.
    pub fn count(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4.len(),
            Family::V6 => self.v6.len(),
        }
    }

    /// How many records are distinct.
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// When the vendor built it, in seconds since 1970, where the format says so.
    pub fn built_s(&self) -> Option<u64> {
        self.built_s
    }

    /// Takes blocks out: inside them, but not inside longer networks, nothing is said any more.
    fn punch_holes(&mut self, blocks: impl Iterator<Item = Prefix>) {
        let nothing = self.records.len() as u32;
        self.records.push(Fields::default());
        for block in blocks {
            match block.family() {
                Family::V4 => self.v4.push(Net::new(&block, nothing)),
                Family::V6 => self.v6.push(Net::new(&block, nothing)),
            }
        }
        sort(&mut self.v4);
        sort(&mut self.v6);
    }

    /// What is odd about the source, though it can be used.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }
}

/// Reads a geo file; the format is told by the name: `.mmdb` or `.csv`.
pub fn read_file(file: &GeoFile) -> Result<Rows, Diagnostics> {
    let path = &*file.path;
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("mmdb") => mmdb::read(path, &file.paths, &read_bytes(path)?),
        Some("csv") => csv::read(path, &read_bytes(path)?),
        _ => Err(refusal(path, "unknown kind of geo file", "name it `.mmdb` (MaxMind DB) or `.csv`")),
    }
}

/// The whole content of a regular file of at most [`MAX_FILE_OCTETS`]; never a mapping, which a rewrite in place would tear (G7).
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, Diagnostics> {
    let failed = |error: std::io::Error| refusal(path, format!("cannot be read: {error}"), "check the path and its permissions");
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(refusal(path, "is not a file", "name a regular file"));
    }
    let mut bytes = Vec::new();
    if metadata.len() <= MAX_FILE_OCTETS {
        bytes.reserve_exact(metadata.len() as usize);
        // One more octet than allowed: the file may have grown since.
        File::open(path).and_then(|file| file.take(MAX_FILE_OCTETS + 1).read_to_end(&mut bytes)).map_err(failed)?;
    }
    if metadata.len() > MAX_FILE_OCTETS || bytes.len() as u64 > MAX_FILE_OCTETS {
        return Err(refusal(path, format!("is larger than {} MiB", MAX_FILE_OCTETS >> 20), "use a smaller edition, or leave out columns"));
    }
    Ok(bytes)
}

/// Families of which no source has a network: their clients are unknown, which deserves a warning (G7).
pub fn missing_families(sources: &[Rows]) -> Vec<Family> {
    [Family::V4, Family::V6].into_iter().filter(|family| sources.iter().all(|rows| rows.count(*family) == 0)).collect()
}

/// One error about a whole file.
fn refusal(path: &Path, text: impl Into<String>, hint: &str) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    diagnostics.error_hint(Mark::path(path), text, hint);
    diagnostics
}

/// Rows while they are collected: networks in any order with a number that the reader chooses.
#[derive(Default)]
struct Collector {
    v4: Vec<Net<u32>>,
    v6: Vec<Net<u128>>,
    records: Interned<Fields>,
}

impl Collector {
    /// The number of a record, for [`Collector::push`]; equal records share one.
    fn record(&mut self, fields: Fields) -> u32 {
        self.records.number(fields) - 1
    }

    fn push(&mut self, prefix: &Prefix, value: u32) {
        match prefix.family() {
            Family::V4 => self.v4.push(Net::new(prefix, value)),
            Family::V6 => self.v6.push(Net::new(prefix, value)),
        }
    }

    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn sort(&mut self) {
        sort(&mut self.v4);
        sort(&mut self.v6);
    }

    /// Sorted and without doubles (the first stays).
    fn finish(mut self, path: &Path, built_s: Option<u64>, warnings: Diagnostics) -> Rows {
        self.sort();
        self.v4.dedup_by_key(|net| (net.first, net.length));
        self.v6.dedup_by_key(|net| (net.first, net.length));
        self.v4.shrink_to_fit();
        self.v6.shrink_to_fit();
        Rows { v4: self.v4, v6: self.v6, records: self.records.list, built_in: false, path: path.to_path_buf(), built_s, warnings }
    }
}

/// Neighbours in a sorted list that speak of the same block.
fn doubles<A: Address>(nets: &[Net<A>]) -> impl Iterator<Item = (Net<A>, Net<A>)> + '_ {
    let same = |pair: &&[Net<A>]| (pair[0].first, pair[0].length) == (pair[1].first, pair[1].length);
    nets.windows(2).filter(same).map(|pair| (pair[0], pair[1]))
}

/// A name in one spelling: trimmed, without control characters; none where it is empty, a dash, or longer than [`MAX_NAME_OCTETS`].
fn clean_name(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    if text.is_empty() || text == "-" || text.len() > MAX_NAME_OCTETS {
        return None;
    }
    Some(text.chars().filter(|c| !c.is_control()).collect::<String>().into_boxed_str())
}

/// A subdivision in one spelling: capitals, without the country (`US-CA`, `us-ca` and `CA` are `CA`).
fn clean_subdivision(text: &str) -> Option<Box<str>> {
    let name = clean_name(text)?;
    let code = match name.as_bytes() {
        [a, b, b'-', _, ..] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => &name[3..],
        _ => &name,
    };
    Some(code.to_uppercase().into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        let error = |name: &str| read_file(&PathBuf::from(name).into()).unwrap_err().to_string();
        assert!(error("city.dat").contains("city.dat: error: unknown kind of geo file"));
        assert!(error("/no/such/city.mmdb").contains("cannot be read"));
        assert!(error(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).contains("unknown kind"));
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/geodb/world.csv");
        assert!(read_file(&PathBuf::from(own).into()).unwrap().count(Family::V4) > 200);
    }

    #[test]
    fn a_folder_is_no_geo_file() {
        let report = read_bytes(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_err().to_string();
        assert!(report.contains("is not a file"), "{report}");
    }

    #[test]
    fn g7_a_family_without_networks_is_told() {
        let rows = |text: &str| csv::read(Path::new("own.csv"), text.as_bytes()).unwrap();
        let (v4, v6) = (rows("network,country\n10.0.0.0/8,FR\n"), rows("network,country\n2001:db8::/32,FR\n"));
        assert_eq!(missing_families(std::slice::from_ref(&v4)), [Family::V6]);
        assert!(missing_families(&[v4, v6]).is_empty());
    }

    #[test]
    fn names_and_numbers_have_one_spelling() {
        assert_eq!(clean_name(" Par\u{7}is "), Some("Paris".into()));
        assert_eq!(clean_name(&"x".repeat(MAX_NAME_OCTETS + 1)), None);
        assert_eq!(clean_subdivision("us-ca"), Some("CA".into()));
        assert_eq!(clean_subdivision("22"), Some("22".into()));
    }
}
