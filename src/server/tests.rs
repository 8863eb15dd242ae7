//! The server as its peers see it: over loopback sockets, with a world that has no zones.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::udp::{BATCH, QUERY_OCTETS};
use super::*;
use crate::answer::Transport;
use crate::metrics::Metric;
use crate::snapshot::Snapshot;

/// Long enough for a busy machine: no test waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    running: Running,
    registry: Arc<Registry>,
    shared: Shared,
}

impl Server {
    fn start(config: Config) -> Server {
        let (shared, registry) = (empty_world(), Registry::new());
        let running = start(config, &shared, &registry, &any_time()).unwrap();
        Server { running, registry, shared }
    }

    fn on_loopback(workers: usize) -> Server {
        Server::start(loopback(workers))
    }

    fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    fn client(&self) -> UdpSocket {
        let client = udp_client(self.address().ip());
        client.connect(self.address()).unwrap();
        client
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

fn empty_world() -> Shared {
    Shared::new(Snapshot::default())
}

fn any_time() -> NowS {
    Arc::new(|| 1_700_000_000)
}

fn loopback(workers: usize) -> Config {
    Config::new(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], workers)
}

fn udp_client(ip: std::net::IpAddr) -> UdpSocket {
    let client = UdpSocket::bind((ip, 0)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// `host.example. A`, recursion not desired, no EDNS.
fn query(id: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend_from_slice(b"\0\0\0\x01\0\0\0\0\0\0\x04host\x07example\0\0\x01\0\x01");
    query
}

/// A server without zones refuses, and says so about the very question.
fn check(query: &[u8], reply: &[u8]) {
    assert!(reply.len() >= query.len(), "{reply:02x?}");
    assert_eq!(reply[..2], query[..2], "the ID");
    assert_eq!(reply[2] & 0x80, 0x80, "QR");
    assert_eq!(reply[3] & 0x0f, 5, "REFUSED");
    assert_eq!(reply[12..query.len()], query[12..], "the question");
}

fn ask(client: &UdpSocket, id: u16) {
    client.send(&query(id)).unwrap();
    let mut reply = [0; 512];
    let len = client.recv(&mut reply).unwrap();
    check(&query(id), &reply[..len]);
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    framed
}

fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn ask_over(stream: &mut TcpStream, id: u16) {
    stream.write_all(&framed(&query(id))).unwrap();
    check(&query(id), &read_message(stream));
}

/// The peer has closed the connection, in whichever way.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(octets) => octets == 0,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted),
    }
}

#[test]
fn bursts_of_several_batches_are_answered_whole() {
    let server = Server::on_loopback(2);
    let client = server.client();
    let count = 3 * u16::try_from(BATCH).unwrap() + 7;
    for round in 0..20 {
        for id in 0..count {
            client.send(&query(id + round)).unwrap();
        }
        let mut open: Vec<_> = (0..count).map(|id| id + round).collect();
        while !open.is_empty() {
            let mut reply = [0; 512];
            let len = client.recv(&mut reply).unwrap();
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            check(&query(id), &reply[..len]);
            open.swap_remove(open.iter().position(|&other| other == id).expect("each reply comes once"));
        }
    }
    let Server { running, registry, .. } = server;
    running.stop();
    let totals = registry.totals();
    assert_eq!(totals.queries(Transport::Udp), 20 * u64::from(count));
    assert_eq!(totals.responses(5), 20 * u64::from(count));
    assert_eq!(totals.count(Metric::SendFailures), 0);
}

#[test]
fn many_clients_each_get_their_own_replies() {
    let server = Server::on_loopback(3);
    thread::scope(|scope| {
        for client in 0..16u16 {
            let server = &server;
            scope.spawn(move || {
                let socket = server.client();
                for id in 0..200 {
                    ask(&socket, client << 8 | id);
                }
            });
        }
    });
    assert_eq!(server.registry.totals().queries(Transport::Udp), 16 * 200);
}

#[test]
fn n12_garbage_of_every_length_ends_nothing() {
    let server = Server::on_loopback(1);
    let client = server.client();
    for len in 0..64 {
        client.send(&vec![0xff; len]).unwrap();
    }
    // More than the room for a query: the message at its beginning counts, what follows is ignored.
    let mut long = query(7);
    long.resize(8 * QUERY_OCTETS, 0);
    client.send(&long).unwrap();
    let mut reply = [0; 8192];
    loop {
        let len = client.recv(&mut reply).unwrap();
        if reply[..2] == query(7)[..2] {
            check(&query(7), &reply[..len]);
            break;
        }
    }
}

#[test]
fn n13_replies_leave_from_the_address_that_was_asked() {
    let mut listen = vec![(Ipv4Addr::UNSPECIFIED, 0).into()];
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        listen.push((Ipv6Addr::UNSPECIFIED, 0).into());
    } else {
        println!("the IPv6 part is left out: this machine has no IPv6");
    }
    let server = Server::start(Config::new(listen, 2));
    let [v4, v6 @ ..] = server.running.addresses() else { panic!("an IPv4 address") };
    let mut asked: Vec<SocketAddr> = (1..=9).map(|host| (Ipv4Addr::new(127, 0, 0, host), v4.port()).into()).collect();
    asked.extend(v6.iter().map(|v6| SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port()))));
    for (id, to) in (0..).zip(asked) {
        let client = udp_client(if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        client.send_to(&query(id), to).unwrap();
        let mut reply = [0; 512];
        let (len, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!(from, to);
        check(&query(id), &reply[..len]);
    }
    let mut stream = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 3), v4.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    ask_over(&mut stream, 3);
}

