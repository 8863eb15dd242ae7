//! The server as its peers see it: over loopback sockets, with a world that has no zones.
//! No test sleeps: what must happen is waited for on a socket.

mod encrypted;
mod http3;
mod packets;
mod streams;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

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

fn any_time() -> NowMs {
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
    drop(bind(Config::new(vec![address], 2), &mut Sockets::default()).unwrap());
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
