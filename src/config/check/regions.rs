//! The region files: data centres in the order of the files, with what each offers.
//! A region with a fault keeps its name and its services, so that references to it are not faults as well.

use std::collections::HashMap;

use super::capacity::capacity;
use super::endpoints::offer;
use super::monitors::{NamedChecks, Required, required};
use super::networks::point;
use super::{MAX_WORD_CHARS, is_word, reference_hint, state, weight};
use crate::config::model::{Offer, Region, ServiceId};
use crate::config::spec::{Field, Fields, Key, Node, shortened};
use crate::diag::{Diagnostics, Mark};
use crate::geo::{Point, RegionId};
use crate::health::{Capacity, Override, Request};
use crate::name::Name;
use crate::steer::Weight;
use crate::wire::rtype;

/// Regions of one configuration: plans rank all of them for every place, and sixteen bits name them.
pub(super) const MAX_REGIONS: usize = 1024;

/// Services of one configuration.
const MAX_SERVICES: usize = 65_535;

/// Keys of a region.
const KEYS: [&str; 6] = ["location", "weight", "state", "capacity", "requires", "services"];

/// All regions and services while the files are read.
#[derive(Debug, Default)]
pub(in crate::config) struct Regions {
    drafts: Vec<Draft>,
    by_name: HashMap<String, RegionId>,
    services: Vec<String>,
    service_ids: HashMap<String, ServiceId>,
    checks: NamedChecks,
    /// Every region file was read, so that a name that is not here is nowhere.
    complete: bool,
}

/// A region that may lack its location, after an error.
#[derive(Debug)]
struct Draft {
    name: String,
    mark: Mark,
    location: Option<Point>,
    weight: Weight,
    state: Option<Override>,
    capacity: Option<Capacity>,
    offers: Vec<Offer>,
    /// The checks that each of them requires, and those that the region requires for all of them.
    required: Vec<Vec<Required>>,
    required_by_all: Vec<Required>,
}

impl Regions {
    /// Takes over one region file.
    pub(in crate::config) fn add_file(&mut self, node: &Node, out: &mut Diagnostics) {
        let root = Field { key: "the region file", node };
        let Some(fields) = root.fields("a map with the key `regions`", &["regions", "checks"], out) else { return };
        if let Some(checks) = fields.get("checks") {
            self.checks.add(&checks, out);
        }
        let Some(list) = fields.need("regions", "{NAME: {location: ..., services: ...}}", out) else { return };
        for (key, node) in list.map("a map of regions by name", out).unwrap_or_default() {
            self.add(key, node, out);
        }
    }

    /// All files are read; `complete` if none of them failed.
    pub(in crate::config) fn finish(&mut self, complete: bool, out: &mut Diagnostics) {
        self.complete = complete;
        for draft in &mut self.drafts {
            for (offer, required) in draft.offers.iter_mut().zip(&draft.required) {
                offer.requires = self.checks.resolve(required, complete, out);
            }
            let of_region = self.checks.resolve(&draft.required_by_all, complete, out);
            draft.offers.iter_mut().for_each(|offer| offer.requires.extend(of_region.iter().cloned()));
        }
    }

    /// Reports monitors that would run programs: whoever may write region files shall not by that run commands on this machine.
    pub(in crate::config) fn refuse_programs(&self, out: &mut Diagnostics) {
        let runs_program = |offer: &Offer| {
            let required = offer.requires.iter().map(|target| &target.monitor);
            offer.monitors.iter().chain(required).any(|monitor| matches!(monitor.request, Request::Exec(_)))
        };
        for draft in self.drafts.iter().filter(|draft| draft.offers.iter().any(runs_program)) {
            let text = format!("region `{}` has an `exec` monitor, and this server runs no programs", draft.name);
            out.error_hint(draft.mark.clone(), text, "write `exec_probes: true` into the server file if it shall");
        }
    }

    /// The regions, unless one was faulty, and the names of all services.
    pub(in crate::config) fn into_parts(self) -> (Option<Vec<Region>>, Vec<String>) {
        let finished = |draft: Draft| {
            let Draft { name, location, weight, state, capacity, offers, .. } = draft;
            Some(Region { name, location: location?, weight, state, capacity, offers })
        };
        (self.drafts.into_iter().map(finished).collect(), self.services)
    }

    /// Whether a name that is not here is nowhere.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    /// A region by name.
    pub(super) fn id(&self, name: &str) -> Option<RegionId> {
        self.by_name.get(name).copied()
    }

