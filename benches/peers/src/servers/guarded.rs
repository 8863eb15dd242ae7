//! Meridian as it stands on the open Internet: the same table, and everything on that keeps abusers away and lets its operator see.
//! No limit is ever reached: what is measured is what it costs those who are answered.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::meridian::{Meridian, SERVER_FILE};
use super::{Place, Programs, Server};
use crate::files;
use crate::table::Table;

/// What the server file has besides.
const GUARDS: &str = "\
rate_limit: {responses: 1000000, network: 1000000, total: 1000000}
cookies: {secrets: cookies.txt}
queries_from: [{refuse: 192.0.2.0/24}, {drop: [198.51.100.0/24, 203.0.113.0/24]}, {allow: any}]
transfers_from: [{drop: any}]
ecs: {from: [127.0.0.0/8]}
tcp: {connections: 1000, queries: 1000000}
timestamps: true
query_log: {json: queries.jsonl, sample: 1000}
encrypted:
  certificate: try.pem
  key: try.key
  tls: 127.0.0.1:0
  quic: 127.0.0.1:0
  https: 127.0.0.1:0
  http3: 127.0.0.1:0
";

/// Everybody has this key.
const CERTIFICATE: &str = include_str!("../../../../examples/encrypted-server/try.pem");
const KEY: &str = include_str!("../../../../examples/encrypted-server/try.key");

const COOKIE_SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf\n";

pub(super) struct Guarded;

impl Server for Guarded {
    fn write(&self, table: &Table, at: &Place) -> Result<()> {
        Meridian.write(table, at)?;
        let server = at.own.join(SERVER_FILE);
        files::append(&server, GUARDS)?;
        [("try.pem", CERTIFICATE), ("try.key", KEY), ("cookies.txt", COOKIE_SECRET)]
            .into_iter()
            .try_for_each(|(name, content)| files::write(&at.own.join(name), content))
    }

    fn program(&self, programs: &Programs) -> Result<PathBuf, String> {
        Meridian.program(programs)
    }

    fn arguments(&self, command: &mut Command, at: &Place) {
        Meridian.arguments(command, at);
    }

    fn located(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, tests::written};
    use super::{GUARDS, SERVER_FILE};

    #[test]
    fn it_is_the_configuration_of_meridian_with_guards() {
        let plain = written(Kind::Meridian, &[SERVER_FILE]);
        assert_eq!(written(Kind::Guarded, &[SERVER_FILE, "try.pem", "try.key", "cookies.txt"]), plain);
        assert!(written(Kind::Guarded, &[]).contains(&format!("networks: networks.csv\n{GUARDS}")));
    }
}
