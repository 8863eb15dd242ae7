//! gdnsd: the geoip plugin with a file of networks, and one zone file a zone.
//! Its own database format is not used: networks in text are what the others read as well.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Programs, Server, installed, master};
use crate::files;
use crate::table::{TTL, Table, ZONE};

pub(super) struct Gdnsd;

impl Server for Gdnsd {
    fn write(&self, table: &Table, at: &Place) -> Result<()> {
        let mut networks = String::new();
        for (network, region) in &table.networks {
            let _ = writeln!(networks, "{network} => dc{region}");
        }
        files::write(&at.own.join("geoip/nets"), networks)?;
        files::write(&at.own.join("config"), config(table, at))?;
        files::write(&at.own.join("zones").join(ZONE), master::large(table) + &format!("geo {TTL} DYNA geoip!www\n"))?;
        master::small(table).try_for_each(|(zone, text)| files::write(&at.own.join("zones").join(zone), text))
    }

    fn program(&self, _: &Programs) -> Result<PathBuf, String> {
        installed("gdnsd")
    }

    fn arguments(&self, command: &mut Command, at: &Place) {
        command.arg("-c").arg(&at.own).arg("start");
    }

    fn located(&self) -> bool {
        true
    }
}

fn config(table: &Table, at: &Place) -> String {
    let names: Vec<String> = table.regions().map(|(region, _)| format!("dc{region}")).collect();
    let addresses: String = table.regions().map(|(region, address)| format!("  dc{region} => {address}\n")).collect();
    format!(
        "\
options => {{
 listen => {{ {address} => {{ udp_threads = 1, tcp_threads = 1 }} }}
 run_dir => {run}
 state_dir => {run}/state
}}
plugins => {{ geoip => {{
 maps => {{ m => {{ datacenters => [ {names} ], nets => {own}/geoip/nets }} }}
 resources => {{ www => {{ map => m, service_types => up, dcmap => {{
{addresses} }} }} }}
}} }}
",
        address = at.address,
        run = at.run().display(),
        own = at.own.display(),
        names = names.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, tests::written};

    #[test]
    fn the_configuration_of_a_tiny_table() {
        let expected = "\
== config
options => {
 listen => { 127.0.0.1:15401 => { udp_threads = 1, tcp_threads = 1 } }
 run_dir => FOLDER/gdnsd/run
 state_dir => FOLDER/gdnsd/run/state
}
plugins => { geoip => {
 maps => { m => { datacenters => [ dc1, dc2 ], nets => FOLDER/gdnsd/geoip/nets } }
 resources => { www => { map => m, service_types => up, dcmap => {
  dc1 => 10.9.0.1
  dc2 => 10.9.0.2
 } } }
} }
== geoip/nets
1.2.0.0/16 => dc1
3.4.5.0/24 => dc2
";
        assert_eq!(written(Kind::Gdnsd, &["zones/example.com", "zones/small.example"]), expected);
    }
}
