//! From checked record data to a zone: owners in canonical order, empty non-terminals, cuts, glue, CNAME targets, negative SOA.
//! Everything that a look-up would otherwise have to work out is worked out here, once; nothing here runs per query.

use super::check;
use super::owners::{APEX, Entry, Owner, Owners, Place, What};
use super::rrset::Rrset;
use super::{Alias, Besides, Glue, Node, Steered, SteeringId, Target, Zone};
use crate::diag::{Diagnostics, Mark};
use crate::name::{Name, ROOT_HASH, label_hash};
use crate::wire::ready::Ready;
use crate::wire::rtype;

pub use super::check::MAX_ALIAS_CHAIN;

/// The start of authority of a zone, before its serial is known.
#[derive(Debug, Clone)]
pub struct Soa {
    /// Primary name server.
    pub mname: Name,
    /// Mailbox of the person responsible.
    pub rname: Name,
    /// Written serial; left out, it is a hash of the zone's content.
    pub serial: Option<u32>,
    /// Seconds.
    pub refresh_s: u32,
    /// Seconds.
    pub retry_s: u32,
    /// Seconds.
    pub expire_s: u32,
    /// TTL of negative answers in seconds (RFC 2308).
    pub minimum_s: u32,
    /// TTL of the SOA record itself in seconds.
    pub ttl_s: u32,
}

/// Collects a zone's records and then checks the zone as a whole.
#[derive(Debug)]
pub struct Builder {
    apex: Name,
    ttl_s: u32,
    mark: Mark,
    soa: Option<Soa>,
    entries: Vec<Entry>,
}

impl Builder {
    /// A zone without records; `ttl_s` is its default TTL, `mark` where its name stands.
    pub fn new(apex: Name, ttl_s: u32, mark: Mark) -> Builder {
        Builder { apex, ttl_s, mark, soa: None, entries: Vec::new() }
    }

    /// Sets the start of authority.
    pub fn soa(&mut self, soa: Soa) {
        self.soa = Some(soa);
    }

    /// Adds all records of one owner and type; a second RRset of the same type is reported by `finish`.
    pub fn rrset(&mut self, owner: &Name, rrset: Rrset, mark: Mark) {
        self.entries.push(Entry { owner: owner.clone(), what: What::Records(rrset), mark });
    }

    /// Steers an owner: A and AAAA (`families` tells whether any region has IPv4, IPv6), and records of these types.
    pub fn steer(&mut self, owner: &Name, steering: SteeringId, families: [bool; 2], types: &[u16], mark: Mark) {
        let besides = match types {
            [] => Besides::Nothing,
            _ if types.contains(&rtype::CNAME) => Besides::Alias,
            _ => Besides::Records,
        };
        let what = What::Steered(steering, Steered { families, besides }, types.into());
        self.entries.push(Entry { owner: owner.clone(), what, mark });
    }

    /// The first name server at the apex, as far as records were added.
    pub fn name_server(&self) -> Option<Name> {
        let of_apex = |entry: &&Entry| entry.owner == self.apex;
        self.entries.iter().filter(of_apex).find_map(|entry| match &entry.what {
            What::Records(rrset) if rrset.rtype() == rtype::NS => rrset.targets().next(),
            _ => None,
        })
    }

    /// The finished zone; `None` when an error was reported.
    pub fn finish(self, diagnostics: &mut Diagnostics) -> Option<Zone> {
        let Builder { apex, ttl_s, mark, soa, entries } = self;
        let mut found = Diagnostics::new();
        let owners = Owners::new(&apex, entries, &mut found);
        check::zone(&owners, &mark, &mut found);
        if soa.is_none() {
            found.error(mark.clone(), format!("zone `{apex}` has no SOA"));
        }
        let ok = !found.has_errors();
        diagnostics.extend(found);
        let soa = soa.filter(|_| ok)?;
        let content_hash = content_hash(&apex, &soa, ttl_s, &owners);
        let serial = soa.serial.unwrap_or(content_hash);
        let soa_rrset = soa_rrset(&soa, serial);
        let negative_soa = soa_rrset.with_ttl(soa.ttl_s.min(soa.minimum_s));
        let apex = apex.to_lowercase();
        Some(Zone {
            negative: Ready::soa(apex.as_wire(), negative_soa.ttl_s(), negative_soa.rdatas()),
            apex,
            serial,
            serial_is_written: soa.serial.is_some(),
            content_hash,
            any: rfc8482_hinfo(ttl_s),
            negative_soa,
            queries_from: None,
            transfers_from: None,
            nodes: nodes(owners, soa_rrset),
            mark,
        })
    }
}

