//! TCP: messages with a length prefix, as many per connection as the peer likes, one thread per worker.
//! A connection never waits for another, never outlives its time limits and never holds more than a bounded memory.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::limit::{Gate, Permit};
use super::udp::WAKE_MS;
use super::worker::Worker;
use crate::answer::Transport;
use crate::metrics::Metric;

/// A connection without a whole message for this long is closed (RFC 7766 6.2.3: a few seconds and up). Octets of
/// a message that does not end do not prolong it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The first message must be there sooner: clients connect because they have something to ask.
pub const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer must take a batch of replies within this time.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// At the end connections have this long to finish what is under way.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// Connections that the kernel accepts ahead of us; the system's limit (4,096 by default) may be lower.
const BACKLOG: i32 = 1_024;

/// How long accepting rests when descriptors or memory are short; connections that end meanwhile give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest message, with its length prefix.
const MESSAGE_OCTETS: usize = 2 + u16::MAX as usize;

/// Octets read at a time: a hundred or so pipelined queries, after which other connections get their turn.
const READ_OCTETS: usize = 4_096;

/// Once replies of this size wait they are sent before more is answered. With one longest reply on top it bounds what
/// a peer that does not read can make us hold.
const SEND_SOON_OCTETS: usize = 16_384;

/// Where freshly read octets go in the inbound buffer: behind room for all that a connection can have left over.
const FRESH: usize = MESSAGE_OCTETS + READ_OCTETS;

/// How long a connection may take; [`Default`] is the constants of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the first message is whole.
    pub first_message: Duration,
    /// From one whole message to the next.
    pub idle: Duration,
    /// To take a batch of replies.
    pub write: Duration,
    /// To finish after the stop.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { first_message: FIRST_MESSAGE_TIMEOUT, idle: IDLE_TIMEOUT, write: WRITE_TIMEOUT, drain: DRAIN_TIMEOUT }
    }
}

/// Binds one listener per worker. The kernel spreads the connections over them.
///
/// # Errors
/// What the system says: address in use, not ours, or not allowed.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    if cfg!(not(target_os = "linux")) {
        // Elsewhere a shared port is not spread over the sockets: all workers accept from one.
        let first = open(address, false)?;
        let mut listeners = (1..workers).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
        listeners.push(first);
        return Ok(listeners);
    }
    if workers > 1 && address.port() != 0 {
        // Sockets that share a port would join those of a server that runs already, and take half of its peers.
        drop(open(address, false)?);
    }
    let first = open(address, workers > 1)?;
    let real = first.local_addr()?;
    let mut listeners = (1..workers).map(|_| open(real, true)).collect::<io::Result<Vec<_>>>()?;
    listeners.push(first);
    Ok(listeners)
}

fn open(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Old connections that wait out their time do not keep the port.
    socket.set_reuse_address(true)?;
    if share_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One worker's listeners, ready to run on a thread of their own.
pub(super) struct Service {
    runtime: Runtime,
    listeners: Vec<tokio::net::TcpListener>,
    gate: Gate,
    timeouts: Timeouts,
    stop: watch::Receiver<bool>,
}

impl Service {
    /// Registers the listeners with a runtime of this service's own.
    ///
    /// # Errors
    /// The system has no descriptor left for it.
    pub(super) fn new(listeners: Vec<TcpListener>, gate: Gate, timeouts: Timeouts, stop: watch::Receiver<bool>) -> io::Result<Service> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let guard = runtime.enter();
        let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()?;
        drop(guard);
        Ok(Service { runtime, listeners, gate, timeouts, stop })
    }

    /// Serves until the stop, then gives connections [`Timeouts::drain`] and returns.
    pub(super) fn run(self, worker: Worker) {
        let Service { runtime, listeners, gate, timeouts, mut stop } = self;
        let hall = Rc::new(Hall { desk: RefCell::new(Desk::new(worker)), gate, timeouts, stop: stop.clone() });
        LocalSet::new().block_on(&runtime, async move {
            // Every task holds a sender; the channel closes when the last has ended.
            let (presence, mut ended) = mpsc::channel(1);
            for listener in listeners {
                tokio::task::spawn_local(accept_all(listener, Rc::clone(&hall), presence.clone()));
            }
            drop(presence);
            stopped(&mut stop, &hall).await;
            // Twice the time that connections have: they end by themselves, this is for the unforeseen.
            let _ = timeout(2 * timeouts.drain, ended.recv()).await;
        });
    }
}

/// What the connections of one thread share.
struct Hall {
    desk: RefCell<Desk>,
    gate: Gate,
    timeouts: Timeouts,
    stop: watch::Receiver<bool>,
}

