//! UDP: one thread per core and address, batches in, batches out.
//! A worker never allocates per query, and nothing that a packet or the network does can end it.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use socket2::Type;

use super::bind::unbound;
use super::proxy;
use super::worker::Worker;
use crate::answer::Transport;
use crate::config::model::MAX_BATCH;
use crate::metrics::Metric;
use crate::wire::MAX_UDP_OCTETS;

/// An idle worker wakes this often, to let go of an old world and to see the stop flag.
pub const WAKE_MS: u64 = 250;

/// Packets per system call at most.
pub const BATCH: usize = MAX_BATCH;

/// Room for one query. No sane query is longer than 1,232 octets; of a longer one the beginning is answered as usual:
/// octets after the message are ignored anyway, and a message that was cut is a format error. An odd number
/// of cache lines, so that the headers of a batch do not all fall into the same few sets of the first-level cache.
pub const QUERY_OCTETS: usize = 21 * 64;

/// Room for one reply.
pub const REPLY_OCTETS: usize = MAX_UDP_OCTETS;

/// Bursts wait here while a worker is busy or not scheduled: about 5,000 small packets (the kernel charges each some
/// 800 octets), 10 ms at half a million queries a second.
const RECEIVE_BUFFER_OCTETS: usize = 4 << 20;

/// Two full batches of the largest replies.
const SEND_BUFFER_OCTETS: usize = 2 * BATCH * 2 * REPLY_OCTETS;

/// At the end a worker still answers what its socket holds, at most this many batches (more than the receive
/// buffer holds of small packets, a few tens of milliseconds).
const DRAIN_BATCHES: usize = 128;

/// With fewer packets in a batch there is nothing that could be waited for together.
const READ_AHEAD_FROM: usize = 2;

/// How long a worker rests after a receive call failed for a reason that may last, so that it does not spin.
const TROUBLE_PAUSE: Duration = Duration::from_millis(10);

/// A packet as a handler sees it: who asked what, at which of our addresses, and room for the reply.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) out: &'a mut [u8],
}

/// How a worker reads its socket.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Most packets that it takes and sends in one system call, 1 to [`BATCH`].
    pub most: usize,
    /// Whether the kernel notes when packets come.
    pub has_stamps: bool,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { most: BATCH, has_stamps: false }
    }
}

/// Where packets come from and go to, a batch at a time: `recvmmsg`, plain sockets, or rings of frames.
pub(super) trait PacketPath {
    /// Starts a new batch and returns how many packets it has. With `wait` it blocks up to [`WAKE_MS`] for the first.
    /// Nothing there is an error of the kind `WouldBlock`.
    fn receive(&mut self, wait: bool) -> io::Result<usize>;

    /// The octets of the packet at `index` of the batch, and who sent it.
    fn query(&self, index: usize) -> (&[u8], IpAddr);

    /// Packets that the kernel has thrown away since the last call because there was no room for them; 0 where it does not say. A
    /// system call, so not for every batch.
    fn drops(&mut self) -> u64 {
        0
    }

    /// When the newest packet of the batch came to this host, in nanoseconds since 1970; none where nobody notes it. A system call, so not
    /// for every batch.
    fn newest_ns(&self) -> Option<u64> {
        None
    }

    /// The packet at `index` of the batch.
    fn packet(&mut self, index: usize) -> Packet<'_>;

    /// The first `len` octets of the last packet's `out` are the reply to the packet at `index`.
    fn reply(&mut self, index: usize, len: usize);

    /// Sends the replies of the batch, from the addresses that were asked; returns how many could not be sent.
    fn send(&mut self) -> u64;
}

/// Binds one socket per worker. The kernel spreads the peers over them.
///
/// # Errors
/// What the system says: address in use, not ours, or not allowed.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    if cfg!(not(target_os = "linux")) {
        return bind_shared(address, workers);
    }
    if workers > 1 {
        // Sockets that share a port would join those of a server that runs already, and take half of its queries.
        drop(open(address, false)?);
    }
    (0..workers).map(|_| open(address, workers > 1)).collect()
}

/// Elsewhere a shared port is not spread over the sockets: all workers read one socket. And replies cannot be made to
/// leave from the address asked, so a wildcard is refused rather than answered from the wrong one.
fn bind_shared(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    if address.ip().is_unspecified() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this system needs each address listed by itself"));
    }
    let first = open(address, false)?;
    let mut sockets = (1..workers).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
    sockets.push(first);
    Ok(sockets)
}

fn open(address: SocketAddr, share_port: bool) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from(unbound(address, Type::DGRAM, share_port)?);
    tune(&socket, address)?;
    let bare = socket2::SockRef::from(&socket);
    bare.bind(&address.into())?;
    Ok(socket)
}

/// Sets the options of a socket that someone else has bound.
///
/// # Errors
/// What the system says.
pub(super) fn set_options(socket: &UdpSocket) -> io::Result<()> {
    tune(socket, socket.local_addr()?)
}

fn tune(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    let bare = socket2::SockRef::from(socket);
    // The system may give less; fewer packets then survive a burst, which is no reason not to serve.
    let _ = bare.set_send_buffer_size(SEND_BUFFER_OCTETS);
    let _ = bare.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    let wake = Duration::from_millis(WAKE_MS);
    // A worker waits in the call that receives, so the socket must be one that waits.
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(wake))?;
    socket.set_write_timeout(Some(wake))?;
    #[cfg(target_os = "linux")]
    super::sys::tune_udp(socket, address, RECEIVE_BUFFER_OCTETS)?;
    Ok(())
}

