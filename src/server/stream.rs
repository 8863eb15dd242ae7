//! Messages with a length prefix on a stream, as many as the peer likes (RFC 7766), whether in clear text or inside TLS.
//! A connection never waits for another, never outlives its time limits and never holds more than a bounded memory.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::hall::{Desk, FAREWELL, Hall, Timeouts};
use super::limit::Permit;
use crate::answer::Transport;
use crate::metrics::Metric;

/// The longest message, with its length prefix.
pub(super) const MESSAGE_OCTETS: usize = 2 + u16::MAX as usize;

/// Octets read at a time: a hundred or so pipelined queries, after which other connections get their turn.
pub(super) const READ_OCTETS: usize = 4_096;

/// Once replies of this size wait they are sent before more is answered. With one longest reply on top it bounds what
/// a peer that does not read can make us hold.
pub(super) const SEND_SOON_OCTETS: usize = 16_384;

/// Where freshly read octets go in the inbound buffer: behind room for all that a connection can have left over.
pub(super) const FRESH: usize = MESSAGE_OCTETS + READ_OCTETS;

/// A peer that was let in. Its place is given back when this is dropped.
pub(super) struct Guest {
    /// Who asks.
    pub(super) peer: SocketAddr,
    /// The address that was asked.
    pub(super) local: SocketAddr,
    /// Its place, where places are counted.
    pub(super) _permit: Permit,
    /// Held so that the end waits for it.
    pub(super) _presence: mpsc::Sender<()>,
}

/// What one step of a connection came to.
enum Step {
    /// Messages were answered, or replies went out: the time limits start anew. `true`: replies wait to be sent.
    Done(bool),
    /// A part of a message came, or the timer went off.
    Part,
    /// The peer has ended the stream, or broken it.
    Closed,
}

pub(super) struct Connection<S> {
    stream: S,
    transport: Transport,
    peer: SocketAddr,
    local: SocketAddr,
    hall: Rc<Hall>,
    /// Read but not yet answered: part of a message, or messages that wait until the peer takes replies.
    unread: Vec<u8>,
    /// Replies that the kernel did not take yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// The stream has taken all and still holds some of it back, as TLS does.
    is_held_back: bool,
    /// Queries that are still answered, where they are counted.
    left: Option<u32>,
    /// Nothing more is read; the connection ends when the replies are out.
    is_over: bool,
    _guest: Guest,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A peer that was let in; `presence` is held as long as it stays.
    pub(super) fn new(stream: S, transport: Transport, guest: Guest, hall: Rc<Hall>) -> Connection<S> {
        Connection {
            stream,
            transport,
            peer: guest.peer,
            local: guest.local,
            unread: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            is_held_back: false,
            left: hall.gate.queries(),
            is_over: false,
            hall,
            _guest: guest,
        }
    }

