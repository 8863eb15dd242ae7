//! One process after another, over the real binary: a new one takes over from the one that runs, under load, and no query is lost; one that
//! fails leaves all as it was; and sockets that a service manager has opened are served.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::client::{Tcp, tcp, udp};
use common::folder::Folder;
use common::message::{Reply, query};
use common::server::{Server, run};
use common::{PATIENCE, signal, wait_until};

const ZONE: &str = "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web}}\n";
const REGIONS: &str = "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services: {web: 192.0.2.1}\n  b:\n    \
                       location: {latitude: 2, longitude: 10}\n    services: {web: 192.0.2.2}\n";

fn folder(name: &str, server: &str) -> Folder {
    let server = format!("version: 1\nregions: regions.yaml\nzones: z.zone.yaml\ncontrol: control.sock\n{server}");
    Folder::with(name, &[("meridian.yaml", &server), ("regions.yaml", REGIONS), ("z.zone.yaml", ZONE)])
}

fn config(folder: &Folder) -> std::path::PathBuf {
    folder.join("meridian.yaml")
}

fn ctl(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let socket = folder.join("control.sock");
    let output = run(&[&["ctl"], arguments, &["--socket", socket.to_str().unwrap()]].concat());
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn www(server: SocketAddr) -> Vec<IpAddr> {
    udp(server, &query("www.example.com", "A")).addresses()
}

/// Waits for the new process to serve, and then for the end of the old one.
fn wait_for_succession(new: &Server, old: Server) {
    new.wait_for(0, "took over");
    new.wait_for(0, "ready");
    let (status, log) = old.wait();
    assert!(status.success() && log.iter().any(|line| line.contains("stopped; ")), "{log:?}");
}

/// Queries a second in all: half of them in packets, a third on connections that are kept, the rest each on a connection of its own.
const RATE: u32 = 3_000;
const KEPT: u32 = 10;
const FRESH: u32 = 5;
const CONNECTION_RATE: u32 = 100;

/// Sockets from which packets are sent, so that each of the server's gets some.
const SENDERS: usize = 16;

/// A reply may take so long on a machine that does much else.
const SLOW: Duration = Duration::from_secs(5);

/// Calls `work` so often a second, late rather than fewer times, until `stop`; gives back how often.
fn paced(rate: u32, stop: &AtomicBool, mut work: impl FnMut(u32)) -> u32 {
    let start = Instant::now();
    let mut done = 0;
    while !stop.load(Relaxed) {
        while u128::from(done) < start.elapsed().as_micros() * u128::from(rate) / 1_000_000 {
            work(done);
            done += 1;
        }
        // The pace of the load, which is what this is for.
        thread::sleep(Duration::from_millis(1));
    }
    done
}

/// Sends packets without waiting for replies; gives back how many were sent, how many of them were not answered, and how many the kernel
/// dropped at the senders.
fn packets(server: SocketAddr, stop: &AtomicBool) -> (u32, usize, u64) {
    let sockets: Vec<UdpSocket> = (0..SENDERS)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(server).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let mut octets = query("www.example.com", "A").octets();
    let waiting = std::cell::RefCell::new(HashSet::new());
    let collect = || {
        let mut reply = [0; 1500];
        for (at, socket) in sockets.iter().enumerate() {
            loop {
                match socket.recv(&mut reply) {
                    Ok(_) => _ = waiting.borrow_mut().remove(&(at, [reply[0], reply[1]])),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}: nobody listens"),
                }
            }
        }
    };
    let sent = paced(RATE / 2, stop, |number| {
        let (at, id) = (number as usize % SENDERS, (number / SENDERS as u32) as u16);
        octets[..2].copy_from_slice(&id.to_be_bytes());
        assert!(waiting.borrow_mut().insert((at, id.to_be_bytes())), "an id is used twice");
        sockets[at].send(&octets).unwrap();
        collect();
    });
    let end = Instant::now() + SLOW;
    while !waiting.borrow().is_empty() && Instant::now() < end {
        collect();
        thread::sleep(Duration::from_millis(1));
    }
    let lost = waiting.borrow().len();
    (sent, lost, sockets.iter().map(|socket| dropped(socket.local_addr().unwrap())).sum())
}

/// Packets that the kernel dropped at the sockets of an address.
fn dropped(address: SocketAddr) -> u64 {
    let port = format!(":{:04X} ", address.port());
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let of_port = table.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|local| format!("{local} ").ends_with(&port)));
    of_port.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

/// Asks on a connection that is kept. One that is closed while a query is on its way is opened again and asked again (RFC 7766 6.2.4).
fn kept(server: SocketAddr, stop: &AtomicBool) -> (u32, u32) {
    let octets = query("www.example.com", "A").octets();
    let (mut connection, mut reopened) = (Tcp::to(server), 0);
    let asked = paced(CONNECTION_RATE, stop, |_| {
        if connection.try_ask(&octets).is_none() {
            reopened += 1;
            connection = Tcp::to(server);
            assert!(connection.try_ask(&octets).is_some(), "a new connection is closed at once");
        }
    });
    (asked, reopened)
}

