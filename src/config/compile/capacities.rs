//! Capacities: which regions of which services have one, and among which regions clients go when one of them sheds some.
//! What is borne and what is shed is not known here.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::model::{Model, Offer, ServiceId, Steer};
use crate::geo::RegionId;
use crate::health::{Capacity, CapacityKey, CapacityLayout, Layout, Member, PoolId, Sharing, Standby};

/// A period in which load is measured is not shorter, be the TTL 0: fewer answers than a second brings say nothing.
const MIN_PERIOD_MS: u64 = 1_000;

/// What has a capacity, while names are compiled.
#[derive(Default)]
pub(super) struct Capacities {
    list: Vec<CapacityLayout>,
    /// Numbers in `list` by region, and by the service where that has its own.
    known: BTreeMap<(RegionId, Option<ServiceId>), u32>,
    /// Whose answers are counted already.
    counted: BTreeSet<(RegionId, ServiceId)>,
    services: BTreeMap<ServiceId, BTreeMap<RegionId, Member>>,
}

impl Capacities {
    /// A name may answer from this pool of a region's service; true if that has a capacity.
    pub(super) fn enter(&mut self, model: &Model, (steer, region, offer): (&Steer, RegionId, &Offer), pool: PoolId, standby: bool) -> bool {
        let capacity = match (offer.capacity, model.regions[usize::from(region.0)].capacity) {
            (Some(own), _) => Some((Some(offer.service), own)),
            (None, Some(of_region)) => Some((None, of_region)),
            (None, None) => None,
        };
        let number = capacity.map(|(service, capacity)| self.number(model, (region, service), capacity));
        if let Some(layout) = number.and_then(|number| self.list.get_mut(number as usize)) {
            if self.counted.insert((region, offer.service)) {
                layout.services.push(model.services[usize::from(offer.service.0)].as_str().into());
            }
            layout.period_ms = layout.period_ms.max(u64::from(steer.ttl_s) * 1000);
            layout.ramp_ms = layout.ramp_ms.max(u64::from(offer.recovery.ramp_ms));
        }
        let known = self.services.entry(offer.service).or_default();
        let member = known.entry(region).or_insert_with(|| Member {
            region: model.regions[usize::from(region.0)].name.as_str().into(),
            pools: Vec::new(),
            capacity: number,
            standby: if standby { Standby::EveryName } else { Standby::Never },
        });
        member.standby = member.standby.and(standby);
        if !member.pools.contains(&pool) {
            member.pools.push(pool);
        }
        number.is_some()
    }

    fn number(&mut self, model: &Model, (region, service): (RegionId, Option<ServiceId>), capacity: Capacity) -> u32 {
        let Capacities { list, known, .. } = self;
        *known.entry((region, service)).or_insert_with(|| {
            let key = CapacityKey {
                region: model.regions[usize::from(region.0)].name.as_str().into(),
                service: service.map(|service| model.services[usize::from(service.0)].as_str().into()),
            };
            list.push(CapacityLayout { key, capacity, services: Vec::new(), period_ms: MIN_PERIOD_MS, ramp_ms: 0 });
            (list.len() - 1) as u32
        })
    }

    /// Into the layout: the services of which any region has a capacity.
    pub(super) fn finish(&mut self, model: &Model, layout: &mut Layout) {
        let sharing = std::mem::take(&mut self.services).into_iter().map(|(service, members)| Sharing {
            service: model.services[usize::from(service.0)].as_str().into(),
            members: members.into_values().collect(),
        });
        layout.sharing = sharing.filter(|sharing| sharing.members.iter().any(|member| member.capacity.is_some())).collect();
        layout.capacities = std::mem::take(&mut self.list);
        // The order of names plays no part.
        layout.capacities.iter_mut().for_each(|capacity| capacity.services.sort());
    }
}
