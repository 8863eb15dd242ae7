//! HTTP servers that are slow, hang, reset, close one half, send too much, drip, redirect or lie: each costs its own region only, within
//! its timeout, and the log says what was seen.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::common::PATIENCE;
use crate::site::Site;

/// What a server does with a connection once a request is read.
type Manner = fn(&mut TcpStream) -> std::io::Result<()>;

/// Time that drips and pauses take apart; far under the timeout.
const PAUSE: Duration = Duration::from_millis(50);

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Long enough for a good server on a busy machine, and over before the next probe.
const TIMING: &str = "address: 127.0.0.1, interval: 1100ms, timeout: 1s, recheck: 1s, fall: 2, rise: 2";

/// Name, manner, settings of the monitor, whether its region stays, and what the log must say of it.
const SERVERS: [(&str, Manner, &str, bool, &str); 19] = [
    ("good", |stream| stream.write_all(GOOD.as_bytes()), "", true, "HTTP 200"),
    ("slow", slow, "", true, "HTTP 200"),
    ("slower-than-allowed", slow, ", slow_ms: 50", true, "slower than 50 ms"),
    ("hanging", |stream| wait_for_end(stream), "", false, "timed out"),
    ("resetting", |stream| reset(stream), "", false, "connection reset"),
    ("resetting-in-body", |stream| head(stream, "Content-Length: 100\r\n").and_then(|()| reset(stream)), "", false, "connection reset"),
    ("closing", |_| Ok(()), "", false, "connection closed"),
    ("half-closing", |stream| stream.shutdown(Shutdown::Write).and_then(|()| wait_for_end(stream)), "", false, "connection closed"),
    ("half-closing-after-answer", half_close_after_answer, ", body: fine", true, "HTTP 200"),
    ("cut-short", |stream| stream.write_all(&GOOD.as_bytes()[..GOOD.len() - 1]), "", false, "end of file"),
    ("oversized-body", |stream| head(stream, "").and_then(|()| for_ever(stream, &[b'x'; 4096])), "", true, "HTTP 200"),
    (
        "oversized-body-without-text",
        |stream| head(stream, "").and_then(|()| for_ever(stream, &[b'x'; 4096])),
        ", body: y",
        false,
        "the body does not hold",
    ),
    ("oversized-head", |stream| for_ever_after(stream, "HTTP/1.1 200 OK\r\nX: ", &[b'x'; 4096]), "", false, "too large"),
    ("endless-early-hints", |stream| for_ever(stream, b"HTTP/1.1 103 Early Hints\r\n\r\n"), "", false, "timed out"),
    ("dripping-head", |stream| drip(stream, "HTTP/1.1 200 OK\r\nX-Long: "), "", false, "timed out"),
    (
        "dripping-body",
        |stream| head(stream, "Content-Length: 1000\r\n").and_then(|()| drip(stream, "")),
        "",
        false,
        "HTTP 200, but its body timed out",
    ),
    ("redirecting", redirect, "", true, "HTTP 302"),
    ("redirecting-against-our-will", redirect, ", status: 200", false, "HTTP 302"),
    ("no-http", |stream| stream.write_all(b"220 mail.example.com ESMTP\r\n"), "", false, "invalid HTTP"),
];

