//! What is taken to be down, and the world of a configuration in which it is. Everything else is up, and nothing is measured.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::compile::Compiled;
use crate::geo::RegionId;
use crate::health::{HealthView, Measured};
use crate::snapshot::Snapshot;

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

    /// The same and one more region.
    pub fn and(mut self, region: RegionId) -> Down {
        self.regions.push(region);
        self
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
