//! What clients of HTTP/3 see, polite ones and others.

use std::time::Instant;

use h3::client;
use hyper::body::{Buf, Bytes};
use hyper::{Method, Request};
use quinn::{Connection, ConnectionError};

use super::encrypted::{ANY, Encrypting, SHORT, code, runtime};
use super::*;
use crate::server::capped::{CONTROL_OCTETS, REQUEST_OCTETS};

fn start(edit: impl FnOnce(&mut Config)) -> Encrypting {
    Encrypting::start(|config| {
        if let Some(encrypted) = &mut config.encrypted {
            encrypted.http3 = vec![ANY];
        }
        edit(config);
    })
}

async fn connect(server: &Encrypting) -> Connection {
    server.try_quic_as(b"h3", Transport::Http3, |_| {}).await.unwrap()
}

type Asking = client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// Asks and gives back the status, the media type, and the body.
async fn ask_http(asking: &mut Asking, request: Request<&[u8]>) -> (u16, String, Vec<u8>) {
    let (head, body) = request.into_parts();
    let mut stream = asking.send_request(Request::from_parts(head, ())).await.unwrap();
    // A server that has read enough reads no more.
    let _ = stream.send_data(Bytes::copy_from_slice(body)).await;
    let _ = stream.finish().await;
    let response = stream.recv_response().await.unwrap();
    let mut octets = Vec::new();
    while let Some(mut part) = stream.recv_data().await.unwrap() {
        octets.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    let media = response.headers().get("content-type").map(|media| media.to_str().unwrap().to_owned());
    (response.status().as_u16(), media.unwrap_or_default(), octets)
}

fn request<'b>(method: Method, target: &str, media: &str, body: &'b [u8]) -> Request<&'b [u8]> {
    Request::builder().method(method).uri(format!("https://dns.test{target}")).header("content-type", media).body(body).unwrap()
}

#[test]
fn http3_says_at_the_end_that_no_more_is_taken_and_closes_with_its_own_code() {
    let server = start(|_| {});
    runtime().block_on(async {
        let connection = connect(&server).await;
        let (mut driver, mut asking) = client::new(h3_quinn::Connection::new(connection.clone())).await.unwrap();
        let driving = tokio::spawn(async move { driver.wait_idle().await });
        let get = format!("/dns-query?dns={}", data_encoding::BASE64URL_NOPAD.encode(&query(0)));
        assert_eq!(ask_http(&mut asking, request(Method::GET, &get, "", &[])).await.0, 200);
        // A request that is never said to its end keeps the connection until the server closes it; its client does not.
        let open = asking.send_request(request(Method::POST, "/dns-query", "application/dns-message", &[]).map(|_| ())).await.unwrap();
        let end = thread::spawn(move || server.server.running.stop());
        assert_eq!(code(&connection.closed().await), 0x100);
        drop(open);
        driving.await.unwrap();
        end.join().unwrap();
    });
}

