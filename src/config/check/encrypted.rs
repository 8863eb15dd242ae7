//! `encrypted:` of the server file: where the encrypted transports listen, and the certificate that they show; the one of the API, too.
//! The files of the certificate are read here, at each load, so that a bad one is refused like any other mistake and none is made up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::server::sockets;
use crate::certificate::not_after_s;
use crate::config::files;
use crate::config::model::{Encrypted, Identity};
use crate::config::spec::{Field, Fields};
use crate::diag::Diagnostics;

/// Every key of `encrypted:`.
pub(in crate::config) const ENCRYPTED_KEYS: [&str; 7] = ["certificate", "key", "tls", "https", "http3", "quic", "path"];

/// Those of them that list addresses.
const TRANSPORTS: [&str; 4] = ["tls", "https", "http3", "quic"];

/// DNS in clear text.
const CLEAR_PORT: u16 = 53;

/// Where DNS is in HTTP unless something else is said (the example of RFC 8484 4.1, which all clients know).
const DEFAULT_PATH: &str = "/dns-query";

/// Longest path: it is looked for in every request.
const MAX_PATH_OCTETS: usize = 256;

/// The transports and what is wrong with them; `listen` are the addresses of DNS in clear text.
pub(in crate::config) fn encrypted(server: &Fields<'_>, listen: &[SocketAddr], out: &mut Diagnostics) -> Option<Encrypted> {
    let field = server.get("encrypted")?;
    let keys = field.fields("a map such as `{tls: \"0.0.0.0:853\", certificate: dns.pem, key: dns.key}`", &ENCRYPTED_KEYS, out)?;
    let [tls, https, http3, quic] = TRANSPORTS.map(|key| keys.get(key).and_then(|field| sockets(&field, out)).unwrap_or_default());
    refuse_taken(&keys, "tls", &tls, listen, out);
    refuse_taken(&keys, "https", &https, &[listen, &tls].concat(), out);
    // The other two share a port if they are told to: clients say which they want.
    refuse_taken(&keys, "http3", &http3, listen, out);
    refuse_taken(&keys, "quic", &quic, listen, out);
    refuse_clear_port(&keys, "tls", &tls, out);
    refuse_clear_port(&keys, "quic", &quic, out);
    if TRANSPORTS.iter().all(|key| keys.get(key).is_none()) {
        out.error_hint(field.mark(), "`encrypted` listens nowhere", "give `tls: [\"0.0.0.0:853\", \"[::]:853\"]`");
    }
    let path = keys.get("path").and_then(|field| path(&field, out)).unwrap_or_else(|| DEFAULT_PATH.to_owned());
    Some(Encrypted { tls, https, http3, quic, path, identity: identity(&keys, "dns", out)? })
}

fn path(field: &Field<'_>, out: &mut Diagnostics) -> Option<String> {
    const WANTED: &str = "a path such as `/dns-query`";
    let is_path = |text: &str| {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"/-._~".contains(&octet);
        text.starts_with('/') && text.len() <= MAX_PATH_OCTETS && text.bytes().all(allowed)
    };
    field.parsed(WANTED, out, |text| is_path(text).then(|| text.to_owned()))
}

/// Two listeners on one address and port would be two answers to one question.
fn refuse_taken(keys: &Fields<'_>, key: &str, addresses: &[SocketAddr], taken: &[SocketAddr], out: &mut Diagnostics) {
    for address in addresses.iter().filter(|address| address.port() != 0 && taken.contains(address)) {
        out.error_hint(keys.key_mark(key), format!("`{address}` is listened on already"), "give each transport a port of its own");
    }
}

/// The port of DNS in clear text is for nothing else (RFC 7858 3.1, RFC 9250 4.1.1): whoever speaks it there would hear noise.
fn refuse_clear_port(keys: &Fields<'_>, key: &str, addresses: &[SocketAddr], out: &mut Diagnostics) {
    for address in addresses.iter().filter(|address| address.port() == CLEAR_PORT) {
        out.error_hint(
            keys.key_mark(key),
            format!("`{address}` has the port of DNS in clear text"),
            "the usual port of `tls` and `quic` is 853",
        );
    }
}

/// The certificate and its key; `example` begins the names of files in hints.
pub(super) fn identity(keys: &Fields<'_>, example: &str, out: &mut Diagnostics) -> Option<Identity> {
    let (chain, key) = (keys.need("certificate", &format!("{example}.pem"), out), keys.need("key", &format!("{example}.key"), out));
    let chain = chain.and_then(|field| Some((field, pem(&field, out)?)));
    let key = key.and_then(|field| Some((field, pem(&field, out)?)));
    let chain = chain.and_then(|(field, octets)| {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
        let certificates = certificates.unwrap_or_default();
        let ends = certificates.iter().map(|certificate| not_after_s(certificate)).collect::<Option<Vec<_>>>();
        match ends.unwrap_or_default().into_iter().min() {
            Some(not_after_s) => Some((field, certificates, not_after_s)),
            None => {
                field.refuse_hint("a file with a certificate in PEM", "it begins with `-----BEGIN CERTIFICATE-----`", out);
                None
            }
        }
    });
    let key = key.and_then(|(field, octets)| match PrivateKeyDer::from_pem_slice(&octets) {
        Ok(key) => Some((field, key)),
        Err(_) => {
            // What the file holds instead is not shown: it may be a key in another form.
            field.refuse_hint("a file with a private key in PEM", "it begins with `-----BEGIN PRIVATE KEY-----` and has no password", out);
            None
        }
    });
    let ((chain, certificates, not_after_s), (key_field, key)) = (chain?, key?);
    match CertifiedKey::from_der(certificates, key, &ring::default_provider()) {
        Ok(key) => {
            files::warn_of_readers(&file(&key_field, out)?, &key_field.node.mark, out);
            Some(Identity { path: file(&chain, out)?, not_after_s, key: key.into() })
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            let hint = "the first certificate in the file must be the server's own, made for this key";
            out.error_hint(key_field.mark(), "this key does not belong to the certificate", hint);
            None
        }
        Err(error) => {
            out.error_hint(
                key_field.mark(),
                format!("the certificate and its key cannot be used: {error}"),
                "use ECDSA P-256, Ed25519, or RSA of 2048 bits and more",
            );
            None
        }
    }
}

/// Whose certificates are taken, by the API.
pub(super) fn authority(field: &Field<'_>, out: &mut Diagnostics) -> Option<Arc<RootCertStore>> {
    let octets = pem(field, out)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&octets).collect::<Result<_, _>>().unwrap_or_default();
    let mut roots = RootCertStore::empty();
    if certificates.is_empty() || certificates.into_iter().any(|certificate| roots.add(certificate).is_err()) {
        field.refuse_hint("a file with certificates of an authority in PEM", "it begins with `-----BEGIN CERTIFICATE-----`", out);
        return None;
    }
    Some(Arc::new(roots))
}

fn file(field: &Field<'_>, out: &mut Diagnostics) -> Option<PathBuf> {
    Some(files::resolve(field.text("a file", out)?, &field.node.mark))
}

fn pem(field: &Field<'_>, out: &mut Diagnostics) -> Option<Vec<u8>> {
    files::read_secret(&file(field, out)?, &field.node.mark, out)
}
