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
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::model::ApiTls;
use crate::health::overrides::MAX_TEXT;

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
