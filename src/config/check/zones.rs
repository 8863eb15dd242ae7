//! The zone files: apex, SOA, name servers, records and steered names of each, handed to the zone builder.
//! It judges one entry at a time; the builder judges the zone as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::MAX_TTL_S;
use super::access::{access, transfers};
use super::records::{record_type, rrset};
use super::steer::{Known, steer};
use crate::config::files;
use crate::config::master;
use crate::config::model::Steer;
use crate::config::spec::{Field, Fields, Key, Node};
use crate::diag::{Diagnostics, Mark, Severity};
use crate::name::Name;
use crate::wire::rtype;
use crate::zone::build::{Builder, Soa};
use crate::zone::rrset::Rrset;
use crate::zone::{SteeringId, Zone};

/// Keys of a zone file.
const KEYS: [&str; 8] = ["zone", "ttl", "soa", "ns", "records", "records_file", "queries_from", "transfers_from"];

/// Keys of `soa`.
const SOA_KEYS: [&str; 8] = ["mname", "rname", "serial", "refresh", "retry", "expire", "minimum", "ttl"];

/// TTL of a zone's records when none is given.
const DEFAULT_TTL_S: u32 = 300;

/// SOA values when none are given.
const DEFAULT_REFRESH_S: u32 = 14_400;
const DEFAULT_RETRY_S: u32 = 3_600;
const DEFAULT_EXPIRE_S: u32 = 1_209_600;
const DEFAULT_MINIMUM_S: u32 = 300;

/// Names that the aliases of one steered name may lead over: each region has one, and few have more.
const MAX_FOLLOWED: usize = 65_536;

/// The mailbox of a zone when none is given.
const DEFAULT_RNAME: &str = "hostmaster";

/// All zones while their files are read.
#[derive(Debug)]
pub(in crate::config) struct Zones<'r> {
    known: Known<'r>,
    zones: Vec<Zone>,
    steerings: Vec<Steer>,
    apexes: HashMap<Name, Mark>,
}

/// One zone while its file is read.
struct Draft<'z, 'r> {
    all: &'z mut Zones<'r>,
    apex: Name,
    ttl_s: u32,
    builder: Builder,
    /// Owners of `records`, each once.
    owners: HashMap<Name, u32>,
    /// Types that were written in the zone file, and where.
    written: HashMap<Name, Vec<(u16, Mark)>>,
}

