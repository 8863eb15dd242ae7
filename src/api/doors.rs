//! The doors of the API: the control socket and addresses, with or without TLS. Takes connections on, each with limits, and says who comes in.
//! What a request is answered is not its business.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::access::{Caller, Peer};
use super::app::App;
use super::{Doors, routes, tls};
use crate::handover::{Sockets, kind};

/// Connections at one time and door. Monitoring and scripts need a few; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;

/// The head of a request, the first or the next on a connection, must be there in this time.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// A TLS handshake must be done in this time.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);

/// Largest head of a request.
const MAX_HEAD_OCTETS: usize = 16 << 10;

/// How long a door rests that cannot take anyone on, for want of descriptors.
const TROUBLE_PAUSE: Duration = Duration::from_millis(100);

/// A connection ends after this, whatever it is at, so that nobody keeps a seat by never reading; more than the longest request may take.
const MAX_VISIT: Duration = Duration::from_secs(330);

/// How long requests may take to end when the process ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Open doors that nobody attends yet.
pub(super) struct Bound {
    socket: Option<UnixListener>,
    /// Whether its file is ours to remove.
    is_ours: bool,
    network: Vec<TcpListener>,
    tls: Option<tls::Shown>,
}

/// Opens all doors, or takes those that were left. Needs the runtime that will attend them.
pub(super) fn bind(doors: &Doors, left: &mut Sockets) -> io::Result<Bound> {
    let (mut socket, mut is_ours) = (None, true);
    if let Some(path) = doors.socket.as_deref() {
        let kept = left.take(kind::CONTROL_KEPT, &place(path)).pop();
        is_ours = kept.is_none();
        // Whoever takes over has come by that very socket, whatever its path was called.
        let inherited = kept.or_else(|| left.take_any(kind::CONTROL).pop());
        socket = Some(match inherited {
            Some(listener) => {
                let listener = std::os::unix::net::UnixListener::from(listener);
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener)?
            }
            None => bind_socket(path)?,
        });
    }
    let bind = |address: &SocketAddr| {
        let listener = left.take(kind::API, &address.to_string()).pop().map_or_else(|| bind_address(address), |left| Ok(left.into()))?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let network = doors.network.listen.iter().map(bind).collect::<io::Result<_>>()?;
    let tls = doors.network.tls.as_ref().map(tls::Shown::new).transpose()?;
    Ok(Bound { socket, is_ours, network, tls })
}

/// Binds the addresses that are not in `sockets` yet, and adds them: for whoever may bind now and not later.
pub fn bind_network(listen: &[SocketAddr], sockets: &mut Sockets) -> io::Result<()> {
    for address in listen {
        let place = address.to_string();
        if !sockets.places().any(|known| known == (kind::API, place.as_str())) {
            sockets.add(kind::API, &place, vec![bind_address(address)?.into()]);
        }
    }
    Ok(())
}

fn bind_address(address: &SocketAddr) -> io::Result<std::net::TcpListener> {
    let refused = |error: io::Error| io::Error::new(error.kind(), format!("the API cannot listen on {address}: {error}"));
    std::net::TcpListener::bind(address).map_err(refused)
}

fn place(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Only the user of the server may open it.
fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    let refused =
        |error: &io::Error, hint: &str| io::Error::new(error.kind(), format!("control socket `{}`: {error}\nhint: {hint}", path.display()));
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let other = io::Error::new(io::ErrorKind::AddrInUse, "another server listens there");
        return Err(refused(&other, "serve in its place with `--takeover`, or give this one another `state_dir` or `control`"));
    }
    made_socket(path).map_err(|error| refused(&error, "its folder is `state_dir`, or that of `control`: this user must be allowed to write there; without either there is no control socket"))
}

