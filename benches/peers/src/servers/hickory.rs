//! hickory-server, by the program `peers-hickory` of this project. It knows no geography, so its steered name is a static one.
//! The program is built on request, as it takes minutes: `cargo build --release --features hickory`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Programs, Server, master};
use crate::files;
use crate::table::{Table, ZONE};

/// Built beside our own program.
const PROGRAM: &str = "peers-hickory";

pub(super) struct Hickory;

impl Server for Hickory {
    fn write(&self, table: &Table, at: &Place) -> Result<()> {
        let zones = std::iter::once(ZONE).chain(table.zones.iter().map(String::as_str));
        let text: String = zones.map(|zone| format!("{zone} {}\n", master::file(&at.zones, zone).display())).collect();
        files::write(&at.own.join("zones.txt"), text)
    }

    fn program(&self, _: &Programs) -> Result<PathBuf, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        Some(own.with_file_name(PROGRAM))
            .filter(|program| program.is_file())
            .ok_or_else(|| format!("`{PROGRAM}` is not built (cargo build --release --features hickory)"))
    }

    fn arguments(&self, command: &mut Command, at: &Place) {
        command.arg(at.address.to_string()).arg(at.own.join("zones.txt"));
    }

    fn located(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, tests::written};

    #[test]
    fn the_zones_of_a_tiny_table() {
        let expected = "\
== zones.txt
example.com FOLDER/zones/example.com.zone
small.example FOLDER/zones/small.example.zone
";
        assert_eq!(written(Kind::Hickory, &[]), expected);
    }
}
