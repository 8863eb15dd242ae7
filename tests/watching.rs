//! `watch: true` over the real binary: a change of any file that was read is noticed however it was made, loaded once it has come to rest, and
//! in force only if all of it is good.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::client::udp;
use common::folder::Folder;
use common::message::query;
use common::server::Server;
use serde_json::Value;

const SERVER: &str =
    "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: \"*.zone.yaml\"\nnetworks: networks.csv\ncontrol: control.sock\n";
const COOKIES: &str = "cookies: {secrets: cookies.txt}\n";
const REGIONS: &str = "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services: {web: 192.0.2.1}\n";
const NETWORKS: &str = "network,latitude,longitude\n10.0.0.0/8,1,10\n";

fn zone(name: &str, address: &str) -> String {
    format!("zone: {name}\nns: [ns1]\nrecords_file: {name}.records\nrecords:\n  ns1: {{A: 192.0.2.53}}\n  www: {{A: {address}}}\n")
}

fn folder(name: &str, more: &str) -> Folder {
    let files = [
        ("meridian.yaml", format!("{SERVER}{more}")),
        ("regions.yaml", REGIONS.into()),
        ("networks.csv", NETWORKS.into()),
        ("a.zone.yaml", zone("a.example", "192.0.2.1")),
        ("a.example.records", "static 60 IN A 192.0.2.1\n".into()),
        ("cookies.txt", "0123456789abcdef0123456789abcdef\n".into()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    Folder::with(name, &files)
}

fn addresses(server: &Server, name: &str) -> Vec<IpAddr> {
    udp(server.address(), &query(name, "A")).addresses()
}

/// What the server says of itself.
fn status(socket: &Path) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn is(address: &str) -> Vec<IpAddr> {
    vec![address.parse().unwrap()]
}

/// Replaces a file as editors and deployment tools do: beside it, then renamed.
fn replace(folder: &Folder, file: &str, text: &str) {
    folder.write("beside", text);
    fs::rename(folder.join("beside"), folder.join(file)).unwrap();
}

#[test]
fn r1_a_rewrite_a_rename_and_a_new_file_are_noticed_and_what_is_bad_changes_nothing() {
    let folder = folder("watched", &format!("watch: true\n{COOKIES}"));
    let server = Server::start(&folder.join("meridian.yaml"));
    let reloaded = |change: &dyn Fn()| {
        let mark = server.mark();
        change();
        server.wait_for(mark, "files of the configuration have changed");
        server.wait_for(mark, "reloaded");
    };
    // In place, with the same length.
    reloaded(&|| folder.write("a.zone.yaml", &zone("a.example", "192.0.2.2")));
    assert_eq!(addresses(&server, "www.a.example"), is("192.0.2.2"));
    reloaded(&|| replace(&folder, "a.zone.yaml", &zone("a.example", "192.0.2.3")));
    assert_eq!(addresses(&server, "www.a.example"), is("192.0.2.3"));
    // A file that a zone names.
    reloaded(&|| folder.write("a.example.records", "static 60 IN A 192.0.2.9\n"));
    assert_eq!(addresses(&server, "static.a.example"), is("192.0.2.9"));
    // One that the glob did not match before, and one more that it names.
    reloaded(&|| {
        folder.write("b.example.records", "static 60 IN A 192.0.2.8\n");
        folder.write("b.zone.yaml", &zone("b.example", "192.0.2.4"));
    });
    assert_eq!(addresses(&server, "static.b.example"), is("192.0.2.8"));
    // Geo data.
    reloaded(&|| replace(&folder, "networks.csv", "network,latitude,longitude\n10.0.0.0/8,1,10\n11.0.0.0/8,1,10\n"));
    // What no message shows is watched, too.
    reloaded(&|| folder.write("cookies.txt", "fedcba9876543210fedcba9876543210\n"));
    // Half written: all of it stays as it was, and what is mended is in force without anybody's doing.
    let mark = server.mark();
    let text = zone("a.example", "192.0.2.5");
    folder.write("a.zone.yaml", &text[..text.len() - 12]);
    server.wait_for(mark, "reload refused");
    assert_eq!(addresses(&server, "www.a.example"), is("192.0.2.3"));
    reloaded(&|| folder.write("a.zone.yaml", &text));
    assert_eq!(addresses(&server, "www.a.example"), is("192.0.2.5"));
    // A configuration whose tests fail is one that is bad.
    let mark = server.mark();
    let tests = "tests: [{name: www.a.example, client: 10.0.0.1, expect: {addresses: [192.0.2.77]}}]\n";
    folder.write("meridian.yaml", &format!("{SERVER}watch: true\n{COOKIES}{tests}"));
    server.wait_for(mark, "reload refused");
    // By the key it ends, and it is the reload that takes the key away which is the last.
    reloaded(&|| folder.write("meridian.yaml", &format!("{SERVER}{COOKIES}")));
    let mark = server.mark();
    folder.write("a.zone.yaml", &zone("a.example", "192.0.2.6"));
    server.signal("HUP");
    server.wait_for(mark, "reloaded");
    assert_eq!(addresses(&server, "www.a.example"), is("192.0.2.6"));
    let (status, log) = server.stop();
    assert!(status.success() && !log[mark..].iter().any(|line| line.contains("have changed")), "{log:?}");
}

/// As the kubelet updates a ConfigMap: files are links into `..data`, which is a link to a folder that is replaced.
#[test]
fn r1_the_swap_of_a_link_above_all_files_is_noticed_and_told() {
    let mounted = Folder::new("configmap");
    let version = |name: &str, address: &str| {
        fs::create_dir(mounted.join(name)).unwrap();
        let files = [
            ("meridian.yaml", format!("{SERVER}watch: true\n")),
            ("regions.yaml", REGIONS.into()),
            ("networks.csv", NETWORKS.into()),
            ("a.zone.yaml", zone("a.example", address)),
            ("a.example.records", "static 60 IN A 192.0.2.1\n".into()),
        ];
        files.iter().for_each(|(file, text)| fs::write(mounted.join(name).join(file), text).unwrap());
        symlink(name, mounted.join("..new")).unwrap();
        fs::rename(mounted.join("..new"), mounted.join("..data")).unwrap();
    };
    version("..1", "192.0.2.1");
    for file in ["meridian.yaml", "regions.yaml", "networks.csv", "a.zone.yaml", "a.example.records"] {
        symlink(format!("..data/{file}"), mounted.join(file)).unwrap();
    }
    let server = Server::start(&mounted.join("meridian.yaml"));
    let mark = server.mark();
    version("..2", "192.0.2.2");
    fs::remove_dir_all(mounted.join("..1")).unwrap();
    server.wait_for(mark, "files of the configuration have changed");
    server.wait_for(mark, "reloaded");
    assert_eq!(addresses(&server, "www.a.example"), is("192.0.2.2"));
    let told = status(&mounted.join("control.sock"));
    assert_eq!(told["watched_load"]["outcome"], "done", "{told}");
    assert!(server.stop().0.success());
}
