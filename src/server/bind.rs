//! Binding: every address that the operator lists, UDP and TCP on the same port, and everything that went wrong at once. Sockets that
//! another process has left are taken as they are. It serves nothing.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::{tcp, udp};
use crate::config::model::{MAX_LISTEN, MAX_WORKERS};
use crate::handover::{Sockets, kind};

/// Port 0 asks for any free port; one whose UDP or TCP twin is taken is given back and another tried, this many times.
const PORT_ATTEMPTS: usize = 32;

/// The sockets of one address. Those that were bound here are one per worker and transport; those that another process has left may
/// be more, and then each is served.
#[derive(Debug)]
pub struct Endpoint {
    /// The address as listed: with port 0 where any free one was asked for.
    pub listed: SocketAddr,
    /// The address as bound: with the real port where 0 was asked for.
    pub address: SocketAddr,
    /// UDP sockets, at least one per worker.
    pub udp: Vec<UdpSocket>,
    /// TCP listeners, at least one per worker.
    pub tcp: Vec<TcpListener>,
}

/// One address that could not be bound.
#[derive(Debug)]
pub struct BindFault {
    /// The address as listed.
    pub address: SocketAddr,
    /// `UDP` or `TCP`.
    pub transport: &'static str,
    /// What the system said.
    pub error: io::Error,
}

/// Why the server could not be bound; nothing stays bound then.
#[derive(Debug)]
pub enum BindError {
    /// No address, too many addresses, no worker or too many.
    Count(String),
    /// Addresses that the system refused: all of them.
    Addresses(Vec<BindFault>),
}

impl std::error::Error for BindError {}

impl fmt::Display for BindError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Count(text) => to.write_str(text),
            BindError::Addresses(faults) => {
                for (at, fault) in faults.iter().enumerate() {
                    write!(to, "{}{fault}", if at > 0 { "\n" } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for BindFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "`{}`: cannot listen on {}: {}", self.address, self.transport, self.error)?;
        let hint = match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                "another server (or another entry of the list) has this address and port; stop it, or choose another"
            }
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
            io::ErrorKind::PermissionDenied => "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE",
            io::ErrorKind::Unsupported => "list the addresses one by one instead of the wildcard",
            _ => return Ok(()),
        };
        write!(to, "\nhint: {hint}")
    }
}

/// Binds all addresses, or reports all that fail. What was left for an address is taken, and not bound again.
///
/// # Errors
/// [`BindError`], with every address that was refused.
pub fn bind(listen: &[SocketAddr], workers: usize, left: &mut Sockets) -> Result<Vec<Endpoint>, BindError> {
    if listen.is_empty() || listen.len() > MAX_LISTEN {
        return Err(BindError::Count(format!("{} addresses to listen on; there must be 1 to {MAX_LISTEN}", listen.len())));
    }
    if workers == 0 || workers > MAX_WORKERS {
        return Err(BindError::Count(format!("{workers} workers; there must be 1 to {MAX_WORKERS}")));
    }
    let (mut endpoints, mut faults) = (Vec::new(), Vec::new());
    for &address in listen {
        match inherit(address, workers, left).and_then(|found| found.map_or_else(|| bind_pair(address, workers), Ok)) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(fault) => faults.extend(fault),
        }
    }
    if faults.is_empty() { Ok(endpoints) } else { Err(BindError::Addresses(faults)) }
}

fn bind_pair(address: SocketAddr, workers: usize) -> Result<Endpoint, Vec<BindFault>> {
    let fault = |transport| move |error| BindFault { address, transport, error };
    let mut attempts = 0;
    loop {
        attempts += 1;
        // TCP first: for port 0 the kernel then finds a port that nobody shares.
        let tcp = tcp::bind(address, workers).map_err(fault("TCP"));
        let real = match &tcp {
            Ok(listeners) => listeners.first().map_or(Ok(address), TcpListener::local_addr).unwrap_or(address),
            Err(_) => address,
        };
        let udp = udp::bind(real, workers).map_err(fault("UDP"));
        match (udp, tcp) {
            (Ok(udp), Ok(tcp)) => return Ok(Endpoint { listed: address, address: real, udp, tcp }),
            (Err(udp), Ok(_)) if address.port() == 0 && is_taken(&udp) && attempts < PORT_ATTEMPTS => {}
            (udp, tcp) => return Err([udp.err(), tcp.err()].into_iter().flatten().collect()),
        }
    }
}

