//! Certificates that we show, with their keys, and those whose holders may use the API, for every part of the server file that has some.
//! Files are read here, at each load, so that a bad one is refused like any other mistake; no certificate is made up, and no key shown.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::certificate::not_after_s;
use crate::config::files;
use crate::config::model::Identity;
use crate::config::spec::{Field, Fields};
use crate::diag::Diagnostics;

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
