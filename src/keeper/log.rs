//! What the log says of each change, once and with its evidence (BEHAVIOUR H6).
//! It decides nothing. A field of its lines never has a name that a line of JSON has already, as `target` and `level`.

use super::state::State;
use crate::health::{Addresses, Change, Flag, PoolState};

impl State {
    pub(super) fn log(&self, change: &Change) {
        match change {
            Change::Flag { target, flag: Some(flag @ (Flag::Held | Flag::Unmeasurable | Flag::Suppressed)), .. } => {
                tracing::warn!(probed = %target, reason = flag.text(), "a target does not follow its probes");
            }
            Change::Flag { target, flag: Some(flag), .. } => tracing::debug!(probed = %target, reason = flag.text(), "a target waits"),
            Change::Flag { target, flag: None, .. } => tracing::info!(probed = %target, "a target follows its probes again"),
            Change::Target { target, from, to, outcomes, report, .. } => {
                tracing::info!(probed = %target, %from, %to, outcomes, evidence = %report, "a target changed");
            }
            Change::Held { pool, held } => {
                let Some(pool) = self.book().layout().pools.get(pool.0 as usize) else { return };
                let (service, region, family) = (&*pool.key.service, &*pool.key.region, pool.key.addresses);
                if *held {
                    tracing::error!(service, region, %family, "a region is measured down and HELD: `guard` allows no further losses; force it by hand");
                } else {
                    tracing::warn!(service, region, %family, "a region is held no longer");
                }
            }
            Change::Pool { pool, from, to, waits, .. } => {
                let Some(name) = self.pools.get(pool.0 as usize) else { return };
                let service = self.catalog.services.get(usize::from(name.service.0)).map_or("?", String::as_str);
                let region = self.catalog.regions.get(usize::from(name.region.0)).map_or("?", |region| region.name.as_str());
                let family = self.layout.pools.get(pool.0 as usize).map_or(Addresses::Both, |pool| pool.key.addresses);
                match to {
                    _ if *waits => {
                        tracing::warn!(service, region, %family, "a region is well again and waits for `meridian ctl clear` (failback: manual)");
                    }
                    PoolState::Available => tracing::info!(service, region, %family, %from, %to, "a region changed"),
                    PoolState::Down | PoolState::ForcedDown | PoolState::Vacant => {
                        tracing::warn!(service, region, %family, %from, %to, "a region changed");
                    }
                }
            }
        }
    }
}
