//! Steering: which answer a client gets. `plan` compiles what depends on the client's network, `decide` does the rest per query.
//! This room knows regions, pools and endpoints by dense ids only; it never reads files, time or sockets.

pub mod balance;
pub mod order;
pub mod rule;

use serde::Deserialize;

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
    /// NOERROR without an answer.
    Nodata,
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
