//! Runs `http` and `https` probes with hyper: one request on a connection of its own, to exactly the probed address.
//! It never follows a redirect, uses a proxy, keeps a connection, resolves a name or reads a body without bound (H3).

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use regex::bytes::Regex;

use super::connect::{self, Tunnel};
use super::steps::{Phase, Steps};
use super::tls::Configs;
use super::{Finding, fault};
use crate::health::monitor::content::{self, Body, Content};
use crate::health::monitor::http::{self as monitor, HttpRequest, StatusRanges};
use crate::health::report::{Evidence, Outcome};

/// At most this much of a body is read. A good answer must bring so much, or its end, within the timeout.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// At most this much of status line and headers is read; a hundred headers at most are hyper's own limit.
const MAX_HEAD: usize = 64 * 1024;

/// What targets see as the User-Agent, unless a monitor sets its own.
const OUR_NAME: &str = concat!("meridian/", env!("CARGO_PKG_VERSION"), " (health check)");

/// What HTTP/1.1 is called in ALPN (RFC 7301 6).
const PROTOCOL: &[u8] = b"http/1.1";

/// Whatever hyper or the network complains about.
pub(super) type Complaint = Box<dyn Error + Send + Sync>;

/// One HTTP or HTTPS probe of one target.
pub(super) struct HttpProbe {
    socket: SocketAddr,
    tunnel: Option<Tunnel>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    status: StatusRanges,
    content: Content,
    pattern: Option<Regex>,
}

/// Compiled patterns by their text: thousands of targets share one, which may take a megabyte.
pub(super) type Patterns = BTreeMap<Box<str>, Regex>;

impl HttpProbe {
    /// The probe for a request to `socket`, or why this machine cannot run it.
    pub(super) fn new(
        socket: SocketAddr,
        request: &HttpRequest,
        patterns: &mut Patterns,
        configs: &mut Configs,
    ) -> Result<HttpProbe, Evidence> {
        let tunnel = request.tls.as_ref().map(|tls| Tunnel::new(socket, tls, PROTOCOL, configs)).transpose()?;
        let pattern = match &request.content.body {
            Some(Body::Matches(text)) => Some(shared_pattern(text, patterns)?),
            _ => None,
        };
        Ok(HttpProbe {
            socket,
            tunnel,
            method: Method::from_bytes(request.method.as_str().as_bytes()).map_err(setup_error)?,
            uri: encoded(&request.path).parse().map_err(setup_error)?,
            headers: headers(socket, request)?,
            status: request.status.clone(),
            content: request.content.clone(),
            pattern,
        })
    }

    /// Asks once, for at most `timeout` from connecting to the last byte that is read.
    pub(super) async fn run(&self, timeout: Duration, steps: &mut Steps) -> Finding {
        let mut status = None;
        let asked = tokio::time::timeout(timeout, self.ask(&mut status, steps)).await;
        match (asked, status) {
            (Ok(Ok(finding)), _) => finding,
            (Ok(Err(error)), _) => fault::of_error(&*error, self.socket),
            (Err(_elapsed), Some(status)) => (Outcome::Failure, Evidence::BodyTimeout(status)),
            (Err(_elapsed), None) => (Outcome::Failure, Evidence::Timeout),
        }
    }

