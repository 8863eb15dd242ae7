//! Balances: which endpoints of the chosen region are answered, one file per policy.
//! Each gets the living endpoints and says where the answer starts; the answer is a rotation, so the set of answers is closed.

mod round_robin;
mod sticky;
mod weighted;

use serde::Deserialize;

use super::Weight;

/// What a balance sees: the endpoints that may be answered now, and the client.
#[derive(Debug, Clone, Copy)]
pub struct Pick<'a> {
    /// Name hash and weight of each endpoint that may be answered, in the order of the file; never empty.
    pub living: &'a [Living],
    /// The region's turn: how many answers this worker gave from this pool, masked by nobody.
    pub turn: u32,
    /// A number that differs from query to query.
    pub seed: u64,
    /// Hash of the client's network (masked to the hash floor).
    pub client: u64,
}

/// One endpoint that may be answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Living {
    /// Index in the pool.
    pub index: u8,
    /// Hash of its address, the same on every machine.
    pub hash: u64,
    /// In thousandths.
    pub weight: u32,
}

/// A policy that picks the first endpoint of an answer.
pub trait Balance: std::fmt::Debug + Sync {
    /// As written in the configuration.
    fn name(&self) -> &'static str;
    /// Whether the client's network enters, so that the scope must be as long as the hash floor.
    fn hashes_client(&self) -> bool;
    /// Position in `pick.living` at which the answer starts.
    fn start(&self, pick: &Pick<'_>) -> usize;
}

/// `balance:` as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceSpec {
    /// Each answer starts one endpoint further.
    #[default]
    RoundRobin,
    /// A draw by weight per query.
    Weighted,
    /// A client keeps its endpoint (weighted rendezvous over the client's network).
    Sticky,
}

impl BalanceSpec {
    /// The policy behind the word.
    pub fn policy(self) -> &'static dyn Balance {
        match self {
            BalanceSpec::RoundRobin => &round_robin::RoundRobin,
            BalanceSpec::Weighted => &weighted::Weighted,
            BalanceSpec::Sticky => &sticky::Sticky,
        }
    }

    /// The default for endpoints of these weights.
    pub fn default_for(weights: impl IntoIterator<Item = Weight>) -> BalanceSpec {
        let mut weights = weights.into_iter();
        let first = weights.next();
        if weights.all(|weight| Some(weight) == first) { BalanceSpec::RoundRobin } else { BalanceSpec::Weighted }
    }
}
