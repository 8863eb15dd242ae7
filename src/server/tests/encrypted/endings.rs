//! The end, as peers of the encrypted transports see it: what is under way is finished, and the close is one that their protocol knows.
//! No test waits for a time; the server takes its leave while they ask.

use super::*;

/// Has the server leave, as when another process has taken over, and gives it back once it takes nobody any more.
fn leaving(server: Encrypting) -> JoinHandle<()> {
    let addresses = [Transport::Tls, Transport::Https].map(|transport| server.address(transport));
    let leaving = thread::spawn(move || server.server.running.leave());
    for address in addresses {
        let start = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(start.elapsed() < PATIENCE);
            thread::yield_now();
        }
    }
    leaving
}

#[test]
fn what_is_under_way_at_the_end_is_finished_from_its_handshake_to_its_reply() {
    let server = Encrypting::start(|config| config.workers = 1);
    let name = || ServerName::try_from("dns.test").unwrap();
    let asked = data_encoding::BASE64URL_NOPAD.encode(&query(0));
    let get = format!("GET /dns-query?dns={asked} HTTP/1.1\r\nHost: dns.test\r\n\r\n");
    let mut newcomers = [(Transport::Tls, &b"dot"[..]), (Transport::Https, b"http/1.1")].map(|(transport, protocol)| {
        let connection = ClientConnection::new(server.client(protocol).into(), name()).unwrap();
        StreamOwned::new(connection, server.connect_raw(transport))
    });
    server.wait_for(Metric::Connections, 2);
    let mut half = server.connect(Transport::Https, b"http/1.1");
    half.write_all(&get.as_bytes()[..20]).unwrap();
    half.flush().unwrap();
    server.wait_for(Metric::Connections, 3);
    let end = leaving(server);
    let [tls, https] = &mut newcomers;
    for id in 1..=2 {
        tls.write_all(&framed(&query(id))).unwrap();
        check(&query(id), &read_from(tls));
    }
    for (stream, rest) in [(https, get.as_str()), (&mut half, &get[20..])] {
        let (status, text) = http(stream, rest);
        assert_eq!(status, 200, "{text}");
        assert!(text.contains("connection: close"), "the client is told to ask the next on another connection: {text}");
    }
    drop(newcomers);
    end.join().unwrap();
}

#[test]
fn quic_is_closed_in_order_at_the_end() {
    let server = Encrypting::start(|_| {});
    runtime().block_on(async {
        let connection = server.quic().await;
        check(&query(0), &ask_quic(&connection, &query(0)).await.unwrap());
        let end = leaving(server);
        assert_eq!(code(&connection.closed().await), 0);
        end.join().unwrap();
    });
}
