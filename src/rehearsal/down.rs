//! What is taken to be down, and the world of a configuration in which it is. Everything else is up, and nothing is measured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::config::compile::{Compiled, identity_of};
use crate::geo::RegionId;
use crate::health::{HealthView, Hosts, Measured};
use crate::snapshot::Snapshot;

/// Stand for the addresses of host names: the dummy address (RFC 7600 4.8) and the discard prefix (RFC 6666).
const ASSUMED: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)), IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1))];

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

    /// The world of a configuration, up but for this; what the files force by hand is forced. Host names are not resolved: each has
    /// one address of each family that stands for whatever it has.
    pub fn world(&self, compiled: &Compiled) -> Snapshot {
        self.world_with(compiled, &assumed(compiled))
    }

    /// The same with the addresses of host names as they are known.
    pub fn world_with(&self, compiled: &Compiled, hosts: &Hosts) -> Snapshot {
        let known = addresses(compiled);
        let mut down = vec![false; compiled.layout.endpoints.len()];
        for (pool, _) in compiled.layout.pools.iter().zip(&compiled.pools).filter(|(_, name)| self.regions.contains(&name.region)) {
            pool.endpoints.clone().for_each(|id| down[id as usize] = true);
        }
        if !self.addresses.is_empty() {
            let named = |address: &Option<IpAddr>| address.is_some_and(|address| self.addresses.contains(&address));
            down.iter_mut().zip(&known).for_each(|(down, address)| *down |= named(address));
        }
        let layout = compiled.layout.seated(hosts, |id| *known.get(id as usize)?, identity_of);
        let health = HealthView::new(&layout, |id| if down[id.0 as usize] { Measured::DOWN } else { Measured::UP });
        Snapshot { catalog: Arc::clone(&compiled.catalog), health: Arc::new(health), generation: 1 }
    }
}

/// One address of each family for every host name: a rehearsal resolves none, and its regions have what is configured.
fn assumed(compiled: &Compiled) -> Hosts {
    let mut hosts = Hosts::default();
    compiled.layout.hosts().iter().for_each(|host| hosts.restore(host, &ASSUMED));
    hosts
}

/// The address of each endpoint, by its number.
fn addresses(compiled: &Compiled) -> Vec<Option<IpAddr>> {
    let mut addresses = vec![None; compiled.layout.endpoints.len()];
    let families = compiled.catalog.steerings.iter().flat_map(|steering| steering.families.iter().flatten());
    for endpoint in families.flat_map(|family| &family.candidates).flat_map(|candidate| candidate.endpoints.iter()) {
        let is_fixed = compiled.layout.endpoints[endpoint.id.0 as usize].seat.is_none();
        addresses[endpoint.id.0 as usize] = is_fixed.then_some(endpoint.address);
    }
    addresses
}
