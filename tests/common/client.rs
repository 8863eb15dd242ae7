//! A small DNS client over real sockets: one question, one reply, over UDP or TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::PATIENCE;
use super::message::{Query, Reply};

/// Whether this machine has IPv6 on loopback; tests that need it say so where it has not.
pub(crate) fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A UDP socket that talks to one server only.
pub(crate) struct Udp(UdpSocket);

impl Udp {
    pub(crate) fn to(server: SocketAddr) -> Udp {
        let socket = UdpSocket::bind((loopback(server), 0)).unwrap();
        socket.connect(server).unwrap();
        Udp(socket)
    }

    pub(crate) fn send(&self, octets: &[u8]) {
        self.0.send(octets).unwrap();
    }

    /// The next datagram; `None` when nothing comes in time.
    pub(crate) fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut octets = vec![0; 65_535];
        match self.0.recv(&mut octets) {
            Ok(length) => {
                octets.truncate(length);
                Some(octets)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn ask(&self, query: &Query) -> Reply {
        self.send(&query.octets());
        let octets = self.receive(PATIENCE).unwrap_or_else(|| panic!("no reply to {query:?}"));
        let reply = Reply::read(&octets);
        assert_eq!(reply.id(), query.id);
        reply
    }
}

/// Asks once over UDP, from a socket of its own.
pub(crate) fn udp(server: SocketAddr, query: &Query) -> Reply {
    Udp::to(server).ask(query)
}

/// A TCP connection to a server.
pub(crate) struct Tcp(TcpStream);

impl Tcp {
    pub(crate) fn to(server: SocketAddr) -> Tcp {
        Tcp::of(TcpStream::connect(server).unwrap())
    }

    /// Over a connection that is there already.
    pub(crate) fn of(stream: TcpStream) -> Tcp {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Tcp(stream)
    }

    /// Sends octets as they are, without a length before them.
    pub(crate) fn send_raw(&mut self, octets: &[u8]) {
        self.0.write_all(octets).unwrap();
    }

    /// Sends a message with its length before it.
    pub(crate) fn send(&mut self, message: &[u8]) {
        self.send_raw(&framed(message));
    }

    /// The next message; `None` when the server has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        match self.0.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
            Err(error) => panic!("{error}"),
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message).unwrap();
        Some(message)
    }

    /// The reply to a message; `None` when the server closes the connection, before or after it was sent.
    pub(crate) fn try_ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        match self.0.write_all(&framed(message)) {
            Ok(()) => self.receive(),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn ask(&mut self, query: &Query) -> Reply {
        self.send(&query.octets());
        let octets = self.receive().unwrap_or_else(|| panic!("the connection was closed on {query:?}"));
        let reply = Reply::read(&octets);
        assert_eq!(reply.id(), query.id);
        reply
    }
}

/// Asks once over TCP, on a connection of its own.
pub(crate) fn tcp(server: SocketAddr, query: &Query) -> Reply {
    Tcp::to(server).ask(query)
}

/// A message with its length before it (RFC 1035 4.2.2).
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

fn loopback(server: SocketAddr) -> IpAddr {
    if server.is_ipv4() { super::world::PEER } else { IpAddr::V6(Ipv6Addr::LOCALHOST) }
}
