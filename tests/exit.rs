//! How the process ends when it cannot go on: exit codes, and words that name what is wrong. And that it ends when
//! it is asked to at any moment before it serves; how it drains after that is in `failover`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use common::client::udp;
use common::folder::Folder;
use common::message::query;
use common::server::{Server, run};

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nworkers: 2\nregions: regions.yaml\nzones: \"*.zone.yaml\"\n";

/// Nothing is probed, so nothing is waited for.
const REGIONS: &str = "regions: {a: {location: {latitude: 0, longitude: 0}, services: {web: 192.0.2.1}}}\n";

const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords: {www: {steer: web}}\n";

fn config() -> Folder {
    Folder::with("exit", &[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)])
}

#[test]
fn a_configuration_that_is_refused_exits_with_3_and_binds_nothing() {
    let folder = config();
    folder.write("example.com.zone.yaml", &ZONE.replace("steer: web", "steer: wep"));
    let file = folder.join("meridian.yaml");
    for command in ["serve", "check"] {
        let output = run(&[command, "--config", file.to_str().unwrap()]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{command}: {text}");
        assert!(text.contains("example.com.zone.yaml:3:") && text.contains("hint: did you mean `web`?"), "{text}");
        assert!(!text.contains("serving"), "{text}");
    }
    let missing = run(&["serve", "--config", folder.join("no-such.yaml").to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("no-such.yaml"));
}

#[test]
fn wrong_arguments_exit_with_2() {
    for arguments in [&[][..], &["serv"], &["serve", "--port", "53"], &["explain"], &["explain", "www.example.com"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_reload_by_command_exits_with_1_where_nobody_serves_as_that_says_nothing_of_the_files() {
    let nobody = config().join("nobody.sock");
    let output = run(&["ctl", "reload", "--socket", nobody.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn an_address_in_use_exits_with_1_and_is_named() {
    let folder = config();
    let (held_udp, held_tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    for address in [held_udp.local_addr().unwrap(), held_tcp.local_addr().unwrap()] {
        folder.write("meridian.yaml", &SERVER.replace("127.0.0.1:0", &address.to_string()));
        let output = run(&["serve", "--config", folder.join("meridian.yaml").to_str().unwrap()]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("`{address}`: cannot listen")) && text.contains("hint: another server"), "{text}");
    }
    // A second Meridian on the port of the first is refused as well.
    folder.write("meridian.yaml", SERVER);
    let first = Server::start(&folder.join("meridian.yaml"));
    let address = first.address();
    folder.write("meridian.yaml", &SERVER.replace("127.0.0.1:0", &address.to_string()));
    let output = run(&["serve", "--config", folder.join("meridian.yaml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(udp(address, &query("www.example.com", "A")).addresses().len(), 1, "the first goes on");
}

/// Puts a named pipe in the place of a file: whoever reads it waits until [`File::create`] comes along, and then for its end.
fn make_pipe(folder: &Folder, file: &str) {
    _ = std::fs::remove_file(folder.join(file));
    assert!(Command::new("mkfifo").arg(folder.join(file)).status().unwrap().success());
}

#[test]
fn sigterm_ends_it_while_files_are_read_at_the_start_and_at_a_reload() {
    let folder = config();
    make_pipe(&folder, "regions.yaml");
    let starting = Server::launch(&folder.join("meridian.yaml"));
    // This returns when the server has begun to read.
    let pipe = File::create(folder.join("regions.yaml")).unwrap();
    let (status, log) = starting.stop();
    assert!(status.success() && !log.iter().any(|line| line.contains("serving")), "{log:?}");
    drop(pipe);

    std::fs::remove_file(folder.join("regions.yaml")).unwrap();
    folder.write("regions.yaml", REGIONS);
    let server = Server::start(&folder.join("meridian.yaml"));
    make_pipe(&folder, "regions.yaml");
    server.signal("HUP");
    let pipe = File::create(folder.join("regions.yaml")).unwrap();
    assert_eq!(udp(server.address(), &query("www.example.com", "A")).addresses().len(), 1, "it answers while it reads");
    #[cfg(target_os = "linux")]
    assert_eq!(niceness(server.process(), "load"), [10], "answers come first");
    let (status, log) = server.stop();
    assert!(status.success() && log.iter().any(|line| line.contains("stopped")), "{log:?}");
    drop(pipe);
}

/// How far each thread of this name stands back, from the files that the kernel has of it (proc_pid_stat(5), field 19).
#[cfg(target_os = "linux")]
fn niceness(process: u32, name: &str) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    // A thread may end between these two.
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    // Field 2 is the name in parentheses; the first after them is field 3.
    let nice = |stat: String| stat.split_once(&format!("({name}) ")).map(|(_, rest)| rest.split(' ').nth(16).unwrap().parse().unwrap());
    stats.filter_map(nice).collect()
}

#[test]
fn sigterm_ends_it_during_the_first_probes_and_sighup_is_kept_for_after_them() {
    let folder = config();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let service = format!("{{monitor: {{http: {{}}, port: {port}, interval: 60s, timeout: 50s}}, endpoints: [127.0.0.1]}}");
    folder.write("regions.yaml", &REGIONS.replace("192.0.2.1", &service));
    let server = Server::launch(&folder.join("meridian.yaml"));
    let (_probe, _) = silent.accept().unwrap();
    server.signal("TERM");
    let (status, log) = server.wait();
    assert!(status.success() && !log.iter().any(|line| line.contains("serving")), "{log:?}");

    let server = Server::launch(&folder.join("meridian.yaml"));
    let (probe, _) = silent.accept().unwrap();
    server.signal("HUP");
    drop(probe);
    server.wait_for(0, "ready");
    server.wait_for(0, "reloaded");
}
