//! `user:` over the real binary, started as root: what it may afterwards, what it owns, and what it says. Skipped, with the reason, where the tests
//! are not run as root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use common::client::{tcp, udp};
use common::folder::Folder;
use common::message::query;
use common::server::{Server, run};

/// A user that every system has.
const USER: &str = "nobody";

/// Only root may bind it, and nothing uses it.
const PORT: u16 = 1001;

const FILES: [(&str, &str); 2] = [
    ("regions.yaml", "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services: {web: 192.0.2.1}\n"),
    ("z.zone.yaml", "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web}}\n"),
];

fn folder(name: &str, more: &str) -> Folder {
    let folder = Folder::with(name, &FILES);
    folder.write("meridian.yaml", &format!("version: 1\nregions: regions.yaml\nzones: z.zone.yaml\nstate_dir: state\n{more}"));
    folder
}

fn id(option: &str) -> u32 {
    let output = Command::new("id").args([option, USER]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        eprintln!("skipped: the tests are not run as root");
    }
    is_root
}

/// Each thread of a process has these rights and no other.
fn assert_plain(process: u32) {
    let (user, group) = (id("-u"), id("-g"));
    for thread in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().replace('\t', " ");
        assert_eq!(line("Uid:"), format!("{user} {user} {user} {user}"));
        assert_eq!(line("Gid:"), format!("{group} {group} {group} {group}"));
        assert!(line("Groups:").split_whitespace().all(|of| of.parse() == Ok(group)), "{status}");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(line(set).trim_matches('0'), "", "{set} {status}");
        }
    }
}

#[test]
fn a_server_that_was_root_binds_and_keeps_nothing_of_it() {
    if !is_root() {
        return;
    }
    let folder = folder("root", &format!("listen: \"127.0.0.77:{PORT}\"\nuser: {USER}\napi: {{listen: \"127.0.0.77:{PORT}1\"}}\n"));
    // As an earlier run as root has left it.
    fs::create_dir(folder.join("state")).unwrap();
    folder.write("state/health.state", "broken");
    let config = folder.join("meridian.yaml");
    let server = Server::start(&config);
    let ask = |server: &Server| {
        assert_eq!(udp(server.address(), &query("www.example.com", "A")).addresses().len(), 1);
        assert_eq!(tcp(server.address(), &query("www.example.com", "A")).addresses().len(), 1);
    };
    ask(&server);
    assert_plain(server.process());
    for owned in ["state", "state/control.sock", "state/health.state.broken"] {
        assert_eq!(fs::metadata(folder.join(owned)).unwrap().uid(), id("-u"), "{owned}");
    }
    // Root commands it, and a reload says what takes a restart.
    let output = run(&["ctl", "up", "a", "--reason", "test", "--config", config.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&config).unwrap();
    let more = text.replace(&format!("\"127.0.0.77:{PORT}\""), &format!("[\"127.0.0.77:{PORT}\", \"127.0.0.78:{PORT}\"]"));
    folder.write("meridian.yaml", &more);
    let mark = server.mark();
    server.signal("HUP");
    server.wait_for(mark, "a change of `listen` takes a restart");
    server.wait_for(mark, "reloaded");
    // So does a takeover, which gives its rights up before it asks.
    let (status, log) = Server::take_over(&config).wait();
    let needs_root = log.iter().any(|line| line.contains(&format!("127.0.0.78:{PORT}"))) && !status.success();
    let anyone_may = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").is_ok_and(|port| port.trim() == "0");
    assert!(needs_root || anyone_may, "{log:?}");
    folder.write("meridian.yaml", &text);
    let new = Server::take_over(&config);
    new.wait_for(0, "took over");
    new.wait_for(0, "ready");
    assert!(server.wait().0.success());
    ask(&new);
    assert_plain(new.process());
    assert!(new.stop().0.success());
    assert!(fs::metadata(folder.join("state/health.state")).is_ok_and(|file| file.uid() == id("-u")), "it was saved");
}

#[test]
fn a_user_that_is_not_there_is_told_and_root_without_one_is_warned() {
    if !is_root() {
        return;
    }
    let folder = folder("nobody", "listen: \"127.0.0.1:0\"\nuser: meridian-of-nowhere\n");
    let config = folder.join("meridian.yaml");
    let (status, log) = Server::launch(&config).wait();
    assert!(status.code() == Some(1) && log.iter().any(|line| line.contains("there is no user `meridian-of-nowhere`")), "{log:?}");
    let text = fs::read_to_string(&config).unwrap();
    folder.write("meridian.yaml", &text.replace("user: meridian-of-nowhere\n", ""));
    let server = Server::start(&config);
    server.wait_for(0, "serves as root");
    assert!(server.stop().0.success());
}
