//! TLS of the API: the certificate that it shows, and whose certificates it asks for.
//! It trusts no authority but the one that the configuration names, and offers HTTP/1.1 only.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::model::ApiTls;

/// Reads the files of the configuration.
pub(super) fn acceptor(files: &ApiTls) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(other)?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| of_file(path, error))?;
            }
            // Whoever has none may still have a token.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build().map_err(|error| of_file(path, error))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| of_file(&files.key, error))?;
    let mut config =
        builder.with_single_cert(certificates(&files.certificate)?, key).map_err(|error| of_file(&files.certificate, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| of_file(path, error))?;
    if certificates.is_empty() { Err(of_file(path, "no certificate is in it")) } else { Ok(certificates) }
}

fn of_file(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("`{}`: {error}", path.display()))
}

fn other(error: rustls::Error) -> io::Error {
    io::Error::other(error)
}
