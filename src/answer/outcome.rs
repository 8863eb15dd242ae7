//! What became of a query, in a few words: all that metrics, logs and limits need, so that nothing is parsed twice.
//! It is filled in by the corridor and decides nothing.

use crate::geo::RegionId;
use crate::name::ROOT_HASH;
use crate::steer::decide::Reason;
use crate::wire::Rcode;
use crate::zone::{SteeringId, ZoneId};

/// What kind of reply it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// No reply at all.
    Dropped,
    /// The message or its kind was at fault.
    Error,
    /// Not ours to answer.
    Refused,
    /// Records.
    Positive,
    /// The name exists without such records.
    NoData,
    /// The name does not exist.
    NameError,
    /// Delegated.
    Referral,
}

impl Class {
    /// All, in the order of their numbers.
    pub const ALL: [Class; 7] =
        [Class::Dropped, Class::Error, Class::Refused, Class::Positive, Class::NoData, Class::NameError, Class::Referral];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Dropped => "dropped",
            Class::Error => "error",
            Class::Refused => "refused",
            Class::Positive => "positive",
            Class::NoData => "nodata",
            Class::NameError => "name-error",
            Class::Referral => "referral",
        }
    }
}

/// What became of a query: all that metrics, logs and limits need, so that nothing is parsed twice.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Octets written to the reply buffer; 0 = send nothing.
    pub len: usize,
    /// What kind of reply.
    pub class: Class,
    /// Response code, extended bits included.
    pub rcode: Rcode,
    /// The type that was asked for; 0 where the question could not be read.
    pub qtype: u16,
    /// The zone that the name falls into.
    pub zone: Option<ZoneId>,
    /// Hash of the owner that answered; the wildcard's where one was synthesised from, the apex's for a name error.
    pub owner_hash: u64,
    /// The steered name.
    pub steering: Option<SteeringId>,
    /// The region chosen.
    pub region: Option<RegionId>,
    /// Why that region.
    pub reason: Reason,
    /// Whether TC was set.
    pub truncated: bool,
    /// Whether the query had a client subnet.
    pub ecs: bool,
    /// Whether the query had a cookie.
    pub cookie: bool,
    /// Whether that was a good one of ours: the peer's address is true.
    pub verified: bool,
}

impl Outcome {
    pub(crate) fn new(len: usize, class: Class, rcode: Rcode) -> Outcome {
        Outcome {
            len,
            class,
            rcode,
            qtype: 0,
            zone: None,
            owner_hash: ROOT_HASH,
            steering: None,
            region: None,
            reason: Reason::None,
            truncated: false,
            ecs: false,
            cookie: false,
            verified: false,
        }
    }
}