fn made_socket(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Bound {
    /// The same sockets once more, and whether the file of the control socket is ours.
    pub(super) fn hold(&self, doors: &Doors) -> io::Result<(Sockets, bool)> {
        let again = |socket: &dyn AsFd| -> io::Result<Vec<OwnedFd>> { Ok(vec![socket.as_fd().try_clone_to_owned()?]) };
        let mut held = Sockets::of_ours();
        if let (Some(socket), Some(path)) = (&self.socket, &doors.socket) {
            held.add(if self.is_ours { kind::CONTROL } else { kind::CONTROL_KEPT }, &place(path), again(socket)?);
        }
        for (listener, address) in self.network.iter().zip(&doors.network.listen) {
            held.add(kind::API, &address.to_string(), again(listener)?);
        }
        Ok((held, self.is_ours))
    }

    /// What handshakes go by, where there are any.
    pub(super) fn tls(&self) -> Option<tls::Shown> {
        self.tls.clone()
    }

    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.network.iter().map(TcpListener::local_addr).collect()
    }
}

/// Attends all doors until it is told to stop; then requests have a moment to end.
pub(super) async fn serve(bound: Bound, app: Arc<App>, stopped: watch::Receiver<bool>) {
    let router = routes::router(app);
    let mut doors = JoinSet::new();
    let network = bound.network.into_iter().map(|listener| match &bound.tls {
        None => Door::Plain(listener),
        Some(tls) => Door::Tls(listener, tls.clone()),
    });
    for door in bound.socket.map(Door::Socket).into_iter().chain(network) {
        doors.spawn(attend(door, router.clone(), stopped.clone()));
    }
    while doors.join_next().await.is_some() {}
}

/// One way in.
enum Door {
    Socket(UnixListener),
    Plain(TcpListener),
    Tls(TcpListener, tls::Shown),
}

/// Someone at a door.
enum Visitor {
    Socket(UnixStream),
    Plain(TcpStream),
    Tls(TcpStream, TlsAcceptor),
}

impl Door {
    async fn next(&self) -> io::Result<Visitor> {
        Ok(match self {
            Door::Socket(listener) => Visitor::Socket(listener.accept().await?.0),
            Door::Plain(listener) => Visitor::Plain(listener.accept().await?.0),
            Door::Tls(listener, tls) => {
                let stream = listener.accept().await?.0;
                Visitor::Tls(stream, tls.acceptor())
            }
        })
    }
}

async fn attend(door: Door, router: Router, mut stopped: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut visits = JoinSet::new();
    loop {
        let next = async {
            // Never closed; if it were, visitors would be let in without a seat rather than not at all.
            let seat = Arc::clone(&seats).acquire_owned().await.ok();
            (seat, door.next().await)
        };
        let (seat, visitor) = tokio::select! {
            next = next => next,
            () = until_told(&mut stopped) => break,
        };
        while visits.try_join_next().is_some() {}
        match visitor {
            Ok(visitor) => {
                let visit = visit(visitor, router.clone(), stopped.clone());
                visits.spawn(async move {
                    if tokio::time::timeout(MAX_VISIT, visit).await.is_err() {
                        tracing::debug!("a client of the API held its connection for too long");
                    }
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a door of the API could not take anyone on");
                tokio::time::sleep(TROUBLE_PAUSE).await;
            }
        }
    }
    drop(door);
    _ = tokio::time::timeout(FAREWELL, async { while visits.join_next().await.is_some() {} }).await;
}

async fn until_told(stopped: &mut watch::Receiver<bool>) {
    // Whoever could tell has gone: that is an end, too.
    _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn visit(visitor: Visitor, router: Router, stopped: watch::Receiver<bool>) {
    match visitor {
        Visitor::Socket(stream) => {
            let process = |id: i32| u32::try_from(id).ok();
            let peer = stream.peer_cred().ok().map(|peer| Peer { user: peer.uid(), process: peer.pid().and_then(process) });
            converse(stream, Caller::of_socket(peer), router, stopped).await;
        }
        Visitor::Plain(stream) => converse(stream, Caller::of_network(), router, stopped).await,
        Visitor::Tls(stream, tls) => match tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                // The handshake has refused every certificate that the authority of the configuration has not signed.
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let caller = shown.map_or_else(Caller::of_network, |shown| Caller::of_certificate(tls::name_of(shown)));
                converse(stream, caller, router, stopped).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with the API failed"),
            Err(_elapsed) => tracing::debug!("a TLS handshake with the API took too long"),
        },
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    caller: Caller,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD_OCTETS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until_told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client of the API went away");
    }
}