#[test]
fn http3_answers_get_and_post_and_says_what_is_wrong() {
    const MESSAGE: &str = "application/dns-message";
    let server = start(|_| {});
    runtime().block_on(async {
        let (mut driver, mut asking) = client::new(h3_quinn::Connection::new(connect(&server).await)).await.unwrap();
        let driving = tokio::spawn(async move { driver.wait_idle().await });
        let query = query(0);
        let get = format!("/dns-query?dns={}", data_encoding::BASE64URL_NOPAD.encode(&query));
        for asked in [request(Method::GET, &get, MESSAGE, &[]), request(Method::POST, "/dns-query", MESSAGE, &query)] {
            let (status, media, reply) = ask_http(&mut asking, asked).await;
            assert_eq!((status, media.as_str()), (200, MESSAGE));
            check(&query, &reply);
        }
        let long = vec![0; 70_000];
        for (asked, expected) in [
            (request(Method::HEAD, &get, MESSAGE, &[]), 200),
            (request(Method::GET, "/", MESSAGE, &[]), 404),
            (request(Method::HEAD, "/", MESSAGE, &[]), 404),
            (request(Method::HEAD, "/dns-query?dns=AAAA", MESSAGE, &[]), 400),
            (request(Method::GET, "/dns-query", MESSAGE, &[]), 400),
            (request(Method::PUT, "/dns-query", MESSAGE, &query), 405),
            (request(Method::POST, "/dns-query", "text/plain", &query), 415),
            (request(Method::POST, "/dns-query", MESSAGE, &long), 413),
        ] {
            let name = format!("{} {}", asked.method(), asked.uri());
            let is_head = asked.method() == Method::HEAD;
            let (status, _, content) = ask_http(&mut asking, asked).await;
            assert_eq!((status, is_head && !content.is_empty()), (expected, false), "{name}");
        }
        drop(asking);
        driving.abort();
    });
    assert_eq!(server.server.registry.totals().queries(Transport::Http3), 4);
}

#[test]
fn http3_ends_a_head_that_does_not_come_in_time_and_not_its_connection() {
    let timeouts = Timeouts { first_message: SHORT, ..Timeouts::default() };
    let server = start(|config| config.timeouts = timeouts);
    runtime().block_on(async {
        let connection = connect(&server).await;
        let start = Instant::now();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // HEADERS that are longer than what comes.
        send.write_all(&[1, 0x20, 0, 0]).await.unwrap();
        _ = receive.read_to_end(100).await;
        assert!(start.elapsed() < timeouts.write / 2, "it gets the time of a reply: {:?}", start.elapsed());
        assert!(connection.close_reason().is_none());
    });
    server.wait_for(Metric::ConnectionsTimedOut, 1);
}

/// A frame that says to be longer than it will ever be.
const ENDLESS: [u8; 8] = [0x80 | 0x3f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Writes until the server takes no more; how many octets that were.
async fn flood(send: &mut quinn::SendStream, most: usize) -> usize {
    let mut sent = 0;
    while sent < most && send.write_all(&[0; 1024]).await.is_ok() {
        sent += 1024;
    }
    sent
}

#[test]
fn http3_takes_so_much_on_a_stream_and_no_more() {
    let server = start(|_| {});
    runtime().block_on(async {
        let connection = connect(&server).await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        // HEADERS.
        send.write_all(&[&[1][..], &ENDLESS[..4]].concat()).await.unwrap();
        // What is under way when the server has had enough counts, too.
        assert!(flood(&mut send, 16 * REQUEST_OCTETS).await < 4 * REQUEST_OCTETS, "the server keeps whatever it is sent");
        assert!(connection.close_reason().is_none(), "only the request is lost");
        let mut control = connection.open_uni().await.unwrap();
        // The control stream, empty settings, and a frame that means nothing.
        control.write_all(&[&[0, 4, 0, 0x21][..], &ENDLESS[..4]].concat()).await.unwrap();
        assert!(flood(&mut control, 16 * CONTROL_OCTETS).await < 4 * CONTROL_OCTETS, "the server keeps whatever it is sent");
        assert!(matches!(connection.closed().await, ConnectionError::ApplicationClosed(_)));
    });
}

#[test]
fn http3_ends_who_lets_it_open_no_stream_and_who_is_silent() {
    let timeouts = Timeouts { handshake: 20 * SHORT, idle: SHORT, ..Timeouts::default() };
    let server = start(|config| config.timeouts = timeouts);
    runtime().block_on(async {
        let closed = server.try_quic_as(b"h3", Transport::Http3, |transport| _ = transport.max_concurrent_uni_streams(0_u8.into()));
        assert_eq!(code(&closed.await.unwrap().closed().await), 0x100);
        server.wait_for(Metric::HandshakeFailures, 1);
        assert_eq!(code(&connect(&server).await.closed().await), 0x100);
    });
}
