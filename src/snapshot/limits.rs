//! How much a client network gets: the rates of responses, data only.
//! It counts nothing; the worker that answers does.

use crate::geo::Access;
use crate::wire::cookie::Secret;

/// Answers that share a rate (`rate_limit: {responses: ...}`): what an attacker can ask for again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A steered name, whichever region was chosen.
    Steered,
    /// Other records.
    Positive,
    /// Names that exist without such records; counted by zone.
    NoData,
    /// Names that do not exist; counted by zone.
    NameError,
    /// Delegations, by cut.
    Referral,
    /// Not ours to answer; counted together.
    Refused,
    /// Messages at fault; counted together.
    Error,
}

impl Kind {
    /// All, in the order of their numbers.
    pub const ALL: [Kind; 7] = [Kind::Steered, Kind::Positive, Kind::NoData, Kind::NameError, Kind::Referral, Kind::Refused, Kind::Error];

    /// As the configuration and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Steered => "steered",
            Kind::Positive => "positive",
            Kind::NoData => "nodata",
            Kind::NameError => "name-error",
            Kind::Referral => "referral",
            Kind::Refused => "refused",
            Kind::Error => "error",
        }
    }
}

/// How cookies are dealt with (`cookies:`, RFC 7873).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookies {
    /// Over UDP, whoever speaks cookies gets an answer only for a good one.
    pub required: bool,
    /// Shared with other servers: the first makes cookies, those of all are good; none = the process has one of its own.
    pub secrets: Box<[Secret]>,
}

/// The limits of UDP responses (`rate_limit:`), for the whole server; each worker keeps its share of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Responses a second of one answer to one client network, by [`Kind`]; none = as many as are asked for.
    pub responses: [Option<u32>; Kind::ALL.len()],
    /// Responses a second of all answers to one client network.
    pub network: Option<u32>,
    /// Responses a second to all clients.
    pub total: Option<u32>,
    /// Seconds of which a client may have the responses at once.
    pub window_s: u32,
    /// Prefix lengths of what counts as one client network, of IPv4 and IPv6.
    pub v4: u8,
    /// See `v4`; at most 64.
    pub v6: u8,
    /// Of so many responses over the limit one is sent, empty and truncated; 0 = none.
    pub slip: u32,
    /// Who is not limited.
    pub allow: Access,
    /// Nothing is held back; it is counted and logged what would be.
    pub log_only: bool,
    /// Places in the tables of all workers together.
    pub entries: usize,
}
