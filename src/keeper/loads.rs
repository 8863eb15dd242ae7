//! Loads in the keeper: answers are counted, told loads are taken, and what regions shed follows, once a period of each capacity.
//! How much is shed is worked out by `health::overflow`; nothing is counted here that the workers do not count anyway.

use std::sync::Arc;

use super::state::State;
use crate::health::overflow::{Overflow, PoolOverflow, Refused, ShedChange, Standing};
use crate::health::view::ADMIT_ALL;
use crate::health::{CapacityKey, Layout, PoolState};
use crate::metrics::Registry;

/// A load that somebody tells.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldLoad {
    /// Of what: `REGION`, or `REGION/SERVICE` where the service has a capacity of its own.
    pub key: CapacityKey,
    /// How high it is, in the unit of the capacity.
    pub load: f64,
    /// For how long it holds, in milliseconds.
    pub holds_ms: u64,
}

/// What regions with a capacity bear and shed.
#[derive(Debug)]
pub(super) struct Loads {
    overflow: Overflow,
    /// Where answers are counted; none: in tests that count none.
    registry: Option<Arc<Registry>>,
}

impl Loads {
    pub(super) fn new(layout: &Arc<Layout>, now_ms: u64) -> Loads {
        let mut loads = Loads { overflow: Overflow::default(), registry: None };
        loads.reconcile(layout, now_ms);
        loads
    }

    /// Counts answers there from now on.
    pub(super) fn count_in(&mut self, registry: Arc<Registry>) {
        self.registry = Some(registry);
    }

    pub(super) fn reconcile(&mut self, layout: &Arc<Layout>, now_ms: u64) {
        self.overflow.reconcile(Arc::clone(layout), now_ms).iter().for_each(log);
    }

    pub(super) fn next_step_ms(&self) -> Option<u64> {
        self.overflow.next_step_ms()
    }

    pub(super) fn revision(&self) -> u64 {
        self.overflow.revision()
    }

    pub(super) fn view(&self) -> Box<[PoolOverflow]> {
        self.overflow.view()
    }

    pub(super) fn standings(&self, now_ms: u64) -> impl Iterator<Item = Standing> {
        self.overflow.standings(now_ms)
    }
}

impl State {
    /// Takes a load that was told; it is acted on with the next step. The error says why it cannot be taken.
    pub(super) fn told_load(&mut self, told: &ToldLoad, now_ms: u64) -> Result<(), String> {
        let key = &told.key;
        self.loads.overflow.push(key, told.load, told.holds_ms, now_ms).map_err(|refused| match refused {
            Refused::Unknown => format!("`{key}` has no `capacity` in the region files"),
            Refused::Counted => format!("the load of `{key}` is counted from answers; its `capacity` needs `load: pushed` to be told"),
            Refused::NoLoad => format!("`{}` is no load", told.load),
        })
    }

    /// Judges loads whose time has come.
    pub(super) fn step_loads(&mut self, now_ms: u64) {
        if self.loads.next_step_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return;
        }
        let totals = self.loads.registry.as_ref().map(|registry| registry.region_totals());
        let answers = |service: &str, region: &str| totals.as_ref().map_or(0, |totals| totals.answers(service, region));
        let view = self.book().view();
        let changes = self.loads.overflow.step(now_ms, answers, |id| view.pool(id).state == PoolState::Available);
        for change in &changes {
            self.tally.shed_changes += 1;
            log(change);
        }
    }
}

/// The begin and the end of shedding are events; what is between is not.
fn log(change: &ShedChange) {
    let percent = |share: u16| u32::from(share) * 100 / u32::from(ADMIT_ALL);
    let ShedChange { key, from, to, load, limit } = change;
    let (from, to, load) = (percent(*from), percent(*to), load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}")));
    if change.from == 0 {
        tracing::warn!(region = %key, %load, limit, shed_percent = to, "a region is over its capacity and begins to shed clients");
    } else if change.to == 0 {
        tracing::info!(region = %key, %load, limit, "a region sheds no clients any more");
    } else {
        tracing::debug!(region = %key, %load, limit, from_percent = from, shed_percent = to, "a region sheds another share of its clients");
    }
}
