//! What the connections of one thread share: the answering place, the door that counts them, their time limits.
//! The place is used by one connection at a time, and never while it waits for the network.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::limit::Gate;
use super::stream::{FRESH, MESSAGE_OCTETS, READ_OCTETS, SEND_SOON_OCTETS};
use super::udp::WAKE_MS;
use super::worker::Worker;
use crate::answer::Transport;
use crate::metrics::Metric;
use crate::wire::edns::KEEPALIVE_TENTHS;

/// A connection without a whole message for this long is closed (RFC 7766 6.2.3: a few seconds and up). Octets of
/// a message that does not end do not prolong it.
/// Clients that ask are told so (RFC 7828).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_millis(100 * KEEPALIVE_TENTHS as u64);

/// The first message must be there sooner: clients connect because they have something to ask.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer must take a batch of replies within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// At the end connections have this long to finish what is under way.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// Where another process has taken over there is no hurry: connections are answered on for as long as one may be idle, so that a client
/// that uses its connection once in a while sees nothing but an idle one that is closed, as by any server.
pub(super) const LEAVE_TIMEOUT: Duration = IDLE_TIMEOUT;

/// What has come by QUIC before the stop is answered within this time, and has left: nothing of that waits for the network. What comes later is
/// for whoever has the socket, too.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(50);

/// At the very end of a connection that was busy until then its peer has this long to hear of it, and to take the last replies.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// A TLS handshake must be done in this time: some round trips and some milliseconds of arithmetic.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may take; [`Default`] is the constants of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the first message is whole.
    pub first_message: Duration,
    /// Until the handshake of TLS or QUIC is done.
    pub handshake: Duration,
    /// From one whole message to the next.
    pub idle: Duration,
    /// To take a batch of replies.
    pub write: Duration,
    /// To finish after the stop.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            first_message: FIRST_MESSAGE_TIMEOUT,
            handshake: HANDSHAKE_TIMEOUT,
            idle: IDLE_TIMEOUT,
            write: WRITE_TIMEOUT,
            drain: DRAIN_TIMEOUT,
        }
    }
}

/// When connections must have ended.
pub(super) type End = Instant;

/// The end of those that have so long from now on.
pub(super) fn end_in(drain: Duration) -> End {
    Instant::now() + drain
}

/// What the connections of one thread share.
pub(super) struct Hall {
    pub(super) desk: RefCell<Desk>,
    pub(super) gate: Gate,
    pub(super) timeouts: Timeouts,
    /// Held once more by each connection of a proxy whose header is awaited.
    pub(super) headers: Rc<()>,
    /// Set by the stop: when connections must have ended.
    pub(super) stop: watch::Receiver<Option<End>>,
}

/// The answering place.
pub(super) struct Desk {
    pub(super) worker: Worker,
    pub(super) inbound: Box<[u8]>,
    pub(super) outbound: Box<[u8]>,
}

impl Desk {
    fn new(worker: Worker) -> Desk {
        Desk { worker, inbound: vec![0; FRESH + READ_OCTETS].into(), outbound: vec![0; SEND_SOON_OCTETS + MESSAGE_OCTETS].into() }
    }

    fn answer(&mut self, message: &[u8], peer: SocketAddr, local: SocketAddr, transport: Transport) -> Option<&[u8]> {
        let Desk { worker, outbound, .. } = self;
        // Unwind safe for the reasons that hold for UDP; what is half written is not sent.
        let answered = catch_unwind(AssertUnwindSafe(|| {
            worker.begin_batch();
            worker.answer(message, peer, local, transport, &mut outbound[..MESSAGE_OCTETS - 2])
        }));
        match answered {
            Ok(0) => None,
            Ok(len) => Some(&outbound[..len]),
            Err(_) => {
                worker.counters().add(Metric::Panics, 1);
                None
            }
        }
    }
}

impl Hall {
    pub(super) fn new(worker: Worker, gate: Gate, timeouts: Timeouts, stop: watch::Receiver<Option<End>>) -> Hall {
        Hall { desk: RefCell::new(Desk::new(worker)), gate, timeouts, headers: Rc::default(), stop }
    }

    /// Counts something that is no answer.
    pub(super) fn count(&self, metric: Metric) {
        self.desk.borrow().worker.counters().add(metric, 1);
    }

    /// Answers one message by itself; nothing where there is nothing to send, as after a panic.
    pub(super) fn answer(&self, message: &[u8], peer: SocketAddr, local: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
        self.desk.borrow_mut().answer(message, peer, local, transport).map(<[u8]>::to_vec)
    }

    /// Whether the end has been asked for.
    pub(super) fn is_closing(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Waits for the stop and gives back when connections must have ended.
    pub(super) async fn closing(&self) -> End {
        let mut stop = self.stop.clone();
        // Without its sender nobody could ask any more: that is a stop at once.
        stop.wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or_else(Instant::now)
    }

    /// Waits for the stop, and then until connections must have ended.
    pub(super) async fn drained(&self) {
        sleep_until(self.closing().await).await;
    }

    /// Waits for the stop, and then until all that had come by QUIC is answered.
    pub(super) async fn silenced(&self) {
        self.closing().await;
        sleep(LAST_WORDS).await;
    }

    /// Waits for the stop; meanwhile lets go of old worlds, which no query may come to do.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        while timeout(Duration::from_millis(WAKE_MS), stop.wait_for(Option::is_some)).await.is_err() {
            let desk = &mut *self.desk.borrow_mut();
            if catch_unwind(AssertUnwindSafe(|| desk.worker.begin_batch())).is_err() {
                desk.worker.counters().add(Metric::Panics, 1);
            }
        }
    }
}
