//! DNS over HTTP, whatever its version (RFC 8484): which requests hold a message, and what a reply says to caches.
//! It reads no octet from the network; the message itself is answered like any other.

use data_encoding::BASE64URL_NOPAD;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Response, StatusCode, Uri};

use crate::wire::MAX_MESSAGE_OCTETS;
use crate::wire::freshness::freshness_s;

/// The one media type (RFC 8484 6).
const DNS_MESSAGE: &str = "application/dns-message";

/// That of what is for people to read.
const PLAIN: &str = "text/plain";

/// Longest path and query: a message of 6,000 octets as base64. Longer ones can be posted.
const MAX_TARGET_OCTETS: usize = 8_192;

/// Where the message of a request is.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// It was in the address.
    Message(Vec<u8>),
    /// It is the body, which has yet to be read.
    Body,
}

/// Why a request gets no reply of DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(StatusCode, &'static str);

impl Refusal {
    /// The body did not come in time.
    pub(super) const SLOW: Refusal = Refusal(StatusCode::REQUEST_TIMEOUT, "the message did not come in time");
    /// The body is longer than any message.
    pub(super) const LONG: Refusal = Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a DNS message has at most 65,535 octets");
    /// The body was broken off.
    pub(super) const BROKEN: Refusal = Refusal(StatusCode::BAD_REQUEST, "the message was broken off");
    /// It does not say which host is asked (RFC 9112 3.2).
    pub(super) const NO_HOST: Refusal = Refusal(StatusCode::BAD_REQUEST, "there is not one `Host`");
    /// It was answered with silence, which HTTP does not have: it is no query, or its client is to get nothing.
    const SILENCE: Refusal = Refusal(StatusCode::BAD_REQUEST, "there is no answer to this");

    /// As it is sent to who asked by `method`.
    pub fn response(self, method: &Method) -> Response<Bytes> {
        let Refusal(status, text) = self;
        let mut response = holding(method, PLAIN, Bytes::from_static(text.as_bytes()));
        *response.status_mut() = status;
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response
    }
}

/// Finds the message of a request for `path`.
///
/// # Errors
/// The request is none for a message (RFC 8484 4.1).
pub fn ask(method: &Method, uri: &Uri, headers: &HeaderMap, path: &str) -> Result<Asked, Refusal> {
    if uri.path().len() + uri.query().map_or(0, str::len) > MAX_TARGET_OCTETS {
        return Err(Refusal(StatusCode::URI_TOO_LONG, "post the message instead"));
    }
    if uri.path() != path {
        return Err(Refusal(StatusCode::NOT_FOUND, "nothing is here"));
    }
    match *method {
        Method::GET | Method::HEAD => in_query(uri.query().unwrap_or_default()).map(Asked::Message),
        Method::POST => in_body(headers),
        _ => Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "ask by GET or POST")),
    }
}

/// `dns=` with base64url without padding (RFC 8484 4.1); other parameters are not ours.
fn in_query(query: &str) -> Result<Vec<u8>, Refusal> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("dns="));
    let value = value.ok_or(Refusal(StatusCode::BAD_REQUEST, "there is no parameter `dns`"))?;
    BASE64URL_NOPAD.decode(value.as_bytes()).map_err(|_| Refusal(StatusCode::BAD_REQUEST, "`dns` is not base64url without padding"))
}

fn in_body(headers: &HeaderMap) -> Result<Asked, Refusal> {
    let is_message = |value: &HeaderValue| {
        let essence = value.to_str().ok().and_then(|text| text.split(';').next());
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(DNS_MESSAGE))
    };
    if !headers.get(CONTENT_TYPE).is_some_and(is_message) {
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type is not `application/dns-message`"));
    }
    let octets = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if octets.is_some_and(|octets| octets > MAX_MESSAGE_OCTETS as u64) { Err(Refusal::LONG) } else { Ok(Asked::Body) }
}

/// A reply of DNS as one of HTTP; errors of DNS are successes there (RFC 8484 4.2.1). No shared cache may keep it, as another client may be
/// answered otherwise (RFC 8484 5.1).
pub fn response(method: &Method, reply: Option<Vec<u8>>) -> Response<Bytes> {
    let Some(reply) = reply else { return Refusal::SILENCE.response(method) };
    let cache = format!("private, max-age={}", freshness_s(&reply));
    let mut response = holding(method, DNS_MESSAGE, reply.into());
    if let Ok(cache) = HeaderValue::from_str(&cache) {
        response.headers_mut().insert(CACHE_CONTROL, cache);
    }
    response
}

