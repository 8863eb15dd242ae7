//! Samples as dnstap: messages of its protocol buffer in frame streams, to a file or to a collector on a Unix socket.
//! The format is at <https://dnstap.info> and <https://farsightsec.github.io/fstrm/>; nothing but what is written here is read.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use super::record::Record;
use crate::answer::Transport;

/// What the frames hold, as both ends name it.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// Kinds of control frames.
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;

/// The one field that control frames have: a content type.
const FIELD_CONTENT_TYPE: u32 = 1;

/// Longest control frame that is read.
const MAX_CONTROL_OCTETS: u32 = 512;

/// `AUTH_RESPONSE`: an answer of an authoritative server.
const AUTH_RESPONSE: u64 = 2;

/// Begins a stream that nobody answers: a file.
pub(super) fn start(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&control(START, true))
}

/// Whether these octets are a stream without a single frame, ended or not.
pub(super) fn is_bare(octets: &[u8]) -> bool {
    [control(START, true), control(STOP, false)].concat().starts_with(octets)
}

/// Agrees with a collector on the content, and begins.
pub(super) fn shake(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(READY, true))?;
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (escape, octets) = (word(0), word(4));
    if escape != 0 || !(4..=MAX_CONTROL_OCTETS).contains(&octets) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the collector does not speak frame streams"));
    }
    let mut body = vec![0; octets as usize];
    stream.read_exact(&mut body)?;
    if body[..4] != ACCEPT.to_be_bytes() || !body.windows(CONTENT_TYPE.len()).any(|window| window == CONTENT_TYPE) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the collector does not take dnstap"));
    }
    start(stream)
}

/// Ends a stream.
pub(super) fn stop(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&control(STOP, false))
}

fn control(kind: u32, with_type: bool) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if with_type {
        body.extend(FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend((CONTENT_TYPE.len() as u32).to_be_bytes());
        body.extend(CONTENT_TYPE);
    }
    [&[0; 4][..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

/// A sample as one data frame. `at_ms` is the time since 1970.
pub(super) fn frame(record: &Record, identity: &[u8], version: &[u8], at_ms: u64) -> Vec<u8> {
    let mut message = Fields::default();
    message.number(1, AUTH_RESPONSE);
    message.number(2, if record.peer.is_ipv4() { 1 } else { 2 });
    message.number(3, socket_protocol(record.transport));
    message.octets(4, &address(record.peer.ip()));
    message.octets(5, &address(record.local.ip()));
    message.number(6, u64::from(record.peer.port()));
    message.number(7, u64::from(record.local.port()));
    let (seconds, nanoseconds) = (at_ms / 1000, (at_ms % 1000) as u32 * 1_000_000);
    message.number(8, seconds);
    message.fixed(9, nanoseconds);
    message.octets(10, record.query());
    message.number(12, seconds);
    message.fixed(13, nanoseconds);
    message.octets(14, record.reply());
    let mut tap = Fields::default();
    tap.octets(1, identity);
    tap.octets(2, version);
    tap.octets(14, &message.0);
    // A message, as opposed to what may come.
    tap.number(15, 1);
    [&(tap.0.len() as u32).to_be_bytes()[..], &tap.0].concat()
}

/// `SocketProtocol` of the format; it knows one for HTTP, whatever the version.
fn socket_protocol(transport: Transport) -> u64 {
    match transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
        Transport::Tls => 3,
        Transport::Https | Transport::Http3 => 4,
        Transport::Quic => 7,
    }
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Fields of a protocol buffer.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn fixed(&mut self, field: u64, value: u32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    /// Left out where there are none.
    fn octets(&mut self, field: u64, octets: &[u8]) {
        if !octets.is_empty() {
            self.varint(field << 3 | 2);
            self.varint(octets.len() as u64);
            self.0.extend(octets);
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_frames_are_as_the_specification_has_them() {
        let start = control(START, true);
        assert_eq!(start[..16], [0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 2, 0, 0, 0, 1]);
        assert_eq!((&start[16..20], &start[20..]), (&[0, 0, 0, 22][..], CONTENT_TYPE));
        assert_eq!(control(STOP, false), [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]);
    }

    #[test]
    fn a_collector_that_speaks_something_else_is_refused() {
        struct Peer(io::Cursor<Vec<u8>>, Vec<u8>);
        impl Read for Peer {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                self.0.read(room)
            }
        }
        impl Write for Peer {
            fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
                self.1.write(octets)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (said, is_fine) in [
            (control(ACCEPT, true), true),
            (control(ACCEPT, false), false),
            (control(START, true), false),
            (b"HTTP/1.1 400 Bad Request".to_vec(), false),
            (vec![], false),
        ] {
            let mut peer = Peer(io::Cursor::new(said.clone()), vec![]);
            assert_eq!(shake(&mut peer).is_ok(), is_fine, "{said:?}");
            let expected = if is_fine { [control(READY, true), control(START, true)].concat() } else { control(READY, true) };
            assert_eq!(peer.1, expected);
        }
    }

    #[test]
    fn numbers_take_as_many_octets_as_they_need() {
        let mut fields = Fields::default();
        fields.number(1, 300);
        fields.fixed(9, 1);
        fields.octets(2, b"");
        assert_eq!(fields.0, [8, 0xac, 2, 0x4d, 1, 0, 0, 0]);
    }
}
