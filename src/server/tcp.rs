//! TCP: listeners of a thread, and how a peer comes in: counted, in clear text or by a handshake of TLS.
//! Nothing that one peer or the system does ends a listener or makes it spin; what is said then, `stream` knows.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::Type;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::bind::unbound;
use super::hall::{End, FAREWELL, Hall, Timeouts};
use super::limit::Gate;
use super::quic::Quic;
use super::stream::{Connection, Guest};
use super::worker::Worker;
use super::{https, proxy};
use crate::answer::Transport;
use crate::metrics::Metric;

/// Connections that the kernel accepts ahead of us; the system's limit (4,096 by default) may be lower.
const BACKLOG: i32 = 1_024;

/// Connections of proxies whose header is not there yet, per thread. It is the first thing that they send, and they are trusted.
const MAX_HEADERS: usize = 256;

/// How long accepting rests when descriptors or memory are short; connections that end meanwhile give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    let socket = unbound(address, Type::STREAM, share_port)?;
    // Old connections that wait out their time do not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What is spoken on the connections of a listener.
#[derive(Clone)]
pub(super) enum Speech {
    /// DNS in clear text.
    Plain,
    /// DNS inside TLS.
    Tls(TlsAcceptor),
    /// HTTP inside TLS, with DNS at this path.
    Https(TlsAcceptor, Arc<str>),
}

/// Where peers come in.
pub(super) enum Door {
    /// A listener, and what is spoken there.
    Stream(TcpListener, Speech),
    /// A socket of QUIC, what it negotiates, and the path of DNS in HTTP/3.
    Quic(UdpSocket, quinn::ServerConfig, Arc<str>),
}

/// One worker's listeners, ready to run on a thread of their own.
pub(super) struct Service {
    runtime: Runtime,
    streams: Vec<(tokio::net::TcpListener, Speech)>,
    quic: Vec<Quic>,
    gate: Gate,
    timeouts: Timeouts,
    stop: watch::Receiver<Option<End>>,
}

impl Service {
    /// Registers the listeners with a runtime of this service's own.
    ///
    /// # Errors
    /// The system has no descriptor left for it.
    pub(super) fn new(doors: Vec<Door>, gate: Gate, timeouts: Timeouts, stop: watch::Receiver<Option<End>>) -> io::Result<Service> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let guard = runtime.enter();
        let (mut streams, mut quic) = (Vec::new(), Vec::new());
        for door in doors {
            match door {
                Door::Stream(listener, speech) => streams.push((tokio::net::TcpListener::from_std(listener)?, speech)),
                Door::Quic(socket, config, path) => quic.push(Quic::new(socket, config, path)?),
            }
        }
        drop(guard);
        Ok(Service { runtime, streams, quic, gate, timeouts, stop })
    }

    /// Serves until the stop, then gives connections the time that it says and returns.
    pub(super) fn run(self, worker: Worker) {
        let Service { runtime, streams, quic, gate, timeouts, stop } = self;
        let hall = Rc::new(Hall::new(worker, gate, timeouts, stop));
        LocalSet::new().block_on(&runtime, async move {
            // Every task holds a sender; the channel closes when the last has ended.
            let (presence, mut ended) = mpsc::channel(1);
            for (listener, speech) in streams {
                tokio::task::spawn_local(accept_all(listener, speech, Rc::clone(&hall), presence.clone()));
            }
            for socket in quic {
                tokio::task::spawn_local(socket.accept_all(Rc::clone(&hall), presence.clone()));
            }
            drop(presence);
            hall.stopped().await;
            // They end by themselves and take their leave; the last time that they have is for the unforeseen.
            let last = hall.closing().await + 2 * hall.timeouts.drain + FAREWELL;
            let _ = timeout_at(last, ended.recv()).await;
        });
    }
}

