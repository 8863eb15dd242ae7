//! Descriptors and words between two ends of a connection, and what an end does when the other says nonsense, or nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;

use super::line::{HandoverError, Heir, PROTOCOL, Word, claim};
use super::{Sockets, kind};

/// A control socket at which one caller is answered with a head and then handed to `serve`.
fn door(name: &str, head: &'static str, serve: impl FnOnce(UnixStream) + Send + 'static) -> (PathBuf, thread::JoinHandle<()>) {
    let path = std::env::temp_dir().join(format!("meridian-line-{}-{name}", std::process::id()));
    _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            request.extend(octet);
        }
        let request = String::from_utf8(request).unwrap();
        assert!(
            request.starts_with("POST /v1/takeover HTTP/1.1\r\n") && request.contains(&format!("Upgrade: {PROTOCOL}\r\n")),
            "{request}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        serve(stream);
    });
    (path, serving)
}

const WELCOME: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n";

fn pair(count: usize) -> (Sockets, String) {
    let mut sockets = Sockets::of_ours();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap().to_string();
    sockets.add(kind::UDP, "127.0.0.1:0", (0..count).map(|_| udp.try_clone().unwrap().into()).collect());
    sockets.add(kind::UDP, "127.0.0.1:0", vec![UdpSocket::bind("127.0.0.1:0").unwrap().into()]);
    sockets.add(kind::TCP, "[::1]:53", vec![TcpListener::bind("127.0.0.1:0").unwrap().into()]);
    (sockets, address)
}

#[test]
fn sockets_and_health_reach_the_heir_however_many_there_are() {
    let (given, address) = pair(300);
    let (path, serving) = door("all", WELCOME, move |stream| {
        let mut heir = Heir::new(stream, Some(1)).unwrap();
        heir.give([&given], "line one\nline two").unwrap();
        heir.wait_until_it_serves().unwrap();
        heir.yours().unwrap();
    });
    let mut legacy = claim(&path).unwrap().unwrap();
    assert_eq!(legacy.health, "line one\nline two");
    assert!(legacy.sockets.options_are_set());
    let udp = legacy.sockets.take(kind::UDP, "127.0.0.1:0");
    assert_eq!(udp.len(), 300);
    for socket in udp {
        assert_eq!(UdpSocket::from(socket).local_addr().unwrap().to_string(), address, "the very socket");
    }
    let second = legacy.sockets.take(kind::UDP, "127.0.0.1:0");
    assert_ne!(UdpSocket::from(second.into_iter().next().unwrap()).local_addr().unwrap().to_string(), address);
    assert_eq!(legacy.sockets.places().collect::<Vec<_>>(), [(kind::TCP, "[::1]:53")]);
    assert_eq!(legacy.serving().unwrap(), Word::Yours);
    serving.join().unwrap();
}

#[test]
fn an_heir_that_ends_before_it_serves_is_noticed() {
    let (given, _) = pair(1);
    let (path, serving) = door("gone", WELCOME, move |stream| {
        let mut heir = Heir::new(stream, None).unwrap();
        heir.give([&given], "").unwrap();
        assert!(heir.wait_until_it_serves().is_err());
    });
    drop(claim(&path).unwrap().unwrap());
    serving.join().unwrap();
}

#[test]
fn a_process_that_says_no_goes_on_and_one_that_is_gone_leaves_all() {
    for (name, says_no) in [("no", true), ("silent", false)] {
        let (given, _) = pair(1);
        let (path, serving) = door(name, WELCOME, move |stream| {
            let mut heir = Heir::new(stream, None).unwrap();
            heir.give([&given], "").unwrap();
            if says_no {
                heir.refuse("too late");
            }
        });
        let mut legacy = claim(&path).unwrap().unwrap();
        serving.join().unwrap();
        match legacy.serving() {
            Err(HandoverError::Refused(why)) => assert!(says_no && why == "too late", "{why}"),
            Ok(Word::Gone) => assert!(!says_no),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whoever_speaks_otherwise_is_refused_and_nobody_is_no_error() {
    let nobody = std::env::temp_dir().join("meridian-line-nobody-there");
    assert!(claim(&nobody).unwrap().is_none());
    let (path, serving) = door("old", "HTTP/1.1 404 Not Found\r\n\r\n", drop);
    let refused = claim(&path).unwrap_err().to_string();
    assert!(refused.contains("404 Not Found"), "{refused}");
    serving.join().unwrap();
    let (path, serving) = door("dead", WELCOME, drop);
    assert!(matches!(claim(&path), Err(HandoverError::Broken(_))), "it has ended before it gave anything");
    serving.join().unwrap();
    for (name, nonsense) in [("length", &b"\xFF\xFF\xFF\xFF"[..]), ("words", b"\0\0\0\x05hello"), ("utf8", b"\0\0\0\x02\xC3\x28")] {
        let (path, serving) = door(name, WELCOME, move |mut stream| stream.write_all(nonsense).unwrap());
        assert!(matches!(claim(&path), Err(HandoverError::Broken(_))), "{name}");
        serving.join().unwrap();
    }
}
