//! The other end of a takeover says anything: whoever asks for the sockets, and whoever gives them, comes to an end with a reason and holds no
//! more than it must. Each end is played in turn, over Unix sockets.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::OnceLock;
use std::thread;

use meridian::handover::{Heir, claim};

use super::{Octets, scratch};

/// What the running process says before anything else.
const WELCOME: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n";

/// An error that people read has no more.
const MAX_TEXT_OCTETS: usize = 64 << 10;

/// One octet that chooses the end, and whether the octets stand behind a good head or, cut into frames by theirs first, are said as texts; the
/// rest is what the other end says before it closes.
pub fn run(input: &[u8]) {
    let mut input = Octets(input);
    let how = input.next();
    let said = if how & 4 != 0 { frames(input.0) } else { input.0.to_vec() };
    if how & 1 == 0 {
        let said = if how & 2 == 0 { [WELCOME, &said].concat() } else { said };
        running(&said);
    } else {
        let (ours, mut theirs) = UnixStream::pair().unwrap_or_else(|error| panic!("{error}"));
        // Longer ones than a socket holds would need a thread; nothing is told apart by that.
        _ = theirs.write_all(&said[..said.len().min(16 << 10)]);
        drop(theirs);
        let mut heir = Heir::new(ours, Some(1)).unwrap_or_else(|error| panic!("{error}"));
        if let Err(error) = heir.wait_until_it_serves() {
            assert!(error.to_string().len() < MAX_TEXT_OCTETS);
        }
        _ = heir.yours();
    }
}

/// Texts up to each line's end, as frames.
fn frames(text: &[u8]) -> Vec<u8> {
    text.split(|octet| *octet == b'\n').flat_map(|text| [&(text.len() as u32).to_be_bytes()[..], text].concat()).collect()
}

/// A process at a control socket that says so much to whoever asks, and closes.
fn running(said: &[u8]) {
    static DOOR: OnceLock<UnixListener> = OnceLock::new();
    let path = scratch().join("takeover.sock");
    let door = DOOR.get_or_init(|| UnixListener::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    thread::scope(|scope| {
        scope.spawn(|| {
            let Ok((mut stream, _)) = door.accept() else { return };
            let mut request = [0; 256];
            // What was not read would break the connection, and what was said with it.
            let read = stream.read(&mut request).unwrap_or(0);
            assert!(request[..read].starts_with(b"POST /v1/takeover HTTP/1.1\r\n"));
            _ = stream.write_all(said);
        });
        match claim(&path) {
            Ok(legacy) => {
                let mut legacy = legacy.unwrap_or_else(|| panic!("somebody listens"));
                assert!(legacy.sockets.is_empty() || said.windows(7).any(|word| word == b"sockets"));
                assert!(legacy.health.len() <= said.len());
                _ = legacy.serving();
            }
            Err(error) => assert!(error.to_string().len() < MAX_TEXT_OCTETS),
        }
    });
}
