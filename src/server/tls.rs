//! TLS of the encrypted transports: the certificate that is shown, which a reload replaces, and what each transport negotiates.
//! It reads no file and asks no client for a certificate; what a configuration names was read and checked by the load.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

/// The protocol of DNS over TLS (RFC 7858, as IANA has it). Clients that name none are served too.
pub(super) const DOT: &[&[u8]] = &[b"dot"];

/// Those of DNS over HTTPS, the better one first (RFC 8484 5.2).
pub(super) const DOH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The certificate that every handshake shows. Its lock is taken by handshakes and reloads, never per query.
#[derive(Debug)]
pub(super) struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    pub(super) fn new(key: Arc<CertifiedKey>) -> Arc<Certificate> {
        Arc::new(Certificate(RwLock::new(key)))
    }

    /// Handshakes from now on show this one; connections that are there stay.
    pub(super) fn replace(&self, key: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }
}

impl ResolvesServerCert for Certificate {
    /// The one that there is, whichever name is asked for: resolvers mostly know a name server by its address.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// TLS 1.2 and 1.3 for streams, with tickets by which clients come back sooner. All threads share one, so that a ticket is good at each.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn acceptor(certificate: &Arc<Certificate>, protocols: &[&[u8]]) -> Result<TlsAcceptor, rustls::Error> {
    config(certificate, protocols, &[&TLS13, &TLS12]).map(|config| TlsAcceptor::from(Arc::new(config)))
}

/// The same inside QUIC, which knows TLS 1.3 only.
///
/// # Errors
/// As [`acceptor`].
pub(super) fn of_quic(certificate: &Arc<Certificate>, protocols: &[&[u8]]) -> Result<ServerConfig, rustls::Error> {
    config(certificate, protocols, &[&TLS13])
}

fn config(
    certificate: &Arc<Certificate>,
    protocols: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_protocol_versions(versions)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::<Certificate>::clone(certificate));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}
