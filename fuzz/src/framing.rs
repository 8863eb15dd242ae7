//! A stream of messages with lengths before them, cut into any segments: what comes back is the reply to each message, in order, until the
//! stream ends or an empty message ends it. It speaks to a server on loopback, over a connection for each input.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meridian::metrics::Registry;
use meridian::server::{Config, NowMs, Running, start};
use meridian::snapshot::{Shared, Snapshot};

use super::{Octets, query};

/// Nothing here waits that long unless the server has lost something.
const PATIENCE: Duration = Duration::from_secs(10);

const QR: u8 = 0x80;

/// How many segments, how long each is (0 = two octets), and then the stream.
pub fn run(input: &[u8]) {
    let mut input = Octets(input);
    let segments = usize::from(input.next() % 16);
    let cuts: Vec<usize> = input.take(segments).iter().map(|octets| usize::from(*octets).max(2) - 1).collect();
    let stream = input.0;
    // Answers that take turns differ from call to call; their length and head do not.
    let expected: Vec<Vec<u8>> = messages(stream).into_iter().map(query::reply_over_tcp).filter(|reply| !reply.is_empty()).collect();
    let replies = ask(server(), stream, &cuts);
    let replies = messages(&replies);
    assert_eq!(replies.len(), expected.len(), "replies to {}", stream.escape_ascii());
    for (reply, expected) in replies.iter().zip(&expected) {
        assert_eq!((reply.len(), &reply[..12]), (expected.len(), &expected[..12]));
        assert!(reply[2] & QR != 0);
    }
}

/// The whole messages before the first empty one.
pub fn messages(stream: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut found) = (stream, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<2>()
        && let Some((message, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        && !message.is_empty()
    {
        found.push(message);
        rest = after;
    }
    found
}

/// What comes back for a stream that is sent in segments of these lengths, the last of all that is left.
pub fn ask(server: SocketAddr, stream: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut connection = TcpStream::connect(server).unwrap_or_else(|error| panic!("{error}"));
    connection.set_read_timeout(Some(PATIENCE)).and_then(|()| connection.set_nodelay(true)).unwrap_or_else(|error| panic!("{error}"));
    let mut rest = Octets(stream);
    for octets in cuts.iter().copied().chain([stream.len()]) {
        // An empty message has ended the connection before: what comes after it is nobody's.
        if connection.write_all(rest.take(octets)).is_err() {
            break;
        }
    }
    _ = connection.shutdown(Shutdown::Write);
    let mut replies = Vec::new();
    match connection.read_to_end(&mut replies) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
        Err(error) => panic!("the connection does not end: {error}"),
    }
    replies
}

fn server() -> SocketAddr {
    static SERVER: OnceLock<Running> = OnceLock::new();
    SERVER.get_or_init(|| serve(query::world())).addresses()[0]
}

/// A server of this world on a free port of loopback.
pub fn serve(world: &Snapshot) -> Running {
    let world = Snapshot { catalog: Arc::clone(&world.catalog), health: Arc::clone(&world.health), generation: 1 };
    let now: NowMs = Arc::new(|| 1_000);
    let config = Config::new(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], 1);
    start(config, &Shared::new(world), &Registry::new(), &now).unwrap_or_else(|error| panic!("{error}"))
}