/// What was left for an address; where that is for one transport only, the other is bound beside it.
fn inherit(listed: SocketAddr, workers: usize, left: &mut Sockets) -> Result<Option<Endpoint>, Vec<BindFault>> {
    let fault = |transport| move |error| vec![BindFault { address: listed, transport, error }];
    let (are_ours, place) = (left.options_are_set(), listed.to_string());
    let adopt_udp = |socket: OwnedFd| {
        let socket = UdpSocket::from(socket);
        if are_ours { Ok(socket) } else { udp::set_options(&socket).map(|()| socket) }
    };
    let adopt_tcp = |listener: OwnedFd| {
        let listener = TcpListener::from(listener);
        listener.set_nonblocking(true).map(|()| listener)
    };
    let udp: io::Result<Vec<_>> = left.take(kind::UDP, &place).into_iter().map(adopt_udp).collect();
    let tcp: io::Result<Vec<_>> = left.take(kind::TCP, &place).into_iter().map(adopt_tcp).collect();
    let (mut udp, mut tcp) = (udp.map_err(fault("UDP"))?, tcp.map_err(fault("TCP"))?);
    let known = udp.first().map(UdpSocket::local_addr).or_else(|| tcp.first().map(TcpListener::local_addr));
    let Some(address) = known.transpose().map_err(fault("UDP"))? else { return Ok(None) };
    if udp.is_empty() {
        udp = udp::bind(address, workers).map_err(fault("UDP"))?;
    }
    if tcp.is_empty() {
        tcp = tcp::bind(address, workers).map_err(fault("TCP"))?;
    }
    share(&mut udp, workers, UdpSocket::try_clone).map_err(fault("UDP"))?;
    share(&mut tcp, workers, TcpListener::try_clone).map_err(fault("TCP"))?;
    Ok(Some(Endpoint { listed, address, udp, tcp }))
}

