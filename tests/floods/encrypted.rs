//! The encrypted transports under attack: connections and handshakes that say nothing, drag on or lie, more of them than there are descriptors
//! for, first packets of QUIC by the thousand, and random octets at every layer. Whoever asks honestly keeps his answers, over each transport.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use meridian::answer::Transport;

use super::common::gauge::Usage;
use super::common::message::{Reply, query};
use super::common::random::Random;
use super::common::secure::{self, Client, ask_https, ask_quic, ask_tls, connect, runtime};
use super::common::{PATIENCE, wait_until};
use super::crowd::{HONEST, Honest, MAX_GROWTH_KIB, PASSING_THREADS, Target, ask_honestly, wait_for_count};

/// No limits besides the server's own.
const EXEC: &str = "exec \"$0\" \"$@\"";

/// All that a network may have, by default and where less is said.
const PER_NETWORK: u64 = 512;
const FEW: u64 = 100;

/// Memory for each connection whose handshake has not begun, and for each handshake under way.
const MAX_IDLE_KIB: u64 = 24;
const MAX_HANDSHAKE_KIB: u64 = 64;

/// Honest connections of each encrypted transport, and questions on each.
const CONNECTIONS: u64 = 10;
const QUESTIONS: u64 = 5;

/// Packets of a flood of QUIC that are sent at a time, and the rest after them: 5,000 a second at most.
const BURST: usize = 25;
const BURST_REST: Duration = Duration::from_millis(5);

const REFUSED: &str = "meridian_tcp_connections_refused_total";
const FAILED: &str = "meridian_tls_handshake_failures_total";

fn network(third: usize, host: usize) -> IpAddr {
    Ipv4Addr::new(127, 20, third as u8, 1 + (host % 250) as u8).into()
}

/// Whoever asks honestly over UDP and each encrypted transport, one question after the other; 99 of 100 must be answered.
fn assert_honest_are_served(target: &Target, client: &Client) {
    let over_udp = ask_honestly(target.address, 200);
    let [tls, https, quic] =
        [Transport::Tls, Transport::Https, Transport::Quic].map(|transport| secure::address(&target.server, transport));
    let message = query("www.example.com", "A").id(0).octets();
    let mut honest = Honest { asked: over_udp.asked + CONNECTIONS * (2 * QUESTIONS + 1), answered: over_udp.answered };
    let mut faults = Vec::new();
    let mut count = |reply: std::io::Result<Vec<u8>>| match reply {
        Ok(reply) => {
            assert_eq!(Reply::read(&reply).answers().len(), 1);
            honest.answered += 1;
        }
        Err(error) => faults.push(error),
    };
    let runtime = runtime();
    for _ in 0..CONNECTIONS {
        match client.tls(b"dot", HONEST, tls) {
            Ok(mut stream) => (0..QUESTIONS).for_each(|_| count(ask_tls(&mut stream, &message))),
            Err(error) => count(Err(error)),
        }
        count(client.tls(b"http/1.1", HONEST, https).and_then(|mut stream| ask_https(&mut stream, &message)));
        runtime.block_on(async {
            match client.quic(b"doq", HONEST, quic).await {
                Ok(connection) => {
                    for _ in 0..QUESTIONS {
                        count(ask_quic(&connection, &message).await);
                    }
                }
                Err(error) => count(Err(error)),
            }
        });
    }
    println!("{honest:?} {faults:?}");
    assert!(honest.answered * 100 >= honest.asked * 99, "{honest:?} {faults:?}");
}

/// What the server holds when nothing happens; with the thread that writes metrics, which comes when it is first needed.
fn at_rest(target: &Target) -> Usage {
    target.page();
    target.usage()
}

/// What came back to what it was, but for what the allocator and a request for metrics keep.
fn assert_nothing_is_left(target: &Target, before: Usage) {
    let now = || target.usage();
    wait_until(|| now().descriptors <= before.descriptors + 2, || format!("{before:?} -> {:?}", now()));
    assert!(now().threads <= before.threads + PASSING_THREADS, "{before:?} -> {:?}", now());
    assert_eq!(target.page().value("meridian_panics_total"), 0);
}

