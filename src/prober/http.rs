//! Runs `http` and `https` probes with reqwest: one request on a connection of its own, to exactly the probed address.
//! It never follows a redirect, uses a proxy, keeps a connection, resolves a name or reads a body without bound (H3).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, Response, Url, redirect};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Finding, fault};
use crate::health::monitor::http::{HttpRequest, StatusRanges};
use crate::health::report::{Evidence, Outcome};

/// At most this much of a body is read. A good answer must bring so much, or its end, within the timeout.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// What targets see as the User-Agent, unless a monitor sets its own.
const USER_AGENT: &str = concat!("meridian/", env!("CARGO_PKG_VERSION"), " (health check)");

/// One HTTP or HTTPS probe of one target.
pub(super) struct HttpProbe {
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    status: StatusRanges,
    socket: SocketAddr,
}

/// How the server's certificate is treated; one TLS configuration each, shared by all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Policy {
    /// No TLS at all.
    Plain,
    /// Checked against the trust store of the system.
    Verified,
    /// Taken as it is (`verify: false`).
    Unverified,
}

/// Makes the clients of the probes. Each TLS configuration is made when the first probe needs it: a machine without a trust store
/// is fine as long as no `https` monitor asks for one.
#[derive(Default)]
pub(super) struct Clients {
    configs: BTreeMap<Policy, ClientConfig>,
    /// Clients that need no name resolved; connections are never shared, only what it takes to make them.
    shared: BTreeMap<Policy, Client>,
}

impl HttpProbe {
    /// Asks once, for at most `timeout` from connecting to the last byte that is read.
    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let mut status = None;
        let asked = tokio::time::timeout(timeout, self.ask(&mut status)).await;
        match (asked, status) {
            (Ok(Ok(finding)), _) => finding,
            (Ok(Err(error)), _) => fault::of_error(&error.without_url(), self.socket),
            (Err(_elapsed), Some(status)) => (Outcome::Failure, Evidence::BodyTimeout(status)),
            (Err(_elapsed), None) => (Outcome::Failure, Evidence::Timeout),
        }
    }

    /// Good if the status is wanted and the body came too. `status` is set as soon as it is known.
    async fn ask(&self, status: &mut Option<u16>) -> reqwest::Result<Finding> {
        let request = self.client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        let response = request.send().await?;
        let seen = response.status().as_u16();
        *status = Some(seen);
        if !self.status.contains(seen) {
            return Ok((Outcome::Failure, Evidence::Status(seen)));
        }
        read_body(response).await?;
        Ok((Outcome::Success, Evidence::Status(seen)))
    }
}

/// Reads a body to its end or [`MAX_BODY`], and forgets it.
async fn read_body(mut response: Response) -> reqwest::Result<()> {
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        read += chunk.len();
        if read >= MAX_BODY {
            break;
        }
    }
    Ok(())
}

impl Clients {
    /// The probe for a request to `socket`, or why this machine cannot run it.
    pub(super) fn probe(&mut self, socket: SocketAddr, request: &HttpRequest) -> Result<HttpProbe, Evidence> {
        let policy = match &request.tls {
            None => Policy::Plain,
            Some(tls) if tls.verify => Policy::Verified,
            Some(_) => Policy::Unverified,
        };
        let sni = request.tls.as_ref().and_then(|tls| tls.sni.as_deref());
        Ok(HttpProbe {
            client: self.client(policy, sni, socket)?,
            method: Method::from_bytes(request.method.as_str().as_bytes()).map_err(setup_error)?,
            url: url(policy, sni, socket, &request.path)?,
            headers: headers(socket, policy, request)?,
            status: request.status.clone(),
            socket,
        })
    }

    fn client(&mut self, policy: Policy, sni: Option<&str>, socket: SocketAddr) -> Result<Client, Evidence> {
        if let Some(sni) = sni {
            // The name is for TLS only: it leads to the probed address, and no resolver is asked.
            return self.builder(policy)?.resolve(sni, socket).build().map_err(setup_error);
        }
        if !self.shared.contains_key(&policy) {
            let client = self.builder(policy)?.build().map_err(setup_error)?;
            self.shared.insert(policy, client);
        }
        self.shared.get(&policy).cloned().ok_or_else(|| Evidence::Other("no HTTP client".into()))
    }

    fn builder(&mut self, policy: Policy) -> Result<ClientBuilder, Evidence> {
        let config = match self.configs.get(&policy) {
            Some(config) => config.clone(),
            None => {
                let config = tls_config(policy).map_err(|error| Evidence::Tls(Evidence::text(&error.to_string())))?;
                self.configs.insert(policy, config.clone());
                config
            }
        };
        let builder = Client::builder().tls_backend_preconfigured(config).no_proxy().redirect(redirect::Policy::none());
        Ok(builder.retry(reqwest::retry::never()).pool_max_idle_per_host(0).http1_only().referer(false).user_agent(USER_AGENT))
    }
}

fn setup_error(error: impl std::error::Error) -> Evidence {
    Evidence::Other(Evidence::text(&error.to_string()))
}

/// The URL holds what goes into SNI (or the address); the Host header is set apart from it.
fn url(policy: Policy, sni: Option<&str>, socket: SocketAddr, path: &str) -> Result<Url, Evidence> {
    let scheme = if policy == Policy::Plain { "http" } else { "https" };
    let text = match sni {
        Some(sni) => format!("{scheme}://{sni}:{}{path}", socket.port()),
        None => format!("{scheme}://{socket}{path}"),
    };
    Url::parse(&text).map_err(setup_error)
}

fn headers(socket: SocketAddr, policy: Policy, request: &HttpRequest) -> Result<HeaderMap, Evidence> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(setup_error)?;
        headers.insert(name, HeaderValue::from_str(value).map_err(setup_error)?);
    }
    // Without a host of its own the target is asked for its address; the port is left out where it is the usual one (RFC 9110 7.2).
    let usual = if policy == Policy::Plain { 80 } else { 443 };
    let address = || if socket.port() == usual { host_of(socket) } else { socket.to_string() };
    let host = request.host.as_deref().map_or_else(address, str::to_owned);
    headers.insert(HOST, HeaderValue::from_str(&host).map_err(setup_error)?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

fn host_of(socket: SocketAddr) -> String {
    match socket {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

fn tls_config(policy: Policy) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match policy {
        Policy::Plain => builder.with_root_certificates(RootCertStore::empty()),
        Policy::Verified => {
            let verifier = rustls_platform_verifier::Verifier::new(provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        Policy::Unverified => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    Ok(without_resumption(builder.with_no_client_auth()))
}

/// A resumed session shows no certificate, so that an expired one would go unseen: every probe shakes hands in full.
fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

/// ring, installed as the provider of the process by whoever comes first.
fn provider() -> Arc<CryptoProvider> {
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

#[cfg(test)]
mod tests;
