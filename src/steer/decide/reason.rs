//! Why an answer is what it is, as metrics and `explain` tell it.
//! It decides nothing; `decide` says which reason applies.

use crate::steer::plan::Why;

/// Why an answer is what it is: the strongest reason that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Not steered.
    None,
    /// The best by `order`.
    Order,
    /// The place is unknown: the listed order.
    Listed,
    /// A rule put it first.
    Rule,
    /// `networks: {region: X}`.
    Pinned,
    /// One of several in a band.
    Shared,
    /// A standby region for one of the few clients that keep it warm.
    Trickle,
    /// A better one is at its capacity.
    Overflow,
    /// A better one is out.
    Failover,
    /// Nothing is up.
    FailOpen,
    /// Nothing is up: what was up last.
    LastGood,
    /// Nothing is up, or everything inside a hard fence is forced down: what was named for the case.
    Fallback,
    /// Nothing is up, or nothing is allowed, and so nothing is answered.
    NoData,
    /// Nothing is up, and that is answered as a failure of the server.
    ServFail,
    /// Nothing is up, and that is answered by refusing.
    Refused,
}

impl Reason {
    /// All, in the order of their numbers.
    pub const ALL: [Reason; 15] = [
        Reason::None,
        Reason::Order,
        Reason::Listed,
        Reason::Rule,
        Reason::Pinned,
        Reason::Shared,
        Reason::Trickle,
        Reason::Overflow,
        Reason::Failover,
        Reason::FailOpen,
        Reason::LastGood,
        Reason::Fallback,
        Reason::NoData,
        Reason::ServFail,
        Reason::Refused,
    ];

    /// Where a region stands first for this.
    #[inline]
    pub(super) fn of(why: Why) -> Reason {
        match why {
            Why::Pinned => Reason::Pinned,
            Why::Preferred(_) | Why::Inside(_) | Why::Outside(_) => Reason::Rule,
            Why::Listed => Reason::Listed,
            Why::Order | Why::Standby => Reason::Order,
        }
    }

    /// As metrics and `explain` name it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::Order => "order",
            Reason::Listed => "listed",
            Reason::Rule => "rule",
            Reason::Pinned => "pinned",
            Reason::Shared => "shared",
            Reason::Trickle => "trickle",
            Reason::Overflow => "overflow",
            Reason::Failover => "failover",
            Reason::FailOpen => "fail-open",
            Reason::LastGood => "last-good",
            Reason::Fallback => "fallback",
            Reason::NoData => "nodata",
            Reason::ServFail => "servfail",
            Reason::Refused => "refused",
        }
    }
}
