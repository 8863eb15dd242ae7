//! The DNS wire format: what a query says (`query`, `qname`, `edns`) and how a reply is written (`reply`, `ready`, `compress`), both once more for usual questions (`usual`), with the numbers of all.
//! This room never decides what to answer and knows nothing of zones, places or health.

pub mod ask;
mod compress;
pub mod cookie;
pub mod early;
pub mod edns;
pub mod extended;
pub mod freshness;
pub mod qname;
pub mod query;
pub mod ready;
pub mod reply;
pub mod rtype;
#[cfg(test)]
mod tests;
pub mod usual;

use std::fmt;

/// Octets of the message header (RFC 1035 4.1.1).
pub const HEADER_OCTETS: usize = 12;

/// Octets of type and class after the name of a question (RFC 1035 4.1.2).
pub const QUESTION_FIXED_OCTETS: usize = 4;

/// Octets that every UDP client takes (RFC 1035 4.2.1): smaller sizes in OPT count as this one (RFC 6891 6.2.5).
pub const MIN_UDP_OCTETS: usize = 512;

/// The largest UDP reply that can be configured: more than fits a packet on any path is of no use.
pub const MAX_UDP_OCTETS: usize = 4_096;

/// The largest message there is, over TCP: its length prefix has 16 bits (RFC 1035 4.2.2).
pub const MAX_MESSAGE_OCTETS: usize = 65_535;

/// Record classes (RFC 1035 3.2.4).
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
    /// Chaosnet: only the names that tell a server's version and identity.
    pub const CH: u16 = 3;
    /// QCLASS `*`.
    pub const ANY: u16 = 255;
}

/// A response code, extended to 12 bits (RFC 6895 2.3, RFC 6891 6.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error.
    pub const NOERROR: Rcode = Rcode(0);
    /// The query could not be read.
    pub const FORMERR: Rcode = Rcode(1);
    /// The server failed.
    pub const SERVFAIL: Rcode = Rcode(2);
    /// The name does not exist.
    pub const NXDOMAIN: Rcode = Rcode(3);
    /// The kind of query is not implemented.
    pub const NOTIMP: Rcode = Rcode(4);
    /// Refused by policy; also for names outside our zones.
    pub const REFUSED: Rcode = Rcode(5);
    /// A name that should not exist, does: here a name that a DNAME would make too long (RFC 6672 3.2).
    pub const YXDOMAIN: Rcode = Rcode(6);
    /// Not authorized: a TSIG whose key we do not have (RFC 8945 5.2.1).
    pub const NOTAUTH: Rcode = Rcode(9);
    /// An EDNS version that we do not speak (RFC 6891 6.1.3); needs OPT.
    pub const BADVERS: Rcode = Rcode(16);
    /// A cookie that is not good where one is required (RFC 7873 8); needs OPT.
    pub const BADCOOKIE: Rcode = Rcode(23);
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Rcode::NOERROR => "NOERROR",
            Rcode::FORMERR => "FORMERR",
            Rcode::SERVFAIL => "SERVFAIL",
            Rcode::NXDOMAIN => "NXDOMAIN",
            Rcode::NOTIMP => "NOTIMP",
            Rcode::REFUSED => "REFUSED",
            Rcode::YXDOMAIN => "YXDOMAIN",
            Rcode::NOTAUTH => "NOTAUTH",
            Rcode::BADVERS => "BADVERS",
            Rcode::BADCOOKIE => "BADCOOKIE",
            Rcode(other) => return write!(f, "RCODE{other}"),
        })
    }
}

impl fmt::Debug for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
