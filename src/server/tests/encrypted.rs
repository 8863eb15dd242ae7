//! What peers of the encrypted transports see, and clients behind a proxy.

mod endings;
mod https;

use std::net::IpAddr;
use std::time::Instant;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ApplicationClose, ConnectionError};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::geo::Prefix;
use crate::snapshot::Catalog;

pub(super) const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Short enough for a test, and long for a machine that has time.
pub(super) const SHORT: Duration = Duration::from_millis(50);

/// A certificate of its own authority, for `dns.test`.
fn identity() -> (Identity, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["dns.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let key = CertifiedKey::from_der(vec![certificate.clone()], key, &ring::default_provider()).unwrap();
    (Identity { path: "dns.pem".into(), not_after_s: i64::MAX, key: key.into() }, certificate)
}

pub(super) struct Encrypting {
    pub(super) server: Server,
    certificate: CertificateDer<'static>,
}

impl Encrypting {
    pub(super) fn start(edit: impl FnOnce(&mut Config)) -> Encrypting {
        Encrypting::start_in(empty_world(), edit)
    }

    fn start_in(shared: Shared, edit: impl FnOnce(&mut Config)) -> Encrypting {
        let (identity, certificate) = identity();
        let all = Encrypted { tls: vec![ANY], https: vec![ANY], http3: vec![], quic: vec![ANY], path: "/dns-query".into(), identity };
        let mut config = Config { encrypted: Some(all), ..loopback(2) };
        edit(&mut config);
        let registry = Registry::new();
        let running = start(config, &shared, &registry, &any_time()).unwrap();
        Encrypting { server: Server { running, registry, shared }, certificate }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        self.server.running.encrypted_addresses().iter().find(|(of, _)| *of == transport).unwrap().1
    }

    fn client(&self, protocol: &[u8]) -> ClientConfig {
        self.client_of(protocol, rustls::DEFAULT_VERSIONS)
    }

    fn client_of(&self, protocol: &[u8], versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into()).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    fn connect_raw(&self, transport: Transport) -> TcpStream {
        let stream = TcpStream::connect(self.address(transport)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn connect(&self, transport: Transport, protocol: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
        self.shake(self.connect_raw(transport), protocol)
    }

    fn shake(&self, stream: TcpStream, protocol: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("dns.test").unwrap();
        StreamOwned::new(ClientConnection::new(self.client(protocol).into(), name).unwrap(), stream)
    }

    fn count(&self, metric: Metric) -> u64 {
        self.server.registry.totals().count(metric)
    }

    /// Waits for a count: the server learns of some things a moment later.
    pub(super) fn wait_for(&self, metric: Metric, count: u64) {
        let start = Instant::now();
        while self.count(metric) < count {
            assert!(start.elapsed() < PATIENCE, "{metric:?} is {}", self.count(metric));
            thread::yield_now();
        }
    }

    async fn quic(&self) -> quinn::Connection {
        self.try_quic().await.unwrap()
    }

    async fn try_quic(&self) -> Result<quinn::Connection, ConnectionError> {
        self.try_quic_as(b"doq", Transport::Quic, |_| {}).await
    }

    pub(super) async fn try_quic_as(
        &self,
        protocol: &[u8],
        transport: Transport,
        edit: impl FnOnce(&mut quinn::TransportConfig),
    ) -> Result<quinn::Connection, ConnectionError> {
        let crypto = QuicClientConfig::try_from(self.client(protocol)).unwrap();
        let mut endpoint = quinn::Endpoint::client(ANY).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        let mut settings = quinn::TransportConfig::default();
        settings.keep_alive_interval(Some(SHORT / 10));
        edit(&mut settings);
        config.transport_config(settings.into());
        endpoint.set_default_client_config(config);
        endpoint.connect(self.address(transport), "dns.test").unwrap().await
    }
}

fn read_from(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// Sends one request and reads to the end of the connection: status and all.
fn http(stream: &mut (impl Read + Write), request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut octets = Vec::new();
    // An end without the word of TLS is an end.
    let _ = stream.read_to_end(&mut octets);
    let text = String::from_utf8_lossy(&octets).into_owned();
    (text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), text)
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Asks on a stream of its own.
async fn ask_quic(connection: &quinn::Connection, message: &[u8]) -> Result<Vec<u8>, quinn::ReadToEndError> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&framed(message)).await.unwrap();
    send.finish().unwrap();
    let octets = receive.read_to_end(65_537).await?;
    let (length, reply) = octets.split_first_chunk::<2>().unwrap();
    assert_eq!(usize::from(u16::from_be_bytes(*length)), reply.len());
    Ok(reply.to_vec())
}

pub(super) fn code(error: &ConnectionError) -> u64 {
    match error {
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, .. }) => error_code.into_inner(),
        other => panic!("{other}"),
    }
}

