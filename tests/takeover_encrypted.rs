//! Takeovers under load of the encrypted transports, over the real binary: what was taken is answered, and whoever is closed between two
//! queries is told so in the words of its protocol, and asks the process that has taken over.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use common::folder::Folder;
use common::message::{Reply, query};
use common::server::Server;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Buf, Bytes};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meridian::answer::Transport;
use quinn::{ConnectionError, VarInt};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Takeovers, one after the other.
const TAKEOVERS: u32 = 3;

/// Between two queries of a client that keeps its connection, and of one that opens a new one each time.
const KEPT: Duration = Duration::from_millis(10);
const FRESH: Duration = Duration::from_millis(100);

/// H3_NO_ERROR (RFC 9114 8.1), and DOQ_NO_ERROR (RFC 9250 4.3).
const HTTP3_NO_ERROR: VarInt = VarInt::from_u32(0x100);
const DOQ_NO_ERROR: VarInt = VarInt::from_u32(0);

/// APPLICATION_ERROR and CONNECTION_REFUSED (RFC 9000 20.1): what a close says while the handshake is under way, and before it has begun.
const DURING_HANDSHAKE: [u64; 2] = [0x0c, 0x02];

/// Why a query has no reply. Anything but the two is a fault and ends the test where it is seen.
#[derive(Debug)]
enum Closed {
    /// In the words of the protocol: ask again on another connection.
    InOrder,
    /// QUIC: before there was a connection.
    BeforeItWasThere,
}

/// What became of the queries of one client.
#[derive(Debug, Default)]
struct Tally {
    asked: u32,
    reopened: u32,
    turned_away: u32,
}

/// A client of one transport, with a connection.
trait Client: Sized {
    fn connect(site: &Site) -> impl Future<Output = Result<Self, Closed>>;
    fn ask(&mut self, query: &[u8]) -> impl Future<Output = Result<Vec<u8>, Closed>>;
}

/// Where the server is, and whom to trust.
#[derive(Clone)]
struct Site {
    certificate: CertificateDer<'static>,
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl Site {
    fn address(&self, transport: Transport) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| *name == transport.name()).unwrap().1
    }

    fn config(&self, protocol: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into()).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    /// A connection by TLS, which must come about: no handshake is dropped.
    async fn tunnel(&self, transport: Transport, protocol: &[u8]) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address(transport)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("dns.test").unwrap();
        let shaken = TlsConnector::from(Arc::new(self.config(protocol))).connect(name, stream).await;
        shaken.unwrap_or_else(|error| panic!("{}: a handshake came to nothing: {error}", transport.name()))
    }

    async fn quic(&self, transport: Transport, protocol: &[u8]) -> Result<quinn::Connection, Closed> {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(self.config(protocol)).unwrap();
        let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        match endpoint.connect(self.address(transport), "dns.test").unwrap().await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                assert!(is_during_handshake(&error), "{}: {error:?}", transport.name());
                Err(Closed::BeforeItWasThere)
            }
        }
    }
}

fn is_during_handshake(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ConnectionClosed(close) if DURING_HANDSHAKE.contains(&close.error_code.into()))
}

/// With this code; or before the server knew that the handshake was done, which its client knows a round trip earlier.
fn is_in_order(error: &ConnectionError, code: VarInt) -> bool {
    is_during_handshake(error) || matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == code)
}

struct Dot(TlsStream<TcpStream>);

impl Client for Dot {
    async fn connect(site: &Site) -> Result<Dot, Closed> {
        Ok(Dot(site.tunnel(Transport::Tls, b"dot").await))
    }

