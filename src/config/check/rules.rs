//! The rules of a steered name: which clients get some regions first, or some regions only.
//! It resolves names and codes; matching happens when plans are compiled.

use super::fences::fence;
use super::{Areas, Regions, reference_hint};
use crate::config::model::ServiceId;
use crate::config::spec::Field;
use crate::diag::{Diagnostics, Mark};
use crate::geo::{Family, RegionId};
use crate::steer::rule::{Action, Rule};
use crate::wire::rtype;

/// Rules of one name: each is tried for every place at load.
const MAX_RULES: usize = 256;

/// Keys of a rule.
const KEYS: [&str; 5] = ["when", "prefer", "only", "fence", "fallback"];

/// The regions that a name may be answered from, for references to them.
#[derive(Clone, Copy)]
pub(super) struct Candidates<'c> {
    /// All regions.
    pub(super) regions: &'c Regions,
    /// The areas that rules may name.
    pub(super) areas: &'c Areas,
    /// Those of this name, in listed order.
    pub(super) list: &'c [RegionId],
    /// What the name serves; none after an error.
    pub(super) service: Option<ServiceId>,
}

/// The rules in order.
pub(super) fn rules(field: &Field<'_>, candidates: Candidates<'_>, out: &mut Diagnostics) -> Vec<Rule> {
    let list = field.list();
    if list.len() > MAX_RULES {
        out.error(field.mark(), format!("`rules` has {} rules, at most {MAX_RULES} are allowed", list.len()));
        return Vec::new();
    }
    list.iter().filter_map(|item| rule(item, candidates, out)).collect()
}

fn rule(item: &Field<'_>, candidates: Candidates<'_>, out: &mut Diagnostics) -> Option<Rule> {
    const EXAMPLE: &str = "a rule such as `{when: {country: DE}, prefer: eu-central}`";
    let fields = item.fields(EXAMPLE, &KEYS, out)?;
    let when = fields.need("when", "{country: DE}", out).and_then(|field| candidates.areas.when(&field, out));
    let action = match (fields.get("prefer"), fields.get("only")) {
        (Some(field), None) => {
            fence(&fields, None, candidates, out);
            Action::Prefer(candidates.resolve(&field, out))
        }
        (None, Some(field)) => {
            let inside = candidates.resolve(&field, out);
            let fence = fence(&fields, Some(&inside), candidates, out);
            Action::Only(inside, fence)
        }
        (None, None) if fields.misspells("prefer") || fields.misspells("only") => return None,
        (None, None) => {
            out.error_hint(item.mark(), "this rule does nothing", "add `prefer:` or `only:` with a region or a list of regions");
            return None;
        }
        (Some(_), Some(_)) => {
            out.error_hint(
                fields.key_mark("only"),
                "this rule has both `prefer` and `only`",
                "use one of them; `only` keeps its regions in order of distance",
            );
            return None;
        }
    };
    Some(Rule { when: when?, action })
}

impl Candidates<'_> {
    /// Whether any of `regions` has an endpoint of the family.
    pub(super) fn have(&self, regions: &[RegionId], family: Family) -> bool {
        let offers = regions.iter().filter_map(|id| self.regions.offer(*id, self.service?));
        offers.flat_map(|offer| &offer.endpoints).any(|endpoint| endpoint.at.may_have(family))
    }

    /// Whether any of them has a CNAME for the service.
    pub(super) fn have_alias(&self) -> bool {
        let offers = self.list.iter().filter_map(|id| self.regions.offer(*id, self.service?));
        offers.flat_map(|offer| &offer.records).any(|rrset| rrset.rtype() == rtype::CNAME)
    }

    /// One region or a list of them, none twice, all of them candidates.
    fn resolve(&self, field: &Field<'_>, out: &mut Diagnostics) -> Vec<RegionId> {
        let mut ids = Vec::new();
        for item in field.filled_list("one or more regions", out) {
            let Some(id) = self.region(&item, out) else { continue };
            if ids.contains(&id) {
                out.error(item.mark(), format!("region `{}` stands twice in this list", self.regions.name(id)));
            } else {
                ids.push(id);
            }
        }
        ids
    }

    /// A region by name, which must be a candidate.
    fn region(&self, item: &Field<'_>, out: &mut Diagnostics) -> Option<RegionId> {
        self.region_named(item.text("the name of a region", out)?, &item.node.mark, out)
    }

    /// A region by the name that stands at `mark`.
    pub(super) fn region_named(&self, name: &str, mark: &Mark, out: &mut Diagnostics) -> Option<RegionId> {
        let id = known_region(name, mark, self.regions, out)?;
        if !self.list.contains(&id) && self.regions.complete() {
            let names = self.list.iter().map(|id| self.regions.name(*id));
            let hint = reference_hint("", names, "candidates");
            out.error_hint(mark.clone(), format!("region `{name}` is no candidate for this name"), hint);
            return None;
        }
        Some(id)
    }
}

/// A region by name; unknown ones are reported.
pub(super) fn known_region(name: &str, mark: &Mark, regions: &Regions, out: &mut Diagnostics) -> Option<RegionId> {
    let id = regions.id(name);
    if id.is_none() && regions.complete() {
        out.error_hint(mark.clone(), format!("unknown region `{name}`"), reference_hint(name, regions.names(), "regions"));
    }
    id
}