#[test]
fn h3_each_server_is_judged_by_what_it_does_and_none_disturbs_another() {
    let servers: Vec<Rude> = SERVERS.iter().map(|(_, manner, ..)| Rude::start(*manner)).collect();
    let services: Vec<(&str, String)> = SERVERS
        .iter()
        .zip(&servers)
        .map(|((name, _, settings, ..), server)| {
            let (settings, timing) = match settings.strip_prefix(", slow_ms") {
                Some(_) => ("", format!("{TIMING}{settings}")),
                None => (*settings, TIMING.to_owned()),
            };
            (*name, format!("monitor: {{http: {{path: /{name}, port: {}{settings}}}, {timing}}}, degraded_admit: 100%", server.port))
        })
        .collect();
    let services: Vec<(&str, &str)> = services.iter().map(|(name, settings)| (*name, settings.as_str())).collect();
    // After the first round everything is known.
    let site = Site::start(&services, &[]);
    assert!(!site.server().lines().iter().any(|line| line.contains("the first round of probes is not complete")));
    let check = |when: &str| {
        for (name, _, _, stays, _) in SERVERS {
            assert_eq!(site.is_home(name), stays, "{name} {when}: {:?}", site.target(&format!("/{name}")));
        }
    };
    check("after the first round");
    let mut odd = String::new();
    for (name, .., expected) in SERVERS {
        let (state, evidence) = site.target(&format!("/{name}"));
        if !evidence.contains(expected) {
            odd += &format!("{name}: {state}, `{evidence}` instead of `{expected}`\n");
        }
    }
    assert!(odd.is_empty(), "{odd}");
    // Several rounds later nothing has changed, and the good one was asked as often as if it were alone.
    let rounds = servers[0].connections() + 3;
    crate::common::wait_until(|| servers[0].connections() >= rounds, || "the good server is not asked any more".to_owned());
    check("after more rounds");
    for server in servers.iter().zip(SERVERS).filter(|(_, (name, ..))| !name.starts_with("good")).map(|(server, _)| server) {
        let asked = server.connections();
        assert!((2..=rounds + 3).contains(&asked), "asked {asked} times while the good one was asked {rounds} times");
    }
}

/// A server with bad manners.
struct Rude {
    port: u16,
    connections: Arc<AtomicU32>,
}

impl Rude {
    /// Its threads end with the test.
    fn start(manner: Manner) -> Rude {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let rude = Rude { port: listener.local_addr().unwrap().port(), connections: Arc::default() };
        let connections = Arc::clone(&rude.connections);
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                connections.fetch_add(1, Ordering::SeqCst);
                // How the prober ends a connection is not looked at here.
                thread::spawn(move || _ = read_request(&stream).and_then(|()| manner(&mut stream)));
            }
        });
        rude
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    Ok(())
}

fn head(stream: &mut TcpStream, field: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\n{field}Connection: close\r\n\r\n")
}

/// Slowness is this server's rudeness, so it sleeps: over `slow_ms` where that is set, yet within the timeout.
fn slow(stream: &mut TcpStream) -> std::io::Result<()> {
    thread::sleep(2 * PAUSE);
    stream.write_all(GOOD.as_bytes())
}

fn wait_for_end(stream: &mut TcpStream) -> std::io::Result<()> {
    match stream.read(&mut [0; 64]) {
        Err(error) if error.kind() == ErrorKind::Interrupted => wait_for_end(stream),
        ended => ended.map(|_| ()),
    }
}

/// Closing with nothing to linger for is a reset; after a pause, so that the probe is waiting for its answer by then.
fn reset(stream: &mut TcpStream) -> std::io::Result<()> {
    thread::sleep(PAUSE);
    SockRef::from(&*stream).set_linger(Some(Duration::ZERO))
}

/// A body without a length ends where the server closes its half.
fn half_close_after_answer(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, "")?;
    stream.write_all(b"fine")?;
    stream.shutdown(Shutdown::Write)?;
    wait_for_end(stream)
}

fn for_ever(stream: &mut TcpStream, octets: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(octets)?;
    }
}

fn for_ever_after(stream: &mut TcpStream, start: &str, octets: &[u8]) -> std::io::Result<()> {
    stream.write_all(start.as_bytes())?;
    for_ever(stream, octets)
}

/// One octet at a time, with a pause between two: the rudeness that a deadline for the whole must end.
fn drip(stream: &mut TcpStream, start: &str) -> std::io::Result<()> {
    stream.write_all(start.as_bytes())?;
    loop {
        stream.write_all(b"x")?;
        thread::sleep(PAUSE);
    }
}

/// To a port where nobody is: whoever follows it fails.
fn redirect(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
}
