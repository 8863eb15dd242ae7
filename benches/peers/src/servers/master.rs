//! Zones as master files (RFC 1035, 5), which all servers but one read.
//! What is steered is not in them: each server says that in its own way.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::files;
use crate::table::{EVERYWHERE, STATIC_ADDRESS, TTL, Table};

/// Records that every zone begins with, and the static name.
pub(super) fn head(address: impl std::fmt::Display) -> String {
    format!("@ {TTL} SOA ns1 host 1 3600 600 86400 {TTL}\n@ {TTL} NS ns1\nns1 {TTL} A 127.0.0.1\nwww {TTL} A {address}\n")
}

/// The large zone without its steered name.
pub(super) fn large(table: &Table) -> String {
    head(STATIC_ADDRESS) + &hosts(table)
}

/// The names that are asked for at random.
pub(super) fn hosts(table: &Table) -> String {
    let mut text = String::new();
    for (index, host) in table.hosts.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{host} {TTL} A {}", Table::address(index));
    }
    text
}

/// The small zones: name and content.
pub(super) fn small(table: &Table) -> impl Iterator<Item = (&str, String)> {
    table.zones.iter().enumerate().map(|(index, zone)| (zone.as_str(), head(Table::address(index))))
}

/// Writes all zones, for servers that read master files and steer elsewhere or not at all.
pub(crate) fn write(table: &Table, folder: &Path) -> Result<()> {
    let large = format!("$ORIGIN {}.\n{}geo {TTL} A {EVERYWHERE}\n", crate::table::ZONE, large(table));
    files::write(&file(folder, crate::table::ZONE), large)?;
    small(table).try_for_each(|(zone, text)| files::write(&file(folder, zone), format!("$ORIGIN {zone}.\n{text}")))
}

/// The file of a zone.
pub(super) fn file(folder: &Path, zone: &str) -> PathBuf {
    folder.join(format!("{zone}.zone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::tiny;

    #[test]
    fn the_large_zone_holds_all_names() {
        let expected = "\
@ 300 SOA ns1 host 1 3600 600 86400 300
@ 300 NS ns1
ns1 300 A 127.0.0.1
www 300 A 192.0.2.1
one 300 A 10.9.0.0
two 300 A 10.9.0.1
";
        assert_eq!(large(&tiny()), expected);
    }

    #[test]
    fn a_small_zone_holds_the_name_that_is_asked_for() {
        let table = tiny();
        let zones: Vec<_> = small(&table).collect();
        assert_eq!(zones.len(), 1);
        assert_eq!(zones[0].0, "small.example");
        assert!(zones[0].1.ends_with("\nwww 300 A 10.9.0.0\n"));
    }
}
