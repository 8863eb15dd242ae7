//! A socket of QUIC that can stop listening while it still sends, so that what comes from then on waits in the kernel for whoever has the
//! socket, too: a process that takes over. It never reads a packet by itself and never loses one.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

#[derive(Debug)]
pub(super) struct Deafening {
    socket: Arc<dyn AsyncUdpSocket>,
    is_deaf: AtomicBool,
}

impl Deafening {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Deafening {
        Deafening { socket, is_deaf: AtomicBool::new(false) }
    }

    /// Reads nothing more.
    pub(super) fn deafen(&self) {
        self.is_deaf.store(true, Relaxed);
    }
}

impl AsyncUdpSocket for Deafening {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(&self, context: &mut Context<'_>, room: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        // Whoever has gone deaf need not be woken again.
        if self.is_deaf.load(Relaxed) { Poll::Pending } else { self.socket.poll_recv(context, room, meta) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
