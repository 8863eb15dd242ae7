//! Pools and endpoints: every use of a service in a region that health is kept of, under dense ids.
//! Names with the same demands share their pools; what is up is not known here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::PoolName;
use super::capacities::Capacities;
use crate::config::model::{At, Endpoint, Model, Offer, Region, ServiceId, Steer};
use crate::geo::{Family, RegionId};
use crate::health::hosts::MAX_HOST_ADDRESSES;
use crate::health::{Addresses, Checks, EndpointId, EndpointLayout, Layout, MinHealthy, PoolId, PoolKey as PoolNames, PoolLayout, Seat};
use crate::steer::hash::identity;
use crate::steer::{self, Candidate, Families, OnAllDown};
use crate::zone::rrset::Rrset;

/// What makes two uses of a region's service share their health: the place and the demands on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    pub(super) service: ServiceId,
    pub(super) region: RegionId,
    /// None: records, with the endpoints of both.
    pub(super) family: Option<Family>,
    pub(super) min_healthy: MinHealthy,
    pub(super) families: Families,
    /// See [`group`].
    pub(super) group: u64,
}

/// What tells the pools of a name apart from those of others, where its regions are judged together; 0 where each is judged alone.
/// For records those regions are judged together that have the type.
pub(super) fn group(model: &Model, steer: &Steer, rtype: Option<u16>) -> u64 {
    let remembers = steer.on_all_down == OnAllDown::LastGood;
    let scored = steer.balance.policy().scored_by();
    if steer.tiers.is_empty() && !remembers && scored.is_none() {
        return 0;
    }
    let names: Vec<&str> = steer.regions.iter().map(|id| model.regions[usize::from(id.0)].name.as_str()).collect();
    identity(&[format!("{names:?} {:?} {remembers} {scored:?} {rtype:?}", steer.tiers).as_bytes()]).max(1)
}

/// Pools and endpoints under dense ids.
#[derive(Default)]
pub(super) struct Pools {
    pub(super) layout: Layout,
    pub(super) names: Vec<PoolName>,
    known: HashMap<PoolKey, (PoolId, Arc<[steer::Endpoint]>)>,
    pub(super) capacities: Capacities,
    pub(super) turn_slots: u32,
    /// See [`Pools::keep_records`].
    pub(super) records: Vec<Box<[Rrset]>>,
}

/// Stands for the address of a host until the view of health knows one; it is never answered.
const UNKNOWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// By what an address is known to hashes of clients (BEHAVIOUR P8), wherever it stands.
pub fn identity_of(address: IpAddr) -> u64 {
    identity(&[address.to_string().as_bytes()])
}

impl Endpoint {
    /// How many addresses of one family it may have.
    pub(in crate::config) fn places(&self) -> usize {
        match self.at {
            At::Address(_) => 1,
            At::Host { .. } => MAX_HOST_ADDRESSES,
        }
    }
}

fn addresses(family: Option<Family>) -> Addresses {
    match family {
        Some(Family::V4) => Addresses::V4,
        Some(Family::V6) => Addresses::V6,
        None => Addresses::Both,
    }
}

