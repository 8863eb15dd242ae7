//! Binding: every address that the operator lists, UDP and TCP on the same port, and everything that went wrong at once.
//! It serves nothing.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::{tcp, udp};
use crate::config::model::{MAX_LISTEN, MAX_WORKERS};

/// Port 0 asks for any free port; one whose UDP or TCP twin is taken is given back and another tried, this many times.
const PORT_ATTEMPTS: usize = 32;

/// The sockets of one address, one per worker and transport.
#[derive(Debug)]
pub struct Endpoint {
    /// The address as bound: with the real port where 0 was asked for.
    pub address: SocketAddr,
    /// UDP sockets, one per worker.
    pub udp: Vec<UdpSocket>,
    /// TCP listeners, one per worker.
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

/// Binds all addresses, or reports all that fail.
///
/// # Errors
/// [`BindError`], with every address that was refused.
pub fn bind(listen: &[SocketAddr], workers: usize) -> Result<Vec<Endpoint>, BindError> {
    if listen.is_empty() || listen.len() > MAX_LISTEN {
        return Err(BindError::Count(format!("{} addresses to listen on; there must be 1 to {MAX_LISTEN}", listen.len())));
    }
    if workers == 0 || workers > MAX_WORKERS {
        return Err(BindError::Count(format!("{workers} workers; there must be 1 to {MAX_WORKERS}")));
    }
    let (mut endpoints, mut faults) = (Vec::new(), Vec::new());
    for &address in listen {
        match bind_pair(address, workers) {
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
            (Ok(udp), Ok(tcp)) => return Ok(Endpoint { address: real, udp, tcp }),
            (Err(udp), Ok(_)) if address.port() == 0 && is_taken(&udp) && attempts < PORT_ATTEMPTS => {}
            (udp, tcp) => return Err([udp.err(), tcp.err()].into_iter().flatten().collect()),
        }
    }
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
        for endpoint in bind(&[any_port(), any_port()], 3).unwrap() {
            assert_ne!(endpoint.address.port(), 0);
            assert_eq!((endpoint.udp.len(), endpoint.tcp.len()), (3, 3));
            assert!(endpoint.udp.iter().all(|socket| socket.local_addr().unwrap() == endpoint.address));
            assert!(endpoint.tcp.iter().all(|socket| socket.local_addr().unwrap() == endpoint.address));
        }
    }

    #[test]
    fn every_refused_address_is_reported_with_a_hint() {
        let first = bind(&[any_port()], 2).unwrap();
        let taken = first[0].address;
        let foreign = SocketAddr::from(([192, 0, 2, 123], 5300));
        for workers in [1, 2] {
            let text = bind(&[taken, any_port(), foreign], workers).unwrap_err().to_string();
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
        assert!(matches!(bind(&[], 1), Err(BindError::Count(_))));
        assert!(matches!(bind(&[any_port(); MAX_LISTEN + 1], 1), Err(BindError::Count(_))));
        assert!(matches!(bind(&[any_port()], 0), Err(BindError::Count(_))));
        assert!(matches!(bind(&[any_port()], MAX_WORKERS + 1), Err(BindError::Count(_))));
    }
}