/// One node an owner, in the same order.
fn nodes(owners: Owners, soa: Rrset) -> Vec<Node> {
    let derived: Vec<(Option<Alias>, Box<[Glue]>)> =
        owners.iter().map(|(index, owner)| (alias(&owners, owner), glue(&owners, index, owner))).collect();
    let (list, mut sets) = owners.into_parts();
    let mut soa = Some(soa);
    let node = |(owner, (alias, glue)): (Owner, (Option<Alias>, Box<[Glue]>))| {
        let mut rrsets: Vec<Rrset> = Vec::with_capacity(owner.set_count() + usize::from(soa.is_some()));
        rrsets.extend(sets.by_ref().take(owner.set_count()));
        if let Some(soa) = soa.take() {
            // The apex is the first node.
            rrsets.push(soa);
            rrsets.sort_by_key(Rrset::rtype);
        }
        Node {
            steering: owner.steering.map(|(id, steered, ..)| (id, steered)),
            rrsets: rrsets.into(),
            hash: owner.hash,
            owner: owner.name,
            cut: owner.cut,
            glue,
            wildcard: owner.wildcard,
            alias,
        }
    };
    list.into_iter().zip(derived).map(node).collect()
}

/// Addresses of a delegation's name servers that this zone holds: without those below the cut nobody could reach them.
fn glue(owners: &Owners, index: u32, owner: &Owner) -> Box<[Glue]> {
    let servers = owners.set(owner, rtype::NS).filter(|_| owner.cut == Some(index));
    let mut glue = Vec::new();
    for server in servers.into_iter().flat_map(|(rrset, _)| rrset.targets()) {
        let Some(owner) = owners.find(&server).map(|index| owners.at(index)) else { continue };
        let addresses = owners.sets(owner).iter().filter(|(rrset, _)| matches!(rrset.rtype(), rtype::A | rtype::AAAA));
        glue.extend(addresses.map(|(rrset, _)| Glue { owner: server.clone(), rrset: rrset.clone(), required: owner.cut.is_some() }));
    }
    // What a referral cannot do without is written while there is room.
    glue.sort_by_key(|glue: &Glue| !glue.required);
    glue.into()
}

/// Where a CNAME leads, worked out once: the look-up of its target does not depend on the question's type.
fn alias(owners: &Owners, owner: &Owner) -> Option<Alias> {
    let name = owners.target(owner, rtype::CNAME)?;
    let target = match owners.place(&name) {
        Place::Outside => Target::Outside,
        Place::Delegated(node) | Place::Owner(node) => Target::Node(node),
        Place::Renamed(node) => Target::Renamed(node),
        Place::NameError => Target::NameError,
    };
    Some(Alias { name, target })
}

/// Equal on all nodes that load the same content, and different when the content differs (DESIGN 2).
fn content_hash(apex: &Name, soa: &Soa, ttl_s: u32, owners: &Owners) -> u32 {
    let mut hash = ROOT_HASH;
    let mut add = |octets: &[u8]| {
        hash = label_hash(label_hash(hash, &(octets.len() as u64).to_le_bytes()), octets);
    };
    let timers = [soa.refresh_s, soa.retry_s, soa.expire_s, soa.minimum_s, soa.ttl_s, ttl_s];
    timers.iter().for_each(|seconds| add(&seconds.to_be_bytes()));
    [apex, &soa.mname, &soa.rname].into_iter().for_each(|name| add(name.as_wire()));
    for (index, owner) in owners.iter() {
        let sets = owners.sets(owner);
        // Empty non-terminals follow from the other names.
        if sets.is_empty() && owner.steering.is_none() && index != APEX {
            continue;
        }
        add(owner.name.as_wire());
        add(&[owner.steering.is_some().into()]);
        for (rrset, _) in sets {
            add(&rrset.rtype().to_be_bytes());
            add(&rrset.ttl_s().to_be_bytes());
            add(rrset.rdatas());
        }
    }
    (hash >> 32) as u32
}

fn soa_rrset(soa: &Soa, serial: u32) -> Rrset {
    let numbers = [serial, soa.refresh_s, soa.retry_s, soa.expire_s, soa.minimum_s];
    let rdata = [soa.mname.as_wire(), soa.rname.as_wire(), &numbers.map(u32::to_be_bytes).concat()].concat();
    Rrset::new(rtype::SOA, soa.ttl_s, &[rdata])
}

/// What ANY gets instead of everything (RFC 8482 4.2).
fn rfc8482_hinfo(ttl_s: u32) -> Rrset {
    Rrset::new(rtype::HINFO, ttl_s, &[b"\x07RFC8482\x00".to_vec()])
}