/// A socket that is not bound yet: for one family alone, and where workers share a port each has one.
pub(super) fn unbound(address: SocketAddr, kind: Type, share_port: bool) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if share_port {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

/// Listeners that were left for an address, at least one per worker if there are any.
pub(super) fn inherit_streams(left: &mut Sockets, kind: &str, listed: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = left.take(kind, &listed.to_string()).into_iter().map(TcpListener::from).collect();
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    share(&mut listeners, workers, TcpListener::try_clone)?;
    Ok(listeners)
}

/// Sockets of packets that were left for an address. None is shared: a connection of QUIC lives on the thread that reads all its packets, so
/// workers for whom there is none go without.
pub(super) fn inherit_packets(left: &mut Sockets, kind: &str, listed: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let sockets: Vec<UdpSocket> = left.take(kind, &listed.to_string()).into_iter().map(UdpSocket::from).collect();
    sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    Ok(sockets)
}

/// Has each worker a socket, by letting several share one where there are too few.
fn share<T>(sockets: &mut Vec<T>, workers: usize, clone: impl Fn(&T) -> io::Result<T>) -> io::Result<()> {
    let own = sockets.len();
    // Where there is none to share none is made.
    for at in own..if own == 0 { 0 } else { workers } {
        sockets.push(clone(&sockets[at % own])?);
    }
    Ok(())
}

fn is_taken(fault: &BindFault) -> bool {
    fault.error.kind() == io::ErrorKind::AddrInUse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn port_0_gives_udp_and_tcp_the_same_port() {
        for endpoint in bind(&[any_port(), any_port()], 3, &mut Sockets::default()).unwrap() {
            assert_ne!(endpoint.address.port(), 0);
            assert_eq!((endpoint.udp.len(), endpoint.tcp.len()), (3, 3));
            assert!(endpoint.udp.iter().all(|socket| socket.local_addr().unwrap() == endpoint.address));
            assert!(endpoint.tcp.iter().all(|socket| socket.local_addr().unwrap() == endpoint.address));
        }
    }

    #[test]
    fn every_refused_address_is_reported_with_a_hint() {
        let first = bind(&[any_port()], 2, &mut Sockets::default()).unwrap();
        let taken = first[0].address;
        let foreign = SocketAddr::from(([192, 0, 2, 123], 5300));
        for workers in [1, 2] {
            let text = bind(&[taken, any_port(), foreign], workers, &mut Sockets::default()).unwrap_err().to_string();
            for part in [
                &format!("`{taken}`: cannot listen on UDP: "),
                &format!("`{taken}`: cannot listen on TCP: "),
                "`192.0.2.123:5300`: cannot listen on UDP: ",
                "hint: another server",
                "hint: no interface of this machine",
            ] {
                assert!(text.contains(part), "{part} is not in\n{text}");
            }
        }
    }

    #[test]
    fn numbers_of_addresses_and_workers_are_bounded() {
        assert!(matches!(bind(&[], 1, &mut Sockets::default()), Err(BindError::Count(_))));
        assert!(matches!(bind(&[any_port(); MAX_LISTEN + 1], 1, &mut Sockets::default()), Err(BindError::Count(_))));
        assert!(matches!(bind(&[any_port()], 0, &mut Sockets::default()), Err(BindError::Count(_))));
        assert!(matches!(bind(&[any_port()], MAX_WORKERS + 1, &mut Sockets::default()), Err(BindError::Count(_))));
    }

    #[test]
    fn what_was_left_is_taken_as_it_is_and_the_rest_is_bound() {
        let old = bind(&[any_port()], 2, &mut Sockets::default()).unwrap().remove(0);
        let (address, place) = (old.address, any_port().to_string());
        let mut left = Sockets::of_ours();
        left.add(kind::UDP, &place, old.udp.into_iter().map(OwnedFd::from).collect());
        left.add(kind::TCP, &place, old.tcp.into_iter().map(OwnedFd::from).collect());
        let more = bind(&[any_port(), any_port()], 3, &mut left).unwrap();
        assert!(more[0].address == address && more[1].address != address && left.is_empty());
        assert_eq!(more.iter().map(|endpoint| (endpoint.udp.len(), endpoint.tcp.len())).collect::<Vec<_>>(), [(3, 3); 2]);
        assert!(more[0].udp.iter().all(|socket| socket.local_addr().unwrap() == address));
        assert!(more[0].tcp.iter().all(|listener| listener.local_addr().unwrap() == address));
    }

    #[test]
    fn fewer_workers_leave_no_socket_unserved_and_a_lone_transport_gets_the_other() {
        let attempt = || {
            let mut left = Sockets::default();
            let udp = UdpSocket::bind(any_port()).unwrap();
            let address = udp.local_addr().unwrap();
            udp.set_nonblocking(true).unwrap();
            left.add(kind::UDP, &address.to_string(), (0..3).map(|_| udp.try_clone().unwrap().into()).collect());
            Some((address, bind(&[address], 1, &mut left).ok()?.remove(0)))
        };
        // Some connection of another test may have the port's number over TCP.
        let (address, found) = (0..PORT_ATTEMPTS).find_map(|_| attempt()).expect("a port that is free over TCP too");
        assert_eq!((found.address, found.udp.len(), found.tcp.len()), (address, 3, 1));
        assert_eq!(found.tcp[0].local_addr().unwrap(), address);
        // A service manager's socket waits for nobody; a worker would spin on it.
        assert!(found.udp[0].read_timeout().unwrap().is_some());
        let start = std::time::Instant::now();
        assert!(found.udp[0].recv(&mut [0; 1]).is_err() && start.elapsed() > std::time::Duration::from_millis(udp::WAKE_MS / 2));
    }
}