async fn accept_all(listener: tokio::net::TcpListener, speech: Speech, hall: Rc<Hall>, presence: mpsc::Sender<()>) {
    let mut stop = hall.stop.clone();
    let mut in_trouble = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                in_trouble = false;
                admit(stream, peer, &speech, &hall, &presence);
            }
            Err(error) => {
                hall.count(Metric::AcceptFailures);
                if !is_of_one_connection(&error) {
                    if !std::mem::replace(&mut in_trouble, true) {
                        tracing::warn!(%error, "cannot accept TCP connections just now");
                    }
                    let _ = timeout(ACCEPT_PAUSE, stop.wait_for(Option::is_some)).await;
                }
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, speech: &Speech, hall: &Rc<Hall>, presence: &mpsc::Sender<()>) {
    // Replies are sent as soon as they are there. A peer that is gone already makes these calls fail.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else {
        return;
    };
    let newcomer = Newcomer { stream, peer, local, presence: presence.clone() };
    if hall.desk.borrow().worker.is_proxy(peer.ip()) {
        behind_proxy(newcomer, speech.clone(), hall);
    } else if let Some((stream, guest)) = newcomer.enter(hall) {
        tokio::task::spawn_local(converse(stream, speech.clone(), guest, Rc::clone(hall)));
    }
}

/// Someone at the door.
struct Newcomer {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    presence: mpsc::Sender<()>,
}

impl Newcomer {
    /// Takes a place, if there is one.
    fn enter(self, hall: &Hall) -> Option<(TcpStream, Guest)> {
        let Newcomer { stream, peer, local, presence } = self;
        match hall.gate.admit(peer.ip()) {
            Ok(permit) => {
                hall.count(Metric::Connections);
                Some((stream, Guest { peer, local, _permit: permit, _presence: presence }))
            }
            Err(_) => {
                hall.count(Metric::ConnectionsRefused);
                None
            }
        }
    }
}

/// The client that the header names takes the place, not the proxy: it is bounded as if it had come by itself.
fn behind_proxy(mut newcomer: Newcomer, speech: Speech, hall: &Rc<Hall>) {
    let waiting = Rc::clone(&hall.headers);
    if Rc::strong_count(&waiting) > MAX_HEADERS {
        return hall.count(Metric::ConnectionsRefused);
    }
    let hall = Rc::clone(hall);
    tokio::task::spawn_local(async move {
        let Ok(Ok(told)) = timeout(hall.timeouts.first_message, proxy::read(&mut newcomer.stream)).await else {
            return hall.count(Metric::ProxyFailures);
        };
        drop(waiting);
        (newcomer.peer, newcomer.local) = told.or(newcomer.peer, newcomer.local);
        if let Some((stream, guest)) = newcomer.enter(&hall) {
            converse(stream, speech, guest, hall).await;
        }
    });
}

/// Whatever a transport needs beside plain messages is on the heap, so that a plain connection does not pay for it.
async fn converse(stream: TcpStream, speech: Speech, guest: Guest, hall: Rc<Hall>) {
    match speech {
        Speech::Plain => Connection::new(stream, Transport::Tcp, guest, hall).run().await,
        Speech::Tls(tls) => {
            let tunnelled = async move {
                if let Some(stream) = shake_hands(stream, &tls, &hall).await {
                    Connection::new(stream, Transport::Tls, guest, hall).run().await;
                }
            };
            Box::pin(tunnelled).await;
        }
        Speech::Https(tls, path) => {
            let tunnelled = async move {
                if let Some(stream) = shake_hands(stream, &tls, &hall).await {
                    https::serve(stream, path, guest, hall).await;
                }
            };
            Box::pin(tunnelled).await;
        }
    }
}

/// The handshake of TLS, within its time and that of the stop; nothing where it came to nothing.
async fn shake_hands(stream: TcpStream, tls: &TlsAcceptor, hall: &Hall) -> Option<TlsStream<TcpStream>> {
    let shaken = tokio::select! {
        shaken = timeout(hall.timeouts.handshake, tls.accept(stream)) => shaken,
        () = hall.drained() => return None,
    };
    if let Ok(Ok(stream)) = shaken {
        return Some(stream);
    }
    hall.count(Metric::HandshakeFailures);
    None
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
