//! How a query came: what bounds its reply, and what its reply may say of the connection.
//! It carries nothing; that is the business of `server`.

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Transport {
    /// One datagram each way, bounded in size.
    Udp,
    /// A stream in clear text.
    Tcp,
    /// A stream inside TLS (RFC 7858).
    Tls,
    /// An exchange of HTTP/1.1 or HTTP/2 inside TLS (RFC 8484).
    Https,
    /// A stream of QUIC (RFC 9250).
    Quic,
    /// An exchange of HTTP/3 (RFC 8484, RFC 9114).
    Http3,
}

impl Transport {
    /// All, in the order of their numbers.
    pub const ALL: [Transport; 6] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic, Transport::Http3];

    /// As metrics and logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Https => "https",
            Transport::Quic => "quic",
            Transport::Http3 => "http3",
        }
    }

    /// Whether nobody on the way can read it: only there does padding hide anything (RFC 8467 3).
    pub fn is_encrypted(self) -> bool {
        self >= Transport::Tls
    }

    /// Whether a reply may say how long the connection may be idle (RFC 7828 3.1; QUIC and HTTP have words of their own for it, RFC 9250 5.5.2).
    pub fn has_keepalive(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }
}