#[test]
fn tls_answers_as_tcp_does_and_says_good_bye() {
    let server = Encrypting::start(|_| {});
    let mut stream = server.connect(Transport::Tls, b"dot");
    for octet in framed(&query(1)) {
        stream.write_all(&[octet]).unwrap();
    }
    check(&query(1), &read_from(&mut stream));
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"dot"[..]));
    let all: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..100 {
        check(&query(id), &read_from(&mut stream));
    }
    assert_eq!(server.server.registry.totals().queries(Transport::Tls), 101);
    stream.write_all(&framed(b"")).unwrap();
    assert_eq!(stream.read(&mut [0; 2]).unwrap(), 0, "the end is said, not cut off");
}

#[test]
fn a_connection_inside_tls_ends_after_so_many_queries_and_says_good_bye() {
    let server = Encrypting::start(|config| config.connections = Caps { queries: Some(2), ..Caps::default() });
    let mut stream = server.connect(Transport::Tls, b"dot");
    let all: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&all).unwrap();
    (0..2).for_each(|id| check(&query(id), &read_from(&mut stream)));
    assert_eq!(stream.read(&mut [0; 2]).unwrap(), 0, "the end is said, not cut off");
}

#[test]
fn tls_gives_everything_to_a_peer_that_asks_much_before_it_reads() {
    let server = Encrypting::start(|_| {});
    let mut stream = server.connect(Transport::Tls, b"dot");
    // Far more replies than sockets hold, so that TLS holds some back.
    let count = 60_000_u32;
    let (mut asked, mut read) = (0, 0);
    stream.sock.set_nonblocking(false).unwrap();
    while read < count {
        if asked < count && asked - read < 20_000 {
            let burst: Vec<u8> = (0..500).flat_map(|id| framed(&query((asked + id) as u16))).collect();
            stream.write_all(&burst).unwrap();
            asked += 500;
        } else {
            check(&query(read as u16), &read_from(&mut stream));
            read += 1;
        }
    }
}

#[test]
fn a_handshake_that_drags_on_delays_nobody() {
    let server = Encrypting::start(|_| {});
    let mut dragging: Vec<_> = (0..20).map(|_| server.connect_raw(Transport::Tls)).collect();
    for stream in &mut dragging[..10] {
        stream.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    }
    let mut stream = server.connect(Transport::Tls, b"dot");
    stream.write_all(&framed(&query(1))).unwrap();
    check(&query(1), &read_from(&mut stream));
    ask(&server.server.client(), 2);
}

#[test]
fn handshakes_that_fail_or_drag_on_are_ended_and_counted() {
    let timeouts = Timeouts { handshake: SHORT, ..Timeouts::default() };
    let server = Encrypting::start(|config| config.timeouts = timeouts);
    for transport in [Transport::Tls, Transport::Https] {
        let (mut silent, mut garbage) = (server.connect_raw(transport), server.connect_raw(transport));
        garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(is_closed(&mut silent));
        while !is_closed(&mut garbage) {}
    }
    server.wait_for(Metric::HandshakeFailures, 4);
}

#[test]
fn a_new_certificate_is_shown_to_newcomers_and_disturbs_nobody() {
    let mut server = Encrypting::start(|_| {});
    let mut before = server.connect(Transport::Tls, b"dot");
    before.write_all(&framed(&query(1))).unwrap();
    check(&query(1), &read_from(&mut before));
    let (identity, certificate) = identity();
    server.server.running.show(&identity);
    let mut refused = server.connect(Transport::Tls, b"dot");
    assert!(refused.write_all(&framed(&query(2))).is_err(), "the old authority has not signed the new one");
    server.certificate = certificate;
    let mut after = server.connect(Transport::Tls, b"dot");
    for stream in [&mut before, &mut after] {
        stream.write_all(&framed(&query(3))).unwrap();
        check(&query(3), &read_from(stream));
    }
    runtime().block_on(async { check(&query(0), &ask_quic(&server.quic().await, &query(0)).await.unwrap()) });
}

