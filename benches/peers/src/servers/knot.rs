//! Knot DNS: the geoip module with a file of subnets, and master files.
//! Workers are one of each kind, as there is one core.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Programs, Server, installed, master};
use crate::files;
use crate::table::{STEERED, TTL, Table, ZONE};

pub(super) struct Knot;

impl Server for Knot {
    fn write(&self, table: &Table, at: &Place) -> Result<()> {
        let mut geography = format!("{STEERED}:\n");
        for (network, region) in &table.networks {
            let _ = writeln!(geography, "  - net: {network}\n    A: {}", Table::address(*region as usize));
        }
        files::write(&at.own.join("geo.conf"), geography)?;
        files::write(&at.own.join("knot.conf"), config(table, at))
    }

    fn program(&self, _: &Programs) -> Result<PathBuf, String> {
        installed("knotd")
    }

    fn arguments(&self, command: &mut Command, at: &Place) {
        command.arg("-c").arg(at.own.join("knot.conf"));
    }

    fn located(&self) -> bool {
        true
    }
}

fn config(table: &Table, at: &Place) -> String {
    let (address, run) = (at.address, at.run());
    let mut text = format!(
        "\
server:
    listen: {ip}@{port}
    rundir: {run}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
database:
    storage: {run}
mod-geoip:
  - id: g
    config-file: {geography}
    ttl: {TTL}
    mode: subnet
template:
  - id: default
    zonefile-sync: -1
zone:
  - domain: {ZONE}
    file: {file}
    module: mod-geoip/g
",
        ip = address.ip(),
        port = address.port(),
        run = run.display(),
        geography = at.own.join("geo.conf").display(),
        file = master::file(&at.zones, ZONE).display(),
    );
    for zone in &table.zones {
        let _ = writeln!(text, "  - domain: {zone}\n    file: {}", master::file(&at.zones, zone).display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, tests::written};

    #[test]
    fn the_configuration_of_a_tiny_table() {
        let expected = "\
== geo.conf
geo.example.com:
  - net: 1.2.0.0/16
    A: 10.9.0.1
  - net: 3.4.5.0/24
    A: 10.9.0.2
== knot.conf
server:
    listen: 127.0.0.1@15402
    rundir: FOLDER/knot/run
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
database:
    storage: FOLDER/knot/run
mod-geoip:
  - id: g
    config-file: FOLDER/knot/geo.conf
    ttl: 300
    mode: subnet
template:
  - id: default
    zonefile-sync: -1
zone:
  - domain: example.com
    file: FOLDER/zones/example.com.zone
    module: mod-geoip/g
  - domain: small.example
    file: FOLDER/zones/small.example.zone
";
        assert_eq!(written(Kind::Knot, &[]), expected);
    }
}
