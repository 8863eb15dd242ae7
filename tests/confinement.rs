//! The confined server as an operator meets it: it says so, does all its work within its folders, and a reload cannot widen what it may do.
//! Where the kernel has no Landlock the tests say so and end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]
#![cfg(target_os = "linux")]

mod common;

use common::backend::Backend;
use common::client::udp;
use common::folder::Folder;
use common::message::query;
use common::server::{self, Server};

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\nstate_dir: state\n\
                      query_log: {json: logs/queries.json}\n";
const ZONE: &str = "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web}}\n";

fn regions(monitor: &str) -> String {
    format!(
        "regions:\n  a:\n    location: {{latitude: 1, longitude: 10}}\n    services:\n      web: {{endpoints: [192.0.2.1], monitor: {monitor}}}\n"
    )
}

fn folder(name: &str, more: &str, monitor: &str) -> Folder {
    let files = [("meridian.yaml", &*format!("{SERVER}{more}")), ("regions.yaml", &*regions(monitor)), ("z.zone.yaml", ZONE)];
    let folder = Folder::with(name, &files);
    std::fs::create_dir(folder.join("logs")).unwrap();
    folder
}

/// Whether the process may gain rights by running programs; Landlock takes that away, nothing else here does.
fn has_no_new_privileges(server: &Server) -> bool {
    std::fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap().contains("NoNewPrivs:\t1")
}

/// The line about it; none where the kernel has no Landlock.
fn confined(server: &Server) -> Option<String> {
    let line = server.lines().into_iter().find(|line| line.contains("confined")).unwrap();
    if line.contains("this kernel has no Landlock") {
        eprintln!("skipped: this kernel has no Landlock");
        return None;
    }
    Some(line)
}

#[test]
fn the_server_is_confined_from_its_start_and_works_so() {
    let backend = Backend::start();
    let monitor =
        format!("{{http: {{path: /, port: {}}}, address: 127.0.0.1, interval: 200ms, timeout: 150ms, fall: 1, rise: 1}}", backend.port());
    let folder = folder("confined", "", &monitor);
    let server = Server::start(&folder.join("meridian.yaml"));
    let Some(line) = confined(&server) else { return };
    assert!(line.contains("confined by Landlock") && line.contains("state") && line.contains("logs") && line.contains("none"), "{line}");
    assert!(has_no_new_privileges(&server));
    assert_eq!(udp(server.address(), &query("www.example.com", "A")).answers().len(), 1);
    // It still reads files anew, is asked over its socket, and saves what it is told.
    folder.write("new.zone.yaml", "zone: example.net\nns: [ns1]\nrecords: {ns1: {A: 192.0.2.54}}\n");
    folder.write("meridian.yaml", &SERVER.replace("zones: z.zone.yaml", "zones: [z.zone.yaml, new.zone.yaml]"));
    let config = folder.join("meridian.yaml");
    let config = config.to_str().unwrap();
    for arguments in [&["ctl", "reload", "--config", config][..], &["ctl", "drain", "a", "--config", config]] {
        let output = server::run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(udp(server.address(), &query("ns1.example.net", "A")).answers().len(), 1);
    let (status, log) = server.stop();
    assert!(status.success());
    assert!(!log.iter().any(|line| line.contains("ermission denied")), "{}", log.join("\n"));
    let state =
        std::fs::read_dir(folder.join("state")).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
    assert!(state.collect::<String>().contains("drain"), "the override is saved");
    assert!(std::fs::read_to_string(folder.join("logs/queries.json")).unwrap().contains("www.example.com"));
}

#[test]
fn a_reload_gives_nothing_back_of_what_was_given_up() {
    let backend = Backend::start();
    let folder = folder("confined-reload", "", &format!("{{http: {{path: /, port: {}}}, address: 127.0.0.1}}", backend.port()));
    let server = Server::start(&folder.join("meridian.yaml"));
    if confined(&server).is_none() {
        return;
    }
    folder.write("meridian.yaml", &format!("{SERVER}exec_probes: true\n"));
    folder.write("regions.yaml", &regions("{exec: {command: [/bin/true]}, address: 127.0.0.1, interval: 200ms, timeout: 150ms, fall: 1}"));
    let mark = server.mark();
    server.signal("HUP");
    server.wait_for(mark, "a change of `exec_probes` takes a restart");
    server.wait_for_all(mark, &["reloaded"]);
    let config = folder.join("meridian.yaml");
    let seen = || String::from_utf8(server::run(&["status", "--config", config.to_str().unwrap()]).stdout).unwrap();
    common::wait_until(|| seen().contains("ermission denied"), seen);
    // Our own fault, which is no evidence against the target.
    assert_eq!(udp(server.address(), &query("www.example.com", "A")).answers().len(), 1);
}

#[test]
fn where_monitors_run_programs_or_the_operator_says_so_nothing_is_confined() {
    for more in ["exec_probes: true\n", "sandbox: false\n"] {
        let folder = folder("unconfined", more, "{exec: {command: [/bin/true]}, address: 127.0.0.1}");
        if more.starts_with("sandbox") {
            folder.write("regions.yaml", &regions("{tcp: {port: 1}, address: 127.0.0.1}"));
        }
        let server = Server::start(&folder.join("meridian.yaml"));
        let line = confined(&server).unwrap();
        assert!(line.contains("not confined"), "{line}");
        assert!(!has_no_new_privileges(&server), "{more}");
    }
}
