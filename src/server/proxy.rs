//! The PROXY protocol, version 2: who really asks, told by a load balancer in front of us, before a stream or in each datagram
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). Whether a peer may say so is decided by the configuration, never here.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and protocol, length of the rest.
const FIXED_OCTETS: usize = 16;

/// Addresses and ports of both ends, by family.
const V4_OCTETS: usize = 12;
const V6_OCTETS: usize = 36;

/// Longest rest of a header on a stream: addresses and the TLVs of common proxies (names, TLS, certificates) with room to spare. A datagram bounds its own.
const MAX_REST_OCTETS: usize = 2_048;

/// What is not a header, or one that we must not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoHeader;

/// Who asks whom, by a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Both ends of the connection at the proxy.
    Ends {
        /// The client.
        peer: SocketAddr,
        /// The address that it asked.
        local: SocketAddr,
    },
    /// The proxy speaks for itself, as in its own health checks, or of something that has no IP address: the ends are those of the connection.
    Nothing,
}

impl Told {
    /// The ends to answer for, where those of the connection are `peer` and `local`.
    pub(super) fn or(self, peer: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
        match self {
            Told::Ends { peer, local } => (peer, local),
            Told::Nothing => (peer, local),
        }
    }
}

/// Takes the header off a datagram: what it tells, and the message behind it.
pub(super) fn split(datagram: &[u8]) -> Result<(Told, &[u8]), NoHeader> {
    let (fixed, behind) = datagram.split_first_chunk::<FIXED_OCTETS>().ok_or(NoHeader)?;
    let (rest, message) = behind.split_at_checked(rest_octets(fixed)?).ok_or(NoHeader)?;
    Ok((told(fixed, rest)?, message))
}

/// Reads the header in front of a stream, and nothing behind it.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Told, NoHeader> {
    let mut fixed = [0; FIXED_OCTETS];
    stream.read_exact(&mut fixed).await.map_err(|_| NoHeader)?;
    let octets = rest_octets(&fixed)?;
    let mut rest = vec![0; Some(octets).filter(|octets| *octets <= MAX_REST_OCTETS).ok_or(NoHeader)?];
    stream.read_exact(&mut rest).await.map_err(|_| NoHeader)?;
    told(&fixed, &rest)
}

/// How many octets follow the fixed part, TLVs included: unknown ones are skipped with all others.
fn rest_octets(fixed: &[u8; FIXED_OCTETS]) -> Result<usize, NoHeader> {
    // Version 2, commands LOCAL and PROXY; others must be refused (2.2).
    let is_header = fixed.starts_with(&SIGNATURE) && matches!(fixed[12], 0x20 | 0x21);
    is_header.then(|| usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))).ok_or(NoHeader)
}

fn told(fixed: &[u8; FIXED_OCTETS], rest: &[u8]) -> Result<Told, NoHeader> {
    let is_local = fixed[12] & 0x0f == 0;
    // Streams or datagrams, which may differ from ours: a proxy may take TLS or HTTP and hand on datagrams.
    match fixed[13] {
        // Of what nobody asks through the proxy, family and protocol must be ignored.
        _ if is_local => Ok(Told::Nothing),
        0x11 | 0x12 => rest.first_chunk::<V4_OCTETS>().map(v4_ends).ok_or(NoHeader),
        0x21 | 0x22 => rest.first_chunk::<V6_OCTETS>().map(v6_ends).ok_or(NoHeader),
        // AF_UNSPEC and AF_UNIX, which have no address that could be located.
        0x00 | 0x31 | 0x32 => Ok(Told::Nothing),
        // All others must be refused (2.2): they are no way to speak as the proxy itself.
        _ => Err(NoHeader),
    }
}

fn v4_ends(&[a, b, c, d, e, f, g, h, p, q, r, s]: &[u8; V4_OCTETS]) -> Told {
    let end = |address: [u8; 4], port| SocketAddr::from((Ipv4Addr::from(address), u16::from_be_bytes(port)));
    Told::Ends { peer: end([a, b, c, d], [p, q]), local: end([e, f, g, h], [r, s]) }
}

