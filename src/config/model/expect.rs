//! What the tests of a configuration expect: who asks for what, and what the answer must be.
//! It asks nobody; `rehearsal::expectations` does.

use std::net::IpAddr;

use crate::diag::Mark;
use crate::geo::{Family, Prefix, RegionId};
use crate::name::Name;
use crate::wire::Rcode;

/// One of `tests:`.
#[derive(Debug, Clone)]
pub struct Test {
    /// Where it stands.
    pub mark: Mark,
    /// The name that is asked for.
    pub name: Name,
    /// The client subnet.
    pub client: Prefix,
    /// A or AAAA.
    pub family: Family,
    /// Regions and addresses of endpoints that are taken to be down, as typed.
    pub down: Vec<String>,
    /// What the answer must be.
    pub expect: Expect,
}

/// Response codes that can be expected, as `dig` prints them.
pub const RCODES: [(&str, Rcode); 4] =
    [("NOERROR", Rcode::NOERROR), ("NXDOMAIN", Rcode::NXDOMAIN), ("REFUSED", Rcode::REFUSED), ("YXDOMAIN", Rcode::YXDOMAIN)];

/// What an answer must be; what is not given may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// It comes from one of these.
    pub regions: Vec<RegionId>,
    /// It comes from none of these.
    pub not_regions: Vec<RegionId>,
    /// Every address of it is one of these; empty = it has none.
    pub addresses: Option<Vec<IpAddr>>,
    /// Its response code.
    pub rcode: Option<Rcode>,
    /// Its ECS scope.
    pub scope: Option<u8>,
}
