//! The sender over TCP: kept connections, on each of which so many queries are on their way at a time. Like the one over UDP it never waits.
//! A reply makes room for the next query at once, which carries the acknowledgement: nobody sits out a delayed one (RFC 1122, 4.2.3.2).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use crate::load::{Clock, Counts, Load, Measured, measure};
use crate::question::{self, Pool};

/// Connections that are kept.
const CONNECTIONS: usize = 16;

/// Queries that are on their way on one connection.
const PIPELINED: usize = 64;

/// Room for replies that have come and are not whole yet: more than all that can be on their way.
const BUFFER: usize = 1 << 16;

/// Octets in front of a message that say its length.
const PREFIX: usize = 2;

/// Asks the first question of a pool again and again.
pub(crate) fn run(load: Load, pool: &Pool) -> Result<Measured> {
    let query = pool.query(0);
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    let block = framed.repeat(PIPELINED);
    let connections: Result<Vec<Connection<TcpStream>>> = (0..CONNECTIONS).map(|_| Ok(Connection::new(connect(load)?))).collect();
    let mut connections = connections.context("TCP")?;
    measure(load, |clock, counts| {
        connections.iter_mut().try_for_each(|connection| {
            connection.fill(&block, framed.len(), clock)?;
            connection.receive(clock, counts, |reply| question::is_right(reply, pool.expected(0)))
        })
    })
}

fn connect(load: Load) -> Result<TcpStream> {
    let stream = TcpStream::connect(load.server)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A connection, when each query on its way was sent, and what has come of replies.
struct Connection<S> {
    stream: S,
    /// The oldest first. All queries are equal, so which reply is whose makes no difference.
    sent_ns: VecDeque<u64>,
    /// Octets of the query that is not sent whole which are.
    partial: usize,
    buffer: Vec<u8>,
    have: usize,
}

impl<S: Read + Write> Connection<S> {
    fn new(stream: S) -> Connection<S> {
        Connection { stream, sent_ns: VecDeque::with_capacity(PIPELINED), partial: 0, buffer: vec![0; BUFFER], have: 0 }
    }

    /// Sends as many as are missing of `PIPELINED`, from a block of so many equal queries.
    fn fill(&mut self, block: &[u8], query_octets: usize, clock: Clock) -> Result<()> {
        let missing = PIPELINED - self.sent_ns.len();
        if missing > 0 {
            let octets = &block[self.partial..missing * query_octets];
            let written = unless_it_would_block(self.stream.write(octets)).context("TCP: sending")?.unwrap_or(0);
            let whole = self.partial + written;
            self.sent_ns.extend(std::iter::repeat_n(clock.now_ns(), whole / query_octets));
            self.partial = whole % query_octets;
        }
        Ok(())
    }

    /// Takes the replies that have come, in whatever pieces.
    fn receive(&mut self, clock: Clock, counts: &mut Counts, is_right: impl Fn(&[u8]) -> bool) -> Result<()> {
        ensure!(self.have < BUFFER, "TCP: replies are longer than {BUFFER} octets");
        let Some(read) = unless_it_would_block(self.stream.read(&mut self.buffer[self.have..])).context("TCP: reading")? else {
            return Ok(());
        };
        ensure!(read > 0, "TCP: the server closed a connection");
        self.have += read;
        let (now_ns, mut at) = (clock.now_ns(), 0);
        while let Some(reply) = message(&self.buffer[at..self.have]) {
            let sent_ns = self.sent_ns.pop_front().context("TCP: more replies than queries")?;
            counts.replies += 1;
            counts.wrong += u64::from(!is_right(reply));
            counts.latency.add(now_ns.saturating_sub(sent_ns));
            at += PREFIX + reply.len();
        }
        self.buffer.copy_within(at..self.have, 0);
        self.have -= at;
        Ok(())
    }
}

/// Nothing where the system would wait.
fn unless_it_would_block(count: io::Result<usize>) -> io::Result<Option<usize>> {
    match count {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        count => count.map(Some),
    }
}

/// The first message of a stream, when it is there whole.
fn message(octets: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = octets.split_first_chunk::<PREFIX>()?;
    rest.get(..usize::from(u16::from_be_bytes(*prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\0\x03abc";

    /// Takes seven octets at a time, and gives three.
    struct InPieces {
        written: Vec<u8>,
        replies: VecDeque<u8>,
    }

    impl Read for InPieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.replies.len().min(3).min(buffer.len());
            self.replies.drain(..count).zip(buffer).for_each(|(octet, room)| *room = octet);
            Ok(count)
        }
    }

    impl Write for InPieces {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let count = octets.len().min(7);
            self.written.extend_from_slice(&octets[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn connection(replies: &[u8]) -> Connection<InPieces> {
        Connection::new(InPieces { written: Vec::new(), replies: replies.iter().copied().collect() })
    }

    #[test]
    fn queries_and_replies_are_whole_however_they_are_cut() {
        let (clock, mut counts) = (Clock::start(), Counts::new());
        let replies = b"\0\x04good\0\x01x".repeat(PIPELINED / 2);
        let mut connection = connection(&replies);
        let block = QUERY.repeat(PIPELINED);
        while connection.sent_ns.len() < PIPELINED {
            connection.fill(&block, QUERY.len(), clock).unwrap();
        }
        assert_eq!(connection.stream.written, block);
        while !connection.stream.replies.is_empty() {
            connection.receive(clock, &mut counts, |reply| reply == b"good").unwrap();
        }
        assert_eq!((counts.replies, counts.wrong, connection.sent_ns.len()), (PIPELINED as u64, PIPELINED as u64 / 2, 0));
    }

    #[test]
    fn a_closed_connection_and_replies_to_nothing_are_errors() {
        let (clock, mut counts) = (Clock::start(), Counts::new());
        assert!(connection(b"").receive(clock, &mut counts, |_| true).is_err());
        assert!(connection(b"\0\x01x").receive(clock, &mut counts, |_| true).is_err());
    }
}