#[test]
fn the_portable_path_answers_too() {
    let socket = udp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).unwrap().remove(0);
    let local = socket.local_addr().unwrap();
    let (registry, stop) = (Registry::new(), AtomicBool::new(false));
    let mut worker = Worker::new(&empty_world(), &registry, &any_time());
    thread::scope(|scope| {
        scope.spawn(|| udp::run(&mut portable::Single::new(socket, local), &mut worker, &stop));
        let client = udp_client(local.ip());
        client.connect(local).unwrap();
        client.send(b"short").unwrap();
        for id in 0..100 {
            ask(&client, id);
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(registry.totals().queries(Transport::Udp), 101);
}

#[test]
fn n9_messages_may_be_split_over_any_segments() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let (first, second) = (framed(&query(1)), framed(&query(2)));
    for octet in &first {
        stream.write_all(&[*octet]).unwrap();
    }
    check(&query(1), &read_message(&mut stream));
    for cut in 1..first.len() + second.len() - 1 {
        let both = [&first[..], &second].concat();
        stream.write_all(&both[..cut]).unwrap();
        stream.write_all(&both[cut..]).unwrap();
        check(&query(1), &read_message(&mut stream));
        check(&query(2), &read_message(&mut stream));
    }
}

#[test]
fn n9_pipelined_messages_are_all_answered_in_order() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let all: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..100 {
        check(&query(id), &read_message(&mut stream));
    }
    assert_eq!(server.registry.totals().queries(Transport::Tcp), 100);
}

#[test]
fn n9_a_peer_that_asks_much_before_it_reads_gets_everything() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let count = 50_000u32;
    thread::scope(|scope| {
        scope.spawn(move || {
            for id in 0..count {
                writer.write_all(&framed(&query(id as u16))).unwrap();
            }
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        for id in 0..count {
            check(&query(id as u16), &read_message(&mut stream));
        }
    });
    assert!(is_closed(&mut stream), "the peer had ended its side");
}

#[test]
fn n9_a_half_sent_message_blocks_nobody() {
    let server = Server::on_loopback(1);
    let mut halves: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for (at, half) in halves.iter_mut().enumerate() {
        half.write_all(&framed(&query(9))[..=at]).unwrap();
    }
    ask_over(&mut server.connect(), 1);
    ask(&server.client(), 2);
    for (at, half) in halves.iter_mut().enumerate() {
        half.write_all(&framed(&query(9))[at + 1..]).unwrap();
        check(&query(9), &read_message(half));
    }
}

#[test]
fn n9_the_longest_message_is_taken_whole() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let mut long = query(1);
    long.resize(usize::from(u16::MAX), 0);
    stream.write_all(&framed(&long)).unwrap();
    stream.write_all(&framed(&query(2))).unwrap();
    let reply = read_message(&mut stream);
    check(&query(1), &reply);
    check(&query(2), &read_message(&mut stream));
}

#[test]
fn n9_an_empty_message_ends_the_connection_after_the_replies_before_it() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    stream.write_all(&[framed(&query(1)), framed(b""), framed(&query(2))].concat()).unwrap();
    check(&query(1), &read_message(&mut stream));
    assert!(is_closed(&mut stream));
}