impl<'r> Zones<'r> {
    /// No zones yet; steered names refer to what is known.
    pub(in crate::config) fn new(known: Known<'r>) -> Zones<'r> {
        Zones { known, zones: Vec::new(), steerings: Vec::new(), apexes: HashMap::new() }
    }

    /// The zones and the steered names of all of them.
    pub(in crate::config) fn finish(self, out: &mut Diagnostics) -> (Vec<Zone>, Vec<Steer>) {
        warn_of_missing_cuts(&self.zones, out);
        self.check_circles(out);
        (self.zones, self.steerings)
    }

    /// CNAMEs that regions have and that lead back to the steered name, or further than a client follows (BEHAVIOUR C2, P7).
    fn check_circles(&self, out: &mut Diagnostics) {
        let targets = |steer: &Steer| self.known.regions.aliases(steer.service, &steer.regions);
        let steered: BTreeMap<&Name, Vec<Name>> = self.steerings.iter().map(|steer| (&steer.owner, targets(steer))).collect();
        let next = |name: &Name| match steered.get(name) {
            Some(targets) => targets.clone(),
            None => self.zones.iter().find_map(|zone| zone.alias_of(name)).into_iter().collect(),
        };
        for (owner, targets) in &steered {
            let mut seen: BTreeSet<Name> = BTreeSet::new();
            let mut waiting = targets.clone();
            while let Some(name) = waiting.pop().filter(|_| seen.len() <= MAX_FOLLOWED) {
                if name == **owner {
                    let zone = self.zones.iter().filter(|zone| owner.ends_with(&zone.apex)).max_by_key(|zone| zone.apex.label_count());
                    let mark = zone.map_or_else(|| Mark::path("zones"), |zone| zone.mark.clone());
                    let hint = "change the `records: {CNAME: ...}` of its regions";
                    out.error_hint(mark, format!("the CNAMEs that `{owner}` is steered to lead back to it"), hint);
                    break;
                }
                if seen.insert(name.clone()) {
                    waiting.extend(next(&name));
                }
            }
        }
    }

    /// Takes over one zone file.
    pub(in crate::config) fn add_file(&mut self, node: &Node, out: &mut Diagnostics) {
        let mut found = Diagnostics::new();
        let zone = self.read(node, &mut found);
        self.zones.extend(zone);
        out.extend(found);
    }

    /// `out` holds the faults of this file only.
    fn read(&mut self, node: &Node, out: &mut Diagnostics) -> Option<Zone> {
        let root = Field { key: "the zone file", node };
        let fields = root.fields("a map with keys such as `zone` and `records`", &KEYS, out)?;
        let (apex, mark) = self.apex(&fields, out)?;
        let written_ttl_s = fields.get("ttl").and_then(|field| field.seconds(0..=MAX_TTL_S, out));
        let ttl_s = written_ttl_s.unwrap_or(DEFAULT_TTL_S);
        let queries_from = fields.get("queries_from").and_then(|field| access(&field, out));
        let transfers_from = fields.get("transfers_from").map(|field| transfers(&field, out));
        let builder = Builder::new(apex.clone(), ttl_s, mark);
        let mut draft = Draft { all: self, apex, ttl_s, builder, owners: HashMap::new(), written: HashMap::new() };
        draft.name_servers(&fields, out);
        draft.records(&fields, out);
        let from_file = draft.records_file(&fields, written_ttl_s, out);
        if let Some(soa) = draft.soa(&fields, from_file, out) {
            draft.builder.soa(soa);
        }
        let mut whole = Diagnostics::new();
        let mut zone = draft.builder.finish(&mut whole);
        if let Some(zone) = &mut zone {
            (zone.queries_from, zone.transfers_from) = (queries_from, transfers_from);
        }
        if out.has_errors() {
            // Where an entry was refused, the zone lacks what it would have held: warnings of that would mislead.
            whole.iter().filter(|found| found.severity == Severity::Error).for_each(|found| out.push(found.clone()));
        } else {
            out.extend(whole);
        }
        zone
    }

    /// `zone:`, which no other file may name as well (N7).
    fn apex(&mut self, fields: &Fields<'_>, out: &mut Diagnostics) -> Option<(Name, Mark)> {
        let field = fields.need("zone", "example.com", out)?;
        let apex = name(&field, &Name::root(), out)?;
        if apex.is_wildcard() {
            field.refuse("a name without a wildcard", out);
            return None;
        }
        if let Some(first) = self.apexes.get(&apex) {
            let hint = format!("the first is at {}:{}; merge the files", first.source.path.display(), first.line);
            out.error_hint(field.mark(), format!("the zone `{apex}` stands in two files"), hint);
            return None;
        }
        self.apexes.insert(apex.clone(), field.mark());
        Some((apex, field.mark()))
    }
}

impl Draft<'_, '_> {
    /// `ns:`, one name or a list.
    fn name_servers(&mut self, fields: &Fields<'_>, out: &mut Diagnostics) {
        let Some(field) = fields.get("ns") else { return };
        let items = field.filled_list("one or more names", out);
        // A name that was refused stands as the root, so that the zone is not said to lack name servers as well.
        let servers: Vec<Name> = items.iter().map(|item| host(item, &self.apex, out).unwrap_or_else(Name::root)).collect();
        let rdatas: Vec<Vec<u8>> = servers.iter().map(|server| server.as_wire().to_vec()).collect();
        self.add(&self.apex.clone(), Rrset::new(rtype::NS, self.ttl_s, &rdatas), fields.key_mark("ns"));
    }

    fn add(&mut self, owner: &Name, rrset: Rrset, mark: Mark) {
        self.written.entry(owner.clone()).or_default().push((rrset.rtype(), mark.clone()));
        self.builder.rrset(owner, rrset, mark);
    }