/// Asks each time on a connection of its own, which must be taken and answered.
fn fresh(server: SocketAddr, stop: &AtomicBool) -> u32 {
    let octets = query("www.example.com", "A").octets();
    paced(CONNECTION_RATE, stop, |_| {
        let reply = Tcp::to(server).try_ask(&octets).expect("a new connection is answered");
        assert!(!Reply::read(&reply).addresses().is_empty());
    })
}

#[test]
fn no_query_is_lost_in_ten_takeovers_under_load() {
    let folder = folder("ten", "listen: \"127.0.0.1:0\"\nworkers: 2\nstate_dir: state\n");
    let mut running = Server::start(&config(&folder));
    let address = running.address();
    assert_eq!(ctl(&folder, &["drain", "a", "--reason", "test"]).0, Some(0));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| packets(address, &stop));
        let keeping: Vec<_> = (0..KEPT).map(|_| scope.spawn(|| kept(address, &stop))).collect();
        let opening: Vec<_> = (0..FRESH).map(|_| scope.spawn(|| fresh(address, &stop))).collect();
        let mut old = Vec::new();
        for _ in 0..10 {
            let new = Server::take_over(&config(&folder));
            new.wait_for(0, "took over");
            new.wait_for(0, "ready");
            assert_eq!(new.address(), address);
            assert_eq!(www(address), ["192.0.2.2".parse::<IpAddr>().unwrap()], "the drain by hand goes on");
            old.push(std::mem::replace(&mut running, new));
        }
        for old in old {
            assert!(old.wait().0.success());
        }
        stop.store(true, Relaxed);
        let (sent, lost, at_senders) = sending.join().unwrap();
        let by_kernel = at_senders + dropped(address);
        assert!(lost as u64 <= by_kernel, "{lost} of {sent} queries in packets were lost, {by_kernel} by the kernel");
        let kept: Vec<_> = keeping.into_iter().map(|thread| thread.join().unwrap()).collect();
        let opened: u32 = opening.into_iter().map(|thread| thread.join().unwrap()).sum();
        let asked: u32 = kept.iter().map(|(asked, _)| asked).sum();
        let reopened: u32 = kept.iter().map(|(_, reopened)| reopened).sum();
        println!(
            "{sent} packets ({by_kernel} dropped by the kernel), {asked} on kept connections ({reopened} opened again), {opened} on new"
        );
        assert!(reopened <= KEPT * 10, "{reopened}: a takeover closes a connection once");
    });
    assert_eq!(ctl(&folder, &["ready"]).0, Some(0));
    assert!(running.stop().0.success());
    assert!(!folder.join("control.sock").exists(), "the last one takes its socket with it");
}