#[test]
fn clients_come_back_by_a_ticket_whichever_thread_takes_them() {
    let server = Encrypting::start(|_| {});
    let name = ServerName::try_from("dns.test").unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Arc::new(server.client_of(b"dot", &[version]));
        let kinds = [(); 8].map(|()| {
            let connection = ClientConnection::new(Arc::clone(&client), name.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, server.connect_raw(Transport::Tls));
            stream.write_all(&framed(&query(1))).unwrap();
            check(&query(1), &read_from(&mut stream));
            stream.conn.handshake_kind().unwrap()
        });
        assert_eq!(kinds[0], rustls::HandshakeKind::Full);
        assert!(kinds[1..].iter().all(|kind| *kind == rustls::HandshakeKind::Resumed), "{version:?} {kinds:?}");
    }
}

#[test]
fn idle_threads_of_the_encrypted_transports_let_an_old_world_go() {
    let server = Encrypting::start(|_| {});
    let first = server.server.shared.publish(Arc::new(Snapshot::default()));
    let start = Instant::now();
    while Arc::strong_count(&first) > 1 || Arc::strong_count(&first.catalog) > 1 {
        assert!(start.elapsed() < PATIENCE, "a thread keeps the old world");
        thread::yield_now();
    }
}

#[test]
fn quic_answers_many_streams_of_one_connection() {
    let server = Encrypting::start(|_| {});
    runtime().block_on(async {
        let connection = server.quic().await;
        for _ in 0..100 {
            check(&query(0), &ask_quic(&connection, &query(0)).await.unwrap());
        }
    });
    assert_eq!(server.server.registry.totals().queries(Transport::Quic), 100);
}

#[test]
fn quic_ends_with_a_protocol_error_what_breaks_its_rules() {
    let server = Encrypting::start(|_| {});
    runtime().block_on(async {
        for bad in [query(1), vec![0; 11], vec![0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let connection = server.quic().await;
            ask_quic(&connection, &bad).await.unwrap_err();
            assert_eq!(code(&connection.closed().await), 2, "{bad:?}");
        }
        let connection = server.quic().await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&[framed(&query(0)), framed(&query(0))].concat()).await.unwrap();
        send.finish().unwrap();
        assert_eq!(code(&connection.closed().await), 2, "two queries");
    });
}

#[test]
fn quic_ends_a_stream_that_its_client_resets_by_a_reset_and_not_by_an_empty_reply() {
    let server = Encrypting::start(|_| {});
    runtime().block_on(async {
        let connection = server.quic().await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&framed(&query(0))[..10]).await.unwrap();
        send.reset(3_u8.into()).unwrap();
        let end = receive.read_to_end(100).await.unwrap_err();
        assert_eq!(end, quinn::ReadToEndError::Read(quinn::ReadError::Reset(3_u8.into())));
        check(&query(0), &ask_quic(&connection, &query(0)).await.unwrap());
    });
}

#[test]
fn quic_delays_nobody_for_those_who_drag_on() {
    let timeouts = Timeouts { first_message: SHORT, ..Timeouts::default() };
    let server = Encrypting::start(|config| config.timeouts = timeouts);
    // What looks like the first packet of a handshake that never goes on, from many.
    let initial = [&[0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x90][..], &[0; 1_200]].concat();
    for _ in 0..50 {
        let socket = udp_client(ANY.ip());
        socket.send_to(&initial, server.address(Transport::Quic)).unwrap();
    }
    runtime().block_on(async {
        let dragging = server.quic().await;
        let (mut send, _receive) = dragging.open_bi().await.unwrap();
        send.write_all(&framed(&query(0))[..10]).await.unwrap();
        check(&query(0), &ask_quic(&server.quic().await, &query(0)).await.unwrap());
        assert_eq!(code(&dragging.closed().await), 4, "its query did not come in time");
    });
}

#[test]
fn quic_takes_long_messages_in_one_after_the_other_and_short_ones_meanwhile() {
    let server = Encrypting::start(|_| {});
    runtime().block_on(async {
        let connection = server.quic().await;
        // What stands behind a query is ignored.
        let long = framed(&[query(0), vec![0; 6_000]].concat());
        let mut streams = Vec::new();
        for octets in [5_000, long.len()] {
            let (mut send, receive) = connection.open_bi().await.unwrap();
            send.write_all(&long[..octets]).await.unwrap();
            // Both have come before the next, as the server has answered.
            check(&query(0), &ask_quic(&connection, &query(0)).await.unwrap());
            streams.push((send, receive));
        }
        let (mut last, mut replies) = streams.pop().unwrap();
        last.finish().unwrap();
        check(&query(0), &ask_quic(&connection, &query(0)).await.unwrap());
        let (mut first, mut reply) = streams.pop().unwrap();
        let early = tokio::time::timeout(SHORT, replies.read_to_end(100)).await;
        assert!(early.is_err(), "the second waits for the first");
        first.write_all(&long[5_000..]).await.unwrap();
        first.finish().unwrap();
        check(&query(0), &reply.read_to_end(100).await.unwrap()[2..]);
        check(&query(0), &replies.read_to_end(100).await.unwrap()[2..]);
    });
}