    /// Good if the status is wanted and the body came too. `status` is set as soon as it is known.
    async fn ask(&self, status: &mut Option<u16>, steps: &mut Steps) -> Result<Finding, Complaint> {
        let stream = connect::open(self.socket, self.tunnel.as_ref(), steps).await?;
        steps.enter(Phase::FirstByte);
        let (mut sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
        let mut request = Request::new(Empty::<Bytes>::new());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (self.method.clone(), self.uri.clone(), self.headers.clone());
        let exchange = async {
            let response = sender.send_request(request).await?;
            let seen = response.status().as_u16();
            *status = Some(seen);
            steps.enter(Phase::Body);
            let wanted = self.status.contains(seen);
            let mut body = Vec::new();
            // A body that nobody looks at must come all the same; that of an unwanted status says nothing more.
            let cut = wanted && read_body(response.into_body(), (!self.content.is_empty()).then_some(&mut body)).await?;
            steps.enter(Phase::Assertions);
            let finding = self.judge(seen, &body, cut, steps);
            steps.finish();
            Ok(finding)
        };
        drive(connection, exchange).await
    }

    /// What status and body say.
    fn judge(&self, status: u16, body: &[u8], cut: bool, steps: &mut Steps) -> Finding {
        let is_wanted = self.status.contains(status);
        steps.assert("status", good_if(is_wanted), || format!("{status}, wanted {}", self.status));
        if !is_wanted {
            return (Outcome::Failure, Evidence::Status(status));
        }
        if let Some(pointer) = &self.content.active {
            let active = self.content.active(body);
            steps.assert(pointer, Outcome::Success, || active.map_or("no number".to_owned(), |active| format!("{active} active")));
            active.into_iter().for_each(|active| steps.works_on(active));
        }
        if let Some(wanted) = &self.content.body {
            let holds = match (wanted, &self.pattern) {
                (Body::Matches(_), Some(pattern)) => pattern.is_match(body),
                (Body::Contains(text) | Body::Matches(text), _) => body.windows(text.len()).any(|window| window == text.as_bytes()),
            };
            steps.assert("body", good_if(holds), || format!("{} {wanted}", if holds { "holds" } else { "does not hold" }));
            if !holds {
                return (Outcome::Failure, Evidence::Content(status, "the body does not hold what it must".into()));
            }
        }
        let told = &mut |pointer: &str, outcome, found: &str| steps.assert(pointer, outcome, || found.to_owned());
        match self.content.judge_json(body, cut, told) {
            (outcome, Some(why)) => (outcome, Evidence::Content(status, Evidence::text(&why))),
            (outcome, None) => (outcome, Evidence::Status(status)),
        }
    }
}

/// Lets a connection do its work until the exchange over it is done. Both are one future: nothing outlives the probe, and nothing is
/// left to run when its time is over.
pub(super) async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    exchange: impl Future<Output = Result<T, Complaint>>,
) -> Result<T, Complaint> {
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut exchange => return done,
            // What ended it is told to the exchange, which knows what it means.
            _ended = &mut connection, if is_open => is_open = false,
        }
    }
}

/// Reads a body to its end or [`MAX_BODY`], into `kept` where it is wanted; true if it went on.
async fn read_body(mut body: Incoming, mut kept: Option<&mut Vec<u8>>) -> Result<bool, Complaint> {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&data[..data.len().min(MAX_BODY - kept.len())]);
        }
        read += data.len();
        if read > MAX_BODY {
            return Ok(true);
        }
    }
    Ok(false)
}

fn good_if(holds: bool) -> Outcome {
    if holds { Outcome::Success } else { Outcome::Failure }
}

fn shared_pattern(text: &str, patterns: &mut Patterns) -> Result<Regex, Evidence> {
    if let Some(pattern) = patterns.get(text) {
        return Ok(pattern.clone());
    }
    let pattern = content::pattern(text).map_err(setup_error)?;
    patterns.insert(text.into(), pattern.clone());
    Ok(pattern)
}

fn setup_error(error: impl Error) -> Evidence {
    Evidence::Other(Evidence::text(&error.to_string()))
}

/// The path with what no URI may hold (RFC 3986 2) percent-encoded; the file may have it bare.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => text.push_str(&format!("%{:02X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

fn headers(socket: SocketAddr, request: &HttpRequest) -> Result<HeaderMap, Evidence> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(setup_error)?;
        headers.insert(name, HeaderValue::from_str(value).map_err(setup_error)?);
    }
    // Without a host of its own the target is asked for its address; the port is left out where it is the usual one (RFC 9110 7.2).
    let usual = if request.tls.is_none() { 80 } else { 443 };
    let address = || if socket.port() == usual { host_of(socket) } else { socket.to_string() };
    let host = request.host.as_deref().map_or_else(address, str::to_owned);
    headers.insert(HOST, HeaderValue::from_str(&host).map_err(setup_error)?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if request.method == monitor::Method::Post {
        // An empty body is a body: a server would wait for one otherwise (RFC 9110 8.6).
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
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