/// HEAD is told of the content, and gets none (RFC 9110 9.3.2).
fn holding(method: &Method, media: &'static str, content: Bytes) -> Response<Bytes> {
    let length = HeaderValue::from(content.len());
    let mut response = Response::new(if method == Method::HEAD { Bytes::new() } else { content });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, uri: &str, headers: &[(hyper::header::HeaderName, &str)]) -> Result<Asked, u16> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        ask(method, &uri.parse().unwrap(), &headers, "/dns-query").map_err(|refusal| refusal.0.as_u16())
    }

    #[test]
    fn messages_are_found_in_addresses_and_bodies() {
        let message = Ok(Asked::Message(b"\0\x01\xff\xfe".to_vec()));
        assert_eq!(asked(&Method::GET, "/dns-query?dns=AAH__g", &[]), message);
        assert_eq!(asked(&Method::HEAD, "/dns-query?ct&dns=AAH__g&x=y", &[]), message);
        for media in ["application/dns-message", "Application/DNS-message; charset=x"] {
            assert_eq!(asked(&Method::POST, "/dns-query", &[(CONTENT_TYPE, media), (CONTENT_LENGTH, "65535")]), Ok(Asked::Body));
        }
    }

    #[test]
    fn other_requests_are_told_what_is_wrong() {
        let long = format!("/dns-query?dns={}", "A".repeat(MAX_TARGET_OCTETS));
        let body = (CONTENT_TYPE, DNS_MESSAGE);
        let cases: [(Method, &str, &[_], u16); 12] = [
            (Method::GET, "/", &[], 404),
            (Method::GET, "/dns-query/", &[], 404),
            (Method::GET, "/dns-query", &[], 400),
            (Method::GET, "/dns-query?dns=AAH_/g", &[], 400),
            (Method::GET, "/dns-query?dns=AAH__g==", &[], 400),
            (Method::GET, "/dns-query?xdns=AAH__g", &[], 400),
            (Method::GET, &long, &[], 414),
            (Method::PUT, "/dns-query", &[], 405),
            (Method::POST, "/dns-query", &[], 415),
            (Method::POST, "/dns-query", &[(CONTENT_TYPE, "application/dns-json")], 415),
            (Method::POST, "/dns-query", &[body.clone(), (CONTENT_LENGTH, "65536")], 413),
            (Method::DELETE, "/elsewhere", &[], 404),
        ];
        for (method, uri, headers, expected) in cases {
            assert_eq!(asked(&method, uri, headers), Err(expected), "{method} {uri:.40} {headers:?}");
        }
        assert_eq!(Refusal(StatusCode::METHOD_NOT_ALLOWED, "").response(&Method::PUT).headers()[ALLOW], "GET, HEAD, POST");
    }

    #[test]
    fn errors_of_dns_are_replies_and_silence_is_a_bad_request() {
        let refused = [0, 0, 0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0];
        let got = response(&Method::GET, Some(refused.to_vec()));
        assert_eq!((got.status(), got.body().as_ref()), (StatusCode::OK, &refused[..]));
        assert_eq!(
            (&got.headers()[CONTENT_TYPE], &got.headers()[CACHE_CONTROL]),
            (&DNS_MESSAGE.parse().unwrap(), &"private, max-age=0".parse().unwrap())
        );
        let head = response(&Method::HEAD, Some(refused.to_vec()));
        assert_eq!((head.body().len(), &head.headers()[CONTENT_LENGTH]), (0, &HeaderValue::from(12)));
        assert_eq!(response(&Method::GET, None).status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn head_is_told_of_a_refusal_without_its_text() {
        for refused in [response(&Method::HEAD, None), Refusal::BROKEN.response(&Method::HEAD)] {
            assert_eq!((refused.status(), refused.body().len()), (StatusCode::BAD_REQUEST, 0));
            assert_ne!(refused.headers()[CONTENT_LENGTH], "0");
        }
    }
}
