//! The TLS configurations of the probes: one per distinct policy, made when the first probe needs it and shared by all that agree.
//! It never resumes a session, and it never trusts more than its policy says.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::health::monitor::tls::{Pem, Tls};
use crate::health::report::Evidence;

/// How the server's certificate is treated and what is shown to it; one TLS configuration each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Policy {
    /// Who is trusted.
    pub(super) trust: Trust,
    /// Certificate chain and private key of the prober.
    pub(super) client: Option<(Pem, Pem)>,
}

/// Whose certificates are taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Checked against the trust store of the system.
    System,
    /// Checked against these.
    Only(Pem),
    /// Taken as they are (`verify: false`).
    Any,
}

impl Policy {
    /// The policy that a monitor asks for.
    pub(super) fn of(tls: &Tls) -> Policy {
        let trust = match &tls.ca {
            _ if !tls.verify => Trust::Any,
            Some(ca) => Trust::Only(ca.clone()),
            None => Trust::System,
        };
        Policy { trust, client: tls.client.clone() }
    }
}

/// The configurations made so far, by policy and the protocol that ALPN offers (empty = none). All targets that agree share one:
/// a trust store takes more than a hundred times what a probe does. A machine without one is fine as long as no monitor asks for it.
#[derive(Default)]
pub(super) struct Configs(pub(super) BTreeMap<(Policy, &'static [u8]), Arc<ClientConfig>>);

impl Configs {
    /// The configuration of a policy, or why this machine cannot have it.
    pub(super) fn config(&mut self, policy: &Policy, protocol: &'static [u8]) -> Result<Arc<ClientConfig>, Evidence> {
        let key = (policy.clone(), protocol);
        if let Some(config) = self.0.get(&key) {
            return Ok(Arc::clone(config));
        }
        let mut config = tls_config(policy).map_err(|error| Evidence::Tls(Evidence::text(&error)))?;
        config.alpn_protocols = if protocol.is_empty() { vec![] } else { vec![protocol.to_vec()] };
        let config = Arc::new(config);
        self.0.insert(key, Arc::clone(&config));
        Ok(config)
    }
}

fn tls_config(policy: &Policy) -> Result<ClientConfig, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &policy.trust {
        Trust::Only(ca) => builder.with_root_certificates(roots(ca)?),
        Trust::System => {
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| error.to_string())?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::Any => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    let config = match &policy.client {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key_der = PrivateKeyDer::from_pem_slice(&key.octets).map_err(|error| format!("`{}`: {error}", key.path))?;
            builder.with_client_auth_cert(certificates(chain)?, key_der).map_err(|error| format!("`{}`: {error}", chain.path))?
        }
    };
    Ok(without_resumption(config))
}

fn roots(ca: &Pem) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(ca)? {
        store.add(certificate).map_err(|error| format!("`{}`: {error}", ca.path))?;
    }
    Ok(store)
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(&pem.octets);
    certificates.collect::<Result<_, _>>().map_err(|error| format!("`{}`: {error}", pem.path))
}

/// A resumed session shows no certificate, so that an expired one would go unseen: every probe shakes hands in full.
pub(super) fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

/// ring, installed as the provider of the process by whoever comes first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    // An error only says that one is installed already.
    let _ = ring::default_provider().install_default();
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()))
}

/// Takes every certificate, but still checks that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
