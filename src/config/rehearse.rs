//! Rehearsals: worlds in which something is taken to be down, and the tests of a configuration asked of them.
//! It changes nothing and serves nobody; the answers are those of the corridor.

use std::net::IpAddr;
use std::sync::Arc;

use super::compile::Compiled;
use super::model::{Expect, Test};
use crate::answer::explain::{Asked, Explanation, explain};
use crate::diag::Diagnostics;
use crate::geo::RegionId;
use crate::health::{HealthView, Measured};
use crate::snapshot::Snapshot;
use crate::wire::Rcode;

/// What is taken to be measured down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Down {
    regions: Vec<RegionId>,
    addresses: Vec<IpAddr>,
}

impl Down {
    /// From names of regions and addresses of endpoints; the error names what is neither.
    pub fn parse(compiled: &Compiled, words: &[String]) -> Result<Down, String> {
        let mut down = Down::default();
        let known = addresses(compiled);
        for word in words {
            let region = compiled.catalog.regions.iter().position(|region| region.name == *word);
            let address = word.parse::<IpAddr>().ok().filter(|address| known.contains(&Some(*address)));
            match (region, address) {
                (Some(index), _) => down.regions.push(RegionId(index as u16)),
                (None, Some(address)) => down.addresses.push(address),
                (None, None) if word.parse::<IpAddr>().is_ok() => return Err(format!("no endpoint has the address `{word}`")),
                (None, None) => return Err(format!("there is no region `{word}`")),
            }
        }
        Ok(down)
    }

    /// One whole region.
    pub fn region(region: RegionId) -> Down {
        Down { regions: vec![region], addresses: Vec::new() }
    }

    /// The world of a configuration, up but for this; what the files force by hand is forced.
    pub fn world(&self, compiled: &Compiled) -> Snapshot {
        let mut down = vec![false; compiled.layout.endpoints.len()];
        for (pool, _) in compiled.layout.pools.iter().zip(&compiled.pools).filter(|(_, name)| self.regions.contains(&name.region)) {
            pool.endpoints.clone().for_each(|id| down[id as usize] = true);
        }
        if !self.addresses.is_empty() {
            let known = addresses(compiled);
            let named = |address: &Option<IpAddr>| address.is_some_and(|address| self.addresses.contains(&address));
            down.iter_mut().zip(&known).for_each(|(down, address)| *down |= named(address));
        }
        let health = HealthView::new(&compiled.layout, |id| if down[id.0 as usize] { Measured::DOWN } else { Measured::UP });
        Snapshot { catalog: Arc::clone(&compiled.catalog), health: Arc::new(health), generation: 1 }
    }
}

/// The address of each endpoint, by its number.
fn addresses(compiled: &Compiled) -> Vec<Option<IpAddr>> {
    let mut addresses = vec![None; compiled.layout.endpoints.len()];
    let families = compiled.catalog.steerings.iter().flat_map(|steering| steering.families.iter().flatten());
    for endpoint in families.flat_map(|family| &family.candidates).flat_map(|candidate| candidate.endpoints.iter()) {
        addresses[endpoint.id.0 as usize] = Some(endpoint.address);
    }
    addresses
}

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
    super::check::RCODES.iter().find(|(_, known)| *known == rcode).map_or_else(|| format!("{rcode:?}"), |(name, _)| (*name).to_owned())
}
