//! From checked record data to a zone: owners in canonical order, empty non-terminals, cuts, glue, CNAME targets, negative SOA.
//! Everything that a look-up would otherwise have to work out is worked out here, once; nothing here runs per query.

use std::collections::BTreeMap;

use super::rrset::Rrset;
use super::{Alias, Glue, Node, SteeringId, Target, Zone};
use crate::diag::{Diagnostics, Mark};
use crate::name::{Name, ROOT_HASH, label_hash};
use crate::wire::rtype;

/// In-zone CNAMEs are followed at most this far (BEHAVIOUR C2).
pub const MAX_ALIAS_CHAIN: usize = 8;

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
    owners: BTreeMap<Name, Draft>,
}

/// What stands at one owner, while it is collected.
#[derive(Debug, Default)]
struct Draft {
    rrsets: Vec<(Rrset, Mark)>,
    steering: Option<(SteeringId, [bool; 2], Mark)>,
    repeated: Vec<(u16, Mark)>,
}

impl Draft {
    fn get(&self, record_type: u16) -> Option<&(Rrset, Mark)> {
        self.rrsets.iter().find(|(rrset, _)| rrset.rtype() == record_type)
    }

    fn has(&self, record_type: u16) -> bool {
        self.get(record_type).is_some()
    }

    fn has_address(&self) -> bool {
        self.has(rtype::A) || self.has(rtype::AAAA) || self.steering.is_some()
    }
}

impl Builder {
    /// A zone without records; `ttl_s` is its default TTL, `mark` where its name stands.
    pub fn new(apex: Name, ttl_s: u32, mark: Mark) -> Builder {
        Builder { apex, ttl_s, mark, soa: None, owners: BTreeMap::new() }
    }

    /// Sets the start of authority.
    pub fn soa(&mut self, soa: Soa) {
        self.soa = Some(soa);
    }

    /// Adds all records of one owner and type; a second RRset of the same type is reported by `finish`.
    pub fn rrset(&mut self, owner: &Name, rrset: Rrset, mark: Mark) {
        let draft = self.owners.entry(owner.to_lowercase()).or_default();
        if draft.has(rrset.rtype()) {
            draft.repeated.push((rrset.rtype(), mark));
        } else {
            draft.rrsets.push((rrset, mark));
        }
    }

    /// Steers the A and AAAA of an owner; `families` tells whether any region has IPv4, IPv6.
    pub fn steer(&mut self, owner: &Name, steering: SteeringId, families: [bool; 2], mark: Mark) {
        self.owners.entry(owner.to_lowercase()).or_default().steering = Some((steering, families, mark));
    }

    /// The finished zone; `None` when an error was reported.
    pub fn finish(self, diagnostics: &mut Diagnostics) -> Option<Zone> {
        let mut found = Diagnostics::new();
        self.check_owners(&mut found);
        self.check_apex(&mut found);
        self.check_name_servers(&mut found);
        let ok = !found.has_errors();
        diagnostics.extend(found);
        if !ok {
            return None;
        }
        let alias_mark = |(owner, draft): (&Name, &Draft)| draft.get(rtype::CNAME).map(|(_, mark)| (owner.clone(), mark.clone()));
        let alias_marks: BTreeMap<Name, Mark> = self.owners.iter().filter_map(alias_mark).collect();
        self.assemble().and_then(|zone| without_alias_loops(zone, &alias_marks, diagnostics))
    }

    fn check_owners(&self, diagnostics: &mut Diagnostics) {
        for (owner, draft) in &self.owners {
            for (record_type, mark) in &draft.repeated {
                let type_name = rtype::name(*record_type);
                diagnostics.error_hint(
                    mark.clone(),
                    format!("`{owner}` has {type_name} twice"),
                    "put all values of one type into one list",
                );
            }
            if let Some((rrset, mark)) = draft.get(rtype::CNAME) {
                if rrset.iter().count() > 1 {
                    diagnostics.error(mark.clone(), format!("`{owner}` has more than one CNAME"));
                }
                if draft.rrsets.len() > 1 || draft.steering.is_some() || *owner == self.apex {
                    let text = format!("`{owner}` has a CNAME beside other data (RFC 1034 3.6.2)");
                    diagnostics.error_hint(mark.clone(), text, "use A and AAAA, or `steer:`, where other data stands");
                }
            }
            if let (Some((_, _, mark)), true) = (&draft.steering, draft.has(rtype::A) || draft.has(rtype::AAAA)) {
                let text = format!("`{owner}` is steered and has A or AAAA records as well");
                diagnostics.error_hint(mark.clone(), text, "a steered name takes its addresses from the regions");
            }
            self.check_below_cut(owner, draft, diagnostics);
        }
    }

