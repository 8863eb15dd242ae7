//! The encrypted transports: binds their addresses, and serves them on threads of their own, so that the arithmetic of handshakes
//! never delays an answer in clear text. Without `encrypted:` in the configuration nothing of this runs.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use socket2::Type;

use super::bind::{BindFault, inherit_packets, inherit_streams, unbound};
use super::quic;
use super::tcp::{self, Door, Speech};
use super::tls::{self, Certificate};
use crate::answer::Transport;
use crate::config::model::Encrypted;
use crate::handover::{Sockets, kind};

/// An address as bound, with a socket for each worker.
type Bound<S> = (SocketAddr, Vec<S>);

/// Sockets of the encrypted transports that nobody serves yet.
#[derive(Debug)]
pub(super) struct Fronts {
    certificate: Arc<Certificate>,
    path: Arc<str>,
    tls: Vec<Bound<TcpListener>>,
    https: Vec<Bound<TcpListener>>,
    /// With what is negotiated there.
    quic: Vec<(Bound<UdpSocket>, Vec<Transport>)>,
}

impl Fronts {
    /// Binds all addresses, or reports all that fail. What was left for an address is taken, and not bound again.
    pub(super) fn bind(settings: &Encrypted, workers: usize, left: &mut Sockets) -> Result<Fronts, Vec<BindFault>> {
        let mut faults = Vec::new();
        let mut streams = |addresses: &[SocketAddr], transport, kind| {
            let bound = addresses.iter().map(|address| {
                let listeners = || match inherit_streams(left, kind, *address, workers)? {
                    listeners if listeners.is_empty() => tcp::bind(*address, workers),
                    listeners => Ok(listeners),
                };
                bind(*address, transport, listeners, TcpListener::local_addr)
            });
            bound.filter_map(|bound| bound.map_err(|fault| faults.push(fault)).ok()).collect()
        };
        let (tls, https) = (streams(&settings.tls, "TCP for TLS", kind::TLS), streams(&settings.https, "TCP for HTTPS", kind::HTTPS));
        let mut quic = Vec::new();
        for (address, transports) in quic_addresses(settings) {
            let sockets = || match inherit_packets(left, kind::QUIC, address)? {
                sockets if sockets.is_empty() => datagrams(address, workers),
                sockets => Ok(sockets),
            };
            match bind(address, "UDP for QUIC", sockets, UdpSocket::local_addr) {
                Ok(bound) => quic.push((bound, transports)),
                Err(fault) => faults.push(fault),
            }
        }
        let certificate = Certificate::new(Arc::clone(&settings.identity.key));
        if faults.is_empty() { Ok(Fronts { certificate, path: settings.path.as_str().into(), tls, https, quic }) } else { Err(faults) }
    }

    /// The bound addresses with real ports, in the order of the configuration.
    pub(super) fn addresses(&self) -> Vec<(Transport, SocketAddr)> {
        let of_tls = self.tls.iter().map(|(address, _)| (Transport::Tls, *address));
        let of_https = self.https.iter().map(|(address, _)| (Transport::Https, *address));
        let of_quic = self.quic.iter().flat_map(|((address, _), transports)| transports.iter().map(|transport| (*transport, *address)));
        of_tls.chain(of_https).chain(of_quic).collect()
    }

    /// All sockets once more, for a process that takes over.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn hold(&self, settings: &Encrypted, held: &mut Sockets) -> io::Result<()> {
        for (kind, listed, bound) in [(kind::TLS, &settings.tls, &self.tls), (kind::HTTPS, &settings.https, &self.https)] {
            for (address, (_, listeners)) in listed.iter().zip(bound) {
                let again = listeners.iter().map(|listener| listener.try_clone().map(OwnedFd::from));
                held.add(kind, &address.to_string(), again.collect::<io::Result<_>>()?);
            }
        }
        for ((address, _), ((_, sockets), _)) in quic_addresses(settings).iter().zip(&self.quic) {
            let again = sockets.iter().map(|socket| socket.try_clone().map(OwnedFd::from));
            held.add(kind::QUIC, &address.to_string(), again.collect::<io::Result<_>>()?);
        }
        Ok(())
    }

    /// What each worker has to serve, and the certificate that all of them show.
    ///
    /// # Errors
    /// The system has no random numbers for the keys of tickets.
    pub(super) fn into_doors(self, workers: usize) -> io::Result<(Arc<Certificate>, Vec<Vec<Door>>)> {
        let Fronts { certificate, path, tls, https, quic } = self;
        let mut doors: Vec<Vec<Door>> = (0..workers).map(|_| Vec::new()).collect();
        let acceptor = |protocols| tls::acceptor(&certificate, protocols).map_err(io::Error::other);
        let (of_tls, of_https) = (acceptor(tls::DOT)?, acceptor(tls::DOH)?);
        for bound in tls {
            deal(&mut doors, bound, |listener| Door::Stream(listener, Speech::Tls(of_tls.clone())));
        }
        for bound in https {
            deal(&mut doors, bound, |listener| Door::Stream(listener, Speech::Https(of_https.clone(), Arc::clone(&path))));
        }
        for (bound, transports) in quic {
            let protocols: Vec<&[u8]> =
                transports.iter().map(|transport| if *transport == Transport::Quic { quic::DOQ } else { quic::HTTP3 }).collect();
            let config = quic::config(&certificate, &protocols).map_err(io::Error::other)?;
            deal(&mut doors, bound, |socket| Door::Quic(socket, config.clone(), Arc::clone(&path)));
        }
        Ok((certificate, doors))
    }
}

/// Addresses of QUIC, each once, with what is spoken there: the same port may serve both, as clients say which they want.
fn quic_addresses(settings: &Encrypted) -> Vec<(SocketAddr, Vec<Transport>)> {
    let mut addresses: Vec<(SocketAddr, Vec<Transport>)> = settings.quic.iter().map(|address| (*address, vec![Transport::Quic])).collect();
    for &address in &settings.http3 {
        match addresses.iter_mut().find(|(other, _)| *other == address && address.port() != 0) {
            Some((_, transports)) => transports.push(Transport::Http3),
            None => addresses.push((address, vec![Transport::Http3])),
        }
    }
    addresses
}

/// One socket per worker on one port, also where any free one will do. What else they need, QUIC sets by itself.
fn datagrams(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    // Sockets that share a port would join those of a server that runs already: the port must be free, and no one else's.
    let free = open(address, false)?.local_addr()?;
    (0..workers).map(|_| open(free, true)).collect()
}

fn open(address: SocketAddr, share_port: bool) -> io::Result<UdpSocket> {
    let socket = unbound(address, Type::DGRAM, share_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Gives each worker its socket of an address.
fn deal<S>(doors: &mut [Vec<Door>], (_, sockets): Bound<S>, door: impl Fn(S) -> Door) {
    // Those that were left by another process may be more than there are workers.
    let workers = doors.len();
    for (at, socket) in sockets.into_iter().enumerate() {
        doors[at % workers].push(door(socket));
    }
}

fn bind<S>(
    address: SocketAddr,
    transport: &'static str,
    sockets: impl FnOnce() -> io::Result<Vec<S>>,
    local: impl Fn(&S) -> io::Result<SocketAddr>,
) -> Result<Bound<S>, BindFault> {
    let sockets = sockets().map_err(|error| BindFault { address, transport, error })?;
    let real = sockets.first().map_or(Ok(address), local).unwrap_or(address);
    Ok((real, sockets))
}
