//! NSD: master files, one server process. It knows no geography, so its steered name is a static one: a floor for the others.
//! Rate limiting is off, as the others have none.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Programs, Server, installed, master};
use crate::files;
use crate::table::{Table, ZONE};

pub(super) struct Nsd;

impl Server for Nsd {
    fn write(&self, table: &Table, at: &Place) -> Result<()> {
        files::write(&at.own.join("nsd.conf"), config(table, at))
    }

    fn program(&self, _: &Programs) -> Result<PathBuf, String> {
        installed("nsd")
    }

    fn arguments(&self, command: &mut Command, at: &Place) {
        command.arg("-d").arg("-c").arg(at.own.join("nsd.conf"));
    }

    fn located(&self) -> bool {
        false
    }
}

fn config(table: &Table, at: &Place) -> String {
    let mut text = format!(
        "\
server:
    ip-address: {ip}@{port}
    server-count: 1
    username: \"\"
    chroot: \"\"
    zonesdir: {zones}
    database: \"\"
    pidfile: {run}/nsd.pid
    xfrdfile: {run}/xfrd.state
    xfrdir: {run}
    zonelistfile: {run}/zone.list
    minimal-responses: yes
    round-robin: no
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
",
        ip = at.address.ip(),
        port = at.address.port(),
        zones = at.zones.display(),
        run = at.run().display(),
    );
    for zone in std::iter::once(ZONE).chain(table.zones.iter().map(String::as_str)) {
        let _ = writeln!(text, "zone:\n    name: {zone}\n    zonefile: {}", master::file(&at.zones, zone).display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, tests::written};

    #[test]
    fn the_zones_of_a_tiny_table() {
        let text = written(Kind::Nsd, &[]);
        assert!(text.starts_with("== nsd.conf\nserver:\n    ip-address: 127.0.0.1@15403\n    server-count: 1\n"), "{text}");
        let zones = "\
    control-enable: no
zone:
    name: example.com
    zonefile: FOLDER/zones/example.com.zone
zone:
    name: small.example
    zonefile: FOLDER/zones/small.example.zone
";
        assert!(text.ends_with(zones), "{text}");
    }
}
