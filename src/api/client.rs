//! The other end of the control socket: how the command line asks the running server. It speaks the same HTTP as everybody.
//! It prints nothing and never waits for ever.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Longer than the server gives any request.
const PATIENCE: Duration = Duration::from_secs(310);

/// What the server has answered.
#[derive(Debug)]
pub struct Reply {
    /// The kind of answer, where one was explained.
    pub class: String,
    /// The body.
    pub text: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.text).map_err(|error| format!("the server's answer cannot be read: {error}"))
    }
}

/// What to ask for.
#[derive(Debug, Clone)]
pub struct Question<'q> {
    method: Method,
    path: String,
    body: Option<&'q Value>,
}

impl<'q> Question<'q> {
    /// To read.
    pub fn get(path: &str, query: &[(&str, &str)]) -> Question<'q> {
        Question { method: Method::GET, path: with_query(path, query), body: None }
    }

    /// To do something.
    pub fn post(path: &str, body: &'q Value) -> Question<'q> {
        Question { method: Method::POST, path: path.to_owned(), body: Some(body) }
    }

    /// To end something.
    pub fn delete(path: &str, query: &[(&str, &str)]) -> Question<'q> {
        Question { method: Method::DELETE, path: with_query(path, query), body: None }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Refusal {
    /// What was asked is wrong, as the server sees it (RFC 9110 15.5.21); for a reload: its configuration.
    pub is_of_content: bool,
    /// For people.
    pub text: String,
}

/// Asks the server at the socket; gives back its answer, or why there is none.
pub fn ask(socket: &Path, question: &Question<'_>) -> Result<Reply, Refusal> {
    let unreachable = |error: &dyn std::fmt::Display| Refusal {
        is_of_content: false,
        text: format!("cannot reach the server at `{}`: {error}", socket.display()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| unreachable(&error))?;
    let (status, class, text) = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, exchange(socket, question)).await })
        .map_err(|_elapsed| unreachable(&"it does not answer"))?
        .map_err(|error| unreachable(&error))?;
    if status.is_success() {
        return Ok(Reply { class, text });
    }
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let told = [&problem["diagnostics"], &problem["detail"]].into_iter().find_map(Value::as_str);
    let text = told.map_or_else(|| status.to_string(), |told| told.trim_end().to_owned());
    Err(Refusal { is_of_content: status == StatusCode::UNPROCESSABLE_ENTITY, text })
}

async fn exchange(socket: &Path, question: &Question<'_>) -> Result<(StatusCode, String, String), Box<dyn std::error::Error>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender goes.
    let connection = tokio::spawn(connection);
    let body = question.body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder().method(&question.method).uri(&question.path).header(header::HOST, "localhost");
    let request = if question.body.is_some() { request.header(header::CONTENT_TYPE, "application/json") } else { request };
    let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let class = response.headers().get(super::explain::CLASS_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let status = response.status();
    let octets = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, class, String::from_utf8_lossy(&octets).into_owned()))
}

/// A text as a part of a path or a query: everything but letters, digits and a few marks is written in hexadecimal (RFC 3986 2.1).
pub fn escape(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    text.bytes().map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") }).collect()
}

/// A path with a query string.
fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_query_cannot_end_it() {
        assert_eq!(with_query("/v1/x", &[("selector", "a/*&b=c d"), ("n", "1")]), "/v1/x?selector=a%2F%2A%26b%3Dc%20d&n=1");
        assert_eq!(with_query("/v1/x", &[]), "/v1/x");
    }
}
