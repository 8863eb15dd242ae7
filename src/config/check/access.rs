//! `queries_from:` and `transfers_from:` of the server file and of zone files, and `explain_from:`: who may ask for what.
//! It reads rules in their order; what they mean for a query is the business of the corridor.

use super::prefix;
use crate::config::spec::Field;
use crate::diag::Diagnostics;
use crate::geo::{Access, Admission, Prefix};

const RULE_KEYS: [&str; 3] = ["allow", "refuse", "drop"];

/// Networks of all rules together: the work at load grows with their square.
const MAX_NETWORKS: usize = 1_024;

const WANTED: &str = "networks, `any`, `none`, or a list of rules such as `{refuse: 192.0.2.0/24}`";

const WANTED_OF_TRANSFERS: &str = "`none`, or a list of rules such as `{drop: 192.0.2.0/24}`";

/// Networks that are allowed, or rules in order; none where everybody is.
pub(super) fn access(field: &Field<'_>, out: &mut Diagnostics) -> Option<Access> {
    match field.scalar() {
        Some("any") => return None,
        Some("none") => return Some(Access::new(&[])),
        _ => {}
    }
    let mut rules = Vec::new();
    for item in field.filled_list(WANTED, out) {
        if item.scalar().is_some() {
            rules.extend(prefix(&item, out).map(|prefix| (prefix, Admission::Allow)));
        } else {
            rule(&item, &mut rules, out);
        }
    }
    compiled(field, &rules, out)
}

/// Rules in order of which none allows: no zone is transferred yet.
pub(super) fn transfers(field: &Field<'_>, out: &mut Diagnostics) -> Access {
    let mut rules = Vec::new();
    if field.scalar() != Some("none") {
        for item in field.filled_list(WANTED_OF_TRANSFERS, out) {
            let before = rules.len();
            if item.scalar().is_none() {
                rule(&item, &mut rules, out);
            }
            if item.scalar().is_some() || rules[before..].iter().any(|(_, admission)| *admission == Admission::Allow) {
                out.error_hint(
                    item.mark(),
                    "nobody can be allowed a transfer",
                    "zones are not transferred yet: write `{refuse: ...}` or `{drop: ...}`",
                );
            }
        }
    }
    // Nobody, where there are too many: the load has failed then.
    compiled(field, &rules, out).unwrap_or_else(|| Access::only([]))
}

fn compiled(field: &Field<'_>, rules: &[(Prefix, Admission)], out: &mut Diagnostics) -> Option<Access> {
    if rules.len() > MAX_NETWORKS {
        out.error(field.mark(), format!("`{}` has {} networks, at most {MAX_NETWORKS} are allowed", field.key, rules.len()));
        return None;
    }
    Some(Access::new(rules))
}

/// One rule: `{allow: ...}`, `{refuse: ...}` or `{drop: ...}`.
fn rule(field: &Field<'_>, rules: &mut Vec<(Prefix, Admission)>, out: &mut Diagnostics) {
    let Some(keys) = field.fields(WANTED, &RULE_KEYS, out) else { return };
    let admissions = [Admission::Allow, Admission::Refuse, Admission::Drop];
    let given: Vec<_> = RULE_KEYS.iter().zip(admissions).filter_map(|(key, admission)| Some((keys.get(key)?, admission))).collect();
    if given.len() > 1 {
        out.error_hint(field.mark(), "a rule with several verdicts has no order", "write a rule for each, in the order that you mean");
    }
    for (field, admission) in given {
        if field.scalar() == Some("any") {
            rules.extend([(Prefix::ALL_V4, admission), (Prefix::ALL_V6, admission)]);
        } else {
            let networks = field.filled_list("one or more networks, or `any`", out);
            rules.extend(networks.iter().filter_map(|item| Some((prefix(item, out)?, admission))));
        }
    }
}