    /// `records:`, by owner.
    fn records(&mut self, fields: &Fields<'_>, out: &mut Diagnostics) {
        let entries = fields.get("records").and_then(|field| field.map("a map of records by name", out)).unwrap_or_default();
        for (key, node) in entries {
            let Some(owner) = self.owner(key, out) else { continue };
            if let Some(line) = self.owners.get(&owner) {
                let text = format!("`{}` is the same name as the one on line {line}", key.text);
                out.error_hint(key.mark.clone(), text, "put all records of a name into one entry");
                continue;
            }
            self.owners.insert(owner.clone(), key.mark.line);
            let field = Field { key: &key.text, node };
            for (kind, value) in field.map("a map such as `{A: 192.0.2.1}` or `{steer: {service: web}}`", out).unwrap_or_default() {
                self.record(&owner, kind, value, out);
            }
        }
    }

    /// One `TYPE: value`, or `steer:`.
    fn record(&mut self, owner: &Name, kind: &Key, value: &Node, out: &mut Diagnostics) {
        let field = Field { key: &kind.text, node: value };
        if &*kind.text == "steer" {
            if let Some((steer, families)) = steer(owner.clone(), &field, self.ttl_s, self.all.known, out) {
                let id = SteeringId(self.all.steerings.len() as u32);
                self.builder.steer(owner, id, families, &steer.types, kind.mark.clone());
                self.all.steerings.push(steer);
            }
            return;
        }
        let Some(record_type) = record_type(kind, out) else { return };
        if let Some(rrset) = rrset(record_type, &field, self.ttl_s, &self.apex, out) {
            self.add(owner, rrset, kind.mark.clone());
        }
    }

    /// The name of an entry, relative to the zone and inside it.
    fn owner(&self, key: &Key, out: &mut Diagnostics) -> Option<Name> {
        let owner = match Name::parse(&key.text, Some(&self.apex)) {
            Ok(owner) => owner,
            Err(error) => {
                out.error(key.mark.clone(), format!("`{}` is not a name: {error}", key.text));
                return None;
            }
        };
        if !owner.ends_with(&self.apex) {
            let hint = format!("names without a final dot are relative to the zone; `@` is `{}` itself", self.apex);
            out.error_hint(key.mark.clone(), format!("`{owner}` is outside the zone `{}`", self.apex), hint);
            return None;
        }
        Some(owner)
    }

    /// `records_file:`, a master file beside `records:`. Gives its SOA, if it has one.
    fn records_file(&mut self, fields: &Fields<'_>, ttl_s: Option<u32>, out: &mut Diagnostics) -> Option<(Soa, Mark)> {
        let field = fields.get("records_file")?;
        let path = files::resolve(field.text("a master file", out)?, &field.node.mark);
        let source = files::read_text(&path, files::MAX_TEXT_OCTETS, &field.node.mark, out)?;
        let file = master::read(&source, &master::Zone { apex: &self.apex, ttl_s, drops_signatures: false }, out);
        for set in file.rrsets {
            let written = self.written.get(&set.owner).and_then(|types| types.iter().find(|(rtype, _)| *rtype == set.rrset.rtype()));
            match written {
                Some((rtype, first)) => {
                    let text = format!("`{}` has {} here and at {}", set.owner, rtype::name(*rtype), place(first));
                    out.error_hint(set.mark, text, "keep one of them: all values of one type stand in one file");
                }
                None => self.builder.rrset(&set.owner, set.rrset, set.mark),
            }
        }
        file.soa
    }