/// Serves until `stop`, then answers what is still queued and returns.
pub(super) fn run(path: &mut impl PacketPath, worker: &mut Worker, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        match path.receive(true) {
            Ok(count) => serve(path, worker, count),
            Err(error) if is_quiet(&error) => {
                begin(worker);
                count_drops(path, worker);
            }
            Err(error) => {
                worker.counters().add(Metric::ReceiveFailures, 1);
                if !is_passing(&error) {
                    std::thread::sleep(TROUBLE_PAUSE);
                }
            }
        }
    }
    for _ in 0..DRAIN_BATCHES {
        match path.receive(false) {
            Ok(count) => serve(path, worker, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    count_drops(path, worker);
}

fn serve(path: &mut impl PacketPath, worker: &mut Worker, count: usize) {
    begin(worker);
    let watch = worker.stopwatch();
    if watch.is_some()
        && let Some(newest_ns) = path.newest_ns()
    {
        worker.waited(newest_ns);
    }
    let proxied = worker.has_proxies();
    // What stands behind headers is not looked for twice.
    let unread =
        if count >= READ_AHEAD_FROM && !proxied { guarded(|| worker.read_ahead((0..count).map(|index| path.query(index)))) } else { 0 };
    let answer = |packet: Packet<'_>| {
        if proxied {
            return answer_behind_proxies(worker, packet);
        }
        worker.answer(packet.bytes, packet.peer, packet.local, Transport::Udp, packet.out)
    };
    let panics = unread + answer_all(path, count, answer);
    if let Some(watch) = watch {
        worker.took(&watch, count);
        count_drops(path, worker);
    }
    let unsent = path.send();
    if panics > 0 {
        worker.counters().add(Metric::Panics, panics);
    }
    if unsent > 0 {
        worker.counters().add(Metric::SendFailures, unsent);
    }
}

#[cold]
fn count_drops(path: &mut impl PacketPath, worker: &Worker) {
    let drops = path.drops();
    if drops > 0 {
        worker.counters().add(Metric::KernelDrops, drops);
    }
}

/// Answers for the client that a proxy names; who else sends a header sends garbage. The reply goes to whom the packet came from.
#[cold]
fn answer_behind_proxies(worker: &mut Worker, packet: Packet<'_>) -> usize {
    let Packet { bytes, peer, local, out } = packet;
    if !worker.is_proxy(peer.ip()) {
        return worker.answer(bytes, peer, local, Transport::Udp, out);
    }
    let Ok((told, message)) = proxy::split(bytes) else {
        worker.counters().add(Metric::ProxyFailures, 1);
        return 0;
    };
    let (peer, local) = told.or(peer, local);
    worker.answer(message, peer, local, Transport::Udp, out)
}

fn begin(worker: &mut Worker) {
    // A fault in taking over a world must not end the thread: it goes on with the world that it has.
    let panics = guarded(|| worker.begin_batch());
    if panics > 0 {
        worker.counters().add(Metric::Panics, panics);
    }
}

/// Does something that no answer depends on; returns how many panics there were.
fn guarded(work: impl FnOnce()) -> u64 {
    u64::from(catch_unwind(AssertUnwindSafe(work)).is_err())
}

/// Answers every packet of a batch. A panic costs only the packet that caused it; returns how many there were.
fn answer_all(path: &mut impl PacketPath, count: usize, mut answer: impl FnMut(Packet<'_>) -> usize) -> u64 {
    let (mut next, mut panics) = (0, 0);
    while next < count {
        // Unwind safe: the world is immutable, turns and counters are whole at every moment, and a half-written
        // reply is never handed to `reply`.
        let batch = catch_unwind(AssertUnwindSafe(|| {
            while next < count {
                let index = next;
                next += 1;
                let len = answer(path.packet(index));
                if len > 0 {
                    path.reply(index, len);
                }
            }
        }));
        panics += u64::from(batch.is_err());
    }
    panics
}

/// Nothing came, or a signal did.
fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// The network's word on an earlier reply: reported once, gone with the call that reports it.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch in memory.
    #[derive(Default)]
    struct Fake {
        queries: Vec<Vec<u8>>,
        out: Vec<u8>,
        replies: Vec<(usize, Vec<u8>)>,
    }

    impl PacketPath for Fake {
        fn receive(&mut self, _wait: bool) -> io::Result<usize> {
            Ok(self.queries.len())
        }

        fn query(&self, index: usize) -> (&[u8], IpAddr) {
            (&self.queries[index], [192, 0, 2, 1].into())
        }

        fn packet(&mut self, index: usize) -> Packet<'_> {
            self.out.resize(REPLY_OCTETS, 0);
            let nobody = SocketAddr::from(([192, 0, 2, 1], 53));
            Packet { bytes: &self.queries[index], peer: nobody, local: nobody, out: &mut self.out }
        }

        fn reply(&mut self, index: usize, len: usize) {
            self.replies.push((index, self.out[..len].to_vec()));
        }

        fn send(&mut self) -> u64 {
            0
        }
    }

    #[test]
    fn a_panic_costs_only_the_packet_that_caused_it() {
        let mut path = Fake { queries: (0..10).map(|octet| vec![octet]).collect(), ..Fake::default() };
        let panics = answer_all(&mut path, 10, |packet| {
            assert!(![0, 4, 5, 9].contains(&packet.bytes[0]), "a planted fault");
            packet.out[0] = packet.bytes[0];
            usize::from(packet.bytes[0] != 7)
        });
        assert_eq!(panics, 4);
        let replies: Vec<_> = path.replies.iter().map(|(index, reply)| (*index, reply[0])).collect();
        assert_eq!(replies, [(1, 1), (2, 2), (3, 3), (6, 6), (8, 8)]);
    }
}