    /// Below a cut only glue is of use; a steered name there would never be asked for.
    fn check_below_cut(&self, owner: &Name, draft: &Draft, diagnostics: &mut Diagnostics) {
        let Some(cut) = self.cut_above(owner) else { return };
        if let Some((_, _, mark)) = &draft.steering {
            diagnostics.error(mark.clone(), format!("`{owner}` cannot be steered: `{cut}` is delegated to other name servers"));
        }
        let glue = [rtype::A, rtype::AAAA];
        let below = cut != *owner;
        for (rrset, mark) in &draft.rrsets {
            let shadowed = if below { !glue.contains(&rrset.rtype()) } else { ![rtype::NS, rtype::DS].contains(&rrset.rtype()) };
            if shadowed {
                let type_name = rtype::name(rrset.rtype());
                diagnostics.warning(mark.clone(), format!("{type_name} of `{owner}` is never answered: `{cut}` is delegated"));
            }
        }
    }

    /// The highest owner at or above `owner`, below the apex, that has NS records.
    fn cut_above(&self, owner: &Name) -> Option<Name> {
        let mut cut = None;
        let mut at = Some(owner.clone());
        while let Some(name) = at.filter(|name| name.ends_with(&self.apex) && *name != self.apex) {
            if self.owners.get(&name).is_some_and(|draft| draft.has(rtype::NS)) {
                cut = Some(name.clone());
            }
            at = name.parent();
        }
        cut
    }

    fn check_apex(&self, diagnostics: &mut Diagnostics) {
        if self.soa.is_none() {
            diagnostics.error(self.mark.clone(), format!("zone `{}` has no SOA", self.apex));
        }
        if !self.owners.get(&self.apex).is_some_and(|draft| draft.has(rtype::NS)) {
            let text = format!("zone `{}` has no NS records", self.apex);
            diagnostics.error_hint(self.mark.clone(), text, "add `ns: [ns1, ns2]` with the names that the parent zone delegates to");
        }
        if let Some((owner, draft)) = self.owners.iter().find(|(owner, _)| !owner.ends_with(&self.apex)) {
            let mark = draft.rrsets.first().map_or(&self.mark, |(_, mark)| mark);
            diagnostics.error(mark.clone(), format!("`{owner}` is not in zone `{}`", self.apex));
        }
    }

    /// Name servers inside the zone need addresses here, and must not be aliases (RFC 2181 10.3).
    fn check_name_servers(&self, diagnostics: &mut Diagnostics) {
        for (rrset, mark) in self.owners.values().flat_map(|draft| &draft.rrsets).filter(|(rrset, _)| rrset.rtype() == rtype::NS) {
            for target in rrset.targets().filter(|target| target.ends_with(&self.apex)) {
                let draft = self.owners.get(&target);
                if draft.is_some_and(|draft| draft.has(rtype::CNAME)) {
                    diagnostics.error(mark.clone(), format!("name server `{target}` is an alias (RFC 2181 10.3)"));
                } else if !draft.is_some_and(Draft::has_address) {
                    let text = format!("name server `{target}` has no address in this zone");
                    diagnostics.warning_hint(mark.clone(), text, "add its A or AAAA under `records:`");
                }
            }
        }
    }

    fn assemble(mut self) -> Option<Zone> {
        let soa = self.soa.take()?;
        let content_hash = self.content_hash(&soa);
        let serial = soa.serial.unwrap_or(content_hash);
        let soa_rrset = soa_rrset(&soa, serial);
        let negative_soa = soa_rrset.with_ttl(soa.ttl_s.min(soa.minimum_s));
        self.owners.entry(self.apex.clone()).or_default().rrsets.push((soa_rrset, self.mark.clone()));
        self.add_empty_non_terminals();

        let owners: Vec<Name> = self.owners.keys().cloned().collect();
        let index_of = |name: &Name| owners.binary_search(name).ok().map(|index| index as u32);
        let nodes = owners.iter().map(|owner| self.node(owner, &index_of)).collect();
        Some(Zone {
            apex: self.apex.to_lowercase(),
            serial,
            serial_is_written: soa.serial.is_some(),
            content_hash,
            any: rfc8482_hinfo(self.ttl_s),
            negative_soa,
            nodes,
            mark: self.mark,
        })
    }

    /// Every name between an owner and the apex exists (RFC 4592 2.2.2, RFC 8020).
    fn add_empty_non_terminals(&mut self) {
        let mut missing = Vec::new();
        for owner in self.owners.keys() {
            let mut at = owner.parent();
            while let Some(name) = at.filter(|name| name.ends_with(&self.apex) && !self.owners.contains_key(name)) {
                at = name.parent();
                missing.push(name);
            }
        }
        missing.into_iter().for_each(|name| _ = self.owners.entry(name).or_default());
    }