#[test]
fn quic_ends_who_stays_without_asking() {
    let timeouts = Timeouts { idle: SHORT, ..Timeouts::default() };
    let server = Encrypting::start(|config| config.timeouts = timeouts);
    runtime().block_on(async {
        let connection = server.quic().await;
        assert_eq!(code(&connection.closed().await), 0, "it says all the time that it is there");
    });
    assert_eq!(server.count(Metric::ConnectionsTimedOut), 1);
}

#[test]
fn places_are_counted_over_all_streams_and_quic_alike() {
    let server = Encrypting::start(|config| config.connections = Caps { total: 100, per_network: 2, ..Caps::default() });
    let mut first = server.server.connect();
    ask_over(&mut first, 1);
    let mut second = server.connect(Transport::Tls, b"dot");
    second.write_all(&framed(&query(2))).unwrap();
    check(&query(2), &read_from(&mut second));
    runtime().block_on(async {
        let connection = server.quic().await;
        assert_eq!(code(&connection.closed().await), 4);
    });
    assert!(is_closed(&mut server.connect_raw(Transport::Https)));
    server.wait_for(Metric::ConnectionsRefused, 2);
}

/// A world in which everyone on this machine is a proxy.
fn behind_proxies() -> Shared {
    let mut catalog = Catalog::default();
    catalog.settings.proxy_from = vec![Prefix::masked(ANY.ip(), 8)];
    Shared::new(Snapshot { catalog: Arc::new(catalog), ..Snapshot::default() })
}

/// A header of a client for us.
fn header(client: [u8; 4]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &client[..], &[198, 51, 100, 53, 0x30, 0x39, 0, 53]].concat()
}

#[test]
fn proxies_are_answered_for_their_clients_and_not_without_a_header() {
    let server =
        Encrypting::start_in(behind_proxies(), |config| config.connections = Caps { total: 100, per_network: 1, ..Caps::default() });
    let client = server.server.client();
    client.send(&query(9)).unwrap();
    for (id, header) in [(1, header([192, 0, 2, 1])), (2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec())] {
        client.send(&[header, query(id)].concat()).unwrap();
        let mut reply = [0; 512];
        let len = client.recv(&mut reply).unwrap();
        check(&query(id), &reply[..len]);
    }
    server.wait_for(Metric::ProxyFailures, 1);
    // Two clients of one proxy have places of their own; a third in the network of the first has none.
    let mut streams: Vec<_> = [[192, 0, 2, 1], [192, 0, 3, 1]]
        .map(|address| {
            let mut stream = server.server.connect();
            stream.write_all(&header(address)).unwrap();
            ask_over(&mut stream, 3);
            stream
        })
        .into();
    let mut third = server.server.connect();
    third.write_all(&header([192, 0, 2, 77])).unwrap();
    assert!(is_closed(&mut third));
    ask_over(&mut streams[0], 4);
    // In front of the handshake, too.
    let mut raw = server.connect_raw(Transport::Tls);
    raw.write_all(&header([192, 0, 4, 1])).unwrap();
    let mut tunnelled = server.shake(raw, b"dot");
    tunnelled.write_all(&framed(&query(5))).unwrap();
    check(&query(5), &read_from(&mut tunnelled));
    let mut bare = server.server.connect();
    bare.write_all(&framed(&query(6))).unwrap();
    assert!(is_closed(&mut bare));
    server.wait_for(Metric::ProxyFailures, 2);
}

#[test]
fn a_header_of_someone_else_is_garbage() {
    let server = Encrypting::start(|_| {});
    let client = server.server.client();
    client.send(&[header([192, 0, 2, 1]), query(1)].concat()).unwrap();
    let mut reply = [0; 512];
    let len = client.recv(&mut reply).unwrap();
    assert_eq!((len, reply[3] & 0x0f), (12, 4), "what looks like another opcode is not implemented");
    assert_eq!(server.count(Metric::ProxyFailures), 0);
}

#[test]
fn a_proxy_that_sends_half_a_header_is_ended() {
    let timeouts = Timeouts { first_message: SHORT, ..Timeouts::default() };
    let server = Encrypting::start_in(behind_proxies(), |config| config.timeouts = timeouts);
    let mut half = server.server.connect();
    half.write_all(&header([192, 0, 2, 1])[..20]).unwrap();
    assert!(is_closed(&mut half));
    server.wait_for(Metric::ProxyFailures, 1);
}
