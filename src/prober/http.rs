//! Runs `http` and `https` probes with reqwest: one request on a connection of its own, to exactly the probed address.
//! It never follows a redirect, uses a proxy, keeps a connection, resolves a name or reads a body without bound (H3).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, Response, Url, redirect};

use super::tls::{Configs, Policy};
use super::{Finding, fault};
use crate::health::monitor::content::{self, Body, Content};
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
    content: Content,
    pattern: Option<regex::bytes::Regex>,
    socket: SocketAddr,
}

/// Makes the clients of the probes.
#[derive(Default)]
pub(super) struct Clients {
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
        if self.content.is_empty() {
            read_body(response, |_| {}).await?;
            return Ok((Outcome::Success, Evidence::Status(seen)));
        }
        let mut body = Vec::new();
        let cut = read_body(response, |chunk| body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY - body.len())])).await?;
        Ok(self.judge(seen, &body, cut))
    }

    /// What the body says once the status is fine.
    fn judge(&self, status: u16, body: &[u8], cut: bool) -> Finding {
        let held = match (&self.content.body, &self.pattern) {
            (Some(Body::Contains(text)), _) => body.windows(text.len()).any(|window| window == text.as_bytes()),
            (_, Some(pattern)) => pattern.is_match(body),
            _ => true,
        };
        if !held {
            return (Outcome::Failure, Evidence::Content(status, "the body does not hold what it must".into()));
        }
        match self.content.judge_json(body, cut) {
            (outcome, Some(why)) => (outcome, Evidence::Content(status, Evidence::text(&why))),
            (outcome, None) => (outcome, Evidence::Status(status)),
        }
    }
}

/// Reads a body to its end or [`MAX_BODY`]; true if it went on.
async fn read_body(mut response: Response, mut take: impl FnMut(&[u8])) -> reqwest::Result<bool> {
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        take(&chunk);
        read += chunk.len();
        if read >= MAX_BODY {
            return Ok(read > MAX_BODY || response.chunk().await?.is_some());
        }
    }
    Ok(false)
}

impl Clients {
    /// The probe for a request to `socket`, or why this machine cannot run it.
    pub(super) fn probe(&mut self, socket: SocketAddr, request: &HttpRequest, configs: &mut Configs) -> Result<HttpProbe, Evidence> {
        let policy = Policy::of(request.tls.as_ref());
        let sni = request.tls.as_ref().and_then(|tls| tls.sni.as_deref());
        let pattern = match &request.content.body {
            Some(Body::Matches(pattern)) => Some(content::pattern(pattern).map_err(setup_error)?),
            _ => None,
        };
        Ok(HttpProbe {
            url: url(&policy, sni, socket, &request.path)?,
            headers: headers(socket, &policy, request)?,
            client: self.client(policy, sni, socket, configs)?,
            method: Method::from_bytes(request.method.as_str().as_bytes()).map_err(setup_error)?,
            status: request.status.clone(),
            content: request.content.clone(),
            pattern,
            socket,
        })
    }

    fn client(&mut self, policy: Policy, sni: Option<&str>, socket: SocketAddr, configs: &mut Configs) -> Result<Client, Evidence> {
        if let Some(sni) = sni {
            // The name is for TLS only: it leads to the probed address, and no resolver is asked.
            return builder(&policy, configs)?.resolve(sni, socket).build().map_err(setup_error);
        }
        if let Some(client) = self.shared.get(&policy) {
            return Ok(client.clone());
        }
        let client = builder(&policy, configs)?.build().map_err(setup_error)?;
        self.shared.insert(policy, client.clone());
        Ok(client)
    }
}

fn builder(policy: &Policy, configs: &mut Configs) -> Result<ClientBuilder, Evidence> {
    let builder = Client::builder().tls_backend_preconfigured(configs.config(policy)?).no_proxy().redirect(redirect::Policy::none());
    Ok(builder.retry(reqwest::retry::never()).pool_max_idle_per_host(0).http1_only().referer(false).user_agent(USER_AGENT))
}

fn setup_error(error: impl std::error::Error) -> Evidence {
    Evidence::Other(Evidence::text(&error.to_string()))
}

/// The URL holds what goes into SNI (or the address); the Host header is set apart from it.
fn url(policy: &Policy, sni: Option<&str>, socket: SocketAddr, path: &str) -> Result<Url, Evidence> {
    let scheme = if *policy == Policy::Plain { "http" } else { "https" };
    let text = match sni {
        Some(sni) => format!("{scheme}://{sni}:{}{path}", socket.port()),
        None => format!("{scheme}://{socket}{path}"),
    };
    Url::parse(&text).map_err(setup_error)
}

fn headers(socket: SocketAddr, policy: &Policy, request: &HttpRequest) -> Result<HeaderMap, Evidence> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(setup_error)?;
        headers.insert(name, HeaderValue::from_str(value).map_err(setup_error)?);
    }
    // Without a host of its own the target is asked for its address; the port is left out where it is the usual one (RFC 9110 7.2).
    let usual = if *policy == Policy::Plain { 80 } else { 443 };
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

#[cfg(test)]
mod tests;
