//! Clients of the encrypted transports, and the certificate that they trust; each asks from an address of its own and expects nothing of a reply.
//! What goes wrong is an error, so that a test may count it.

use std::collections::HashSet;
use std::io::{Error, Read, Result, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meridian::answer::Transport;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;

use super::PATIENCE;
use super::client::framed;
use super::server::Server;

/// Whom the certificate names.
pub(crate) const NAME: &str = "dns.test";

/// A self-signed certificate for [`NAME`] and 127.0.0.1 that lasts so many days, and its key.
pub(crate) fn certificate(days: u32) -> (String, String) {
    let mut params = rcgen::CertificateParams::new([NAME.to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.not_before = (SystemTime::now() - Duration::from_secs(3_600)).into();
    params.not_after = (SystemTime::now() + Duration::from_secs(86_400) * days + Duration::from_secs(3_600)).into();
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Where a server listens for an encrypted transport, as its log says.
pub(crate) fn address(server: &Server, transport: Transport) -> SocketAddr {
    let named = format!("transport=\"{}\"", transport.name());
    let line = server.lines().into_iter().find(|line| line.contains(&named)).unwrap();
    line.split("address=").nth(1).unwrap().trim().parse().unwrap()
}

/// A TCP connection from an address of loopback.
pub(crate) fn connect(from: IpAddr, to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A stream inside TLS.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Whoever trusts one certificate.
#[derive(Clone)]
pub(crate) struct Client(CertificateDer<'static>);

impl Client {
    /// Trusts this one, in PEM.
    pub(crate) fn trusting(pem: &str) -> Client {
        Client(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
    }

    fn config(&self, protocol: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into()).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    /// A connection that shakes hands with its first octet.
    pub(crate) fn tls(&self, protocol: &[u8], from: IpAddr, to: SocketAddr) -> Result<Tls> {
        let name = ServerName::try_from(NAME).map_err(Error::other)?;
        let connection = ClientConnection::new(self.config(protocol).into(), name).map_err(Error::other)?;
        Ok(StreamOwned::new(connection, connect(from, to)?))
    }

    /// A connection of QUIC; needs a runtime of tokio.
    pub(crate) async fn quic(&self, protocol: &[u8], from: IpAddr, to: SocketAddr) -> Result<quinn::Connection> {
        let mut endpoint = quinn::Endpoint::client((from, 0).into())?;
        endpoint.set_default_client_config(self.quic_config(protocol));
        let connecting = endpoint.connect(to, NAME).map_err(Error::other)?;
        timeout(PATIENCE, connecting).await?.map_err(Error::other)
    }

    pub(crate) fn quic_config(&self, protocol: &[u8]) -> quinn::ClientConfig {
        quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(self.config(protocol)).unwrap()))
    }

    /// First packets of so many handshakes that never go on.
    pub(crate) fn initials(&self, protocol: &[u8], count: usize) -> Vec<Vec<u8>> {
        let trap = UdpSocket::bind("127.0.0.1:0").unwrap();
        trap.set_read_timeout(Some(PATIENCE)).unwrap();
        let to = trap.local_addr().unwrap();
        runtime().block_on(async {
            let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            endpoint.set_default_client_config(self.quic_config(protocol));
            let (mut initials, mut destinations, mut open) = (Vec::new(), HashSet::new(), Vec::new());
            while initials.len() < count {
                open.push(endpoint.connect(to, NAME).unwrap());
                let mut packet = vec![0; 2_048];
                let octets = tokio::task::block_in_place(|| trap.recv(&mut packet)).unwrap();
                packet.truncate(octets);
                // Flags, version, and the length of the destination come before it (RFC 9000 17.2); who waits sends its first once more.
                if destinations.insert(packet[6..6 + usize::from(packet[5])].to_vec()) {
                    initials.push(packet);
                }
            }
            initials
        })
    }
}

/// Where clients of QUIC run.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// One message over a stream inside TLS, and its reply.
pub(crate) fn ask_tls(stream: &mut Tls, message: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(&framed(message))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// One message by GET of HTTP/1.1, and the body of the response; nothing is asked behind it.
pub(crate) fn ask_https(stream: &mut Tls, message: &[u8]) -> Result<Vec<u8>> {
    let asked = data_encoding::BASE64URL_NOPAD.encode(message);
    stream.write_all(format!("GET /dns-query?dns={asked} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    // An end without the word of TLS is an end.
    let _ = stream.read_to_end(&mut response);
    let body = response.windows(4).position(|octets| octets == b"\r\n\r\n").map(|at| at + 4);
    match body {
        Some(at) if response.starts_with(b"HTTP/1.1 200 ") => Ok(response.split_off(at)),
        _ => Err(Error::other(String::from_utf8_lossy(&response).into_owned())),
    }
}

/// One message on a stream of its own, and its reply.
pub(crate) async fn ask_quic(connection: &quinn::Connection, message: &[u8]) -> Result<Vec<u8>> {
    let exchange = async {
        let (mut send, mut receive) = connection.open_bi().await.map_err(Error::other)?;
        send.write_all(&framed(message)).await.map_err(Error::other)?;
        send.finish().map_err(Error::other)?;
        let octets = receive.read_to_end(65_537).await.map_err(Error::other)?;
        octets.get(2..).map(<[u8]>::to_vec).ok_or_else(|| Error::other("no reply"))
    };
    timeout(PATIENCE, exchange).await?
}
