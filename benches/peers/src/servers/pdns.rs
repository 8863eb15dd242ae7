//! PowerDNS: the geoip backend over a MaxMind database that is written here; a city stands for a region.
//! Its YAML file of zones is read by one parser in one piece, so tables that would keep it busy for minutes are not asked of it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Programs, Server, installed};
use crate::files;
use crate::mmdb;
use crate::table::{EVERYWHERE, STATIC, STATIC_ADDRESS, STEERED, Size, TTL, Table, ZONE};

/// Names and zones that its YAML file is given.
const MAX_NAMES: u32 = 20_000;

pub(super) struct Pdns;

impl Server for Pdns {
    fn write(&self, table: &Table, at: &Place) -> Result<()> {
        files::write(&at.own.join("city.mmdb"), database(table))?;
        files::write(&at.own.join("zones.yaml"), zones(table))?;
        files::write(&at.own.join("pdns.conf"), config(at))
    }

    fn program(&self, _: &Programs) -> Result<PathBuf, String> {
        installed("pdns_server")
    }

    fn arguments(&self, command: &mut Command, at: &Place) {
        command.arg(format!("--config-dir={}", at.own.display())).arg("--config-name=");
    }

    fn located(&self) -> bool {
        true
    }

    fn refuses(&self, size: &Size) -> Option<String> {
        (size.names + size.zones > MAX_NAMES).then(|| format!("its geoip backend is given {MAX_NAMES} names and zones at most"))
    }
}

/// The networks, each in a city that is named after its region.
fn database(table: &Table) -> Vec<u8> {
    let city = |(region, _)| mmdb::Record {
        latitude: 1.0,
        longitude: 2.0,
        continent: "EU",
        country: "FR",
        subdivision: "75".to_owned(),
        city: format!("city{region}"),
    };
    let records: Vec<mmdb::Record> = table.regions().map(city).collect();
    let networks =
        table.networks.iter().map(|(network, region)| (u128::from(network.first), mmdb::V4_BITS_BEFORE + network.length, region - 1));
    mmdb::write(networks, &records)
}

fn zones(table: &Table) -> String {
    let mut text = format!("domains:\n{}", zone(ZONE, STATIC, STATIC_ADDRESS));
    for (index, host) in table.hosts.iter().enumerate() {
        let _ = writeln!(text, "    {host}.{ZONE}:\n      - a: {}", Table::address(index));
    }
    let _ = writeln!(text, "    unknown.city.{ZONE}:\n      - a: {EVERYWHERE}");
    for (region, address) in table.regions() {
        let _ = writeln!(text, "    city{region}.city.{ZONE}:\n      - a: {address}");
    }
    let _ = writeln!(text, "  services:\n    {STEERED}: '%ci.city.{ZONE}'");
    for (index, name) in table.zones.iter().enumerate() {
        text.push_str(&zone(name, &format!("www.{name}"), Table::address(index)));
    }
    text
}

/// A domain with what every zone begins with, and its static name.
fn zone(zone: &str, name: &str, address: std::net::Ipv4Addr) -> String {
    format!(
        "\
- domain: {zone}
  ttl: {TTL}
  records:
    {zone}:
      - soa: ns1.{zone} host.{zone} 1 3600 600 86400 {TTL}
      - ns: ns1.{zone}
    ns1.{zone}:
      - a: 127.0.0.1
    {name}:
      - a: {address}
"
    )
}

fn config(at: &Place) -> String {
    format!(
        "\
launch=geoip
geoip-database-files=mmdb:{own}/city.mmdb
geoip-zones-file={own}/zones.yaml
edns-subnet-processing=yes
local-address={ip}
local-port={port}
receiver-threads=1
distributor-threads=1
socket-dir={run}
daemon=no
guardian=no
disable-syslog=yes
loglevel=3
security-poll-suffix=
",
        own = at.own.display(),
        ip = at.address.ip(),
        port = at.address.port(),
        run = at.run().display(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Kind;
    use super::*;
    use crate::table::tests::tiny;

    #[test]
    fn the_zones_of_a_tiny_table() {
        let expected = "\
domains:
- domain: example.com
  ttl: 300
  records:
    example.com:
      - soa: ns1.example.com host.example.com 1 3600 600 86400 300
      - ns: ns1.example.com
    ns1.example.com:
      - a: 127.0.0.1
    www.example.com:
      - a: 192.0.2.1
    one.example.com:
      - a: 10.9.0.0
    two.example.com:
      - a: 10.9.0.1
    unknown.city.example.com:
      - a: 192.0.2.250
    city1.city.example.com:
      - a: 10.9.0.1
    city2.city.example.com:
      - a: 10.9.0.2
  services:
    geo.example.com: '%ci.city.example.com'
- domain: small.example
";
        assert!(zones(&tiny()).starts_with(expected), "{}", zones(&tiny()));
        assert!(config(&Kind::Pdns.place(Path::new("FOLDER"), &tiny().size)).contains("\nlocal-port=15404\n"));
    }

    #[test]
    fn the_database_names_a_city_for_each_region() {
        let octets = database(&tiny());
        assert!(octets.windows(5).any(|text| text == b"city2"));
    }

    #[test]
    fn tables_of_many_names_are_refused() {
        let size = tiny().size;
        assert_eq!(Pdns.refuses(&size), None);
        assert!(Pdns.refuses(&Size { names: MAX_NAMES, ..size }).is_some());
    }
}