#[test]
fn encrypted_ports_are_kept_by_nobody_who_says_nothing() {
    let (target, client) = Target::encrypting("flood-tls-idle", EXEC, "");
    assert_honest_are_served(&target, &client);
    let before = at_rest(&target);
    let ports = [Transport::Tls, Transport::Https].map(|transport| secure::address(&target.server, transport));
    let idle: Vec<TcpStream> = (0..PER_NETWORK as usize + 8).map(|at| connect(network(3, at), ports[at % 2]).unwrap()).collect();
    wait_for_count(&target, REFUSED, 8);
    let during = target.usage();
    assert!(during.memory_kib <= before.memory_kib + PER_NETWORK * MAX_IDLE_KIB, "{before:?} -> {during:?}");
    assert_honest_are_served(&target, &client);
    // All of them, by the time limit for a handshake.
    wait_for_count(&target, FAILED, PER_NETWORK);
    assert_nothing_is_left(&target, before);
    drop(idle);
}

#[test]
fn handshakes_that_drip_keep_nobody_out_and_end() {
    let (target, client) = Target::encrypting("flood-tls-drip", EXEC, "");
    assert_honest_are_served(&target, &client);
    let before = at_rest(&target);
    let ports = [Transport::Tls, Transport::Https].map(|transport| secure::address(&target.server, transport));
    let mut drips: Vec<TcpStream> = (0..200).map(|at| connect(network(at, 1), ports[at % 2]).unwrap()).collect();
    // A record of a handshake that says to be of 16 KiB.
    for octet in [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f] {
        drips.iter_mut().for_each(|drip| _ = drip.write_all(&[octet]));
    }
    assert_honest_are_served(&target, &client);
    let still = || {
        drips.iter().for_each(|mut drip| _ = drip.write_all(&[0]));
        target.page().value(FAILED)
    };
    wait_until(|| still() >= 200, || format!("{} of 200 handshakes were ended", target.page().value(FAILED)));
    assert_nothing_is_left(&target, before);
}

#[test]
fn a_lack_of_descriptors_takes_no_answer_from_udp_and_quic_and_passes_on_encrypted_ports() {
    // The server's own, and a few connections.
    let (target, client) = Target::encrypting("flood-tls-descriptors", "ulimit -n 96 && exec \"$0\" \"$@\"", "");
    let tls = secure::address(&target.server, Transport::Tls);
    let quic = secure::address(&target.server, Transport::Quic);
    let before = at_rest(&target);
    let failures = target.page().value("meridian_tcp_accept_failures_total");
    let crowd: Vec<TcpStream> = (0..150).map(|at| connect(network(at, 1), tls).unwrap()).collect();
    let honest = ask_honestly(target.address, 200);
    assert!(honest.answered * 100 >= honest.asked * 99, "{honest:?}");
    target.server.wait_for(0, "cannot accept TCP connections just now");
    let message = query("www.example.com", "A").id(0).octets();
    runtime().block_on(async {
        let connection = client.quic(b"doq", HONEST, quic).await.unwrap();
        assert_eq!(Reply::read(&ask_quic(&connection, &message).await.unwrap()).answers().len(), 1);
    });
    drop(crowd);
    assert_honest_are_served(&target, &client);
    let failures = target.page().value("meridian_tcp_accept_failures_total") - failures;
    // It rests a tenth of a second after each, on two threads; the crowd lasts some seconds at most.
    assert!((1..2_000).contains(&failures), "{failures}: it spins");
    assert_nothing_is_left(&target, before);
}

/// Sends packets in turn from sockets of many networks, until it is over.
fn flood_quic(to: SocketAddr, packets: &[Vec<u8>], over: &AtomicBool) {
    let sources: Vec<UdpSocket> = (0..100).map(|at| UdpSocket::bind((network(at, at), 0)).unwrap()).collect();
    let mut number = 0;
    while !over.load(SeqCst) {
        for _ in 0..BURST {
            // What the kernel does not take is lost, as on any way.
            _ = sources[number % sources.len()].send_to(&packets[number % packets.len()], to);
            number += 1;
        }
        thread::sleep(BURST_REST);
    }
    println!("{number} packets");
}

/// The end of an attack, by a panic too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Runs an attack while honest ones ask, and again when it is over.
fn besiege(target: &Target, client: &Client, attack: impl FnOnce(&AtomicBool) + Send) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| attack(&over));
        let _over = Over(&over);
        assert_honest_are_served(target, client);
    });
    assert_honest_are_served(target, client);
}

