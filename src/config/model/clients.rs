//! What clients may have of this server: connections, and being located by what they say of themselves.
//! It holds data only; who keeps to it is the business of the server and of the corridor.

use crate::geo::Access;

/// Connections in all. A connection holds at most about 150 kB of ours (a half-read message and unsent replies), so the
/// worst case is some 600 MB; idle ones hold well under 1 kB.
pub const MAX_CONNECTIONS: usize = 4_096;

/// Connections of one network: an eighth of all, so that no single one can shut the others out, and still
/// enough for a farm of resolvers behind one prefix.
pub const MAX_CONNECTIONS_PER_NETWORK: usize = 512;

/// The most TCP connections that are held open at a time, and what one may ask (`tcp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// In all.
    pub total: usize,
    /// Per /24 of IPv4 and /56 of IPv6.
    pub per_network: usize,
    /// Queries on a connection, after which it ends; none = as many as the peer likes.
    pub queries: Option<u32>,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps { total: MAX_CONNECTIONS, per_network: MAX_CONNECTIONS_PER_NETWORK, queries: None }
    }
}

/// EDNS client subnet (RFC 7871): used or not, and from whom.
#[derive(Debug, Clone)]
pub struct EcsPolicy {
    /// `false`: every client is located by its peer address, scope 0.
    pub enabled: bool,
    /// Peers whose option is believed; none = all.
    pub from: Option<Access>,
}