impl Pools {
    /// The pool of a region's service in one family; `None` where the region has no endpoint of the family.
    pub(super) fn pool(&mut self, model: &Model, region: &Region, offer: &Offer, key: PoolKey) -> Option<(PoolId, Arc<[steer::Endpoint]>)> {
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        let PoolKey { service, region: region_id, family, min_healthy, group, .. } = key;
        let first = self.layout.endpoints.len() as u32;
        let families = [Family::V4, Family::V6].into_iter().filter(|of| family.is_none_or(|family| family == *of));
        let places = families.flat_map(|family| {
            let of_family = offer.endpoints.iter().filter(move |endpoint| endpoint.at.may_have(family));
            of_family.flat_map(move |endpoint| (0..endpoint.places()).map(move |number| (endpoint, number, family)))
        });
        let endpoints: Arc<[steer::Endpoint]> =
            (first..).zip(places).map(|(id, (endpoint, number, family))| self.endpoint(id, endpoint, (number, family), offer)).collect();
        if endpoints.is_empty() && family.is_some() {
            return None;
        }
        let id = PoolId(self.layout.pools.len() as u32);
        let last = self.layout.endpoints.len() as u32;
        let name = model.services.get(usize::from(service.0)).map_or("", String::as_str);
        self.layout.pools.push(PoolLayout {
            key: PoolNames { service: name.into(), region: region.name.as_str().into(), addresses: addresses(family) },
            endpoints: first..last,
            min_healthy,
            region_state: region.state,
            together_with: None,
            other_family: None,
            group,
            tier: Arc::default(),
            mates: Arc::default(),
            scored: None,
            guard: model.server.guard,
            degraded_admit: offer.degraded_admit,
            recovery: offer.recovery,
        });
        self.names.push(PoolName { service, region: region_id });
        self.known.insert(key, (id, Arc::clone(&endpoints)));
        Some((id, endpoints))
    }

    /// The number under which the catalog has these records.
    pub(super) fn keep_records(&mut self, records: &[Rrset]) -> u32 {
        self.records.push(records.into());
        self.records.len() as u32 - 1
    }

    /// One endpoint, or the place for the address with this number of a host.
    fn endpoint(&mut self, id: u32, endpoint: &Endpoint, (number, family): (usize, Family), offer: &Offer) -> steer::Endpoint {
        let requires = offer.requires.as_slice().into();
        let (address, targets, seat) = match &endpoint.at {
            At::Address(address) => (*address, offer.monitors.iter().map(|monitor| monitor.target(*address)).collect(), None),
            At::Host { name, .. } => {
                let monitors = offer.monitors.iter().map(|monitor| monitor.of_host(name)).collect();
                let seat = Seat { host: Arc::clone(name), ipv6: family == Family::V6, number, monitors, taken: None };
                (UNKNOWN_ADDRESS, Box::default(), Some(seat))
            }
        };
        let checks = Checks { targets, combine: offer.combine, requires };
        self.layout.endpoints.push(EndpointLayout { checks, state: endpoint.state, told: None, seat });
        let (id, identity) = (EndpointId(id), identity_of(address));
        steer::Endpoint { address, id, identity, weight: endpoint.weight.milli() }
    }

    /// Whether two pools are of one service.
    pub(super) fn serve_alike(&self, a: PoolId, b: PoolId) -> bool {
        self.names[a.0 as usize].service == self.names[b.0 as usize].service
    }

    /// The two families of one region stand in for each other where one cannot be measured (BEHAVIOUR H5); `together`: both are
    /// needed (BEHAVIOUR P5).
    pub(super) fn tie(&mut self, a: PoolId, b: PoolId, together: bool) {
        for (one, other) in [(a, b), (b, a)] {
            let pool = &mut self.layout.pools[one.0 as usize];
            pool.other_family = Some(other);
            pool.together_with = together.then_some(other);
        }
    }

    /// The candidates of a name in one family are judged together: those of one tier, and all of them where the last that were up are remembered.
    pub(super) fn judge_together(&mut self, candidates: &[Candidate], tiers: &[u16], steer: &Steer) {
        let all: Arc<[PoolId]> = candidates.iter().map(|candidate| candidate.pool).collect();
        for (at, id) in all.iter().enumerate() {
            let is_mate = |other: &usize| tiers.get(*other) == tiers.get(at);
            let pool = &mut self.layout.pools[id.0 as usize];
            pool.scored = steer.balance.policy().scored_by();
            if !tiers.is_empty() {
                pool.tier = (0..all.len()).filter(is_mate).map(|other| all[other]).collect();
            }
            if steer.on_all_down == OnAllDown::LastGood {
                pool.mates = Arc::clone(&all);
            }
        }
    }

    pub(super) fn next_slot(&mut self) -> u32 {
        self.turn_slots += 1;
        self.turn_slots - 1
    }
}
