//! The server that is flooded, those who ask it honestly meanwhile, and what must hold of both afterwards.
//! A flood is bounded: at most 50,000 packets a second from this process, and no longer than the honest ones ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::common::folder::Folder;
use super::common::gauge::{Page, Usage};
use super::common::message::query;
use super::common::secure::{Client, certificate};
use super::common::server::Server;
use super::common::{PATIENCE, wait_until};

/// Threads that do what may block for requests for metrics: they come when several are asked for at once, and stay for some seconds.
pub(crate) const PASSING_THREADS: u64 = 4;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\nstate_dir: state\nworkers: 2\n";
const ENCRYPTED: &str = "encrypted: {certificate: dns.pem, key: dns.key, tls: \"127.0.0.1:0\", https: \"127.0.0.1:0\", \
                         quic: \"127.0.0.1:0\", http3: \"127.0.0.1:0\"}\n";
const REGIONS: &str = "regions:\n  a: {location: {latitude: 1, longitude: 10}, services: {web: 192.0.2.1}}\n  \
                       b: {location: {latitude: 50, longitude: 10}, services: {web: 192.0.2.2}}\n";
const ZONE: &str =
    "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web}}\n  \"*.wild\": {TXT: all}\n";

/// Packets sent at a time, and the rest after them: 50,000 a second at most.
const BURST: u64 = 50;
const BURST_REST: Duration = Duration::from_millis(1);

/// A flood is over at this many packets even if the honest ones are not.
const MAX_PACKETS: u64 = 150_000;

/// Honest questions while a flood lasts, one after the other, with this much time between them.
const HONEST_QUERIES: u64 = 500;
const HONEST_REST: Duration = Duration::from_millis(1);

/// An answer that has not come by then is lost. Generous: the machine may be busy with other tests.
const HONEST_PATIENCE: Duration = Duration::from_secs(3);

/// Resident memory may grow by this much under a flood: buffers that no quiet time has touched, and what the allocator keeps.
pub(crate) const MAX_GROWTH_KIB: u64 = 6 << 10;

/// Where honest resolvers ask from: a network of their own.
pub(crate) const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 7, 7));

/// A server of its own.
pub(crate) struct Target {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    control: PathBuf,
    _folder: Folder,
}

impl Target {
    pub(crate) fn start(name: &str) -> Target {
        Target::start_with(name, "exec \"$0\" \"$@\"")
    }

    /// Started by a line of a shell, which may set limits first.
    pub(crate) fn start_with(name: &str, shell: &str) -> Target {
        Target::start_as(name, shell, SERVER, &[])
    }

    /// With all encrypted transports and these settings besides, and a client that trusts its certificate.
    pub(crate) fn encrypting(name: &str, shell: &str, more: &str) -> (Target, Client) {
        let (pem, key) = certificate(30);
        let server = format!("{SERVER}{ENCRYPTED}{more}");
        (Target::start_as(name, shell, &server, &[("dns.pem", &pem), ("dns.key", &key)]), Client::trusting(&pem))
    }

    fn start_as(name: &str, shell: &str, server: &str, files: &[(&str, &str)]) -> Target {
        let folder = Folder::with(name, &[("meridian.yaml", server), ("regions.yaml", REGIONS), ("z.zone.yaml", ZONE)]);
        files.iter().for_each(|(file, text)| folder.write(file, text));
        let mut command = Command::new("sh");
        command.arg("-c").arg(shell);
        let server = Server::launch_by(command, &folder.join("meridian.yaml"));
        server.wait_for(0, "ready");
        Target { address: server.address(), control: folder.join("state/control.sock"), server, _folder: folder }
    }

    pub(crate) fn page(&self) -> Page {
        Page::read(&self.control)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.server.process())
    }

    /// UDP packets that the server has read, and those that the kernel threw away.
    fn packets(&self) -> (u64, u64) {
        let page = self.page();
        (page.value("meridian_queries_total{transport=\"udp\"}"), page.value("meridian_kernel_drops_total"))
    }
}

