//! The tests of a configuration (`tests:`), asked of the world that it makes. One that fails is an error with its place and the explanation
//! of the answer; it never looks at what is served now.

use std::net::IpAddr;

use super::Down;
use crate::answer::explain::{Asked, Explanation, explain};
use crate::config::compile::Compiled;
use crate::config::model::{Expect, RCODES, Test};
use crate::diag::Diagnostics;
use crate::geo::RegionId;
use crate::snapshot::Snapshot;
use crate::wire::Rcode;

/// Asks every test; each that fails is an error with the explanation of the answer.
pub fn run(compiled: &Compiled, tests: &[Test], out: &mut Diagnostics) {
    let mut last: Option<(&[String], Snapshot)> = None;
    for test in tests {
        let down = match Down::parse(compiled, &test.down) {
            Ok(down) => down,
            Err(text) => {
                out.error(test.mark.clone(), format!("this test cannot be asked: {text}"));
                continue;
            }
        };
        // Tests of one outage stand together, and a world is made of every endpoint.
        let world = match &last {
            Some((words, world)) if *words == test.down.as_slice() => world,
            _ => &last.insert((&test.down, down.world(compiled))).1,
        };
        let asked = Asked { name: test.name.clone(), family: test.family, subnet: Some(test.client), peer: test.client.network() };
        let told = explain(world, asked, 0);
        if let Some(fault) = fault(&test.expect, &told) {
            let without = if test.down.is_empty() { String::new() } else { format!(" with {} down", test.down.join(", ")) };
            let text = format!("this test fails: for {}{without} {fault}", test.client);
            out.error_hint(test.mark.clone(), text, format!("this is how the answer came about\n{}", told.to_string().trim_end()));
        }
    }
}

/// What is not as expected.
fn fault(expect: &Expect, told: &Explanation<'_>) -> Option<String> {
    let regions = &told.world.catalog.regions;
    let name = |id: RegionId| format!("`{}`", regions[usize::from(id.0)].name);
    let names = |list: &[RegionId]| list.iter().map(|id| name(*id)).collect::<Vec<_>>().join(" or ");
    let outcome = &told.outcome;
    let is = outcome.region.map_or_else(|| "no region".to_owned(), name);
    let Expect { regions: wanted, not_regions, addresses, rcode, scope } = expect;
    if !wanted.is_empty() && !outcome.region.is_some_and(|region| wanted.contains(&region)) {
        return Some(format!("{is} is answered, not {}", names(wanted)));
    }
    if outcome.region.is_some_and(|region| not_regions.contains(&region)) {
        return Some(format!("{is} is answered, which must not be"));
    }
    if let Some(code) = rcode.filter(|code| *code != outcome.rcode) {
        return Some(format!("the response code is {}, not {}", rcode_name(outcome.rcode), rcode_name(code)));
    }
    let answered = told.steps.as_ref().map_or(&[][..], |steps| &steps.addresses);
    let text = |list: &[IpAddr]| {
        if list.is_empty() { "no address".into() } else { list.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ") }
    };
    if let Some(wanted) = addresses
        && (answered.is_empty() != wanted.is_empty() || !answered.iter().all(|address| wanted.contains(address)))
    {
        return Some(format!("{} is answered, not {}", text(answered), text(wanted)));
    }
    let is = told.steps.as_ref().map_or(0, |steps| steps.scope);
    scope.filter(|scope| *scope != is).map(|scope| format!("the scope is /{is}, not /{scope}"))
}

fn rcode_name(rcode: Rcode) -> String {
    RCODES.iter().find(|(_, known)| *known == rcode).map_or_else(|| format!("{rcode:?}"), |(name, _)| (*name).to_owned())
}
