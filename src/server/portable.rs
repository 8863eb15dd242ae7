//! The UDP path for systems without `recvmmsg`: one packet a call, on plain sockets.
//! It is correct rather than fast, and has no answer for wildcard addresses (`udp::bind` refuses them there).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::udp::{Packet, PacketPath, QUERY_OCTETS, REPLY_OCTETS, Reading};

/// A socket and room for one packet each way.
pub(super) struct Single {
    socket: UdpSocket,
    local: SocketAddr,
    peer: SocketAddr,
    query: Box<[u8]>,
    query_len: usize,
    reply: Box<[u8]>,
    reply_len: usize,
}

impl Single {
    /// Takes over a socket that is bound to `local`; a batch is always one packet.
    pub(super) fn new(socket: UdpSocket, local: SocketAddr, _reading: Reading) -> Single {
        let (query, reply) = (vec![0; QUERY_OCTETS].into(), vec![0; REPLY_OCTETS].into());
        Single { socket, local, peer: local, query, query_len: 0, reply, reply_len: 0 }
    }
}

impl PacketPath for Single {
    fn receive(&mut self, wait: bool) -> io::Result<usize> {
        self.reply_len = 0;
        if !wait {
            // Workers may share the socket, so it stays blocking for them: what is queued at the end is left unanswered.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        (self.query_len, self.peer) = self.socket.recv_from(&mut self.query)?;
        Ok(1)
    }

    fn query(&self, _index: usize) -> (&[u8], IpAddr) {
        (&self.query[..self.query_len], self.peer.ip())
    }

    fn packet(&mut self, _index: usize) -> Packet<'_> {
        Packet { bytes: &self.query[..self.query_len], peer: self.peer, local: self.local, out: &mut self.reply }
    }

    fn reply(&mut self, _index: usize, len: usize) {
        self.reply_len = len;
    }

    fn send(&mut self) -> u64 {
        if self.reply_len == 0 {
            return 0;
        }
        u64::from(self.socket.send_to(&self.reply[..self.reply_len], self.peer).is_err())
    }
}
