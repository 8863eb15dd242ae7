//! The encrypted transports as checked: where they listen, and what they and the API show.
//! It reads no file; the check has done that.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

/// The encrypted transports (`encrypted:`).
#[derive(Debug, Clone)]
pub struct Encrypted {
    /// Addresses of DNS over TLS.
    pub tls: Vec<SocketAddr>,
    /// Addresses of DNS over HTTPS, by HTTP/2 and HTTP/1.1.
    pub https: Vec<SocketAddr>,
    /// Addresses of DNS over HTTP/3.
    pub http3: Vec<SocketAddr>,
    /// Addresses of DNS over QUIC.
    pub quic: Vec<SocketAddr>,
    /// Where DNS is in HTTP.
    pub path: String,
    /// What is shown to clients.
    pub identity: Identity,
}

impl Encrypted {
    /// Whether another configuration is served by the same sockets; certificates may differ.
    pub fn is_bound_as(&self, other: &Encrypted) -> bool {
        (&self.tls, &self.https, &self.http3, &self.quic, &self.path) == (&other.tls, &other.https, &other.http3, &other.quic, &other.path)
    }
}

/// A certificate with its key, as read from their files.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The file of the certificate.
    pub path: PathBuf,
    /// When the first of the chain's certificates ends, in seconds since 1970.
    pub not_after_s: i64,
    /// The chain and the key, which belong together.
    pub key: Arc<CertifiedKey>,
}

/// The API's TLS.
#[derive(Debug, Clone)]
pub struct ApiTls {
    /// What is shown to clients.
    pub identity: Identity,
    /// The authority whose certificates open all doors (mutual TLS).
    pub clients: Option<Arc<RootCertStore>>,
}