#[test]
fn n9_connections_beyond_the_cap_are_closed_and_places_come_back() {
    let server = Server::start(Config { connections: Caps { total: 3, per_network: 2 }, ..loopback(2) });
    let mut inside: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut inside {
        ask_over(stream, 1);
    }
    let mut third = server.connect();
    assert!(is_closed(&mut third));
    assert_eq!(server.registry.totals().count(Metric::ConnectionsRefused), 1);
    inside.pop();
    // The server learns of the end a moment later; each refusal is an event, not a wait.
    let entered = (0..10_000).any(|_| {
        let mut stream = server.connect();
        stream.write_all(&framed(&query(2))).is_ok() && stream.read(&mut [0; 2]).is_ok_and(|octets| octets > 0)
    });
    assert!(entered);
    ask_over(&mut inside[0], 3);
}

#[test]
fn n9_silent_and_dripping_peers_are_timed_out() {
    let quick = Duration::from_millis(30);
    let timeouts = Timeouts { first_message: quick, idle: quick, ..Timeouts::default() };
    let server = Server::start(Config { timeouts, ..loopback(1) });
    let mut silent = server.connect();
    assert!(is_closed(&mut silent));
    let mut dripping = server.connect();
    ask_over(&mut dripping, 1);
    let drips = framed(&[0; 60_000]);
    assert!(drips.iter().any(|drip| dripping.write_all(&[*drip]).is_err()) || is_closed(&mut dripping), "drips do not prolong it");
    assert_eq!(server.registry.totals().count(Metric::ConnectionsTimedOut), 2);
}

#[test]
fn n9_a_peer_that_does_not_read_is_given_up() {
    let timeouts = Timeouts { write: Duration::from_millis(50), ..Timeouts::default() };
    let server = Server::start(Config { timeouts, ..loopback(1) });
    let mut deaf = server.connect();
    let many: Vec<u8> = (0..1_000).flat_map(|id| framed(&query(id))).collect();
    while deaf.write_all(&many).is_ok() {}
    assert_eq!(server.registry.totals().count(Metric::ConnectionsTimedOut), 1);
    ask_over(&mut server.connect(), 1);
}

#[test]
fn stop_answers_what_was_asked_and_gives_the_port_back() {
    let server = Server::on_loopback(2);
    let address = server.address();
    let (client, mut idle, mut asking) = (server.client(), server.connect(), server.connect());
    ask_over(&mut idle, 1);
    ask_over(&mut asking, 2);
    for id in 0..100 {
        client.send(&query(id)).unwrap();
    }
    asking.write_all(&framed(&query(3))).unwrap();
    let Server { running, registry, .. } = server;
    running.stop();
    assert_eq!(registry.totals().queries(Transport::Udp), 100);
    for _ in 0..100 {
        client.recv(&mut [0; 512]).unwrap();
    }
    check(&query(3), &read_message(&mut asking));
    assert!(is_closed(&mut idle) && is_closed(&mut asking));
    drop(bind(Config::new(vec![address], 2)).unwrap());
}

#[test]
fn a_new_world_is_taken_up_and_the_old_one_let_go_without_a_query() {
    let server = Server::on_loopback(2);
    let first = server.shared.publish(Arc::new(Snapshot::default()));
    let second = server.shared.load();
    // Workers and streams wake by themselves; yielding here only passes the time until they did.
    let deadline = std::time::Instant::now() + PATIENCE;
    while Arc::strong_count(&first) > 1 || Arc::strong_count(&first.catalog) > 1 {
        assert!(std::time::Instant::now() < deadline, "a worker keeps the old world");
        thread::yield_now();
    }
    assert!(Arc::strong_count(&second) > 1);
    ask(&server.client(), 1);
    ask_over(&mut server.connect(), 2);
    assert_eq!(server.registry.totals().responses(5), 2);
}

#[test]
fn a_second_server_is_refused_while_the_first_serves_on() {
    let server = Server::on_loopback(2);
    for workers in [1, 2] {
        let again = Config::new(vec![server.address()], workers);
        let error = start(again, &empty_world(), &Registry::new(), &any_time()).unwrap_err();
        assert!(error.to_string().contains("hint: another server"), "{error}");
        ask(&server.client(), 1);
        ask_over(&mut server.connect(), 2);
    }
}