    /// `soa:` with defaults, or that of the master file.
    fn soa(&self, fields: &Fields<'_>, from_file: Option<(Soa, Mark)>, out: &mut Diagnostics) -> Option<Soa> {
        let keys = match (fields.get("soa"), from_file) {
            (Some(_), Some((soa, mark))) => {
                let text = format!("the zone has an SOA here and `soa` at {}", place(&fields.key_mark("soa")));
                out.error_hint(mark, text, "keep one of them: without `soa` in the zone file this one is used");
                return Some(soa);
            }
            (None, Some((soa, _))) => return Some(soa),
            (Some(field), None) => Some(field.fields("a map such as `{mname: ns1, rname: hostmaster}`", &SOA_KEYS, out)?),
            (None, None) => None,
        };
        let get = |key: &str| keys.and_then(|keys| keys.get(key));
        let seconds = |key: &str, default: u32, out: &mut Diagnostics| {
            get(key).and_then(|field| field.seconds(0..=MAX_TTL_S, out)).unwrap_or(default)
        };
        let refresh_s = seconds("refresh", DEFAULT_REFRESH_S, out);
        let retry_s = seconds("retry", DEFAULT_RETRY_S, out);
        let expire_s = seconds("expire", DEFAULT_EXPIRE_S, out);
        let minimum_s = seconds("minimum", DEFAULT_MINIMUM_S, out);
        let ttl_s = seconds("ttl", self.ttl_s, out);
        let serial = get("serial").and_then(|field| field.whole(0..=u64::from(u32::MAX), out));
        let mname = match (get("mname"), self.builder.name_server()) {
            (Some(field), _) => name(&field, &self.apex, out)?,
            (None, Some(server)) => server,
            // What was refused may have been what is missing here; there will be no zone either way.
            (None, None) if out.has_errors() => self.apex.clone(),
            (None, None) => {
                let mark = keys.map_or(fields.mark, |keys| keys.mark).clone();
                out.error_hint(mark, "the zone has neither `ns` nor an SOA with `mname`", "add `ns: [ns1, ns2]`");
                return None;
            }
        };
        let rname = match get("rname") {
            Some(field) => mailbox(&field, &self.apex, out)?,
            None => self.apex.prepend(DEFAULT_RNAME.as_bytes()).unwrap_or_else(|_| self.apex.clone()),
        };
        Some(Soa { mname, rname, serial, refresh_s, retry_s, expire_s, minimum_s, ttl_s })
    }
}

/// A zone inside another one needs NS records there: whoever asks the zone above must be sent on (BEHAVIOUR N7).
fn warn_of_missing_cuts(zones: &[Zone], out: &mut Diagnostics) {
    let by_apex: HashMap<&Name, &Zone> = zones.iter().map(|zone| (&zone.apex, zone)).collect();
    let above = |name: &Name| std::iter::successors(name.parent(), Name::parent);
    for child in zones {
        let Some(parent) = above(&child.apex).find_map(|name| by_apex.get(&name)) else { continue };
        let node = |name: &Name| parent.nodes.binary_search_by(|node| node.owner.cmp(name)).ok().map(|index| &parent.nodes[index]);
        // The closest existing name in the parent: at or below a delegation, others have been told.
        let closest = node(&child.apex).or_else(|| above(&child.apex).find_map(|name| node(&name)));
        if closest.is_some_and(|node| node.cut.is_none()) {
            let text = format!("the zone `{}` lies in the zone `{}`, which does not delegate it", child.apex, parent.apex);
            let hint = format!("add its NS records to the zone at {}", place(&parent.mark));
            out.warning_hint(child.mark.clone(), text, hint);
        }
    }
}

/// A place for the middle of a message.
fn place(mark: &Mark) -> String {
    format!("{}:{}", mark.source.path.display(), mark.line)
}

/// A name, relative to `origin` unless it ends in a dot.
fn name(field: &Field<'_>, origin: &Name, out: &mut Diagnostics) -> Option<Name> {
    let text = field.text("a name", out)?;
    match Name::parse(text, Some(origin)) {
        Ok(name) => Some(name),
        Err(error) => {
            out.error(field.mark(), format!("`{text}` is not a name: {error}"));
            None
        }
    }
}

/// The name of a host, where people write addresses by mistake.
fn host(field: &Field<'_>, origin: &Name, out: &mut Diagnostics) -> Option<Name> {
    let address = field.scalar().filter(|text| text.parse::<IpAddr>().is_ok());
    if let Some(text) = address {
        out.error_hint(field.mark(), format!("`{text}` is an address"), "give a name that has it as its A or AAAA");
        return None;
    }
    name(field, origin, out)
}

/// A mailbox as a name (RFC 1035 8), or as people write it: `hostmaster@example.com`.
fn mailbox(field: &Field<'_>, origin: &Name, out: &mut Diagnostics) -> Option<Name> {
    let text = field.text("a mailbox", out)?;
    let Some((user, domain)) = text.split_once('@').filter(|(user, domain)| !user.is_empty() && !domain.is_empty()) else {
        return name(field, origin, out);
    };
    let mailbox = Name::parse(domain, Some(&Name::root())).and_then(|domain| domain.prepend(user.as_bytes()));
    if let Err(error) = &mailbox {
        out.error(field.mark(), format!("`{text}` is not a mailbox: {error}"));
    }
    mailbox.ok()
}
