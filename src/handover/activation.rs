//! Socket activation: the sockets that a service manager has opened for us (sd_listen_fds(3)), by what they are and where they listen.
//! It takes them over once and opens none; the rest of the server does not know who opened a socket.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::sockopt::{ipv6_v6only, socket_acceptconn};

use super::{Sockets, kind};

/// What each is called (`FileDescriptorName=`), with `:` between. A name that is one of [`kind`] says what a listener is for.
const NAMES: &str = "LISTEN_FDNAMES";

/// Takes what the environment says is for this process; nothing where it says so of none. To be called before there are other threads.
///
/// Errors: a socket that this server cannot use, with a hint.
pub fn inherit() -> Result<Sockets, String> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    let mut given = ListenFd::from_env();
    let mut sorted: Vec<(String, String, Vec<OwnedFd>)> = Vec::new();
    for index in 0..given.len() {
        let name = names.next().unwrap_or_default();
        let (of_kind, place, socket) = identify(name, &mut given, index).map_err(|(what, hint)| {
            let name = if name.is_empty() { "without a name" } else { name };
            format!("cannot use a socket of the service manager (`{name}`): {what}\nhint: {hint}")
        })?;
        match sorted.iter_mut().find(|(kind, at, _)| *kind == of_kind && *at == place) {
            Some((.., same)) => same.push(socket),
            None => sorted.push((of_kind, place, vec![socket])),
        }
    }
    let mut all = Sockets::default();
    sorted.into_iter().for_each(|(kind, place, sockets)| all.add(&kind, &place, sockets));
    Ok(all)
}

/// What is wrong, and what to do about it.
type Fault = (String, &'static str);

/// What a socket is for, where it listens, and itself.
fn identify(name: &str, given: &mut ListenFd, index: usize) -> Result<(String, String, OwnedFd), Fault> {
    if let Ok(Some(socket)) = given.take_udp_socket(index) {
        return of_packets(name, socket);
    }
    if let Ok(Some(listener)) = given.take_tcp_listener(index) {
        return of_streams(name, listener);
    }
    if let Ok(Some(listener)) = given.take_unix_listener(index) {
        let place = listener.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_string_lossy().into_owned()));
        listens(&listener)?;
        return Ok((kind::CONTROL_KEPT.to_owned(), place.unwrap_or_default(), UnixListener::into(listener)));
    }
    Err(("it is neither of UDP nor of TCP, and no Unix socket of streams".to_owned(), "use `ListenDatagram` and `ListenStream`"))
}

fn of_packets(name: &str, socket: UdpSocket) -> Result<(String, String, OwnedFd), Fault> {
    let address = of_one_family(&socket, socket.local_addr())?;
    if [kind::TCP, kind::API, kind::TLS, kind::HTTPS].contains(&name) {
        return Err((format!("`{name}` needs a stream, and `{address}` is of UDP"), "write `ListenStream` in its unit"));
    }
    let of_kind = if name == kind::QUIC { kind::QUIC } else { kind::UDP };
    Ok((of_kind.to_owned(), address.to_string(), socket.into()))
}

fn of_streams(name: &str, listener: TcpListener) -> Result<(String, String, OwnedFd), Fault> {
    let address = of_one_family(&listener, listener.local_addr())?;
    listens(&listener)?;
    if [kind::UDP, kind::QUIC].contains(&name) {
        return Err((format!("`{name}` needs datagrams, and `{address}` is of TCP"), "write `ListenDatagram` in its unit"));
    }
    // Any other name is that of the unit, which says nothing.
    let of_kind = if [kind::API, kind::TLS, kind::HTTPS].contains(&name) { name } else { kind::TCP };
    Ok((of_kind.to_owned(), address.to_string(), listener.into()))
}

fn of_one_family(socket: impl AsFd, address: io::Result<SocketAddr>) -> Result<SocketAddr, Fault> {
    let broken = |error: io::Error| (error.to_string(), "see its unit");
    let address = address.map_err(broken)?;
    if address.is_ipv6() && !ipv6_v6only(socket).map_err(|error| broken(error.into()))? {
        return Err((format!("it takes IPv4 too, at `{address}`"), "write `BindIPv6Only=ipv6-only`, and list addresses of both families"));
    }
    Ok(address)
}

fn listens(socket: impl AsFd) -> Result<(), Fault> {
    match socket_acceptconn(socket) {
        Ok(true) => Ok(()),
        _ => Err(("it is a connection and no listener".to_owned(), "write `Accept=no`")),
    }
}