/// What honest ones got.
#[derive(Debug, Default)]
pub(crate) struct Honest {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
}

/// Asks honestly over UDP until all was asked; each answer is waited for.
pub(crate) fn ask_honestly(target: SocketAddr, queries: u64) -> Honest {
    let socket = UdpSocket::bind((HONEST, 0)).unwrap();
    socket.connect(target).unwrap();
    socket.set_read_timeout(Some(HONEST_PATIENCE)).unwrap();
    let mut honest = Honest::default();
    let mut reply = [0; 1232];
    for at in 0..queries {
        let asked = query("www.example.com", "A").id(at as u16).subnet("198.51.100.0/24");
        socket.send(&asked.octets()).unwrap();
        honest.asked += 1;
        // A late answer to an earlier question is no answer to this one.
        while let Ok(octets) = socket.recv(&mut reply) {
            if octets > 12 && reply[..2] == (at as u16).to_be_bytes() {
                assert_eq!(u16::from_be_bytes([reply[6], reply[7]]), 1, "an answer");
                honest.answered += 1;
                break;
            }
        }
        thread::sleep(HONEST_REST);
    }
    honest
}

/// Floods while honest ones ask, and holds the outcome to what must be.
///
/// `send` sends one packet of the flood, whose number it is told; false if the packet could not be sent.
pub(crate) fn flood(target: &Target, mut send: impl FnMut(u64) -> bool + Send) {
    // One after the other, so that the bound on packets is one on all of them.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let warm_up = (0..MAX_PACKETS / 50).filter(|number| paced(*number, &mut send)).count() as u64;
    let warm_honest = ask_honestly(target.address, 10);
    settled(target, warm_up + warm_honest.asked);
    let before = target.usage();

    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let honest = thread::scope(|scope| {
        scope.spawn(|| {
            let numbers = MAX_PACKETS / 50..MAX_PACKETS;
            for number in numbers.take_while(|_| !over.load(SeqCst)) {
                sent.fetch_add(u64::from(paced(number, &mut send)), SeqCst);
            }
        });
        let honest = ask_honestly(target.address, HONEST_QUERIES);
        over.store(true, SeqCst);
        honest
    });
    let all = warm_up + warm_honest.asked + sent.load(SeqCst) + honest.asked;
    let (read, dropped) = settled(target, all);
    let after = target.usage();
    println!("{} packets in {all}, {read} read, {dropped} dropped by the kernel; {honest:?}; {before:?} -> {after:?}", sent.load(SeqCst));
    // What the kernel has dropped nobody could answer; of all else 99 of 100 must be.
    assert!(honest.answered * 100 + dropped * 100 >= honest.asked * 99, "{honest:?}, {dropped} packets dropped by the kernel");
    assert!(after.memory_kib <= before.memory_kib + MAX_GROWTH_KIB, "memory grew: {before:?} -> {after:?}");
    // The request for the metrics has a descriptor too, until the server has seen its end.
    assert!(after.threads <= before.threads + PASSING_THREADS && after.descriptors <= before.descriptors + 1, "{before:?} -> {after:?}");
}

/// Sends one packet, with a rest after each burst.
fn paced(number: u64, send: &mut impl FnMut(u64) -> bool) -> bool {
    if number.is_multiple_of(BURST) {
        thread::sleep(BURST_REST);
    }
    send(number)
}

/// Waits until every packet that was sent is read or known to be dropped.
fn settled(target: &Target, sent: u64) -> (u64, u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (read, dropped) = target.packets();
        if read + dropped == sent {
            return (read, dropped);
        }
        assert!(read + dropped < sent, "{sent} packets sent, {read} read and {dropped} dropped");
        assert!(Instant::now() < deadline, "{sent} packets sent, only {read} read and {dropped} dropped");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a counter has this value or more.
pub(crate) fn wait_for_count(target: &Target, series: &str, at_least: u64) {
    wait_until(|| target.page().value(series) >= at_least, || format!("{series} is {}, not {at_least}", target.page().value(series)));
}
