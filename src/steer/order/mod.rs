//! Orders: how regions are ranked for a place, one file per policy. Used at load only; a plan holds the result.
//! A new order is a new file and a line in each of the two lists here.

mod any;
pub mod latency;
mod nearest;
mod priority;

use serde::Deserialize;

use super::Weight;
use crate::geo::Point;

/// In [`Client::measured`]: this pair was not measured.
pub const UNMEASURED: u32 = u32::MAX;

/// What an order sees of a client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Client<'c> {
    /// Where it is; `None`: unknown.
    pub point: Option<Point>,
    /// By candidate: its measured latency as metres, or [`UNMEASURED`]; empty where nothing was measured.
    pub measured: &'c [u32],
}

/// What an order sees of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its tier, where the regions are listed in tiers.
    pub tier: Option<u16>,
    /// Where it stands.
    pub point: Point,
    /// Its weight; never 0 here (standby regions are ranked apart, as of weight 1).
    pub weight: Weight,
}

/// One region as an order judged it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Lower is better; ties are broken by the listed order.
    pub score: f64,
    /// What `spread` is compared on (metres, or the like); `None`: never shares a band with another.
    pub measure: Option<u64>,
}

/// A policy that ranks regions.
pub trait Order: std::fmt::Debug + Sync {
    /// As written in the configuration.
    fn name(&self) -> &'static str;
    /// Whether the client's point enters; if not, every place has the same ranking and the scope is 0.
    fn uses_place(&self) -> bool;
    /// Where the score is max(distance, this) / weight and the measure is the distance, in metres: then a plan judges only those that can be
    /// near enough. `None`: every candidate is judged for every place.
    fn distance_floor_m(&self) -> Option<u32> {
        None
    }
    /// Judges the candidate that stands at `index` of the list for a client.
    fn judge(&self, client: &Client<'_>, index: usize, candidate: &Candidate) -> Judged;
}

/// `order:` as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderSpec {
    /// Great-circle distance divided by weight.
    #[default]
    Nearest,
    /// The listed order, or the listed tiers.
    Priority,
    /// Milliseconds; a pair without a measurement counts 100 km as 1 ms.
    Latency,
    /// All the same: one band.
    Any,
}

impl OrderSpec {
    /// The policy behind the word.
    pub fn policy(self) -> &'static dyn Order {
        match self {
            OrderSpec::Nearest => &nearest::Nearest,
            OrderSpec::Priority => &priority::Priority,
            OrderSpec::Latency => &latency::Latency,
            OrderSpec::Any => &any::Any,
        }
    }
}
