//! Geo sources: any octets as a MaxMind DB or a CSV file give a table that answers for every address, or are refused with a message.
//! No file is written: the readers take octets.

use std::net::IpAddr;
use std::path::Path;

use meridian::geo::source::{Paths, csv, mmdb};
use meridian::geo::{Family, Inputs, PlaceTable, build};

/// Longest that all messages about a small file may be.
const MAX_TEXT_OCTETS: usize = 1 << 20;

/// One octet that chooses the format, then the file.
pub fn run(input: &[u8]) {
    let Some((format, file)) = input.split_first() else { return };
    let read = match format % 3 {
        0 => mmdb::read(Path::new("fuzz.mmdb"), &Paths::default(), file),
        1 => csv::read(Path::new("fuzz.csv"), file),
        _ => {
            let refused = csv::read_networks(Path::new("fuzz.csv"), file).err();
            assert!(refused.is_none_or(|found| found.to_string().len() < MAX_TEXT_OCTETS));
            return;
        }
    };
    match read {
        Ok(rows) => {
            assert!(rows.warnings().to_string().len() < MAX_TEXT_OCTETS);
            let table = build(Inputs { sources: vec![rows], ..Inputs::default() });
            check(&table.unwrap_or_else(|error| panic!("rows that were read make no table: {error}")));
        }
        Err(found) => {
            assert!(found.has_errors(), "refused without a reason");
            assert!(found.to_string().len() < MAX_TEXT_OCTETS, "a small file must not get megabytes of messages");
        }
    }
}

/// Every address has one range, and the ranges follow each other without a gap.
fn check(table: &PlaceTable) {
    for text in ["0.0.0.0", "9.9.9.9", "192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "64:ff9b::1.2.3.4", "ffff::1"] {
        let address: IpAddr = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        for length in [0, 1, 24, 32, 56, 128] {
            let leaf = table.locate(address, length);
            let _ = (table.place(leaf.place), table.kind(leaf.place));
        }
    }
    for family in [Family::V4, Family::V6] {
        assert_eq!(table.ranges(family).count(), table.range_count(family));
        assert!(table.range_count(family) > 0, "no range of {family:?}");
    }
}
