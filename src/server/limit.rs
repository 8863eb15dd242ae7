//! Limits: how many connections there may be, in all and per network of the peer; below it, how many responses (`responses`).
//! It knows no sockets and no time: a connection is let in or not, and leaves when its permit is dropped.

mod notes;
mod responses;
mod table;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::config::model::Caps;
pub use notes::Notes;
pub use responses::Shares;
pub(super) use responses::{Responses, Verdict};

/// Peers are counted together by this many leading bits: the smallest IPv4 block that is routed on its own.
const V4_NETWORK_BITS: u32 = 24;

/// The usual size of one site's IPv6 assignment (RFC 6177).
const V6_NETWORK_BITS: u32 = 56;

/// Which cap a connection ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken.
    Total,
    /// The peer's network has all that it may have.
    Network,
}

/// Counts of open connections. The table has an entry per network with an open connection, so `caps.total` bounds it.
#[derive(Debug)]
pub struct Connections {
    caps: Caps,
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

impl Connections {
    /// No connections yet.
    pub fn new(caps: Caps) -> Connections {
        Connections { caps, total: 0, by_network: HashMap::new() }
    }

    /// Takes a place for a peer; it must `leave` later.
    pub fn enter(&mut self, peer: IpAddr) -> Result<(), Refusal> {
        if self.total >= self.caps.total {
            return Err(Refusal::Total);
        }
        let network = network_of(peer);
        let open = self.by_network.get(&network).copied().unwrap_or(0);
        if open >= self.caps.per_network {
            return Err(Refusal::Network);
        }
        self.by_network.insert(network, open + 1);
        self.total += 1;
        Ok(())
    }

    /// Gives back a place that `enter` took.
    pub fn leave(&mut self, peer: IpAddr) {
        let network = network_of(peer);
        if let Some(open) = self.by_network.get_mut(&network) {
            *open -= 1;
            self.total -= 1;
            if *open == 0 {
                self.by_network.remove(&network);
            }
        }
    }

    /// Open connections.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// The door that all accept loops share. Its lock is taken when a connection comes and goes, never per query.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Mutex<Connections>>);

impl Gate {
    /// A door with nobody inside.
    pub fn new(caps: Caps) -> Gate {
        Gate(Arc::new(Mutex::new(Connections::new(caps))))
    }

    /// Lets a peer in for as long as the permit lives.
    pub fn admit(&self, peer: IpAddr) -> Result<Permit, Refusal> {
        self.lock().enter(peer)?;
        Ok(Permit { gate: self.clone(), peer })
    }

    /// Queries that a connection may ask; none = no limit.
    pub(super) fn queries(&self) -> Option<u32> {
        self.lock().caps.queries
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place inside; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    gate: Gate,
    peer: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.lock().leave(self.peer);
    }
}

fn network_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - V4_NETWORK_BITS))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - V6_NETWORK_BITS))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_gets_its_share_and_leaves_the_rest_to_others() {
        let mut open = Connections::new(Caps { total: 5, per_network: 2, ..Caps::default() });
        assert_eq!(open.enter(ip("192.0.2.1")), Ok(()));
        assert_eq!(open.enter(ip("192.0.2.200")), Ok(()));
        assert_eq!(open.enter(ip("192.0.2.1")), Err(Refusal::Network));
        assert_eq!(open.enter(ip("192.0.3.1")), Ok(()));
        assert_eq!(open.enter(ip("2001:db8:0:ff::1")), Ok(()));
        assert_eq!(open.enter(ip("2001:db8:0:00ee::2")), Ok(()));
        assert_eq!(open.enter(ip("2001:db8:0:100::1")), Err(Refusal::Total));
        open.leave(ip("192.0.2.77"));
        assert_eq!(open.enter(ip("2001:db8:0:ab::3")), Err(Refusal::Network));
        assert_eq!(open.enter(ip("2001:db8:0:100::1")), Ok(()));
    }

    #[test]
    fn the_table_holds_only_networks_with_an_open_connection() {
        let mut open = Connections::new(Caps::default());
        for network in 0..=255 {
            let peer = IpAddr::from([198, 51, network, 1]);
            open.enter(peer).unwrap();
            open.leave(peer);
        }
        assert_eq!((open.total(), open.by_network.len()), (0, 0));
        open.leave(ip("192.0.2.1"));
        assert_eq!(open.total(), 0, "a stranger who leaves changes nothing");
    }

    #[test]
    fn a_permit_gives_its_place_back_when_dropped() {
        let gate = Gate::new(Caps { total: 1, per_network: 1, ..Caps::default() });
        let permit = gate.admit(ip("::1")).unwrap();
        assert_eq!(gate.admit(ip("192.0.2.1")).unwrap_err(), Refusal::Total);
        drop(permit);
        assert!(gate.admit(ip("192.0.2.1")).is_ok());
    }
}