    async fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>, Closed> {
        let Dot(stream) = self;
        let asked = async {
            stream.write_all(&framed(query)).await?;
            stream.flush().await?;
            let mut length = [0; 2];
            // With close_notify that is an end, without it an error.
            if stream.read(&mut length[..1]).await? == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            stream.read_exact(&mut length[1..]).await.expect("no reply is cut off");
            let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut reply).await.expect("no reply is cut off");
            io::Result::Ok(reply)
        };
        asked.await.map_err(|error| match error.kind() {
            // The client has sent its query while the close was on its way (RFC 7766 6.2.4).
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Closed::InOrder,
            _ => panic!("DNS over TLS: {error:?}"),
        })
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

fn request(query: &[u8], target: &str) -> Request<Empty<Bytes>> {
    let asked = data_encoding::BASE64URL_NOPAD.encode(query);
    Request::get(format!("{target}/dns-query?dns={asked}")).header("host", "dns.test").body(Empty::new()).unwrap()
}

async fn message<B: hyper::body::Body<Data = Bytes>>(response: Response<B>) -> Vec<u8>
where
    B::Error: std::fmt::Debug,
{
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

struct Http2(http2::SendRequest<Empty<Bytes>>);

impl Client for Http2 {
    async fn connect(site: &Site) -> Result<Http2, Closed> {
        let stream = TokioIo::new(site.tunnel(Transport::Https, b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        Ok(Http2(sender))
    }

    async fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>, Closed> {
        if self.0.ready().await.is_err() {
            return Err(Closed::InOrder);
        }
        match self.0.try_send_request(request(query, "https://dns.test")).await {
            Ok(response) => Ok(message(response).await),
            // It had heard GOAWAY and has not sent the request.
            Err(mut error) if error.message().is_some() => {
                _ = error.take_message();
                Err(Closed::InOrder)
            }
            Err(error) => {
                let error = error.into_error();
                let reason = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
                assert!(
                    reason.is_some_and(|reason| reason.is_go_away() && reason.reason() == Some(h2::Reason::NO_ERROR)),
                    "HTTP/2: {error:?}"
                );
                Err(Closed::InOrder)
            }
        }
    }
}

struct Http1(http1::SendRequest<Empty<Bytes>>);

impl Client for Http1 {
    async fn connect(site: &Site) -> Result<Http1, Closed> {
        let stream = TokioIo::new(site.tunnel(Transport::Https, b"http/1.1").await);
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Ok(Http1(sender))
    }

    async fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>, Closed> {
        if self.0.ready().await.is_err() {
            return Err(Closed::InOrder);
        }
        // No request is lost: the reply before would have said that the connection ends.
        Ok(message(self.0.send_request(request(query, "")).await.unwrap_or_else(|error| panic!("HTTP/1.1: {error:?}"))).await)
    }
}

struct Doq(quinn::Connection);

impl Client for Doq {
    async fn connect(site: &Site) -> Result<Doq, Closed> {
        site.quic(Transport::Quic, b"doq").await.map(Doq)
    }

    async fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>, Closed> {
        let Doq(connection) = self;
        let asked = async {
            let (mut send, mut receive) = connection.open_bi().await?;
            send.write_all(&framed(query)).await?;
            send.finish()?;
            Ok::<_, Box<dyn Error>>(receive.read_to_end(65_537).await?)
        };
        match asked.await {
            Ok(reply) => Ok(reply[2..].to_vec()),
            Err(error) => {
                let reason = connection.close_reason();
                assert!(reason.as_ref().is_some_and(|reason| is_in_order(reason, DOQ_NO_ERROR)), "DNS over QUIC: {error}, {reason:?}");
                Err(Closed::InOrder)
            }
        }
    }
}

struct Http3 {
    connection: quinn::Connection,
    sender: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
}

impl Client for Http3 {
    async fn connect(site: &Site) -> Result<Http3, Closed> {
        let connection = site.quic(Transport::Http3, b"h3").await?;
        let (mut driver, sender) = match h3::client::new(h3_quinn::Connection::new(connection.clone())).await {
            Ok(client) => client,
            Err(error) => {
                let reason = connection.closed().await;
                assert!(is_in_order(&reason, HTTP3_NO_ERROR), "HTTP/3: {error}, {reason:?}");
                return Err(Closed::BeforeItWasThere);
            }
        };
        tokio::spawn(async move { driver.wait_idle().await });
        Ok(Http3 { connection, sender })
    }

    async fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>, Closed> {
        let Http3 { connection, sender } = self;
        let asked = async {
            let mut stream = sender.send_request(request(query, "https://dns.test").map(|_| ())).await?;
            stream.finish().await?;
            assert_eq!(stream.recv_response().await?.status(), 200);
            let mut octets = Vec::new();
            while let Some(mut part) = stream.recv_data().await? {
                octets.extend_from_slice(&part.copy_to_bytes(part.remaining()));
            }
            Ok::<_, h3::error::StreamError>(octets)
        };
        match asked.await {
            Ok(reply) => Ok(reply),
            // The close follows the word that no more is taken.
            Err(error) => {
                let reason = connection.closed().await;
                // Or by its own close, once it had heard that no more is taken.
                let is_ours = reason == ConnectionError::LocallyClosed;
                assert!(is_ours || is_in_order(&reason, HTTP3_NO_ERROR), "HTTP/3: {error}, {reason:?}");
                Err(Closed::InOrder)
            }
        }
    }
}

/// Connects, again where a handshake was turned away.
async fn connect<C: Client>(site: &Site, tally: &mut Tally) -> C {
    loop {
        match C::connect(site).await {
            Ok(client) => return client,
            Err(_) => tally.turned_away += 1,
        }
    }
}

/// Asks until `stop`, on a connection that is kept or on a new one each time.
async fn load<C: Client>(site: Site, pause: Duration, is_kept: bool, stop: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    let mut client: C = connect(&site, &mut tally).await;
    let mut asked = query("www.example.com", "A").octets();
    // As QUIC wants it.
    asked[..2].fill(0);
    while !stop.load(Relaxed) {
        tally.asked += 1;
        let reply = loop {
            match client.ask(&asked).await {
                Ok(reply) => break reply,
                Err(_) => {
                    tally.reopened += 1;
                    client = connect(&site, &mut tally).await;
                }
            }
        };
        assert_eq!(Reply::read(&reply).addresses(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        if !is_kept {
            client = connect(&site, &mut tally).await;
        }
        // The pace of the load, which is what this is for.
        tokio::time::sleep(pause).await;
    }
    tally
}

#[test]
fn no_query_is_lost_in_takeovers_of_the_encrypted_transports() {
    const ZONE: &str = "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web}}\n";
    const REGIONS: &str = "regions:\n  a: {location: {latitude: 1, longitude: 10}, services: {web: 192.0.2.1}}\n";
    let any = "\"127.0.0.1:0\"";
    let server = format!(
        "version: 1\nlisten: {any}\nworkers: 2\nregions: regions.yaml\nzones: z.zone.yaml\ncontrol: control.sock\nencrypted: {{certificate: dns.pem, key: dns.key, tls: \
         {any}, https: {any}, quic: {any}, http3: {any}}}\n"
    );
    let made = rcgen::generate_simple_self_signed(["dns.test".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let folder = Folder::with(
        "takeover-encrypted",
        &[("meridian.yaml", &server), ("regions.yaml", REGIONS), ("z.zone.yaml", ZONE), ("dns.pem", &pem), ("dns.key", &key)],
    );
    let config = folder.join("meridian.yaml");
    let mut running = Server::start(&config);
    let address = |transport: Transport| {
        let line = running.wait_for(0, &format!("transport=\"{}\"", transport.name()));
        (transport.name(), line.split("address=").nth(1).unwrap().trim().parse().unwrap())
    };
    let transports = [Transport::Tls, Transport::Https, Transport::Quic, Transport::Http3];
    let site = Site { certificate: made.cert.der().clone(), addresses: transports.map(address).into() };
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (again, ended) = (|| (site.clone(), Arc::clone(&stop)), &mut Vec::new());
    let mut start = |name: &'static str, client: tokio::task::JoinHandle<Tally>| ended.push((name, client));
    macro_rules! clients {
        ($($name:literal: $client:ty),*) => {$(
            for (pause, is_kept) in [(KEPT, true), (FRESH, false)] {
                let (site, stop) = again();
                let name = if is_kept { $name } else { concat!($name, ", new connections") };
                start(name, runtime.spawn(load::<$client>(site, pause, is_kept, stop)));
            }
        )*};
    }
    clients!("DNS over TLS": Dot, "HTTP/2": Http2, "HTTP/1.1": Http1, "DNS over QUIC": Doq, "HTTP/3": Http3);
    let mut old = Vec::new();
    for _ in 0..TAKEOVERS {
        let new = Server::take_over(&config);
        new.wait_for(0, "took over");
        new.wait_for(0, "ready");
        old.push(std::mem::replace(&mut running, new));
    }
    for old in old {
        assert!(old.wait().0.success());
    }
    stop.store(true, Relaxed);
    for (name, client) in ended.drain(..) {
        let Tally { asked, reopened, turned_away } = runtime.block_on(client).unwrap();
        println!("{name}: {asked} asked, {reopened} connections opened again, {turned_away} handshakes turned away");
        assert!(asked > 20, "{name}: {asked}");
        // Each of the two workers closes the connections that it has once; whoever is quick comes to the other one in between.
        assert!(reopened <= 2 * TAKEOVERS && turned_away <= 2 * TAKEOVERS, "{name}: a takeover closes connections once");
    }
    assert!(running.stop().0.success());
}
