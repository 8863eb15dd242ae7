//! Meridian: networks as a CSV file of overrides, regions, one zone file a zone, and a master file for the names.
//! `disturb` has a configuration of its own, made of the same parts.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Programs, Server, master};
use crate::files;
use crate::table::{STATIC_ADDRESS, TTL, Table, ZONE};

/// The server file, as `serve --config` wants it.
pub(crate) const SERVER_FILE: &str = "meridian.yaml";

pub(crate) struct Meridian;

impl Server for Meridian {
    fn write(&self, table: &Table, at: &Place) -> Result<()> {
        let server = format!(
            "version: 1\nworkers: 1\nlisten: \"{}\"\nregions: regions.yaml\nzones: \"*.zone.yaml\"\nnetworks: networks.csv\n",
            at.address
        );
        files::write(&at.own.join(SERVER_FILE), server)?;
        let mut networks = "network,region\n".to_owned();
        for (network, region) in &table.networks {
            let _ = writeln!(networks, "{network},dc{region}");
        }
        files::write(&at.own.join("networks.csv"), networks)?;
        files::write(&at.own.join("regions.yaml"), regions(table, |_| String::new()))?;
        write_zones(table, at)
    }

    fn program(&self, programs: &Programs) -> Result<PathBuf, String> {
        programs.meridian.clone().ok_or_else(|| "say where it is with --meridian".to_owned())
    }

    fn arguments(&self, command: &mut Command, at: &Place) {
        command.arg("serve").arg("--config").arg(at.own.join(SERVER_FILE));
    }

    fn located(&self) -> bool {
        true
    }
}

/// The zone files.
pub(crate) fn write_zones(table: &Table, at: &Place) -> Result<()> {
    let bulk = if table.hosts.is_empty() { "" } else { "records_file: hosts.zone\n" };
    let large = zone(ZONE, STATIC_ADDRESS, bulk) + &format!("  geo: {{steer: {{service: geo, ttl: {TTL}}}}}\n");
    files::write(&at.own.join(format!("{ZONE}.zone.yaml")), large)?;
    if !table.hosts.is_empty() {
        files::write(&at.own.join("hosts.zone"), format!("$ORIGIN {ZONE}.\n{}", master::hosts(table)))?;
    }
    table
        .zones
        .iter()
        .enumerate()
        .try_for_each(|(index, name)| files::write(&at.own.join(format!("{name}.zone.yaml")), zone(name, Table::address(index), "")))
}

fn zone(name: &str, address: Ipv4Addr, bulk: &str) -> String {
    format!(
        "zone: {name}\nttl: {TTL}\nsoa: {{mname: ns1, rname: host}}\nns: [ns1]\n{bulk}records:\n  ns1: {{A: 127.0.0.1}}\n  www: {{A: {address}}}\n"
    )
}

/// The region file; `more` says what stands in a region's service beside its endpoint.
pub(crate) fn regions(table: &Table, more: impl Fn(u32) -> String) -> String {
    let mut text = "regions:\n".to_owned();
    for (region, address) in table.regions() {
        let (latitude, longitude) = coordinates(region);
        let more = more(region);
        let _ = write!(
            text,
            "  dc{region}:\n    location: {{latitude: {latitude:.4}, longitude: {longitude:.4}}}\n    services:\n      geo: {{endpoints: [{address}]{more}}}\n"
        );
    }
    text
}

/// Where a region is: all over the world, no two in one place.
pub(crate) fn coordinates(region: u32) -> (f64, f64) {
    // Two primes, so that both come back to where they were only after 199 x 197 regions.
    let (row, column) = (region * 37 % 199, region * 83 % 197);
    (-60.0 + 120.0 * f64::from(row) / 199.0, -180.0 + 360.0 * f64::from(column) / 197.0)
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, tests::written};
    use super::coordinates;

    #[test]
    fn the_configuration_of_a_tiny_table() {
        let expected = "\
== example.com.zone.yaml
zone: example.com
ttl: 300
soa: {mname: ns1, rname: host}
ns: [ns1]
records_file: hosts.zone
records:
  ns1: {A: 127.0.0.1}
  www: {A: 192.0.2.1}
  geo: {steer: {service: geo, ttl: 300}}
== hosts.zone
$ORIGIN example.com.
one 300 A 10.9.0.0
two 300 A 10.9.0.1
== meridian.yaml
version: 1
workers: 1
listen: \"127.0.0.1:15406\"
regions: regions.yaml
zones: \"*.zone.yaml\"
networks: networks.csv
== networks.csv
network,region
1.2.0.0/16,dc1
3.4.5.0/24,dc2
== regions.yaml
regions:
  dc1:
    location: {latitude: -37.6884, longitude: -28.3249}
    services:
      geo: {endpoints: [10.9.0.1]}
  dc2:
    location: {latitude: -15.3769, longitude: 123.3503}
    services:
      geo: {endpoints: [10.9.0.2]}
== small.example.zone.yaml
zone: small.example
ttl: 300
soa: {mname: ns1, rname: host}
ns: [ns1]
records:
  ns1: {A: 127.0.0.1}
  www: {A: 10.9.0.0}
";
        assert_eq!(written(Kind::Meridian, &[]), expected);
    }

    #[test]
    fn no_two_regions_are_in_one_place() {
        let places: std::collections::HashSet<String> = (1..=1000).map(|region| format!("{:?}", coordinates(region))).collect();
        assert_eq!(places.len(), 1000);
    }
}
