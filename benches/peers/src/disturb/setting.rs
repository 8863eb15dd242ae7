//! The configuration that is disturbed: the table as a geo database, so that regions are found by distance, and a probe for every region.
//! Two databases change places; they differ only where no client that is asked for is.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use super::targets::{FLAPPING, STEADY};
use crate::files;
use crate::mmdb::{self, Record};
use crate::process;
use crate::question::Pool;
use crate::random::Random;
use crate::servers::{Place, meridian};
use crate::table::Table;

/// Regions whose health flaps, of those that there are.
const FLAPPING_REGIONS: u32 = 100;

/// One network in this many is elsewhere in the other database. Nobody asks from there.
const MOVED: usize = 100;

/// The database that is read, and the two that take its place in turn.
const DATABASE: &str = "city.mmdb";
const DATABASES: [&str; 2] = ["one.mmdb", "other.mmdb"];

/// What the log says when a reload is done.
const RELOADED: &str = "reloaded";

/// What was written, and who is asked for.
pub(super) struct Setting {
    pub(super) place: Place,
    /// Clients in all networks that stay where they are.
    pub(super) clients: Pool,
    /// The same clients, wherever they are sent.
    pub(super) anywhere: Pool,
    /// Some of them, for whether all is as it should be.
    pub(super) samples: Pool,
    changes: AtomicUsize,
}

impl Setting {
    /// Writes the configuration of a table, beside those of the comparison.
    pub(super) fn write(table: &Table, folder: &Path, address: SocketAddr, probe_port: u16) -> Result<Setting> {
        let place = Place { own: folder.join("disturb"), zones: folder.join("zones"), address };
        files::remove_folder(&place.own)?;
        files::write(&place.own.join(meridian::SERVER_FILE), server(address))?;
        let regions = meridian::regions(table, |region| monitor(region, probe_port));
        files::write(&place.own.join("regions.yaml"), regions)?;
        meridian::write_zones(table, &place)?;
        for (moves, name) in DATABASES.into_iter().enumerate() {
            files::write(&place.own.join(name), database(table, moves as u32))?;
        }
        let stays: Vec<_> = table.networks.iter().enumerate().filter(|(at, _)| !is_moved(*at)).map(|(_, network)| *network).collect();
        let clients = table.clients(&stays, true, &mut Random::new(table.size.seed));
        let setting =
            Setting { anywhere: without_expectations(&clients), samples: some(&clients), clients, place, changes: AtomicUsize::new(0) };
        setting.change()?;
        Ok(setting)
    }

    /// Puts the other database in place, in one step.
    pub(super) fn change(&self) -> Result<()> {
        let next = DATABASES[self.changes.fetch_add(1, Ordering::Relaxed) % DATABASES.len()];
        let (database, spare) = (self.place.own.join(DATABASE), self.place.own.join("spare.mmdb"));
        let put = fs::hard_link(self.place.own.join(next), &spare).and_then(|()| fs::rename(&spare, &database));
        put.with_context(|| database.display().to_string())
    }

    /// Reloads that are done since the start.
    pub(super) fn reloads(&self) -> Result<usize> {
        let log = self.log();
        let text = fs::read_to_string(&log).with_context(|| log.display().to_string())?;
        Ok(text.lines().filter(|line| line.contains(RELOADED)).count())
    }

    pub(super) fn log(&self) -> PathBuf {
        process::log(&self.place)
    }

    pub(super) fn control(&self) -> PathBuf {
        self.place.own.join("run/control.sock")
    }
}

fn server(address: SocketAddr) -> String {
    format!(
        "\
version: 1
workers: 1
listen: \"{address}\"
control: run/control.sock
geodb: {DATABASE}
regions: regions.yaml
zones: \"*.zone.yaml\"
"
    )
}

/// Every region is probed once a second, and believed at once.
fn monitor(region: u32, port: u16) -> String {
    let kind = if region <= FLAPPING_REGIONS { FLAPPING } else { STEADY };
    format!(
        ", monitor: {{http: {{path: /{kind}/{region}, port: {port}}}, address: 127.0.0.1, interval: 1s, timeout: 900ms, fall: 1, rise: 1}}"
    )
}

fn is_moved(at: usize) -> bool {
    // The first stays, so that there is someone to ask for in the smallest table.
    at % MOVED == MOVED - 1
}

/// Networks where their regions are; some are moved to a region behind theirs.
fn database(table: &Table, by: u32) -> Vec<u8> {
    let record = |(region, _)| {
        let (latitude, longitude) = meridian::coordinates(region);
        Record { latitude, longitude, continent: "EU", country: "FR", subdivision: "75".to_owned(), city: format!("city{region}") }
    };
    let records: Vec<Record> = table.regions().map(record).collect();
    let networks = table.networks.iter().enumerate().map(|(at, (network, region))| {
        let moved = if is_moved(at) { by } else { 0 };
        (u128::from(network.first), mmdb::V4_BITS_BEFORE + network.length, (region - 1 + moved) % table.size.regions)
    });
    mmdb::write(networks, &records)
}

fn without_expectations(pool: &Pool) -> Pool {
    let mut anywhere = Pool::new();
    (0..pool.len()).for_each(|at| anywhere.add(pool.query(at), None));
    anywhere
}

/// One client in so many that all regions are among them.
fn some(pool: &Pool) -> Pool {
    const STEP: usize = 16;
    let mut some = Pool::new();
    (0..pool.len()).step_by(STEP).for_each(|at| some.add(pool.query(at), pool.expected(at)));
    some
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Size;

    #[test]
    fn two_databases_change_places_and_nobody_is_asked_for_who_moves() {
        let table = Table::new(Size { networks: 200, regions: 3, names: 0, zones: 1, seed: 5, port: 1024 });
        let folder = std::env::temp_dir().join(format!("peers-disturb-{}", std::process::id()));
        let setting = Setting::write(&table, &folder, "127.0.0.1:1024".parse().unwrap(), 80).unwrap();
        let read = || fs::read(setting.place.own.join(DATABASE)).unwrap();
        let first = read();
        assert_eq!(first, database(&table, 0));
        setting.change().unwrap();
        assert_eq!(read(), database(&table, 1));
        setting.change().unwrap();
        assert_eq!(read(), first);
        assert_ne!(database(&table, 0), database(&table, 1));
        assert!(setting.samples.len() > 3 && setting.anywhere.expected(0).is_none());
        let regions = fs::read_to_string(setting.place.own.join("regions.yaml")).unwrap();
        assert!(regions.contains("monitor: {http: {path: /flapping/3, port: 80}, address: 127.0.0.1,"), "{regions}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