/// The answering place: used by one connection at a time, and never while it waits for the network.
struct Desk {
    worker: Worker,
    inbound: Box<[u8]>,
    outbound: Box<[u8]>,
}

impl Desk {
    fn new(worker: Worker) -> Desk {
        Desk { worker, inbound: vec![0; FRESH + READ_OCTETS].into(), outbound: vec![0; SEND_SOON_OCTETS + MESSAGE_OCTETS].into() }
    }

    fn count(&self, metric: Metric) {
        self.worker.counters().add(metric, 1);
    }
}

/// Waits for the stop; meanwhile lets go of old worlds, which no query may come to do.
async fn stopped(stop: &mut watch::Receiver<bool>, hall: &Hall) {
    while timeout(Duration::from_millis(WAKE_MS), stop.wait_for(|stop| *stop)).await.is_err() {
        let desk = &mut *hall.desk.borrow_mut();
        if catch_unwind(AssertUnwindSafe(|| desk.worker.begin_batch())).is_err() {
            desk.count(Metric::Panics);
        }
    }
}

async fn accept_all(listener: tokio::net::TcpListener, hall: Rc<Hall>, presence: mpsc::Sender<()>) {
    let mut stop = hall.stop.clone();
    let mut in_trouble = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                in_trouble = false;
                admit(stream, peer, &hall, &presence);
            }
            Err(error) => {
                hall.desk.borrow().count(Metric::AcceptFailures);
                if !is_of_one_connection(&error) {
                    if !std::mem::replace(&mut in_trouble, true) {
                        tracing::warn!(%error, "cannot accept TCP connections just now");
                    }
                    let _ = timeout(ACCEPT_PAUSE, stop.wait_for(|stop| *stop)).await;
                }
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, hall: &Rc<Hall>, presence: &mpsc::Sender<()>) {
    let Ok(permit) = hall.gate.admit(peer.ip()) else {
        return hall.desk.borrow().count(Metric::ConnectionsRefused);
    };
    // Replies are sent as soon as they are there. A peer that is gone already makes these calls fail.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else {
        return;
    };
    hall.desk.borrow().count(Metric::Connections);
    let connection = Connection {
        stream,
        peer,
        local,
        hall: Rc::clone(hall),
        unread: Vec::new(),
        unsent: Vec::new(),
        sent: 0,
        is_over: false,
        _permit: permit,
        _presence: presence.clone(),
    };
    tokio::task::spawn_local(connection.run());
}

/// Errors that accept(2) reports of the one connection that was to be accepted; the next is not touched by them.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, PermissionDenied,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable | PermissionDenied
    ) || error.raw_os_error() == Some(libc::EPROTO)
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

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    hall: Rc<Hall>,
    /// Read but not yet answered: part of a message, or messages that wait until the peer takes replies.
    unread: Vec<u8>,
    /// Replies that the kernel did not take yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// Nothing more is read; the connection ends when the replies are out.
    is_over: bool,
    _permit: Permit,
    _presence: mpsc::Sender<()>,
}

impl Connection {
    async fn run(mut self) {
        let Timeouts { first_message, idle, write, drain } = self.hall.timeouts;
        let mut stop = self.hall.stop.clone();
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut stopping = false;
        let mut deadline = Instant::now() + first_message;
        // The timer is not set anew for each message: when it goes off early it is set to the deadline of then.
        let mut timer = pin!(sleep_until(deadline));
        loop {
            let step = tokio::select! {
                biased;
                step = poll_fn(|context| self.poll_step(context)) => step,
                _ = &mut stopped, if !stopping => {
                    stopping = true;
                    deadline = deadline.min(Instant::now() + drain);
                    timer.as_mut().reset(deadline);
                    continue;
                }
                () = &mut timer => Step::Part,
            };
            let now = Instant::now();
            match step {
                Step::Closed => return,
                Step::Done(_) if stopping => {}
                Step::Done(replies_wait) => deadline = now + if replies_wait { write } else { idle },
                // Asked here too: while octets keep dripping in, the timer does not get its turn.
                Step::Part if now >= deadline => {
                    if !stopping {
                        self.hall.desk.borrow().count(Metric::ConnectionsTimedOut);
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

    /// Sends what waits, else reads and answers. Pending = waits for the network, in a state that may be dropped.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if !self.unsent.is_empty() {
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
        Poll::Ready(if answered || self.is_over { Step::Done(!self.unsent.is_empty()) } else { Step::Part })
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
            match catch_unwind(AssertUnwindSafe(|| worker.answer(message, self.peer, self.local, Transport::Tcp, room))) {
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
        Ok(())
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
        Poll::Ready(Ok(()))
    }
}

/// The first whole message and what follows it.
fn first_message(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
