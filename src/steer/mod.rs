//! Steering: which answer a client gets. `plan` compiles what depends on the client's network, `decide` does the rest per query.
//! This room knows regions, pools and endpoints by dense ids only; it never reads files, time or sockets.

pub mod balance;
pub mod decide;
pub mod hash;
pub mod order;
pub mod plan;
pub mod rule;

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use crate::geo::{Family, RegionId};
use crate::health::{EndpointId, PoolId};
use crate::name::Name;
use balance::Balance;
use plan::Plan;

/// Most addresses in one answer (BEHAVIOUR P6).
pub const MAX_ANSWERS: u8 = 8;

/// A negative answer that is due to health must not live longer, in seconds (BEHAVIOUR P3).
pub const NODATA_TTL_S: u32 = 10;

/// A steered name, compiled.
#[derive(Debug)]
pub struct Steering {
    /// The owner; a wildcard where it begins with `*`.
    pub owner: Name,
    /// Index of its service in the catalog.
    pub service: u16,
    /// TTL in seconds.
    pub ttl_s: u32,
    /// Floor of TTLs that are shortened while a change is pending, in seconds.
    pub ttl_min_s: u32,
    /// Cap of fail-open TTLs in seconds.
    pub fail_open_ttl_s: u32,
    /// Addresses in an answer, 1 to [`MAX_ANSWERS`].
    pub answers: u8,
    /// What is answered when nothing is up.
    pub on_all_down: OnAllDown,
    /// How a band's clients are shared.
    pub share: ShareSpec,
    /// The share of clients that standby regions get while others are up, of 2^32.
    pub trickle: u32,
    /// How endpoints are picked.
    pub balance: &'static dyn Balance,
    /// Whether SVCB and HTTPS records beside it have its addresses as hints.
    pub hints: bool,
    /// Whether client subnets are used.
    pub ecs: bool,
    /// A and AAAA; `None` where no region has the address family.
    pub families: [Option<FamilySteering>; 2],
    /// Other types that regions have records of; each with the regions that have them. Health counts endpoints of both families.
    pub others: Box<[(u16, FamilySteering)]>,
}

impl Steering {
    /// The compiled steering of one address family.
    pub fn family(&self, family: Family) -> Option<&FamilySteering> {
        self.families[family as usize].as_ref()
    }

    /// What stands for the addresses: the CNAMEs, or the addresses of a family themselves.
    pub fn addresses_or_alias(&self, family: Family) -> Option<&FamilySteering> {
        let alias = self.others.first().filter(|_| self.families.iter().all(Option::is_none));
        self.family(family).or(alias.map(|(_, steering)| steering))
    }

    /// All that is steered: addresses and other types.
    pub fn all(&self) -> impl Iterator<Item = &FamilySteering> {
        self.families.iter().flatten().chain(self.others.iter().map(|(_, other)| other))
    }
}

/// One address family of a steered name.
#[derive(Debug)]
pub struct FamilySteering {
    /// Place -> ranking, range -> scope; shared by all names with the same key.
    pub plan: Arc<Plan>,
    /// The regions that have the family, in listed order; rankings index this list.
    pub candidates: Vec<Candidate>,
    /// Whether anything hashes clients here, so that the scope is at least the hash floor (BEHAVIOUR S5).
    pub hashes_clients: bool,
    /// What is answered when no region can be chosen; on the heap, as few names have one.
    pub fallback: Option<Box<Fallback>>,
}

impl FamilySteering {
    /// All candidates, those of a fallback service among them.
    pub fn all_candidates(&self) -> impl Iterator<Item = &Candidate> {
        let fallback = match self.fallback.as_deref() {
            Some(Fallback::Service(family)) => &family.candidates[..],
            _ => &[],
        };
        self.candidates.iter().chain(fallback)
    }
}

/// What `on_all_down: {fallback: ...}` answers in one address family.
#[derive(Debug)]
pub enum Fallback {
    /// These; NODATA where there are none.
    Addresses(Box<[IpAddr]>),
    /// Another service, from the regions that offer it.
    Service(FamilySteering),
    /// Records, under this number in the catalog.
    Records(u32),
}

/// A region as a name may choose it.
#[derive(Debug)]
pub struct Candidate {
    /// Which region.
    pub region: RegionId,
    /// Its health.
    pub pool: PoolId,
    /// Identity for rendezvous hashing: service and region by name.
    pub identity: u64,
    /// Share of a band in thousandths; 1000 for a standby region (all zero in a band = equal shares, BEHAVIOUR P1).
    pub share: u32,
    /// Weight 0: used when the others are out, and by `trickle`.
    pub standby: bool,
    /// Its round-robin counter in a worker's turns.
    pub slot: u32,
    /// Where the catalog has its records, for types other than addresses.
    pub records: u32,
    /// Its endpoints of the family, in the order of the file; for addresses at least one.
    pub endpoints: Arc<[Endpoint]>,
}

/// An endpoint as an answer needs it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its health.
    pub id: EndpointId,
    /// Identity for rendezvous hashing: its address.
    pub identity: u64,
    /// In thousandths.
    pub weight: u32,
}

/// A weight in thousandths: decimals from 0 to 1,000,000 with three places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// Weight 1.
    pub const ONE: Weight = Weight(1000);
    /// Weight 0: standby.
    pub const ZERO: Weight = Weight(0);
    /// The largest weight that a file may give.
    pub const MAX: f64 = 1_000_000.0;

    /// From a decimal; `None` when it is negative, over [`Weight::MAX`], not a number, or has more than three places.
    pub fn from_decimal(value: f64) -> Option<Weight> {
        let milli = (value * 1000.0).round();
        let exact = (milli - value * 1000.0).abs() < 1e-6 * milli.max(1.0);
        ((0.0..=Weight::MAX).contains(&value) && exact).then_some(Weight(milli as u32))
    }

    /// In thousandths.
    pub fn milli(self) -> u32 {
        self.0
    }

    /// What an order judges by: standby regions count as of weight 1.
    pub(crate) fn unless_zero(self) -> Weight {
        if self == Weight::ZERO { Weight::ONE } else { self }
    }
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

/// What is answered when no region is up (`on_all_down`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnAllDown {
    /// Fail open: ignore measurements, never overrides.
    #[default]
    Open,
    /// The regions that were up just before the last one went down; as `open` where none is known or allowed.
    LastGood,
    /// NOERROR without an answer.
    Nodata,
    /// SERVFAIL: resolvers try elsewhere, and again.
    Servfail,
    /// REFUSED: resolvers try elsewhere.
    Refuse,
    /// Addresses, or another service.
    #[serde(skip)]
    Fallback,
}

/// How the clients of one band are shared among its regions (`share`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareSpec {
    /// Weighted rendezvous over the client's network: a client keeps its region.
    #[default]
    Hash,
    /// A draw per query: the scope stays wide.
    Random,
}

/// Whether IPv4 and IPv6 health are judged apart (`families`, BEHAVIOUR P5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// Each by its own endpoints.
    #[default]
    Apart,
    /// A region is available when both are.
    Together,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_decimals_with_three_places() {
        let milli = |value| Weight::from_decimal(value).map(Weight::milli);
        assert_eq!([milli(0.0), milli(0.001), milli(1.5), milli(1e6)], [Some(0), Some(1), Some(1500), Some(1_000_000_000)]);
        assert!([-1.0, 1e6 + 1.0, f64::NAN, 0.0001].into_iter().all(|value| milli(value).is_none()));
    }
}
