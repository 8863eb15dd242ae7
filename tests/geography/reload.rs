//! Geo data under a running server: every file of the test databases in turn, rewritten in place and reloaded, while questions are asked
//! all the time. Good ones come into force, of bad ones the log says why, and nobody is ever left without an answer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::common::client::{Udp, udp};
use crate::common::folder::Folder;
use crate::common::message::query;
use crate::common::server::Server;
use crate::common::wait_until;
use crate::common::world::World;

const MMDB: &str = "../shared/mmdb";

/// Fewer files than this means that the folder is another one.
const MIN_FILES: usize = 40;

const FILES: [(&str, &str); 3] = [
    ("meridian.yaml", "version: 1\nlisten: \"127.0.0.1:0\"\nworkers: 1\nregions: regions.yaml\nzones: zone.yaml\ngeodb: geo.mmdb\n"),
    (
        "regions.yaml",
        "regions:
  tokyo: {location: {latitude: 35.7, longitude: 139.7}, services: {web: 192.0.2.1}}
  london: {location: {latitude: 51.5, longitude: -0.1}, services: {web: 192.0.2.2}}
  dallas: {location: {latitude: 32.8, longitude: -96.8}, services: {web: 192.0.2.3}}
",
    ),
    ("zone.yaml", "zone: example.com\nns: [ns.example.net.]\nrecords: {www: {steer: web}}\n"),
];

/// Networks that the databases speak of, each in its own way.
const CLIENTS: [&str; 6] = ["81.2.69.160/27", "2.125.160.216/29", "216.160.83.56/29", "2001:218::/32", "1.1.1.0/24", "175.16.199.0/24"];

#[test]
fn g7_every_database_as_a_reload_of_a_running_server_keeps_it_answering() {
    let files = databases();
    let Some(good) = files.iter().find(|path| path.ends_with("test-data/GeoIP2-City-Test.mmdb")) else {
        return println!("skipped: no test databases at {MMDB}");
    };
    assert!(files.len() >= MIN_FILES, "only {} databases", files.len());
    let folder = Folder::with("database", &FILES);
    let geo = folder.join("geo.mmdb");
    std::fs::copy(good, &geo).unwrap();
    let server = Server::start(&folder.join("meridian.yaml"));
    let (done, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let (mut taken, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        // However this ends, the one who asks must not wait for it.
        let stop = Stop(&done);
        scope.spawn(|| ask_until(&done, &answered, &server));
        for path in &files {
            let before = answers(&server);
            let asked = answered.load(Ordering::Relaxed);
            // In place, as `cp` does it: a mapping of the file would be torn here.
            std::fs::write(&geo, std::fs::read(path).unwrap()).unwrap();
            let from = server.mark();
            server.signal("HUP");
            let line = server.wait_for(from, "reload");
            if line.contains("reload refused") {
                refused += 1;
                server.wait_for(from, "is not a sound MaxMind DB file");
                assert_eq!(answers(&server), before, "{} is refused and changes something", path.display());
            } else {
                taken += 1;
                assert!(line.contains("reloaded"), "{line}");
                assert_eq!(answers(&server), expected(&folder), "{}", path.display());
            }
            // Whoever asks shares two cores with the server and may not have had its turn yet; that each question is answered it sees itself.
            wait_until(|| answered.load(Ordering::Relaxed) > asked, || format!("nobody is answered since {}", path.display()));
        }
        drop(stop);
    });
    println!("{taken} taken, {refused} refused, {} answers meanwhile", answered.load(Ordering::Relaxed));
    assert!(taken > 20 && refused > 5, "{taken} taken, {refused} refused");
    std::fs::copy(good, &geo).unwrap();
    let from = server.mark();
    server.signal("HUP");
    server.wait_for(from, "reloaded");
    assert_eq!(answers(&server)[..4], ["192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.1"]);
    assert!(server.stop().0.success());
}

struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One question after the other; each is answered with one address.
fn ask_until(done: &AtomicBool, answered: &AtomicU32, server: &Server) {
    let socket = Udp::to(server.address());
    for client in CLIENTS.iter().cycle() {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let reply = socket.ask(&query("www.example.com", "A").subnet(client));
        assert_eq!((reply.rcode(), reply.addresses().len()), (0, 1), "{client}");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn answers(server: &Server) -> Vec<String> {
    let ask = |client: &&str| udp(server.address(), &query("www.example.com", "A").subnet(client)).addresses()[0].to_string();
    CLIENTS.iter().map(ask).collect()
}

/// What the files of the folder give when they are loaded afresh.
fn expected(folder: &Folder) -> Vec<String> {
    let world = World::load(&folder.join("meridian.yaml"));
    CLIENTS.iter().map(|client| world.ask(&query("www.example.com", "A").subnet(client)).1.addresses()[0].to_string()).collect()
}

/// All databases, good, odd and bad, in a fixed order.
fn databases() -> Vec<PathBuf> {
    let mut found = Vec::new();
    gather(Path::new(MMDB), &mut found);
    found.sort();
    found
}

fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            gather(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "mmdb") {
            found.push(path);
        }
    }
}
