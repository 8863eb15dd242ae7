//! The servers that are compared: what each is configured with, how it is started, and what it cannot do. One file a server.
//! Starting and ending them is the business of `process`.

mod gdnsd;
mod guarded;
mod hickory;
mod knot;
pub(crate) mod master;
pub(crate) mod meridian;
mod nsd;
mod pdns;

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::table::{Size, Table};

/// Where servers stand that the path of a plain user does not lead to.
const SERVER_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The servers, in the order of their ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Kind {
    Gdnsd,
    Knot,
    Nsd,
    Pdns,
    Hickory,
    Meridian,
    /// Meridian with everything on that keeps abusers away.
    Guarded,
}

/// What is to be known of a server.
pub(crate) trait Server {
    /// Writes its configuration for a table into its own folder.
    fn write(&self, table: &Table, at: &Place) -> Result<()>;

    /// The program, or why it is not there.
    fn program(&self, programs: &Programs) -> Result<PathBuf, String>;

    /// Arguments that start it in the foreground with what was written.
    fn arguments(&self, command: &mut Command, at: &Place);

    /// Whether it answers by where the client is.
    fn located(&self) -> bool;

    /// Why it cannot have this table.
    fn refuses(&self, _size: &Size) -> Option<String> {
        None
    }
}

/// Programs that are not installed by the system.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub(crate) meridian: Option<PathBuf>,
}

/// Where a server has its files, and where it listens.
pub(crate) struct Place {
    /// Of this server alone.
    pub(crate) own: PathBuf,
    /// Of all servers that read master files.
    pub(crate) zones: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Kind {
    /// The word for it in arguments, tables and folders.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Gdnsd => "gdnsd",
            Kind::Knot => "knot",
            Kind::Nsd => "nsd",
            Kind::Pdns => "pdns",
            Kind::Hickory => "hickory",
            Kind::Meridian => "meridian",
            Kind::Guarded => "guarded",
        }
    }

    pub(crate) fn server(self) -> &'static dyn Server {
        match self {
            Kind::Gdnsd => &gdnsd::Gdnsd,
            Kind::Knot => &knot::Knot,
            Kind::Nsd => &nsd::Nsd,
            Kind::Pdns => &pdns::Pdns,
            Kind::Hickory => &hickory::Hickory,
            Kind::Meridian => &meridian::Meridian,
            Kind::Guarded => &guarded::Guarded,
        }
    }

    /// Its place in the folder of a table.
    pub(crate) fn place(self, folder: &Path, size: &Size) -> Place {
        let address = (Ipv4Addr::LOCALHOST, size.port + 1 + self as u16).into();
        Place { own: folder.join(self.name()), zones: folder.join("zones"), address }
    }
}

impl Place {
    /// For what a server writes while it runs.
    fn run(&self) -> PathBuf {
        self.own.join("run")
    }
}

/// A program that the system has installed.
fn installed(name: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SERVER_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file()).ok_or_else(|| format!("`{name}` is not installed"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::table::tests::tiny;

    /// The files that a server is given for a tiny table, each behind its name, with the folder as FOLDER.
    pub(super) fn written(kind: Kind, skip: &[&str]) -> String {
        // Two tests may ask for the same server at the same time.
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("peers-{}-{}-{turn}", kind.name(), std::process::id()));
        let table = tiny();
        kind.server().write(&table, &kind.place(&folder, &table.size)).unwrap();
        let mut files = Vec::new();
        collect(&folder.join(kind.name()), &mut files);
        files.sort();
        let mut text = String::new();
        for file in files {
            let name = file.strip_prefix(folder.join(kind.name())).unwrap().display().to_string();
            if !skip.contains(&name.as_str()) {
                text.push_str(&format!("== {name}\n{}", std::fs::read_to_string(&file).unwrap()));
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
        text.replace(&folder.display().to_string(), "FOLDER")
    }

    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                files.push(path);
            }
        }
    }

    #[test]
    fn every_server_listens_on_a_port_of_loopback_of_its_own() {
        let size = tiny().size;
        let ports: Vec<u16> = Kind::value_variants().iter().map(|kind| kind.place(Path::new("x"), &size).address.port()).collect();
        assert_eq!(ports, [15_401, 15_402, 15_403, 15_404, 15_405, 15_406, 15_407]);
    }

    #[test]
    fn what_is_not_installed_is_named() {
        assert_eq!(installed("no-such-server"), Err("`no-such-server` is not installed".to_owned()));
        assert!(installed("sh").is_ok());
    }
}
