//! TLS of the API: the certificate that it shows, which a reload replaces, and whose certificates it asks for.
//! It trusts no authority but the one that the configuration names, and offers HTTP/1.1 only. It reads no file; the load has done that.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::model::{ApiTls, Identity};
use crate::health::overrides::MAX_TEXT;

/// What handshakes go by. Its lock is taken by handshakes and reloads.
#[derive(Clone)]
pub(super) struct Shown {
    current: Arc<RwLock<(TlsAcceptor, Identity)>>,
    /// Whether clients are asked for certificates. What they may do without one hangs on it, so that it changes with a restart only.
    asks: bool,
}

impl Shown {
    pub(super) fn new(tls: &ApiTls) -> io::Result<Shown> {
        Ok(Shown { current: Arc::new(RwLock::new((acceptor(tls)?, tls.identity.clone()))), asks: tls.clients.is_some() })
    }

    /// Handshakes from now on go by this one; connections that are there stay.
    pub(super) fn replace(&self, tls: &ApiTls) -> io::Result<()> {
        if tls.clients.is_some() == self.asks {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = (acceptor(tls)?, tls.identity.clone());
        }
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// What is shown now, which is the one of before where `replace` took no other.
    pub(super) fn identity(&self) -> Identity {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Shown").field("asks", &self.asks).finish_non_exhaustive()
    }
}

fn acceptor(tls: &ApiTls) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    let builder = match &tls.clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            // Whoever has none may still have a token.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider).allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
        }
    };
    let shown = SingleCertAndKey::from((*tls.identity.key).clone());
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Who a certificate says that its holder is: the common name, else the first alternative name; for the audit log.
pub(super) fn name_of(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return "certificate".into() };
    let common = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok());
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let alternative = alternatives.and_then(|names| {
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some(*text),
            _ => None,
        })
    });
    let serial = || format!("serial {}", parsed.raw_serial_as_string());
    let name = common.or(alternative).map_or_else(serial, str::to_owned);
    // It goes to logs and tables.
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    format!("certificate {name}")
}
