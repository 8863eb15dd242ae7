//! What clients of DNS over HTTPS see on connections inside TLS: statuses, heads and times.
//! No test waits for a time of the real limits; those of HTTP/3 are beside.

use super::*;

#[test]
fn https_answers_get_and_post_and_says_what_is_wrong() {
    let server = Encrypting::start(|_| {});
    let asked = data_encoding::BASE64URL_NOPAD.encode(&query(0));
    let tail = "Host: dns.test\r\nConnection: close\r\n\r\n";
    let cases = [
        (format!("GET /dns-query?dns={asked} HTTP/1.1\r\n{tail}"), 200),
        (format!("HEAD /dns-query?dns={asked} HTTP/1.1\r\n{tail}"), 200),
        (format!("GET /dns-query?dns={asked}= HTTP/1.1\r\n{tail}"), 400),
        (format!("GET /dns-query?dns=AAAA HTTP/1.1\r\n{tail}"), 400),
        (format!("GET /?dns={asked} HTTP/1.1\r\n{tail}"), 404),
        (format!("HEAD / HTTP/1.1\r\n{tail}"), 404),
        (format!("PATCH /dns-query HTTP/1.1\r\n{tail}"), 405),
        (format!("POST /dns-query HTTP/1.1\r\nContent-Length: 0\r\n{tail}"), 415),
        (format!("POST /dns-query HTTP/1.1\r\nContent-Type: application/dns-message\r\nContent-Length: 70000\r\n{tail}"), 413),
        (format!("GET /dns-query?dns={} HTTP/1.1\r\n{tail}", "A".repeat(9_000)), 414),
        (format!("GET /dns-query?dns={} HTTP/1.1\r\n{tail}", "A".repeat(20_000)), 431),
    ];
    for (request, expected) in cases {
        let (status, text) = http(&mut server.connect(Transport::Https, b"http/1.1"), &request);
        assert_eq!(status, expected, "{request:.80}\n{text}");
        assert!(!request.starts_with("HEAD") || text.ends_with("\r\n\r\n"), "nothing is behind the head: {text}");
        if expected == 200 {
            assert!(text.contains("content-type: application/dns-message") && text.contains("cache-control: private, max-age=0"), "{text}");
        }
    }
    assert_eq!(server.server.registry.totals().queries(Transport::Https), 3);
}

#[test]
fn https_1_demands_one_host() {
    let server = Encrypting::start(|_| {});
    let asked = data_encoding::BASE64URL_NOPAD.encode(&query(0));
    for (version, hosts, expected) in [
        ("1.1", "Host: dns.test\r\n", 200),
        ("1.1", "Host: [2001:db8::1]:443\r\n", 200),
        ("1.1", "Host:\r\n", 200),
        ("1.0", "", 200),
        ("1.1", "", 400),
        ("1.1", "Host: dns.test\r\nHost: dns.test\r\n", 400),
        ("1.1", "Host: dns test\r\n", 400),
        ("1.1", "Host: me@dns.test\r\n", 400),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ] {
        let request = format!("GET /dns-query?dns={asked} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let (status, text) = http(&mut server.connect(Transport::Https, b"http/1.1"), &request);
        assert_eq!(status, expected, "{request}\n{text}");
    }
}

/// What a client of HTTP/2 says first, with empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn https_ends_who_has_not_asked_in_time_however_much_of_it_came() {
    let timeouts = Timeouts { first_message: SHORT, drain: SHORT, ..Timeouts::default() };
    let server = Encrypting::start(|config| config.timeouts = timeouts);
    let half_frame = [PREFACE, b"\0\0\x20\x01\x05\0\0\0\x01abc"].concat();
    let cases: [(&[u8], &[u8]); 5] =
        [(b"http/1.1", b""), (b"http/1.1", b"GET /dns-query HTTP/1.1\r\nHo"), (b"h2", b""), (b"h2", PREFACE), (b"h2", &half_frame)];
    for (ended, (protocol, octets)) in (1..).zip(cases) {
        let mut stream = server.connect(Transport::Https, protocol);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let start = Instant::now();
        stream.write_all(octets).unwrap();
        // An end without the word of TLS is an end.
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(start.elapsed() < timeouts.write / 2, "{} gets the time of a reply: {:?}", octets.escape_ascii(), start.elapsed());
        server.wait_for(Metric::ConnectionsTimedOut, ended);
    }
}

#[test]
fn https_leaves_a_reply_its_time_and_ends_a_body_that_drags_on() {
    let timeouts = Timeouts { first_message: SHORT, idle: 2 * SHORT, write: 4 * SHORT, drain: SHORT, ..Timeouts::default() };
    let server = Encrypting::start(|config| config.timeouts = timeouts);
    let head = "POST /dns-query HTTP/1.1\r\nHost: d\r\nContent-Type: application/dns-message\r\nContent-Length: 30\r\n\r\n0123";
    let start = Instant::now();
    assert_eq!(http(&mut server.connect(Transport::Https, b"http/1.1"), head).0, 408);
    assert!(start.elapsed() >= timeouts.first_message);
    let asked = data_encoding::BASE64URL_NOPAD.encode(&query(0));
    let start = Instant::now();
    let get = format!("GET /dns-query?dns={asked} HTTP/1.1\r\nHost: d\r\n\r\n");
    assert_eq!(http(&mut server.connect(Transport::Https, b"http/1.1"), &get).0, 200);
    assert!(start.elapsed() >= timeouts.write, "it is left for the next request, and to take its reply");
    server.wait_for(Metric::ConnectionsTimedOut, 1);
}

#[test]
fn http_2_answers_head_without_content_whatever_the_status() {
    let server = Encrypting::start(|_| {});
    let asked = data_encoding::BASE64URL_NOPAD.encode(&query(0));
    let client = tokio_rustls::TlsConnector::from(Arc::new(server.client(b"h2")));
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address(Transport::Https)).await.unwrap();
        let stream = client.connect(ServerName::try_from("dns.test").unwrap(), stream).await.unwrap();
        let (mut asking, connection) = h2::client::handshake(stream).await.unwrap();
        let driving = tokio::spawn(connection);
        for (target, expected) in [(format!("/dns-query?dns={asked}"), 200), ("/dns-query?dns=AAAA".to_owned(), 400), ("/".to_owned(), 404)]
        {
            let head = http::Request::builder().method("HEAD").uri(format!("https://dns.test{target}")).body(()).unwrap();
            // The client takes content here for the fault that it is.
            let mut response = asking.send_request(head, true).unwrap().0.await.unwrap();
            assert_eq!(response.status().as_u16(), expected);
            assert!(response.headers()["content-length"] != "0");
            assert!(response.body_mut().data().await.is_none(), "{target}");
        }
        driving.abort();
    });
}