#[test]
fn a_process_that_cannot_take_over_leaves_the_old_one_as_it_was() {
    let folder = folder("fails", "listen: \"127.0.0.1:0\"\n");
    let old = Server::start(&config(&folder));
    let address = old.address();
    // Refused before it has even asked.
    folder.write("regions.yaml", "regions: []\n");
    assert_eq!(Server::take_over(&config(&folder)).wait().0.code(), Some(3));
    assert!(!old.lines().iter().any(|line| line.contains("wants to take over")));
    // An address that is no one's here.
    let good = std::fs::read_to_string(config(&folder)).unwrap();
    folder.write("regions.yaml", REGIONS);
    folder.write("meridian.yaml", &good.replace("\"127.0.0.1:0\"", "[\"127.0.0.1:0\", \"192.0.2.123:5300\"]"));
    let (status, log) = Server::take_over(&config(&folder)).wait();
    assert!(status.code() == Some(1) && log.iter().any(|line| line.contains("192.0.2.123:5300")), "{log:?}");
    old.wait_for(0, "the takeover came to nothing, this process goes on");
    // One that is killed while it waits for its first probes: of a target that answers nobody.
    folder.write("meridian.yaml", &good);
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let monitor = format!(
        "{{endpoints: 192.0.2.1, monitor: {{http: {{port: {}}}, address: 127.0.0.1, timeout: 9s, interval: 10s}}}}",
        deaf.local_addr().unwrap().port()
    );
    folder.write("regions.yaml", &REGIONS.replace("web: 192.0.2.1", &format!("web: {monitor}")));
    let mark = old.mark();
    let new = Server::take_over(&config(&folder));
    old.wait_for(mark, "wants to take over");
    let (code, text) = ctl(&folder, &["drain", "b", "--reason", "test"]);
    assert!(code == Some(1) && text.contains("another process takes over"), "{code:?} {text}");
    assert_eq!(ctl(&folder, &["ready"]).0, Some(0), "the old one is as ready as ever");
    drop(new);
    old.wait_for(mark, "the takeover came to nothing, this process goes on");
    assert_eq!(www(address).len(), 1);
    assert_eq!(ctl(&folder, &["drain", "b", "--reason", "test"]).0, Some(0));
    assert_eq!(www(address), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert!(old.stop().0.success());
}

#[test]
fn health_goes_from_process_to_process_and_listeners_follow_the_configuration() {
    let folder = folder("moves", "listen: [\"127.0.0.1:0\", \"127.0.0.2:0\"]\nworkers: 1\napi: {listen: \"127.0.0.1:0\"}\n");
    let old = Server::start(&config(&folder));
    let (kept, dropped) = (old.addresses()[0], old.addresses()[1]);
    assert_eq!(ctl(&folder, &["drain", "b", "--reason", "test"]).0, Some(0));
    let mut connection = Tcp::to(kept);
    assert_eq!(connection.ask(&query("www.example.com", "A")).addresses().len(), 1);
    let text = std::fs::read_to_string(config(&folder)).unwrap();
    folder.write("meridian.yaml", &text.replace("\"127.0.0.2:0\"", "\"127.0.0.3:0\"").replace("workers: 1", "workers: 3"));
    let new = Server::take_over(&config(&folder));
    new.wait_for_all(0, &["closed", "127.0.0.2:0"]);
    // Without a file: only the old process could know of the drain.
    new.wait_for(0, "ready");
    assert_eq!(new.addresses()[0], kept);
    for address in new.addresses() {
        assert_eq!(www(address), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(tcp(address, &query("www.example.com", "A")).addresses().len(), 1);
    }
    // A connection that was open is answered on, by the process that has it.
    assert_eq!(connection.ask(&query("www.example.com", "A")).addresses().len(), 1);
    drop(connection);
    wait_for_succession(&new, old);
    assert!(TcpListener::bind(dropped).is_ok(), "nobody has the address that is no longer listed");
    // Nothing is left that could be taken over a second time by whoever comes late.
    assert!(new.stop().0.success());
    let alone = Server::take_over(&config(&folder));
    alone.wait_for(0, "this is a start as any");
    alone.wait_for(0, "ready");
    assert!(alone.stop().0.success());
}

#[test]
fn a_signal_has_the_program_take_over_from_itself_and_the_service_manager_follows() {
    let folder = folder("signal", "listen: \"127.0.0.1:0\"\nsandbox: false\n");
    let path = folder.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut octets = [0; 512];
        let length = manager.recv(&mut octets).unwrap();
        String::from_utf8_lossy(&octets[..length]).into_owned()
    };
    let environment = [("NOTIFY_SOCKET", path.as_path()), ("WATCHDOG_USEC", Path::new("60000000"))];
    let old = Server::launch_with(&config(&folder), &environment);
    assert!(hear().starts_with("READY=1"));
    old.wait_for(0, "ready");
    let address = old.address();
    assert_eq!(hear(), "WATCHDOG=1", "the first sign of life");
    let mark = old.mark();
    old.signal("USR2");
    let line = old.wait_for(mark, "to take over process=");
    let new: u32 = line.split("process=").nth(1).unwrap().trim().parse().unwrap();
    // Both write to the same log, as they share standard error.
    old.wait_for(mark, "took over");
    assert!(hear().starts_with(&format!("MAINPID={new}\n")));
    assert!(hear().starts_with("READY=1"), "by the new one");
    assert_eq!(hear(), "WATCHDOG=1", "which gives signs of life too");
    old.wait_for(mark, "stopped; ");
    assert_eq!(www(address).len(), 1);
    assert_eq!(ctl(&folder, &["ready"]).0, Some(0));
    assert!(signal(new, "TERM"));
    assert!(hear().starts_with("STOPPING=1"));
    let (status, _) = old.wait();
    assert!(status.success());
    wait_until(|| !folder.join("control.sock").exists(), || "the control socket is still there".into());
}

#[test]
fn sockets_of_a_service_manager_are_served() {
    let (packets, streams) = loop {
        // Another process may have the port for the other transport.
        let packets = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(streams) = TcpListener::bind(packets.local_addr().unwrap()) {
            break (packets, streams);
        }
    };
    let address = packets.local_addr().unwrap();
    // As a service manager leaves them: a socket that waits for nobody would have a worker spin.
    packets.set_nonblocking(true).unwrap();
    let folder = folder("activated", &format!("listen: \"{address}\"\nworkers: 2\n"));
    let start = |names, packets: &UdpSocket, streams: &TcpListener| {
        Server::activate(&config(&folder), names, packets.try_clone().unwrap().into(), streams.try_clone().unwrap().into())
    };
    let server = start("meridian.socket:meridian.socket:meridian.socket", &packets, &streams);
    // What comes before it serves waits in the socket.
    let early = UdpSocket::bind("127.0.0.1:0").unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    early.send_to(&query("www.example.com", "A").octets(), address).unwrap();
    assert!(early.recv(&mut [0; 512]).unwrap() > 12);
    server.wait_for(0, "ready");
    assert_eq!(www(address).len(), 1);
    assert_eq!(tcp(address, &query("www.example.com", "A")).addresses().len(), 1);
    // A takeover hands them on.
    let new = Server::take_over(&config(&folder));
    wait_for_succession(&new, server);
    assert_eq!(www(address).len(), 1);
    assert!(new.stop().0.success());
    // They outlive the service, and a name that does not fit is told.
    let (status, log) = start("tcp:udp:udp", &packets, &streams).wait();
    assert!(status.code() == Some(1) && log.iter().any(|line| line.contains("write `ListenStream`")), "{log:?}");
}
