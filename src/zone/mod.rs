//! Zones: what is answered from records alone, and where a name is steered.
//! RRsets are encoded once at load; a look-up allocates nothing. This room knows steered names by their id only.

pub mod build;
mod check;
pub mod hints;
pub mod lookup;
mod owners;
pub mod rename;
pub mod rrset;
pub mod text;

use crate::diag::Mark;
use crate::geo::Access;
use crate::name::Name;
use crate::wire::ready::Ready;
use crate::wire::rtype;
use rrset::Rrset;

/// Index of a zone in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneId(pub u32);

/// Index of a steered name in the catalog: the one word that zones and steering share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SteeringId(pub u32);

/// What of a name is steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Steered {
    /// A and AAAA, where any region has IPv4, IPv6.
    pub families: [bool; 2],
    /// What else.
    pub besides: Besides,
}

/// What of a name is steered besides A and AAAA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Besides {
    /// Nothing.
    #[default]
    Nothing,
    /// Some other types; the steering knows which.
    Records,
    /// It is an alias, wherever it leads (BEHAVIOUR C1).
    Alias,
}

/// A checked zone.
#[derive(Debug)]
pub struct Zone {
    /// Its topmost name, in lower case.
    pub apex: Name,
    /// Where its name stands in its file; once the zone is compiled, only which file that is.
    pub mark: Mark,
    /// The SOA serial in force.
    pub serial: u32,
    /// Whether the serial was written in the file; else it is the content hash.
    pub serial_is_written: bool,
    /// Hash of everything in the zone but the serial.
    pub content_hash: u32,
    /// The answer to ANY (RFC 8482).
    pub any: Rrset,
    /// The SOA as negative answers carry it: TTL min(SOA TTL, MINIMUM) (RFC 2308 5).
    pub negative_soa: Rrset,
    /// The same, ready to be sent.
    pub negative: Ready,
    /// Who may ask for names of it; none = everybody.
    pub queries_from: Option<Access>,
    /// Who is refused a transfer of it and who gets nothing; none = as the server has it.
    pub transfers_from: Option<Access>,
    /// All existing names, empty non-terminals included, in canonical order (RFC 4034 6.1).
    pub nodes: Vec<Node>,
}

/// One existing name of a zone.
#[derive(Debug)]
pub struct Node {
    /// Its name in lower case.
    pub owner: Name,
    /// [`Name::hash64`] of the owner.
    pub hash: u64,
    /// Its RRsets by ascending type; none at an empty non-terminal.
    pub rrsets: Box<[Rrset]>,
    /// Its steering, and whether any region has IPv4, IPv6.
    pub steering: Option<(SteeringId, Steered)>,
    /// The node of the delegation at or above it: itself at a cut, another node below one.
    pub cut: Option<u32>,
    /// At a cut: addresses of its name servers, the required ones first.
    pub glue: Box<[Glue]>,
    /// The node `*` directly below it.
    pub wildcard: Option<u32>,
    /// Where its CNAME leads.
    pub alias: Option<Alias>,
}

impl Node {
    /// The steering that may have other records than addresses for a type; ANY asks for no more than an alias (BEHAVIOUR N8).
    pub fn steers_besides(&self, qtype: u16) -> Option<SteeringId> {
        let (steering, steered) = self.steering?;
        match steered.besides {
            Besides::Nothing => None,
            Besides::Records => (qtype != rtype::ANY).then_some(steering),
            Besides::Alias => Some(steering),
        }
    }

    /// The RRset of a type.
    pub fn rrset(&self, rtype: u16) -> Option<&Rrset> {
        // A handful at most: a scan beats a binary search.
        self.rrsets.iter().find(|rrset| rrset.rtype() == rtype)
    }
}

/// An address of a delegation's name server.
#[derive(Debug)]
pub struct Glue {
    /// The name server.
    pub owner: Name,
    /// Its A or AAAA.
    pub rrset: Rrset,
    /// The server lies below this cut or another one of the zone (in-domain and sibling glue), so that only we can give its address:
    /// a referral does not leave it out without TC (RFC 9471).
    pub required: bool,
}

/// A CNAME, resolved at load.
#[derive(Debug)]
pub struct Alias {
    /// The target's name.
    pub name: Name,
    /// What stands there.
    pub target: Target,
}

/// What stands at a CNAME's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Not in this zone, or in a zone below it that is here too: the client follows it.
    Outside,
    /// A node of this zone (a wildcard, where it is synthesised; a cut, where it is delegated).
    Node(u32),
    /// Below the owner of a DNAME, which renames it.
    Renamed(u32),
    /// In this zone, and nothing is there.
    NameError,
}