#[test]
fn first_packets_of_quic_from_everywhere_delay_nobody_and_cost_no_memory() {
    let (target, client) = Target::encrypting("flood-initials", EXEC, "");
    let quic = secure::address(&target.server, Transport::Quic);
    let mut initials = client.initials(b"doq", 400);
    // Others are no such packets behind their head, or of a version that nobody speaks.
    let mut random = Random::new(7);
    for (number, initial) in initials.clone().into_iter().take(100).enumerate() {
        let mut broken = initial;
        if number % 2 == 0 {
            broken[4] = random.next() as u8;
        } else {
            broken[64..].iter_mut().for_each(|octet| *octet = random.next() as u8);
        }
        initials.push(broken);
    }
    // All that this attack can have under way is there before memory is looked at.
    besiege(&target, &client, |over| flood_quic(quic, &initials, over));
    let before = at_rest(&target);
    besiege(&target, &client, |over| flood_quic(quic, &initials, over));
    let after = target.usage();
    println!("{before:?} -> {after:?}");
    assert!(after.memory_kib <= before.memory_kib + MAX_GROWTH_KIB, "memory grew: {before:?} -> {after:?}");
    assert_nothing_is_left(&target, before);
}

/// Lets a client of QUIC prove its address, and then nothing of what the server says reach it.
fn relay_until_proved(inside: &UdpSocket, outside: &UdpSocket, over: &AtomicBool) {
    /// The form and kind of a packet, in its first octet, and what they are of a Retry (RFC 9000 17.2.5).
    const KIND: u8 = 0xf0;
    const RETRY: u8 = 0xf0;
    [inside, outside].iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    let (mut packet, mut client) = ([0; 2_048], None);
    while !over.load(SeqCst) {
        while let Ok((octets, from)) = inside.recv_from(&mut packet) {
            client = Some(from);
            _ = outside.send(&packet[..octets]);
        }
        while let Ok(octets) = outside.recv(&mut packet) {
            if let Some(client) = client.filter(|_| packet[0] & KIND == RETRY) {
                _ = inside.send_to(&packet[..octets], client);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn handshakes_of_quic_from_one_network_with_its_true_address_keep_nobody_out() {
    let (target, client) = Target::encrypting("flood-handshakes", EXEC, "tcp: {connections: 800, per_network: 100}\n");
    let quic = secure::address(&target.server, Transport::Quic);
    assert_honest_are_served(&target, &client);
    let before = at_rest(&target);
    let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
    let outside = UdpSocket::bind((network(8, 8), 0)).unwrap();
    outside.connect(quic).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| relay_until_proved(&inside, &outside, &over));
        let _over = Over(&over);
        let runtime = runtime();
        let guard = runtime.enter();
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(client.quic_config(b"doq"));
        // More than its network may have; all of them on one thread of the server, as they come from one socket.
        let connect = || endpoint.connect(inside.local_addr().unwrap(), secure::NAME).unwrap();
        let connecting: Vec<_> = (0..FEW + 100).map(|_| connect()).collect();
        // Whoever went away would tell the server so.
        wait_for_count(&target, REFUSED, 1);
        drop(guard);
        assert_honest_are_served(&target, &client);
        let during = target.usage();
        println!("{before:?} -> {during:?}, {} handshakes", connecting.len());
        assert!(during.memory_kib <= before.memory_kib + MAX_GROWTH_KIB + FEW * MAX_HANDSHAKE_KIB, "{before:?} -> {during:?}");
    });
    // Each of them ends in its time.
    wait_for_count(&target, FAILED, FEW);
    assert_honest_are_served(&target, &client);
    assert_nothing_is_left(&target, before);
}

/// So many random octets at most.
fn noise(random: &mut Random, most: usize) -> Vec<u8> {
    (0..random.below(most)).map(|_| random.next() as u8).collect()
}

#[test]
fn random_octets_at_every_encrypted_port_and_inside_end_nothing() {
    let (target, client) = Target::encrypting("flood-noise", EXEC, "");
    let address = |transport| secure::address(&target.server, transport);
    let from = IpAddr::V4(Ipv4Addr::new(127, 20, 1, 1));
    let before = at_rest(&target);
    let mut random = Random::new(11);
    for at in 0..100 {
        let mut stream = connect(from, address([Transport::Tls, Transport::Https][at % 2])).unwrap();
        // Half of them look like a handshake at first.
        let head: &[u8] = if at % 4 < 2 { &[0x16, 3, 1, 2, 0] } else { &[] };
        _ = stream.write_all(&[head, &noise(&mut random, 2_000)].concat());
    }
    for at in 0..60 {
        let (transport, protocol, head): (_, &[u8], &[u8]) = [
            (Transport::Tls, &b"dot"[..], &b""[..]),
            (Transport::Https, b"h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
            (Transport::Https, b"http/1.1", b"POST /dns-query HTTP/1.1\r\nHost: d\r\nContent-Type: application/dns-message\r\n"),
        ][at % 3];
        let mut stream = client.tls(protocol, from, address(transport)).unwrap();
        _ = stream.write_all(&[head, &noise(&mut random, 4_000)].concat());
        stream.conn.send_close_notify();
        _ = stream.flush();
        _ = stream.sock.shutdown(std::net::Shutdown::Write);
        // Whatever is said to it, it ends.
        _ = stream.read_to_end(&mut Vec::new());
    }
    let socket = UdpSocket::bind((from, 0)).unwrap();
    for number in 0..2_000 {
        let mut packet = noise(&mut random, 1_500);
        if let Some(first) = packet.first_mut().filter(|_| number % 2 == 0) {
            // A long header of a version that there is.
            *first |= 0xc0;
            packet.splice(1..packet.len().min(5), [0, 0, 0, 1]);
        }
        _ = socket.send_to(&packet, address([Transport::Quic, Transport::Http3][number % 2]));
        if number % BURST == 0 {
            thread::sleep(BURST_REST);
        }
    }
    runtime().block_on(async {
        for at in 0..40 {
            let (transport, protocol): (_, &[u8]) = [(Transport::Quic, &b"doq"[..]), (Transport::Http3, b"h3")][at % 2];
            let connection = client.quic(protocol, from, address(transport)).await.unwrap();
            let (noise, other) = (noise(&mut random, 4_000), noise(&mut random, 400));
            if let Ok((mut send, _receive)) = connection.open_bi().await {
                _ = send.write_all(&noise).await;
                _ = send.finish();
            }
            // DNS over QUIC lets nobody open such a stream.
            if let Ok(Ok(mut send)) = tokio::time::timeout(Duration::from_millis(20), connection.open_uni()).await {
                _ = send.write_all(&other).await;
                _ = send.finish();
            }
            // DNS over QUIC ends then; HTTP/3 waits for what else there is.
            if at % 4 == 0 {
                _ = tokio::time::timeout(PATIENCE, connection.closed()).await;
            }
        }
    });
    assert_honest_are_served(&target, &client);
    assert_nothing_is_left(&target, before);
}

/// A frame of HTTP/2 (RFC 9113 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn requests_of_http2_that_are_reset_or_never_end_cost_no_memory_and_nobody_an_answer() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const CONTINUATION: u8 = 9;
    const END_STREAM_AND_HEADERS: u8 = 5;
    /// GET, https, the path `/`, by their numbers in the table of HPACK (RFC 7541 A).
    const GET: [u8; 3] = [0x82, 0x87, 0x84];
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    /// Octets of a head that no server need take: far more than sockets hold.
    const ENDLESS: usize = 64 << 20;
    let (target, client) = Target::encrypting("flood-http2", EXEC, "");
    let https = secure::address(&target.server, Transport::Https);
    assert_honest_are_served(&target, &client);
    let before = at_rest(&target);
    let connect = || {
        let mut stream = client.tls(b"h2", network(9, 1), https).unwrap();
        stream.write_all(PREFACE).unwrap();
        stream
    };
    besiege(&target, &client, |over| {
        while !over.load(SeqCst) {
            let mut stream = connect();
            // Whether the server ends it or bears it is its own affair.
            for at in 0..5_000 {
                let (ask, reset) = (frame(HEADERS, END_STREAM_AND_HEADERS, 2 * at + 1, &GET), frame(RST_STREAM, 0, 2 * at + 1, &CANCEL));
                if over.load(SeqCst) || stream.write_all(&[ask, reset].concat()).is_err() {
                    break;
                }
            }
        }
    });
    let mut stream = connect();
    stream.write_all(&frame(HEADERS, 0, 1, &GET)).unwrap();
    // The literal field `x: x`, again and again.
    let fields = [0, 1, b'x', 1, b'x'].repeat(3_000);
    let taken = (0..ENDLESS).step_by(fields.len()).take_while(|_| stream.write_all(&frame(CONTINUATION, 0, 1, &fields)).is_ok()).count();
    assert!(taken * fields.len() < ENDLESS / 2, "a head that goes on for ever is taken for {taken} frames");
    drop(stream);
    assert_honest_are_served(&target, &client);
    let after = at_rest(&target);
    println!("{before:?} -> {after:?}, {taken} frames");
    assert!(after.memory_kib <= before.memory_kib + MAX_GROWTH_KIB, "memory grew: {before:?} -> {after:?}");
    assert_nothing_is_left(&target, before);
}
