//! The layers of examples/three-regions at work on loopback: Meridian chooses a region, haproxy a server of it, nginx answers; seen by dig and curl.
//! Only addresses, ports and the pace of probes differ from the files of the example. Its other files are looked at by their own programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use common::daemon::{Daemon, Recipe, find};
use common::folder::Folder;
use common::server::Server;
use common::{skip_without, wait_until};

/// The regions of the example, the address of haproxy, and the network of its servers.
const REGIONS: [(&str, &str); 3] = [("eu-west", "192.0.2.10"), ("us-east", "198.51.100.10"), ("ap-southeast", "203.0.113.10")];

/// What nginx needs to run in the foreground with nothing outside its folder.
const NGINX_HEAD: &str = "error_log stderr notice;\npid nginx.pid;\nworker_processes 1;\n";
const NGINX_FOLDERS: &str = "http {\n    access_log off;\n    client_body_temp_path db/a;\n    proxy_temp_path db/b;\n    fastcgi_temp_path db/c;\n    \
                             uwsgi_temp_path db/d;\n    scgi_temp_path db/e;\n";

fn example(file: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(file)).unwrap()
}

/// Ports of the three layers, free just now on every address of loopback that matters.
#[derive(Clone, Copy)]
struct Ports {
    web: u16,
    app: u16,
    alive: u16,
}

impl Ports {
    fn free() -> Ports {
        let port = || TcpListener::bind((Ipv4Addr::new(127, 10, 1, 1), 0)).unwrap();
        let taken = [port(), port(), port()];
        let [web, app, alive] = taken.map(|listener| listener.local_addr().unwrap().port());
        Ports { web, app, alive }
    }
}

/// A region of the example, counted from 1, with addresses of loopback.
fn at_home(text: &str, number: usize, ports: Ports) -> String {
    let (name, _) = REGIONS[number - 1];
    text.replace("eu-west", name)
        // Descriptors of a test are few.
        .replace("maxconn 20000", "maxconn 1000")
        .replace("192.0.2.10:80\n", &format!("127.10.{number}.1:{}\n", ports.web))
        .replace("192.0.2.10:8404", &format!("127.10.{number}.1:{}", ports.alive))
        .replace("10.1.0.0/24", "127.0.0.0/8")
        .replace("10.1.0.11:8080", &format!("127.10.{number}.11:{}", ports.app))
        .replace("10.1.0.12:8080", &format!("127.10.{number}.12:{}", ports.app))
        .replace("inter 1s fall 2 rise 2", "inter 100ms fall 2 rise 1")
}

fn haproxy(number: usize, ports: Ports) -> Option<Daemon> {
    let config = at_home(&example("three-regions/haproxy.cfg"), number, ports);
    Daemon::start(&Recipe {
        program: "haproxy",
        arguments: &["-W", "-db", "-f", "@CONFIG@"],
        config: &config,
        files: &[],
        ready: "Loading success",
    })
}

fn nginx(number: usize, ports: Ports) -> Option<Daemon> {
    let config = at_home(&example("three-regions/nginx.conf"), number, ports);
    let config = NGINX_HEAD.to_owned() + &config.replacen("http {\n", NGINX_FOLDERS, 1);
    let arguments = &["-e", "stderr", "-g", "daemon off;", "-p", "@FOLDER@", "-c", "@CONFIG@"];
    Daemon::start(&Recipe { program: "nginx", arguments, config: &config, files: &[], ready: "start worker process " })
}

fn said(program: &PathBuf, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&Command::new(program).args(arguments).output().unwrap().stdout).trim().to_owned()
}

#[test]
fn losing_haproxy_or_all_of_nginx_takes_a_region_out_and_clients_are_served_by_the_next() {
    for program in ["dig", "curl", "haproxy", "nginx"] {
        if find(program).is_none() {
            return skip_without(program);
        }
    }
    let (dig, curl) = (find("dig").unwrap(), find("curl").unwrap());
    let ports = Ports::free();
    let mut nginx = [1, 2, 3].map(|number| nginx(number, ports));
    let mut haproxy = [1, 2, 3].map(|number| haproxy(number, ports));
    let regions = (1..)
        .zip(REGIONS)
        .fold(example("three-regions/regions.yaml"), |text, (number, (_, address))| text.replace(address, &format!("127.10.{number}.1")));
    let regions = regions
        .replace("port: 8404", &format!("port: {}", ports.alive))
        .replace("interval: 2s, timeout: 1s", "interval: 200ms, timeout: 190ms");
    let server = example("three-regions/meridian.yaml")
        .replace("[\"0.0.0.0:53\", \"[::]:53\"]", "\"127.0.0.1:0\"")
        .replace("/var/lib/meridian", "state");
    let folder = Folder::with(
        "stack",
        &[
            ("meridian.yaml", &server),
            ("regions.yaml", &regions),
            ("geo.example.com.zone.yaml", &example("three-regions/geo.example.com.zone.yaml")),
        ],
    );
    let meridian = Server::start(&folder.join("meridian.yaml"));
    let dns_port = meridian.address().port().to_string();
    // A client in Britain.
    let address = || said(&dig, &["@127.0.0.1", "-p", &dns_port, "www.geo.example.com", "A", "+subnet=81.2.69.0/24", "+short", "+tries=3"]);
    let page = || said(&curl, &["--silent", "--max-time", "5", "--noproxy", "*", &format!("http://{}:{}/", address(), ports.web)]);
    let is_served_by = |number: usize| {
        let (name, _) = REGIONS[number - 1];
        let wanted = format!("127.10.{number}.1");
        wait_until(|| address() == wanted, || format!("{} is answered, not {wanted}", address()));
        // The client is known behind both proxies.
        wait_until(|| page() == format!("{name} greets 127.0.0.1"), || format!("{name} does not greet: {}", page()));
    };
    is_served_by(1);
    haproxy[0] = None;
    is_served_by(2);
    nginx[1] = None;
    is_served_by(3);
    haproxy[0] = self::haproxy(1, ports);
    is_served_by(1);
}

#[test]
fn the_programs_that_the_examples_are_for_take_their_files() {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (program, arguments, file) in [
        ("haproxy", &["-c", "-f"][..], "three-regions/haproxy.cfg"),
        ("keepalived", &["--config-test", "--log-console", "--use-file"], "active-passive/keepalived.conf"),
    ] {
        let Some(found) = find(program) else {
            skip_without(program);
            continue;
        };
        // Interfaces and programs are looked for: the example has those of another machine.
        let Some(interface) = interface() else {
            eprintln!("skipped: `{file}` needs an interface that is not loopback");
            continue;
        };
        let text = fs::read_to_string(examples.join(file)).unwrap();
        let text = text.replace("eth0", &interface).replace("/usr/bin/meridian", env!("CARGO_BIN_EXE_meridian"));
        let folder = Folder::with("stack-config", &[("config", &text)]);
        let output = Command::new(found).args(arguments).arg(folder.join("config")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {said}");
    }
}

/// An interface of this machine, none where it has loopback only.
fn interface() -> Option<String> {
    let names = fs::read_dir("/sys/class/net").ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name != "lo").min()
}
