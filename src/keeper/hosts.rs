//! Host names in the keeper: what each endpoint is called, and what follows for the layout and the prober when a name has new addresses.
//! It resolves nothing; it is told.

use std::net::IpAddr;
use std::sync::Arc;

use super::state::State;
use crate::config::compile::{Compiled, identity_of};
use crate::health::hosts::HostName;
use crate::health::overrides::Overrides;
use crate::health::told::AllTold;
use crate::health::{Hosts, Layout, Resolution, TargetKey};

/// Hears what is to be probed, at once and after each change; must not block.
pub(super) type TellTargets = Box<dyn Fn(Vec<TargetKey>) + Send>;

/// What one endpoint is called, for selectors, and its address where it has one of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    name: String,
    address: Option<IpAddr>,
}

/// By the number of the endpoint.
pub(super) fn places(compiled: &Compiled) -> Vec<Place> {
    let of_host = |seat: &crate::health::Seat| Place { name: seat.host.to_string(), address: None };
    let hosts = compiled.layout.endpoints.iter().map(|endpoint| endpoint.seat.as_ref().map(of_host).unwrap_or_default());
    let mut places: Vec<Place> = hosts.collect();
    let families = compiled.catalog.steerings.iter().flat_map(|steering| steering.families.iter().flatten());
    for endpoint in families.flat_map(|family| &family.candidates).flat_map(|candidate| candidate.endpoints.iter()) {
        if let Some(place) = places.get_mut(endpoint.id.0 as usize).filter(|place| place.name.is_empty()) {
            *place = Place { name: endpoint.address.to_string(), address: Some(endpoint.address) };
        }
    }
    places
}

/// What an endpoint is called.
pub(super) fn place(places: &[Place], id: u32) -> &str {
    places.get(id as usize).map_or("", |place| &place.name)
}

/// The layout of the files with what is known and said beside them: the addresses of hosts, overrides, and what others tell.
pub(super) fn in_force(layout: &Layout, places: &[Place], hosts: &Hosts, overrides: &Overrides, told: &AllTold) -> Layout {
    let fixed = |id: u32| places.get(id as usize)?.address;
    let address = |id| place(places, id).to_owned();
    let mut layout = overrides.applied(&layout.seated(hosts, fixed, identity_of), address);
    told.apply(&mut layout, address);
    layout
}

impl State {
    /// Takes what was resolved; the book hears of new addresses with the next [`State::tick`].
    pub(super) fn resolved(&mut self, host: &HostName, resolution: Resolution, now_ms: u64) {
        let error = resolution.error.clone();
        let failed_before = self.hosts.host(host).and_then(|known| known.last.as_ref()).is_some_and(|(_, last)| last.error.is_some());
        if !self.hosts.take(host, resolution, now_ms) {
            match error {
                Some(error) if !failed_before => {
                    tracing::warn!(%host, %error, "a host name cannot be resolved; its last addresses stay");
                }
                None if failed_before => tracing::info!(%host, "a host name is resolved again"),
                _ => {}
            }
            return;
        }
        let addresses: Vec<String> =
            self.hosts.host(host).map(|host| host.addresses().map(|address| address.to_string()).collect()).unwrap_or_default();
        tracing::info!(%host, addresses = addresses.join(" "), "a host name has new addresses");
        (self.moved, self.unsaved) = (true, true);
    }

    /// Has `tell` hear what is to be probed, now and after each change.
    pub(super) fn tell_targets_to(&mut self, tell: TellTargets) {
        self.tell = Some(tell);
        self.tell_targets();
    }

    /// Every distinct target.
    pub(super) fn targets(&self) -> Vec<TargetKey> {
        self.book().targets().cloned().collect()
    }

    /// True if every host has an address.
    pub(super) fn knows_hosts(&self) -> bool {
        let named = self.book().layout().hosts();
        named.iter().all(|host: &Arc<str>| self.hosts.host(host).is_some_and(|host| host.addresses().next().is_some()))
    }

    pub(super) fn tell_targets(&self) {
        self.tell.iter().for_each(|tell| tell(self.targets()));
    }
}
