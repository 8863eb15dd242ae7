//! `on_all_down` of a steered name, and what must hold between it and the name's fences.
//! It resolves what is answered instead; when nothing is up is for the health.

use super::fences::addresses;
use super::rules::Candidates;
use crate::config::model::{Fallback, Steer};
use crate::config::spec::Field;
use crate::diag::Diagnostics;
use crate::geo::Family;
use crate::name::Name;
use crate::steer::OnAllDown;
use crate::wire::rtype;
use crate::zone::rrset::Rrset;

/// What may stand under the key.
const WANTED: &str = "`open`, `last-good`, `nodata`, `servfail`, `refuse` or `{fallback: ...}`";

/// What may stand under `fallback`.
const FALLBACK: &str = "addresses such as `[192.0.2.99, \"2001:db8::99\"]`, `{service: NAME}`, or `{name: NAME}` beside CNAMEs";

/// What is answered when nothing is up, and what instead of regions.
pub(super) fn on_all_down(field: &Field<'_>, candidates: Candidates<'_>, out: &mut Diagnostics) -> (OnAllDown, Option<Fallback>) {
    let word = match field.scalar() {
        Some("fallback") => {
            field.refuse_hint(WANTED, format!("write `on_all_down: {{fallback: ...}}` with {FALLBACK}"), out);
            return Default::default();
        }
        Some(_) => return (field.typed(out).unwrap_or_default(), None),
        None => field.fields(WANTED, &["fallback"], out),
    };
    let Some(field) = word.and_then(|fields| fields.need("fallback", "[192.0.2.99]", out)) else { return Default::default() };
    (OnAllDown::Fallback, fallback(&field, candidates, out))
}

fn fallback(field: &Field<'_>, candidates: Candidates<'_>, out: &mut Diagnostics) -> Option<Fallback> {
    if !matches!(field.node.value, crate::config::spec::Value::Map(_)) {
        let all = addresses(field, out);
        if candidates.have_alias() {
            out.error_hint(field.mark(), "addresses cannot take the place of a CNAME (RFC 1034 3.6.2)", "write `{fallback: {name: NAME}}`");
        }
        for family in [Family::V4, Family::V6] {
            if !all.is_empty() && candidates.have(candidates.list, family) && !all.iter().any(|address| Family::of(*address) == family) {
                let hint = "add an address of it, if the answer for it shall not be empty then";
                out.warning_hint(field.mark(), format!("`fallback` has no address of {family}, which the name has"), hint);
            }
        }
        return Some(Fallback::Addresses(all));
    }
    let fields = field.fields(FALLBACK, &["service", "name"], out)?;
    if let Some(field) = fields.get("name") {
        return name(&field, candidates, out).map(Fallback::Name);
    }
    let field = fields.need("service", "NAME", out)?;
    let service = candidates.regions.service(&field, out)?;
    if Some(service) == candidates.service {
        out.error_hint(field.mark(), "this is the service of the name itself", "name another one, or write `on_all_down: open`");
    }
    Some(Fallback::Service(service))
}

/// The CNAME that is answered instead of those of the regions.
fn name(field: &Field<'_>, candidates: Candidates<'_>, out: &mut Diagnostics) -> Option<Rrset> {
    if !candidates.have_alias() {
        let hint = "give addresses, or a service; a CNAME can take the place of CNAMEs only (RFC 1034 3.6.2)";
        out.error_hint(field.mark(), "`name` is for names that are steered to CNAMEs", hint);
        return None;
    }
    let text = field.text("an absolute name", out)?;
    match Name::parse(text, Some(&Name::root())) {
        Ok(name) => Some(Rrset::new(rtype::CNAME, 0, &[name.as_wire().to_vec()])),
        Err(error) => {
            out.error(field.mark(), format!("`{text}` is not a name: {error}"));
            None
        }
    }
}

/// Where a hard fence is left without a region, its `fallback` has addresses only: records would be empty for those inside alone.
pub(super) fn check_fenced_records(rules: &Field<'_>, steer: &Steer, out: &mut Diagnostics) {
    if steer.types.is_empty() || !steer.rules.iter().any(|rule| rule.hard_fence().is_some()) {
        return;
    }
    let types: Vec<String> = steer.types.iter().map(|rtype| rtype::name(*rtype).to_string()).collect();
    let text = format!("a hard fence is for addresses, and the regions of this name have {} as well", types.join(", "));
    let hint = "write `fence: soft`, or give those `records` to a service of their own: what is empty for clients inside is not for others";
    out.error_hint(rules.mark(), text, hint);
}

/// Under a hard fence nothing may be answered for some clients that is empty or comes from outside (BEHAVIOUR S6).
pub(super) fn check_fences(field: &Field<'_>, steer: &Steer, candidates: Candidates<'_>, out: &mut Diagnostics) {
    if !steer.rules.iter().any(|rule| rule.hard_fence().is_some()) {
        return;
    }
    let wrong = match (steer.on_all_down, &steer.fallback) {
        (OnAllDown::Open | OnAllDown::LastGood, _) => return,
        (OnAllDown::Nodata | OnAllDown::Servfail | OnAllDown::Refuse, _) => {
            "what is empty for clients inside is not for others, and resolvers mix them up"
        }
        (_, Some(Fallback::Service(_) | Fallback::Name(_))) => "what is answered then may lie outside the fence",
        (_, Some(Fallback::Addresses(all))) => {
            let lacks =
                |family: &Family| candidates.have(candidates.list, *family) && !all.iter().any(|address| Family::of(*address) == *family);
            if ![Family::V4, Family::V6].iter().any(lacks) {
                return;
            }
            "addresses are needed of every family that the name has"
        }
        (OnAllDown::Fallback, None) => return,
    };
    let hint = "write `open`, `last-good` or `{fallback: [ADDRESS, ...]}`, or make the fence soft";
    out.error_hint(field.mark(), format!("this `on_all_down` does not go with a hard fence: {wrong}"), hint);
}
