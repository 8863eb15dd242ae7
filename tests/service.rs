//! Meridian as a service of a host: what it tells the service manager, the unit that is shipped, and what a newcomer gets first:
//! a starting configuration, completions and manual pages.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

#[path = "common/mod.rs"]
mod common;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::client::udp;
use common::folder::Folder;
use common::message::query;
use common::server::{Server, run};
use common::{PATIENCE, skip_without};

/// What is shipped.
const UNIT: &str = "packaging/systemd/meridian.service";
const SOCKET: &str = "packaging/systemd/meridian.socket";

/// A unit is exposed from 0 to 100 (systemd-analyze security); most that are shipped with a system come to 50 and more.
const MOST_EXPOSED: &str = "20";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A service manager that hears what it is told.
struct Manager {
    socket: UnixDatagram,
    _folder: Folder,
    path: std::path::PathBuf,
}

impl Manager {
    fn new() -> Manager {
        let folder = Folder::new("notify");
        let path = folder.join("socket");
        Manager { socket: UnixDatagram::bind(&path).unwrap(), _folder: folder, path }
    }

    /// Waits for a message that begins so.
    fn wait_for(&self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "no `{start}` in {seen:?}");
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut octets = [0; 512];
            let length = self.socket.recv(&mut octets).unwrap_or_else(|error| panic!("no `{start}` in {seen:?}: {error}"));
            let message = String::from_utf8(octets[..length].to_vec()).unwrap();
            if message.starts_with(start) {
                return message;
            }
            seen.push(message);
        }
    }
}

/// The starting configuration in a folder, on a free port.
fn started() -> Folder {
    let folder = Folder::new("init");
    let output = run(&["init", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let server = std::fs::read_to_string(folder.join("meridian.yaml")).unwrap();
    folder.write("meridian.yaml", &server.replace("[\"127.0.0.1:5300\", \"[::1]:5300\"]", "127.0.0.1:0"));
    folder
}

#[test]
fn the_manager_is_told_of_each_step_and_that_the_server_lives() {
    let (manager, folder) = (Manager::new(), started());
    let environment = [("NOTIFY_SOCKET", manager.path.as_path()), ("WATCHDOG_USEC", Path::new("200000"))];
    let server = Server::launch_with(&folder.join("meridian.yaml"), &environment);
    assert_eq!(manager.wait_for("READY=1"), "READY=1\nSTATUS=serving");
    assert!(!server.addresses().is_empty() || !server.wait_for(0, "serving").is_empty());
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    server.signal("HUP");
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    // A reload that is refused ends too: what was in force goes on.
    folder.write("regions.yaml", "regions: []\n");
    server.signal("HUP");
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    server.signal("TERM");
    manager.wait_for("STOPPING=1");
    assert!(server.wait().0.success());
}

#[test]
fn a_manager_that_is_gone_or_watches_another_process_stops_nobody() {
    let folder = started();
    let environment =
        [("NOTIFY_SOCKET", Path::new("/nonexistent/socket")), ("WATCHDOG_USEC", Path::new("1000")), ("WATCHDOG_PID", Path::new("1"))];
    let server = Server::launch_with(&folder.join("meridian.yaml"), &environment);
    server.wait_for(0, "ready");
    assert!(server.stop().0.success());
}

#[test]
fn the_unit_is_right_and_exposes_little() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skip_without("systemd-analyze");
    }
    let folder = Folder::new("unit");
    let unit = std::fs::read_to_string(root().join(UNIT)).unwrap();
    folder.write("meridian.service", &unit.replace("/usr/bin/meridian", env!("CARGO_BIN_EXE_meridian")));
    std::fs::copy(root().join(SOCKET), folder.join("meridian.socket")).unwrap();
    let analyze = |arguments: &[&str]| {
        let of_both = arguments[0] == "verify";
        let units = ["meridian.service", "meridian.socket"].into_iter().take(if of_both { 2 } else { 1 }).map(|unit| folder.join(unit));
        let output = Command::new("systemd-analyze").args(arguments).args(units).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (is_right, text) = analyze(&["verify", "--man=no", "--recursive-errors=no"]);
    assert!(is_right && !text.contains("meridian.service:") && !text.contains("meridian.socket:"), "{text}");
    let (exposes_little, text) = analyze(&["security", "--offline=true", &format!("--threshold={MOST_EXPOSED}")]);
    assert!(exposes_little, "{text}");
}

#[test]
fn a_starting_configuration_is_good_answers_and_is_never_written_over() {
    let folder = started();
    let config = folder.join("meridian.yaml");
    let output = run(&["check", "--config", config.to_str().unwrap()]);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.code() == Some(0) && !text.contains("warning"), "{text}");
    let server = Server::start(&config);
    let reply = udp(server.address(), &query("www.example.com", "A").subnet("10.20.1.0/24"));
    assert_eq!(reply.addresses(), ["192.0.2.20".parse::<std::net::IpAddr>().unwrap()]);
    server.stop();
    let mine = std::fs::read_to_string(&config).unwrap();
    std::fs::remove_file(folder.join("regions.yaml")).unwrap();
    let again = run(&["init", folder.path().to_str().unwrap()]);
    assert!(again.status.code() == Some(1) && String::from_utf8_lossy(&again.stderr).contains("is there already, nothing is written"));
    assert!(std::fs::read_to_string(&config).unwrap() == mine && !folder.join("regions.yaml").exists());
}

#[test]
fn whoever_prints_to_nobody_has_not_failed() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = Command::new(env!("CARGO_BIN_EXE_meridian")).args(["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let of_help = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = of_help
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"serve") && commands.contains(&"man"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(run(&["completions", shell]).stdout).unwrap();
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    let folder = Folder::new("man");
    let pages = folder.join("man1");
    assert_eq!(run(&["man", pages.to_str().unwrap()]).status.code(), Some(0));
    for command in commands {
        let page = std::fs::read_to_string(pages.join(format!("meridian-{command}.1"))).unwrap();
        assert!(page.contains(".TH"), "{page}");
    }
    assert!(pages.join("meridian.1").exists());
}