    /// Serves until the peer or a time limit ends it.
    pub(super) async fn run(mut self) {
        self.converse().await;
        if self.transport != Transport::Tcp {
            // The word of TLS that nothing was cut off. Whoever does not take it at once goes without.
            let _ = timeout(self.hall.timeouts.drain, poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context))).await;
        }
    }

    async fn converse(&mut self) {
        let Timeouts { first_message, idle, write, .. } = self.hall.timeouts;
        let hall = Rc::clone(&self.hall);
        let mut closing = pin!(hall.closing());
        let mut stopping = false;
        // Set by the stop.
        let mut end: Option<Instant> = None;
        let mut deadline = Instant::now() + first_message;
        // The timer is not set anew for each message: when it goes off early it is set to the deadline of then.
        let mut timer = pin!(sleep_until(deadline));
        loop {
            let step = tokio::select! {
                biased;
                step = poll_fn(|context| self.poll_step(context)) => step,
                last = &mut closing, if !stopping => {
                    stopping = true;
                    deadline = deadline.min(last);
                    end = Some(last);
                    timer.as_mut().reset(deadline);
                    continue;
                }
                () = &mut timer => Step::Part,
            };
            let now = Instant::now();
            match step {
                // It may have sent more than it may ask.
                Step::Closed if self.left == Some(0) => return self.farewell().await,
                Step::Closed => return,
                // Busy to the last: it is told before it is left, so that what was answered is not lost with the connection.
                Step::Done(_) if end.is_some_and(|end| now >= end) => return self.farewell().await,
                // The stop leaves what is under way its time, and no more than it said.
                Step::Done(replies_wait) => {
                    let next = now + if replies_wait { write } else { idle };
                    deadline = end.map_or(next, |end| next.min(end));
                }
                // Asked here too: while octets keep dripping in, the timer does not get its turn.
                Step::Part if now >= deadline => {
                    if !stopping {
                        self.hall.count(Metric::ConnectionsTimedOut);
                    }
                    return;
                }
                Step::Part => {}
            }
            if timer.is_elapsed() || deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
        }
    }

    /// Ends our side, and takes no notice of what still comes until the peer has ended its own: an end with octets unread would have the
    /// kernel break the connection, and the replies on their way with it.
    async fn farewell(&mut self) {
        let mut ignored = [0; 512];
        let leave = async {
            poll_fn(|context| self.poll_flush(context)).await?;
            poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await?;
            while self.stream.read(&mut ignored).await? > 0 {}
            io::Result::Ok(())
        };
        // A peer that does not end is left all the same.
        let _ = timeout(FAREWELL, leave).await;
    }

    /// Sends what waits, else reads and answers. Pending = waits for the network, in a state that may be dropped.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if self.has_unsent() {
            return self.poll_flush(context).map(|done| done.map_or(Step::Closed, |()| Step::Done(false)));
        }
        if self.is_over {
            return Poll::Ready(Step::Closed);
        }
        let hall = Rc::clone(&self.hall);
        let desk = &mut *hall.desk.borrow_mut();
        let mut fresh = 0;
        if first_message(&self.unread).is_none() {
            let mut buffer = ReadBuf::new(&mut desk.inbound[FRESH..]);
            if ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Step::Closed);
            }
            fresh = buffer.filled().len();
        }
        let (answered, used) = self.answer_messages(desk, fresh);
        if self.send_now(&desk.outbound[..used], context).is_err() {
            return Poll::Ready(Step::Closed);
        }
        Poll::Ready(if answered || self.is_over { Step::Done(self.has_unsent()) } else { Step::Part })
    }

    /// Answers the whole messages among what was left over and the `fresh` octets behind it; keeps the rest. Returns
    /// whether there was a message, and how much of the outbound buffer the replies take.
    fn answer_messages(&mut self, desk: &mut Desk, fresh: usize) -> (bool, usize) {
        let Desk { worker, inbound, outbound } = desk;
        let start = FRESH - self.unread.len();
        inbound[start..FRESH].copy_from_slice(&self.unread);
        let mut input = &inbound[start..FRESH + fresh];
        let (mut answered, mut used) = (false, 0);
        worker.begin_batch();
        while used <= SEND_SOON_OCTETS
            && let Some((message, rest)) = first_message(input)
        {
            input = rest;
            answered = true;
            if message.is_empty() {
                // No such message exists; what follows cannot be trusted to be in step.
                self.is_over = true;
                break;
            }
            let (prefix, room) = outbound[used..used + MESSAGE_OCTETS].split_at_mut(2);
            // Unwind safe for the reasons that hold for UDP; what is half written is not sent.
            match catch_unwind(AssertUnwindSafe(|| worker.answer(message, self.peer, self.local, self.transport, room))) {
                Ok(0) => {}
                Ok(len) => {
                    prefix.copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
                    used += 2 + len;
                }
                Err(_) => {
                    worker.counters().add(Metric::Panics, 1);
                    self.is_over = true;
                    break;
                }
            }
            if let Some(left) = &mut self.left {
                *left -= 1;
                if *left == 0 {
                    self.is_over = true;
                    break;
                }
            }
        }
        if input.is_empty() {
            self.unread = Vec::new();
        } else {
            self.unread.clear();
            self.unread.extend_from_slice(input);
        }
        (answered, used)
    }

    /// Sends what the kernel takes at once and keeps the rest for [`Connection::poll_flush`].
    fn send_now(&mut self, replies: &[u8], context: &mut Context<'_>) -> io::Result<()> {
        if replies.is_empty() {
            return Ok(());
        }
        let taken = match Pin::new(&mut self.stream).poll_write(context, replies) {
            Poll::Ready(taken) => taken?,
            Poll::Pending => 0,
        };
        self.unsent.extend_from_slice(&replies[taken..]);
        if let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context) {
            return flushed;
        }
        self.is_held_back = true;
        Ok(())
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.is_held_back
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let taken = ready!(Pin::new(&mut self.stream).poll_write(context, &self.unsent[self.sent..]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += taken;
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.is_held_back = false;
        Poll::Ready(Ok(()))
    }
}

/// The first whole message and what follows it.
fn first_message(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
