//! Requests to the API: any method, path and body, and any octets at all, get an answer that is no fault of the server, and the next
//! request is answered. It speaks to the control socket, behind which everything is allowed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meridian::api::{Api, App, Doors, Guard, Journal, Phase, Simulations, claims, reloads};
use meridian::clock::Clock;
use meridian::daemon::prepare;
use meridian::handover::Sockets;
use meridian::keeper::{Keeper, Store};
use meridian::metrics::Registry;

use super::{home, scratch};

/// Nothing here waits that long unless the server has lost something.
const PATIENCE: Duration = Duration::from_secs(10);

/// What requests begin with; the last stands for any octets. No reload: nobody would do it.
const REQUESTS: [&str; 12] = [
    "POST /v1/overrides",
    "DELETE /v1/overrides?",
    "POST /v1/loads",
    "GET /v1/explain?",
    "GET /v1/changes?",
    "GET /v1/statistics?",
    "GET /v1/regions/",
    "GET /v1/services/",
    "GET /v1/zones/",
    "GET /v1/names?",
    "GET /",
    "",
];

/// One octet that chooses the request; then, up to a line's end, the rest of its path; then its body.
pub fn run(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else { return };
    let begin = REQUESTS[usize::from(*which) % REQUESTS.len()];
    if begin.is_empty() {
        _ = ask(rest, true);
    } else {
        let end = if begin.starts_with("POST") { 0 } else { rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len()) };
        let path: String = rest[..end].iter().map(|octet| if octet.is_ascii_graphic() { char::from(*octet) } else { '~' }).collect();
        let body = rest.get(end..).unwrap_or_default();
        let head = format!(
            "{begin}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let reply = ask(&[head.as_bytes(), body].concat(), false);
        let status = status(&reply).unwrap_or_else(|| panic!("no answer to {begin}{path}: {}", reply.escape_ascii()));
        assert!(matches!(status, 200..=499), "{status} for {begin}{path}: {}", reply.escape_ascii());
    }
    let alive = ask(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false);
    assert_eq!(status(&alive), Some(200), "the API lives");
}

fn status(reply: &[u8]) -> Option<u16> {
    std::str::from_utf8(reply.get(..12)?).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// What comes back until the connection ends; the request may be refused before it is whole. What asks for no end by itself ends with our side
/// of the connection, which is taken as a farewell: nothing need be answered then.
fn ask(request: &[u8], is_last: bool) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket()).unwrap_or_else(|error| panic!("{error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap_or_else(|error| panic!("{error}"));
    _ = stream.write_all(request);
    if is_last {
        _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection does not end: {error}"),
    }
    reply
}

fn socket() -> PathBuf {
    static API: OnceLock<(Keeper, Api)> = OnceLock::new();
    let path = scratch().join("control.sock");
    API.get_or_init(|| {
        let prepared = prepare(&home().join("world/meridian.yaml"), None).unwrap_or_else(|found| panic!("{found}"));
        let (clock, registry) = (Clock::system(), Registry::new());
        let keeper = Keeper::start(prepared.compiled, Store::default(), clock.clone(), Arc::clone(&registry), || {});
        let keeper = keeper.unwrap_or_else(|error| panic!("{error}"));
        let app = App {
            health: keeper.health(),
            world: keeper.shared().clone(),
            registry,
            query_log: None,
            journal: Arc::new(Journal::new(clock.wall_s())),
            clock,
            reload: reloads().0,
            claim: claims().0,
            phase: Arc::<Phase>::default(),
            guard: Guard::new(prepared.server.api.clone()).into(),
            simulations: Simulations::new(|| Ok(())),
            tellers: meridian::api::Tellers::default(),
        };
        let doors = Doors { socket: Some(path.clone()), ..Doors::default() };
        let api = Api::start(&doors, Arc::new(app), &mut Sockets::default()).unwrap_or_else(|error| panic!("{error}"));
        (keeper, api)
    });
    path
}
