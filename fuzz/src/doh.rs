//! Requests of DNS over HTTPS: any method, address, media type and length, and what the message in it is answered, as HTTP tells it. What is a
//! message there is said here once more, from RFC 8484 and not as the server says it.

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use meridian::server::doh::{Asked, ask, response};

use super::{Octets, query};

const PATH: &str = "/dns-query";

/// What addresses begin with; the last is any address at all.
const TARGETS: [&str; 5] = ["/dns-query?dns=", "/dns-query?", "/dns-query", "/", ""];

/// What bodies say that they are; the last stands for any value.
const MEDIA: [&str; 4] = ["application/dns-message", "Application/DNS-Message; charset=utf-8", "text/plain", ""];

/// The digits of base64url (RFC 4648 5), by their values.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One octet that chooses the method, one the begin of the address, one the headers with how long they are; then the headers, then the rest of the
/// address. An address of the first kind is the base64url of the rest where the third octet is odd, so that messages are reached.
pub fn run(input: &[u8]) {
    let mut input = Octets(input);
    let method = [Method::GET, Method::HEAD, Method::POST, Method::PUT][usize::from(input.next() % 4)].clone();
    let target = TARGETS[usize::from(input.next()) % TARGETS.len()];
    let how = input.next();
    let mut headers = HeaderMap::new();
    insert(&mut headers, CONTENT_TYPE, MEDIA[usize::from(how >> 1 & 3)], &mut input);
    if how & 8 != 0 {
        insert(&mut headers, CONTENT_LENGTH, "", &mut input);
    }
    let rest = input.0;
    let encoded = encode(rest);
    let uri = if target == TARGETS[0] && how & 1 != 0 { format!("{target}{encoded}") } else { format!("{target}{}", printable(rest)) };
    let Ok(uri) = uri.parse::<Uri>() else { return };

    match ask(&method, &uri, &headers, PATH) {
        Ok(Asked::Message(message)) => {
            assert!(matches!(method, Method::GET | Method::HEAD) && uri.path() == PATH);
            let text = uri.query().unwrap_or_default();
            assert!(text.split('&').any(|pair| pair == format!("dns={}", encode(&message))), "{uri} is not {message:?}");
            let reply = query::reply_over_tcp(&message);
            let told = response(&method, Some(reply.clone()).filter(|reply| !reply.is_empty()));
            assert_eq!(told.status().as_u16(), if reply.is_empty() { 400 } else { 200 });
            assert!(method != Method::HEAD || told.body().is_empty(), "HEAD gets content");
            if !reply.is_empty() {
                assert!(method == Method::HEAD || told.body().as_ref() == reply);
                let cache = told.headers()["cache-control"].to_str().unwrap_or_default();
                assert!(cache.strip_prefix("private, max-age=").is_some_and(|age| age.parse::<u32>().is_ok()), "{cache}");
            }
        }
        Ok(Asked::Body) => assert!(method == Method::POST && uri.path() == PATH),
        Err(refusal) => {
            let told = refusal.response(&method);
            assert!(matches!(told.status().as_u16(), 400 | 404 | 405 | 413 | 414 | 415) && told.body().len() < 100);
            assert_eq!(told.body().is_empty(), method == Method::HEAD);
        }
    }
}

/// A header with this value, or where there is none with so many octets of the input as its next one says.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &'static str, input: &mut Octets<'_>) {
    let value = if value.is_empty() {
        let octets = usize::from(input.next());
        HeaderValue::from_bytes(input.take(octets)).ok()
    } else {
        Some(HeaderValue::from_static(value))
    };
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

fn printable(octets: &[u8]) -> String {
    octets.iter().map(|octet| if octet.is_ascii_graphic() { char::from(*octet) } else { '~' }).collect()
}

/// base64url without padding.
fn encode(octets: &[u8]) -> String {
    let mut text = String::new();
    for part in octets.chunks(3) {
        let bits = part.iter().chain(&[0; 3]).take(3).fold(0, |bits, octet| bits << 8 | usize::from(*octet));
        (0..=part.len()).for_each(|digit| text.push(char::from(DIGITS[bits >> (18 - 6 * digit) & 63])));
    }
    text
}
