//! Runs an `icmp` probe: one echo request over an unprivileged datagram socket, which the kernel keeps apart from all others.
//! Where the kernel does not permit such sockets (`net.ipv4.ping_group_range`) every run is the prober's own fault.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::steps::{Phase, Steps};
use super::{Finding, fault};
use crate::health::report::{Evidence, Outcome};

/// Echo request and echo reply (RFC 792, RFC 4443 4.1 and 4.2).
const TYPES_V4: (u8, u8) = (8, 0);
const TYPES_V6: (u8, u8) = (128, 129);

/// What a request carries, so that its answer is known.
const PAYLOAD: &[u8; 16] = b"meridian health ";

/// Sends one echo request and waits for its answer within `timeout`.
pub(super) async fn run(address: IpAddr, sequence: u16, timeout: Duration, steps: &mut Steps) -> Finding {
    let target = SocketAddr::new(address, 0);
    let socket = match open(target) {
        Ok(socket) => socket,
        Err(error) => {
            let text = format!("no ICMP socket ({error}); see net.ipv4.ping_group_range");
            return (Outcome::ProberFault, Evidence::Other(Evidence::text(&text)));
        }
    };
    steps.enter(Phase::FirstByte);
    match tokio::time::timeout(timeout, echo(&socket, target, sequence)).await {
        Ok(Ok(())) => {
            steps.finish();
            (Outcome::Success, Evidence::Other("echo reply".into()))
        }
        Ok(Err(error)) => fault::of_io(&error, target),
        Err(_elapsed) => (Outcome::Failure, Evidence::Timeout),
    }
}

fn open(target: SocketAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = if target.is_ipv4() { (Domain::IPV4, Protocol::ICMPV4) } else { (Domain::IPV6, Protocol::ICMPV6) };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // The runtime only asks for a datagram socket; which protocol it speaks is the kernel's business.
    UdpSocket::from_std(socket.into())
}

async fn echo(socket: &UdpSocket, target: SocketAddr, sequence: u16) -> io::Result<()> {
    let (request_type, reply_type) = if target.is_ipv4() { TYPES_V4 } else { TYPES_V6 };
    socket.connect(target).await?;
    // Type, code, checksum and identifier (both are the kernel's), sequence number, payload.
    let [high, low] = sequence.to_be_bytes();
    let mut request = vec![request_type, 0, 0, 0, 0, 0, high, low];
    request.extend_from_slice(PAYLOAD);
    socket.send(&request).await?;
    let mut reply = [0; 256];
    loop {
        let len = socket.recv(&mut reply).await?;
        let fits = len >= 8 && reply[0] == reply_type && reply[6..8] == [high, low] && reply[8..len].starts_with(PAYLOAD);
        if fits {
            return Ok(());
        }
    }
}
