//! What Meridian probes: one HTTP server that plays all targets, told apart by their paths. Steady ones are always well.
//! Flapping ones, once told to, give every probe the opposite of what they gave the one before.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// First parts of the paths.
pub(super) const FLAPPING: &str = "flapping";
pub(super) const STEADY: &str = "steady";

/// A probe that does not say what it wants by then is let go.
const PATIENCE: Duration = Duration::from_millis(200);

/// No request is longer.
const MAX_REQUEST: u64 = 4096;

/// Between looks at whether flapping is over: 20 ms more of it change nothing in seconds of measuring.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The server. It ends with this process.
pub(super) struct Targets {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    flaps: AtomicBool,
    /// Answers that were the opposite of the one before.
    changes: AtomicU64,
}

impl Targets {
    pub(super) fn start() -> Result<Targets> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for targets")?;
        let (port, state) = (listener.local_addr()?.port(), Arc::new(State::default()));
        let playing = Arc::clone(&state);
        let serve = move || {
            let mut was_well = HashMap::new();
            // One after the other: a probe is answered in less time than a thread takes to start.
            for stream in listener.incoming().flatten() {
                // A probe that goes away is the prober's business.
                let _ = answer(&stream, &playing, &mut was_well);
            }
        };
        thread::Builder::new().name("targets".to_owned()).spawn(serve).context("no thread for targets")?;
        Ok(Targets { port, state })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Flaps until it is over, and says how many changes there were.
    pub(super) fn flap_until(&self, is_over: &AtomicBool) -> u64 {
        let before = self.state.changes.load(Ordering::Relaxed);
        self.state.flaps.store(true, Ordering::Relaxed);
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(LOOK_AGAIN);
        }
        self.state.flaps.store(false, Ordering::Relaxed);
        self.state.changes.load(Ordering::Relaxed) - before
    }
}

fn answer(stream: &TcpStream, state: &State, was_well: &mut HashMap<String, bool>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    let mut reader = BufReader::new(stream.take(MAX_REQUEST));
    // To the empty line: what is left unread would reset the connection, and the answer with it.
    while reader.read_line(&mut request)? > 2 {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let before = was_well.get(path).copied().unwrap_or(true);
    let flaps = state.flaps.load(Ordering::Relaxed) && path.trim_start_matches('/').starts_with(FLAPPING);
    let is_well = !flaps || !before;
    if is_well != before {
        state.changes.fetch_add(1, Ordering::Relaxed);
    }
    was_well.insert(path.to_owned(), is_well);
    let status = if is_well { "200 OK" } else { "503 Service Unavailable" };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(port: u16, path: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn flapping_targets_alternate_while_they_are_told_to() {
        let targets = Targets::start().unwrap();
        let three = |path: &str| [(); 3].map(|()| ask(targets.port(), path));
        assert_eq!(three("/flapping/1"), ["200"; 3]);
        targets.state.flaps.store(true, Ordering::Relaxed);
        assert_eq!(three("/flapping/1"), ["503", "200", "503"]);
        assert_eq!(three("/steady/1"), ["200"; 3]);
        assert_eq!(targets.flap_until(&AtomicBool::new(true)), 0);
        assert_eq!(three("/flapping/1"), ["200"; 3]);
        assert_eq!(targets.state.changes.load(Ordering::Relaxed), 4);
    }
}