fn v6_ends(octets: &[u8; V6_OCTETS]) -> Told {
    let end = |address_at: usize, port_at: usize| {
        let mut address = [0; 16];
        address.copy_from_slice(&octets[address_at..address_at + 16]);
        // A dual-stack proxy writes IPv4 clients so; they are located and counted as what they are.
        SocketAddr::from((Ipv6Addr::from(address).to_canonical(), u16::from_be_bytes([octets[port_at], octets[port_at + 1]])))
    };
    Told::Ends { peer: end(0, 32), local: end(16, 34) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    fn ends(peer: &str, local: &str) -> Told {
        Told::Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() }
    }

    const V4: [u8; V4_OCTETS] = [192, 0, 2, 1, 198, 51, 100, 7, 0x30, 0x39, 0, 53];

    #[test]
    fn ends_of_both_families_are_read_and_tlvs_skipped() {
        let told = ends("192.0.2.1:12345", "198.51.100.7:53");
        for tlvs in [&[][..], &[0x04, 0, 1, 0], &[0xe0, 0, 3, 1, 2, 3], &[0xff]] {
            for family in [0x11, 0x12] {
                let datagram = [header(0x21, family, &[&V4[..], tlvs].concat()), b"message".to_vec()].concat();
                assert_eq!(split(&datagram), Ok((told, &b"message"[..])));
            }
        }
        let (peer, local) =
            ("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets(), "::ffff:198.51.100.7".parse::<Ipv6Addr>().unwrap().octets());
        let v6 = [&peer[..], &local, &[0x30, 0x39, 0, 53]].concat();
        assert_eq!(split(&header(0x21, 0x22, &v6)), Ok((ends("[2001:db8::1]:12345", "198.51.100.7:53"), &b""[..])));
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        for (command, family) in [(0x20, 0x00), (0x20, 0x11), (0x21, 0x00), (0x21, 0x31)] {
            assert_eq!(split(&header(command, family, &V4)).unwrap().0, Told::Nothing, "{command:#x} {family:#x}");
        }
        let (own, ours) = ("192.0.2.9:1".parse().unwrap(), "192.0.2.53:53".parse().unwrap());
        assert_eq!(Told::Nothing.or(own, ours), (own, ours));
    }

    #[test]
    fn what_is_no_header_of_version_2_is_none() {
        let good = header(0x21, 0x11, &V4);
        for len in 0..good.len() {
            assert_eq!(split(&good[..len]), Err(NoHeader), "{len}");
        }
        for bad in [
            header(0x11, 0x11, &V4),
            header(0x22, 0x11, &V4),
            header(0x21, 0x11, &V4[1..]),
            header(0x21, 0x21, &V4),
            // Families and protocols that nobody has.
            header(0x21, 0x41, &V4),
            header(0x21, 0xf1, &[]),
            header(0x21, 0x13, &V4),
            header(0x21, 0x10, &V4),
            header(0x21, 0x01, &[]),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 53\r\n".to_vec(),
        ] {
            assert_eq!(split(&bad), Err(NoHeader), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_read_to_the_end_of_the_header_and_no_further() {
        let octets = [header(0x21, 0x11, &V4), b"behind".to_vec()].concat();
        let mut stream = &octets[..];
        assert_eq!(read(&mut stream).await, Ok(ends("192.0.2.1:12345", "198.51.100.7:53")));
        assert_eq!(stream, b"behind");
        let long = header(0x20, 0, &vec![0; MAX_REST_OCTETS + 1]);
        assert_eq!(read(&mut &long[..]).await, Err(NoHeader));
    }

    proptest! {
        #[test]
        fn no_octets_are_too_odd(behind in proptest::collection::vec(any::<u8>(), 0..100), damage in any::<(u8, u8)>()) {
            let mut datagram = [&SIGNATURE[..], &behind].concat();
            let at = usize::from(damage.0) % datagram.len();
            datagram[at] = damage.1;
            if let Ok((_, message)) = split(&datagram) {
                prop_assert!(datagram.ends_with(message));
            }
        }
    }
}
