//! Response rate limiting beside Knot and NSD: the same flood for each, with the same rate and the same slip.
//! `cargo test --test abuse beside -- --nocapture` prints what each server did.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::common::daemon::{Daemon, Recipe};
use crate::common::message::query;
use crate::common::server::Server;
use crate::house::folder;

/// Responses a second that each server is configured for.
const RATE: usize = 100;

/// Queries a second, and for how long.
const PACKETS: usize = 4_000;
const SECONDS: usize = 4;

/// One burst of the sender: so few that every reply finds room in its buffer.
const BURST: usize = 40;

const MASTER: (&str, &str) = ("example.com.zone", include_str!("../cases/abuse/example.com.zone"));

/// What came back.
#[derive(Debug, Default)]
struct Counts {
    sent: usize,
    whole: usize,
    truncated: usize,
    /// Queries of somebody else, and the whole replies to them.
    honest: [usize; 2],
}

/// Sends the flood at its pace and counts; every tenth of a second a client of another network asks once, too.
fn flood(server: SocketAddr) -> Counts {
    let socket = |local: &str| {
        let socket = UdpSocket::bind((local, 0)).unwrap();
        socket.connect(server).unwrap();
        socket
    };
    let (attacker, honest) = (socket("127.0.0.1"), socket("127.0.9.1"));
    let asked = query("www.example.com", "A").octets();
    let mut counts = Counts::default();
    let start = Instant::now();
    let bursts = PACKETS * SECONDS / BURST;
    for burst in 0..bursts {
        let due = start + Duration::from_secs(SECONDS as u64) * burst as u32 / bursts as u32;
        drain(&attacker, due, &mut counts);
        (0..BURST).for_each(|_| counts.sent += usize::from(attacker.send(&asked).is_ok()));
        if burst % (bursts / SECONDS / 10) == 0 {
            honest.send(&asked).unwrap();
            counts.honest[0] += 1;
        }
    }
    drain(&attacker, Instant::now() + Duration::from_millis(500), &mut counts);
    honest.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut reply = [0; 512];
    while honest.recv(&mut reply).is_ok() {
        counts.honest[1] += usize::from(reply[2] & 2 == 0);
    }
    counts
}

/// Takes what has come, until it is time to send again.
fn drain(socket: &UdpSocket, until: Instant, counts: &mut Counts) {
    let mut reply = [0; 512];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_micros(1)))).unwrap();
        match socket.recv(&mut reply) {
            Ok(_) if reply[2] & 2 != 0 => counts.truncated += 1,
            Ok(_) => counts.whole += 1,
            Err(_) if left.is_zero() => return,
            Err(_) => {}
        }
    }
}

/// What holds for all of them: most is held back, half of that leaves truncated, and another network does not notice.
fn judge(name: &str, server: SocketAddr) {
    let counts = flood(server);
    let Counts { sent, whole, truncated, honest } = counts;
    let dropped = sent - whole - truncated;
    eprintln!(
        "{name:<9} sent {sent}, whole {whole}, truncated {truncated}, nothing {dropped}, another network {} of {}",
        honest[1], honest[0]
    );
    // A busy machine takes longer than planned for the flood, in which more is granted.
    assert!((RATE / 2..=sent / 3).contains(&whole), "{name}: {counts:?}");
    let over = sent - whole;
    assert!((over * 2 / 5..=over * 3 / 5).contains(&truncated), "{name}: {counts:?}");
    assert!(honest[1] * 10 >= honest[0] * 9, "{name}: {counts:?}");
}

#[test]
fn a_flood_beside_knot_and_nsd_is_held_back_alike() {
    let folder = folder("rate-beside", &format!("workers: 1\nrate_limit: {{responses: {RATE}, window: 1s, slip: 2}}"));
    judge("meridian", Server::start(&folder.join("meridian.yaml")).address());
    let peers = [
        (
            "knot",
            Recipe {
                program: "knotd",
                arguments: &["-c", "@CONFIG@"],
                config: include_str!("../cases/abuse/knot-rrl.conf"),
                files: &[MASTER],
                ready: "server started",
            },
        ),
        (
            "nsd",
            Recipe {
                program: "nsd",
                arguments: &["-d", "-c", "@CONFIG@"],
                config: include_str!("../cases/abuse/nsd-rrl.conf"),
                files: &[MASTER],
                ready: "nsd started",
            },
        ),
    ];
    for (name, recipe) in peers {
        if let Some(peer) = Daemon::start(&recipe) {
            judge(name, peer.address());
        }
    }
}
