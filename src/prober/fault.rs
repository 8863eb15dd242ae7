//! Whose fault an error is: the target's, or this machine's own (H5).
//! It looks at error numbers and, for one of them, at the routing table by way of a UDP connect(), which sends nothing.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::Finding;
use crate::health::report::{Evidence, Outcome};

/// Deepest chain of causes that is followed; real ones have about five.
const MAX_CAUSES: usize = 16;

/// What an input or output error on a connection to `socket` says.
pub(super) fn of_io(error: &io::Error, socket: SocketAddr) -> Finding {
    judge_io(error, || has_route(socket))
}

/// What any error of a connection to `socket` says, by the most telling of its causes.
pub(super) fn of_error(error: &(dyn Error + 'static), socket: SocketAddr) -> Finding {
    let causes: Vec<&(dyn Error + 'static)> = causes(error).collect();
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return (Outcome::Failure, Evidence::Tls(Evidence::text(&tls.to_string())));
    }
    let io = causes.iter().rev().find_map(|cause| cause.downcast_ref::<io::Error>());
    match io {
        Some(io) => of_io(io, socket),
        None => other(Outcome::Failure, causes.last().copied().unwrap_or(error)),
    }
}

fn judge_io(error: &io::Error, has_route: impl FnOnce() -> bool) -> Finding {
    match error.raw_os_error() {
        // No port, no descriptor, no memory, no such address family, forbidden by a local policy: nothing has left this machine.
        // (EACCES is not among them: it is what an ICMPv6 "administratively prohibited" of a router on the way becomes.)
        Some(libc::EADDRNOTAVAIL | libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EAFNOSUPPORT | libc::EPERM) => {
            return other(Outcome::ProberFault, error);
        }
        // Without a local route nothing has left either; with one, it was a router that said so.
        Some(libc::ENETUNREACH) if !has_route() => return other(Outcome::ProberFault, error),
        _ => {}
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => (Outcome::Failure, Evidence::Refused),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => (Outcome::Failure, Evidence::Reset),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => (Outcome::Failure, Evidence::Unreachable),
        ErrorKind::TimedOut => (Outcome::Failure, Evidence::Timeout),
        _ => other(Outcome::Failure, error),
    }
}

fn other(outcome: Outcome, error: &(dyn Error + 'static)) -> Finding {
    (outcome, Evidence::Other(Evidence::text(&error.to_string())))
}

/// True if this machine knows a way to `socket`.
fn has_route(socket: SocketAddr) -> bool {
    let any: SocketAddr = match socket {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|udp| udp.connect(socket)).is_ok()
}

/// The error and its causes, outermost first. What an `io::Error` wraps is a cause too (its own `source` skips it).
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error)).take(MAX_CAUSES)
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(number: i32, has_route: bool) -> Finding {
        judge_io(&io::Error::from_raw_os_error(number), || has_route)
    }

    #[test]
    fn h5_what_never_left_this_machine_is_the_probers_own_fault() {
        for number in [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAFNOSUPPORT] {
            assert_eq!(os(number, true).0, Outcome::ProberFault, "{number}");
        }
        assert_eq!(os(libc::ENETUNREACH, false).0, Outcome::ProberFault);
    }

    #[test]
    fn h5_what_the_network_or_the_target_said_is_a_failure() {
        for (number, evidence) in [
            (libc::ECONNREFUSED, Evidence::Refused),
            (libc::ECONNRESET, Evidence::Reset),
            (libc::EHOSTUNREACH, Evidence::Unreachable),
            (libc::ENETUNREACH, Evidence::Unreachable),
            (libc::ETIMEDOUT, Evidence::Timeout),
        ] {
            assert_eq!(os(number, true), (Outcome::Failure, evidence), "{number}");
        }
        assert_eq!(os(libc::EACCES, true).0, Outcome::Failure);
    }

    #[test]
    fn a_route_is_seen_without_sending_anything() {
        assert!(has_route(([127, 0, 0, 1], 9).into()));
    }

    #[test]
    fn the_innermost_input_or_output_error_decides() {
        let inner = io::Error::from_raw_os_error(libc::EMFILE);
        let wrapped = io::Error::other(io::Error::other(inner));
        assert_eq!(of_error(&wrapped, ([127, 0, 0, 1], 9).into()).0, Outcome::ProberFault);
    }

    #[test]
    fn a_tls_error_is_found_inside_an_input_or_output_error() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let (outcome, evidence) = of_error(&io::Error::other(tls), ([127, 0, 0, 1], 9).into());
        assert_eq!(outcome, Outcome::Failure);
        assert!(matches!(evidence, Evidence::Tls(_)) && evidence.to_string().contains("Expired"), "{evidence}");
    }
}