    /// All names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.drafts.iter().map(|region| region.name.as_str())
    }

    /// The name of a region.
    pub(super) fn name(&self, id: RegionId) -> &str {
        self.draft(id).map_or("?", |region| &region.name)
    }

    /// Where a region stands.
    pub(super) fn location(&self, id: RegionId) -> Option<Point> {
        self.draft(id)?.location
    }

    /// The weight of a region.
    pub(super) fn weight(&self, id: RegionId) -> Weight {
        self.draft(id).map_or(Weight::ONE, |region| region.weight)
    }

    /// The regions that offer a service, in the order of the files; all of them where none is given.
    pub(super) fn offering(&self, service: Option<ServiceId>) -> Vec<RegionId> {
        let ids = (0..self.drafts.len()).map(|index| RegionId(index as u16));
        ids.filter(|id| service.is_none_or(|service| self.offer(*id, service).is_some())).collect()
    }

    /// What a region offers of a service.
    pub(super) fn offer(&self, id: RegionId, service: ServiceId) -> Option<&Offer> {
        self.draft(id)?.offers.iter().find(|offer| offer.service == service)
    }

    /// Where the CNAMEs of a service in these regions lead.
    pub(super) fn aliases(&self, service: ServiceId, ids: &[RegionId]) -> Vec<Name> {
        let offers = ids.iter().filter_map(|id| self.offer(*id, service));
        let cnames = offers.flat_map(|offer| &offer.records).filter(|rrset| rrset.rtype() == rtype::CNAME);
        cnames.flat_map(|rrset| rrset.targets()).map(|name| name.to_lowercase()).collect()
    }

    /// A service by name; unknown ones are reported.
    pub(super) fn service(&self, field: &Field<'_>, out: &mut Diagnostics) -> Option<ServiceId> {
        let name = field.text("the name of a service", out)?;
        let id = self.service_ids.get(name).copied();
        if id.is_none() && self.complete {
            let hint = reference_hint(name, self.services.iter().map(String::as_str), "services");
            out.error_hint(field.mark(), format!("no region offers the service `{name}`"), hint);
        }
        id
    }

    /// The name of a service.
    pub(super) fn service_name(&self, id: ServiceId) -> &str {
        self.services.get(usize::from(id.0)).map_or("?", String::as_str)
    }

    fn draft(&self, id: RegionId) -> Option<&Draft> {
        self.drafts.get(usize::from(id.0))
    }

    /// The id of a service, new at its first mention.
    fn intern(&mut self, key: &Key, out: &mut Diagnostics) -> Option<ServiceId> {
        check_word("service", key, out);
        if let Some(id) = self.service_ids.get(&*key.text) {
            return Some(*id);
        }
        if self.services.len() == MAX_SERVICES {
            out.error(key.mark.clone(), format!("there are more than {MAX_SERVICES} services"));
            return None;
        }
        let id = ServiceId(self.services.len() as u16);
        self.services.push(key.text.to_string());
        self.service_ids.insert(key.text.to_string(), id);
        Some(id)
    }

    fn add(&mut self, key: &Key, node: &Node, out: &mut Diagnostics) {
        check_word("region", key, out);
        if let Some(first) = self.id(&key.text).and_then(|id| self.draft(id)) {
            let hint = format!("the first is at {}:{}; rename or remove one of them", first.mark.source.path.display(), first.mark.line);
            out.error_hint(key.mark.clone(), format!("region `{}` stands twice", key.text), hint);
            return;
        }
        if self.drafts.len() == MAX_REGIONS {
            out.error(key.mark.clone(), format!("there are more than {MAX_REGIONS} regions"));
            return;
        }
        let draft = self.read(key, node, out);
        self.by_name.insert(draft.name.clone(), RegionId(self.drafts.len() as u16));
        self.drafts.push(draft);
    }

    fn read(&mut self, key: &Key, node: &Node, out: &mut Diagnostics) -> Draft {
        let name = key.text.to_string();
        let mut draft = Draft {
            name,
            mark: key.mark.clone(),
            location: None,
            weight: Weight::ONE,
            state: None,
            capacity: None,
            offers: Vec::new(),
            required: Vec::new(),
            required_by_all: Vec::new(),
        };
        let region = Field { key: &key.text, node };
        let Some(fields) = region.fields("a map with `location` and `services`", &KEYS, out) else { return draft };
        draft.location = location(&fields, key, out);
        draft.weight = fields.get("weight").and_then(|field| weight(&field, out)).unwrap_or(Weight::ONE);
        draft.state = fields.get("state").and_then(|field| state(&field, out));
        draft.capacity = fields.get("capacity").and_then(|field| capacity(&field, out));
        draft.required_by_all = fields.get("requires").map(|field| required(&field, out)).unwrap_or_default();
        let Some(services) = fields.get("services") else {
            let text = format!("region `{}` offers no services", key.text);
            out.warning_hint(key.mark.clone(), text, "no name is ever answered from it; add `services:`");
            return draft;
        };
        for (key, node) in services.map("a map of services by name", out).unwrap_or_default() {
            let Some(service) = self.intern(key, out) else { continue };
            let (offer, required) = offer(service, &Field { key: &key.text, node }, out);
            draft.offers.push(offer);
            draft.required.push(required);
        }
        draft
    }
}

/// `location: {latitude: ..., longitude: ...}`, which a region must have.
fn location(fields: &Fields<'_>, region: &Key, out: &mut Diagnostics) -> Option<Point> {
    const EXAMPLE: &str = "{latitude: 38.95, longitude: -77.45}";
    let Some(field) = fields.get("location") else {
        out.error_hint(region.mark.clone(), format!("region `{}` has no location", region.text), format!("add `location: {EXAMPLE}`"));
        return None;
    };
    let keys = field.fields(&format!("a map such as `{EXAMPLE}`"), &["latitude", "longitude"], out)?;
    if keys.is_empty() {
        field.refuse(format!("a map such as `{EXAMPLE}`"), out);
    }
    point(&keys, out)
}

/// Reports a name that could not stand in metrics, tables and commands.
fn check_word(what: &str, key: &Key, out: &mut Diagnostics) {
    if !is_word(&key.text) {
        let text = format!("`{}` cannot be the name of a {what}", shortened(&key.text));
        out.error_hint(key.mark.clone(), text, format!("use 1 to {MAX_WORD_CHARS} letters, digits, `-`, `_` and `.`"));
    }
}
