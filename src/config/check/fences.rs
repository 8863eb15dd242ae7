//! Fences: how far `only:` of a rule keeps its clients in, and what a hard fence must have so that no negative answer depends on the client.
//! It judges one rule; which clients a rule is for, and in which order rules come, is for `rules`.

use std::net::IpAddr;

use super::rules::Candidates;
use crate::config::spec::{Field, Fields};
use crate::diag::Diagnostics;
use crate::geo::{Family, RegionId};
use crate::steer::MAX_ANSWERS;
use crate::steer::rule::Fence;

/// Fallback addresses in one place: as many of each family as one answer can hold.
const MAX_FALLBACK: usize = 2 * MAX_ANSWERS as usize;

/// `fence:` and `fallback:` of a rule with `only: inside` (`None`: a rule with `prefer`, which has no fence).
pub(super) fn fence(rule: &Fields<'_>, inside: Option<&[RegionId]>, candidates: Candidates<'_>, out: &mut Diagnostics) -> Fence {
    let is_hard = is_hard(rule, out);
    let Some(inside) = inside else {
        for key in ["fence", "fallback"].into_iter().filter(|key| rule.get(key).is_some()) {
            out.error_hint(
                rule.key_mark(key),
                format!("`{key}` without `only`"),
                "a fence goes around the regions of `only:`; remove the key",
            );
        }
        return Fence::Soft;
    };
    if !is_hard {
        if rule.get("fallback").is_some() {
            let hint = "a soft fence is left when all inside is out; write `fence: hard` to stay inside, or remove `fallback`";
            out.error_hint(rule.key_mark("fallback"), "`fallback` without `fence: hard`", hint);
        }
        return Fence::Soft;
    }
    let fallback = rule.get("fallback").map(|field| addresses(&field, out)).unwrap_or_default();
    for family in [Family::V4, Family::V6].into_iter().filter(|family| candidates.have(candidates.list, *family)) {
        check_family(rule, inside, &fallback, family, candidates, out);
    }
    Fence::Hard { fallback }
}

fn is_hard(rule: &Fields<'_>, out: &mut Diagnostics) -> bool {
    let Some(field) = rule.get("fence") else { return false };
    match field.scalar() {
        Some("hard") => return true,
        Some("soft") => {}
        _ => field.refuse_hint("`soft` or `hard`", "soft: left when all inside is out; hard: never left", out),
    }
    false
}

/// What the name offers elsewhere must exist inside, and there must be an answer when all inside is forced down (BEHAVIOUR S6).
fn check_family(
    rule: &Fields<'_>,
    inside: &[RegionId],
    fallback: &[IpAddr],
    family: Family,
    candidates: Candidates<'_>,
    out: &mut Diagnostics,
) {
    const WHY: &str = "resolvers keep an empty answer for clients outside the fence, too";
    if !inside.is_empty() && !candidates.have(inside, family) {
        let text = format!("no region inside this hard fence has {family}, which others of this name have");
        out.error_hint(rule.key_mark("only"), text, format!("add one that has, or write `fence: soft`: {WHY}"));
    }
    if !fallback.iter().any(|address| Family::of(*address) == family) {
        let text = format!("a hard fence needs `fallback` with an address of {family}, for when all inside is forced down");
        let key = if rule.get("fallback").is_some() { "fallback" } else { "fence" };
        out.error_hint(rule.key_mark(key), text, format!("add `fallback: [ADDRESS, ...]` to this rule, or write `fence: soft`: {WHY}"));
    }
}

/// One address or a list of them, none twice.
pub(super) fn addresses(field: &Field<'_>, out: &mut Diagnostics) -> Vec<IpAddr> {
    let list = field.filled_list("one or more addresses", out);
    if list.len() > MAX_FALLBACK {
        out.error(field.mark(), format!("`fallback` has {} addresses, at most {MAX_FALLBACK} are allowed", list.len()));
        return Vec::new();
    }
    let mut addresses = Vec::new();
    for item in &list {
        let Some(address) = item.parsed("an IPv4 or IPv6 address", out, |text| text.parse::<IpAddr>().ok()) else { continue };
        if addresses.contains(&address) {
            out.error_hint(item.mark(), format!("address `{address}` stands twice in this list"), "remove one of them");
        } else {
            addresses.push(address);
        }
    }
    addresses
}