    fn node(&self, owner: &Name, index_of: &impl Fn(&Name) -> Option<u32>) -> Node {
        let draft = &self.owners[owner];
        let mut rrsets: Vec<Rrset> = draft.rrsets.iter().map(|(rrset, _)| rrset.clone()).collect();
        rrsets.sort_by_key(Rrset::rtype);
        let cut = self.cut_above(owner).and_then(|cut| index_of(&cut));
        let alias = rrsets.iter().position(|rrset| rrset.rtype() == rtype::CNAME).and_then(|rrset| self.alias(&rrsets[rrset], index_of));
        Node {
            glue: if cut.is_some() && cut == index_of(owner) { self.glue(draft) } else { Box::default() },
            wildcard: owner.prepend(b"*").ok().and_then(|name| index_of(&name)),
            steering: draft.steering.as_ref().map(|(id, families, _)| (*id, *families)),
            rrsets: rrsets.into(),
            hash: owner.hash64(),
            owner: owner.clone(),
            cut,
            alias,
        }
    }

    /// Addresses of a delegation's name servers that this zone holds: without those below the cut nobody could reach them.
    fn glue(&self, cut: &Draft) -> Box<[Glue]> {
        let servers = cut.rrsets.iter().filter(|(rrset, _)| rrset.rtype() == rtype::NS).flat_map(|(rrset, _)| rrset.targets());
        let mut glue = Vec::new();
        for server in servers {
            let Some(draft) = self.owners.get(&server) else { continue };
            let addresses = draft.rrsets.iter().filter(|(rrset, _)| matches!(rrset.rtype(), rtype::A | rtype::AAAA));
            let required = self.cut_above(&server).is_some();
            glue.extend(addresses.map(|(rrset, _)| Glue { owner: server.clone(), rrset: rrset.clone(), required }));
        }
        glue.into()
    }

    /// Where a CNAME leads, worked out once: the look-up of its target does not depend on the question's type.
    fn alias(&self, rrset: &Rrset, index_of: &impl Fn(&Name) -> Option<u32>) -> Option<Alias> {
        let name = rrset.targets().next()?;
        let target = if !name.ends_with(&self.apex) {
            Target::Outside
        } else if let Some(node) = self.cut_above(&name).and_then(|cut| index_of(&cut)) {
            Target::Node(node)
        } else {
            self.existing_or_wildcard(&name).and_then(|name| index_of(&name)).map_or(Target::NameError, Target::Node)
        };
        Some(Alias { name, target })
    }

    /// The owner that answers for `name`: itself, or the wildcard of its closest encloser (RFC 4592 3.3.1).
    fn existing_or_wildcard(&self, name: &Name) -> Option<Name> {
        if self.owners.contains_key(name) {
            return Some(name.to_lowercase());
        }
        let mut encloser = name.parent()?;
        while !self.owners.contains_key(&encloser) {
            encloser = encloser.parent()?;
        }
        encloser.prepend(b"*").ok().filter(|wildcard| self.owners.contains_key(wildcard))
    }

    /// Equal on all nodes that load the same content, and different when the content differs (DESIGN 2).
    fn content_hash(&self, soa: &Soa) -> u32 {
        let mut hash = ROOT_HASH;
        let mut add = |octets: &[u8]| {
            hash = label_hash(label_hash(hash, &(octets.len() as u64).to_le_bytes()), octets);
        };
        let timers = [soa.refresh_s, soa.retry_s, soa.expire_s, soa.minimum_s, soa.ttl_s, self.ttl_s];
        timers.iter().for_each(|seconds| add(&seconds.to_be_bytes()));
        [&self.apex, &soa.mname, &soa.rname].into_iter().for_each(|name| add(name.as_wire()));
        for (owner, draft) in &self.owners {
            add(owner.as_wire());
            add(&[draft.steering.is_some().into()]);
            let mut rrsets: Vec<&Rrset> = draft.rrsets.iter().map(|(rrset, _)| rrset).collect();
            rrsets.sort_by_key(|rrset| rrset.rtype());
            for rrset in rrsets {
                add(&rrset.rtype().to_be_bytes());
                add(&rrset.ttl_s().to_be_bytes());
                add(rrset.rdatas());
            }
        }
        (hash >> 32) as u32
    }
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

/// Refuses CNAMEs that lead back to themselves or further than [`MAX_ALIAS_CHAIN`] (BEHAVIOUR C2, P7).
fn without_alias_loops(zone: Zone, marks: &BTreeMap<Name, Mark>, diagnostics: &mut Diagnostics) -> Option<Zone> {
    let mut found = Diagnostics::new();
    for node in &zone.nodes {
        let mut at = node;
        let mut steps = 0;
        while let Some(Alias { target: Target::Node(next), .. }) = &at.alias {
            at = &zone.nodes[*next as usize];
            steps += 1;
            if steps > MAX_ALIAS_CHAIN {
                let text = format!("the CNAME of `{}` leads in a circle or over more than {MAX_ALIAS_CHAIN} steps", node.owner);
                let mark = marks.get(&node.owner).cloned().unwrap_or_else(|| Mark::path(zone.apex.to_string()));
                found.error(mark, text);
                break;
            }
        }
    }
    let ok = !found.has_errors();
    diagnostics.extend(found);
    ok.then_some(zone)
}
