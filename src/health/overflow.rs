//! Overflow: how much of its clients each region with a capacity sheds just now. Loads and the time come in, shares go out.
//! It measures nothing, and it knows no client: which of them go first is compiled into plans (`steer::plan`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::PoolId;
use super::capacity::{CapacityKey, CapacityLayout, LoadSource, Member, Sharing, Standby};
use super::view::{ADMIT_ALL, Layout};

/// A share moves at most five points in a period: what one step has moved has come to rest before the next is judged.
const STEP: u16 = ADMIT_ALL / 20;

/// A share that would move less than two points stays, unless nobody need be shed any more: an answer rate is never still.
const DEAD_BAND: u16 = ADMIT_ALL / 50;

/// Only a load that is so much off its limit at most, as a part of the limit, is left alone so. Of a region that sheds nearly all, two points
/// are a good part of the load, and where clients cannot go elsewhere it would never get back.
const NEAR: f64 = 0.1;

/// A region keeps at least so many of its clients: of those the demand is known.
const MAX_SHED: u16 = ADMIT_ALL - STEP;

/// Standby regions take overflow from the moment on at which all others bear what they can at most, until they bear less than this of it.
const SPILL_ENDS_AT: f64 = 0.9;

/// A load that was told holds at most so long, in milliseconds: who tells it must go on doing so.
pub const MAX_LOAD_AGE_MS: u64 = 3_600_000;

/// What a pool's capacity means to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolOverflow {
    /// The share of its clients that it sheds, of 1024 ([`ADMIT_ALL`]).
    pub shed: u16,
    /// Whether it takes clients that other regions shed; false for standby regions most of the time. Of a region that stands by for some
    /// names only, it speaks of these names.
    pub takes_overflow: bool,
}

impl PoolOverflow {
    /// No capacity.
    pub const NONE: PoolOverflow = PoolOverflow { shed: 0, takes_overflow: true };
}

/// A load as it was told or measured.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    load: f64,
    at_ms: u64,
    /// It says nothing any more from here on.
    until_ms: u64,
}

/// What is known of one capacity.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Account {
    shed: u16,
    reading: Option<Reading>,
    /// How much was shed when the load was known last, and when that was.
    stale: Option<(u16, u64)>,
    /// Answers since the start, when they were counted last, and when that was.
    counted: Option<(u64, u64)>,
    /// What it may bear at present: between soft and hard, beyond where there is nobody else.
    limit: f64,
    step_at_ms: u64,
}

/// A share that changed; to be logged once.
#[derive(Debug, Clone, PartialEq)]
pub struct ShedChange {
    /// Whose.
    pub key: CapacityKey,
    /// Of 1024, so far.
    pub from: u16,
    /// Of 1024, now.
    pub to: u16,
    /// The load that led to it; none: it is not known any more.
    pub load: Option<f64>,
    /// What may be borne at present.
    pub limit: f64,
}

/// One capacity as people are told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Whose.
    pub key: CapacityKey,
    /// The load, and how old it is in milliseconds; none: not known, or not any more.
    pub load: Option<(f64, u64)>,
    /// From here on clients are shed while others have room.
    pub soft: f64,
    /// What is borne at most while anybody else can bear more.
    pub hard: f64,
    /// What may be borne at present.
    pub limit: f64,
    /// The share of its clients that it sheds, of 1024.
    pub shed: u16,
}

/// Why a load is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Nothing has a capacity under this name.
    Unknown,
    /// Its load is counted from answers.
    Counted,
    /// It is negative, or no number.
    NoLoad,
}

/// The capacities of a configuration with what they shed.
#[derive(Debug, Default)]
pub struct Overflow {
    layout: Arc<Layout>,
    accounts: Vec<Account>,
    /// Standby regions that take overflow just now, by service and region.
    spills: BTreeSet<(Arc<str>, Arc<str>)>,
    revision: u64,
}

impl Overflow {
    /// Takes a new layout; what has a capacity in it again goes on shedding what it shed. Gives back who sheds nobody any more for want of one.
    pub fn reconcile(&mut self, layout: Arc<Layout>, now_ms: u64) -> Vec<ShedChange> {
        let known = self.layout.capacities.iter().zip(&self.accounts);
        let old: BTreeMap<&CapacityKey, (&CapacityLayout, &Account)> = known.map(|known| (&known.0.key, known)).collect();
        let account = |new: &CapacityLayout| {
            let soft = thousandths(new.capacity.soft_milli);
            // Answers are counted from now on, so that their rate is known a period later.
            let first_ms = if new.capacity.source == LoadSource::Pushed { now_ms + new.period_ms } else { now_ms };
            let fresh = Account { limit: soft, step_at_ms: first_ms, ..Account::default() };
            let Some((before, known)) = old.get(&new.key) else { return fresh };
            let step_at_ms = known.step_at_ms.min(now_ms + new.period_ms);
            let is_same = before.capacity.source == new.capacity.source;
            match is_same && (new.capacity.source == LoadSource::Pushed || before.services == new.services) {
                true => Account { step_at_ms, ..**known },
                // Answers of other services were counted, or they counted otherwise.
                false => Account { step_at_ms: first_ms, shed: known.shed, ..fresh },
            }
        };
        let accounts = layout.capacities.iter().map(account).collect();
        let kept: BTreeSet<&CapacityKey> = layout.capacities.iter().map(|new| &new.key).collect();
        let gone = old.into_iter().filter(|(key, (_, account))| account.shed > 0 && !kept.contains(key));
        let change = |(key, (_, account)): (&CapacityKey, (&CapacityLayout, &Account))| ShedChange {
            key: key.clone(),
            from: account.shed,
            to: 0,
            load: account.load(now_ms),
            limit: account.limit,
        };
        let changes = gone.map(change).collect();
        self.accounts = accounts;
        self.layout = layout;
        self.revision += 1;
        changes
    }

    /// When [`Overflow::step`] has something to do, in milliseconds of the caller's clock; none without any capacity.
    pub fn next_step_ms(&self) -> Option<u64> {
        self.accounts.iter().map(|account| account.step_at_ms).min()
    }

    /// Takes a load that was told: it holds for `holds_ms`, at most [`MAX_LOAD_AGE_MS`].
    pub fn push(&mut self, key: &CapacityKey, load: f64, holds_ms: u64, now_ms: u64) -> Result<(), Refused> {
        if !(load >= 0.0 && load.is_finite()) {
            return Err(Refused::NoLoad);
        }
        let at = self.layout.capacities.iter().position(|known| known.key == *key).ok_or(Refused::Unknown)?;
        if self.layout.capacities[at].capacity.source != LoadSource::Pushed {
            return Err(Refused::Counted);
        }
        let until_ms = now_ms.saturating_add(holds_ms.min(MAX_LOAD_AGE_MS));
        self.accounts[at].reading = Some(Reading { load, at_ms: now_ms, until_ms });
        Ok(())
    }

    /// Does what is due; gives back what changed. `answers(service, region)` counts since the start, `is_up` says which pools may be chosen.
    pub fn step(&mut self, now_ms: u64, answers: impl Fn(&str, &str) -> u64, is_up: impl Fn(PoolId) -> bool) -> Vec<ShedChange> {
        let due: Vec<usize> = (0..self.accounts.len()).filter(|at| self.accounts[*at].step_at_ms <= now_ms).collect();
        if due.is_empty() {
            return Vec::new();
        }
        for at in &due {
            self.accounts[*at].measure(&self.layout.capacities[*at], now_ms, &answers);
        }
        self.set_spills(now_ms, &is_up);
        self.set_limits(now_ms, &is_up);
        let mut changes = Vec::new();
        for at in due {
            let (account, layout) = (&mut self.accounts[at], &self.layout.capacities[at]);
            let from = account.shed;
            account.shed = account.next_shed(layout, now_ms);
            account.step_at_ms = now_ms + layout.period_ms;
            if account.shed != from {
                let load = account.load(now_ms);
                changes.push(ShedChange { key: layout.key.clone(), from, to: account.shed, load, limit: account.limit });
            }
        }
        self.revision += u64::from(!changes.is_empty());
        changes
    }

    /// By pool: what clients meet; empty where nothing has a capacity.
    pub fn view(&self) -> Box<[PoolOverflow]> {
        if self.accounts.is_empty() {
            return Box::default();
        }
        let mut view = vec![PoolOverflow::NONE; self.layout.pools.len()];
        for sharing in &self.layout.sharing {
            for member in &sharing.members {
                let shed = member.capacity.and_then(|at| self.accounts.get(at as usize)).map_or(0, |account| account.shed);
                let overflow = PoolOverflow { shed, takes_overflow: member.standby == Standby::Never || self.spills(sharing, member) };
                for id in &member.pools {
                    view[id.0 as usize] = overflow;
                }
            }
        }
        view.into()
    }

    /// Grows whenever [`Overflow::view`] may differ from before.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Every capacity, in the order of the files.
    pub fn standings(&self, now_ms: u64) -> impl Iterator<Item = Standing> {
        self.layout.capacities.iter().zip(&self.accounts).map(move |(layout, account)| Standing {
            key: layout.key.clone(),
            load: account
                .reading
                .filter(|reading| now_ms < reading.until_ms)
                .map(|reading| (reading.load, now_ms.saturating_sub(reading.at_ms))),
            soft: thousandths(layout.capacity.soft_milli),
            hard: thousandths(layout.capacity.hard_milli),
            limit: account.limit,
            shed: account.shed,
        })
    }

    fn spills(&self, sharing: &Sharing, member: &Member) -> bool {
        self.spills.contains(&(Arc::clone(&sharing.service), Arc::clone(&member.region)))
    }

    /// Which standby regions take overflow: those of a service where all others together bear what they can, or are down. Of two that stand
    /// by for each other, under two names, each asks what the other bears.
    fn set_spills(&mut self, now_ms: u64, is_up: &impl Fn(PoolId) -> bool) {
        let mut spills = BTreeSet::new();
        for sharing in &self.layout.sharing {
            let (regular, _) = up(sharing, is_up);
            for member in sharing.members.iter().filter(|member| member.standby != Standby::Never) {
                let others: Vec<&Member> = regular.iter().filter(|other| other.region != member.region).copied().collect();
                let group = Group::of(&others, &self.layout.capacities, &self.accounts, now_ms);
                if others.is_empty() || group.is_some_and(|group| group.is_full(self.spills(sharing, member))) {
                    spills.insert((Arc::clone(&sharing.service), Arc::clone(&member.region)));
                }
            }
        }
        self.revision += u64::from(spills != self.spills);
        self.spills = spills;
    }

    /// What each may bear at present. A region of several services bears what the tightest of them asks for.
    fn set_limits(&mut self, now_ms: u64, is_up: &impl Fn(PoolId) -> bool) {
        let mut limits: Vec<f64> = self.layout.capacities.iter().map(|layout| thousandths(layout.capacity.soft_milli)).collect();
        // By capacity: whether there is nobody else for any of the services that share it; none: it is not up.
        let mut is_last: Vec<Option<bool>> = vec![None; limits.len()];
        for sharing in &self.layout.sharing {
            let (regular, standby) = up(sharing, is_up);
            let group = Group::of(&regular, &self.layout.capacities, &self.accounts, now_ms);
            let behind = Group::of(&standby, &self.layout.capacities, &self.accounts, now_ms);
            if let ([only], []) | ([], [only]) = (&regular[..], &standby[..]) {
                only.capacity.iter().for_each(|at| _ = is_last[*at as usize].get_or_insert(true));
                continue;
            }
            regular.iter().chain(&standby).filter_map(|member| member.capacity).for_each(|at| is_last[at as usize] = Some(false));
            // While the others have room, who stands by bears no more than its soft limit.
            let behind = behind.filter(|_| standby.iter().any(|member| self.spills(sharing, member)));
            for (members, group, has_nobody_else) in [(&regular, group, standby.is_empty()), (&standby, behind, true)] {
                let Some(group) = group else { continue };
                for at in members.iter().filter_map(|member| member.capacity).map(|at| at as usize) {
                    limits[at] = limits[at].max(group.limit(&self.layout.capacities[at], has_nobody_else));
                }
            }
        }
        for ((account, limit), is_last) in self.accounts.iter_mut().zip(limits).zip(is_last) {
            // Whoever the last one sheds comes back: it bears all there is.
            account.limit = if is_last == Some(true) { limit.max(account.demand(now_ms)) } else { limit };
        }
    }
}

impl Account {
    /// Counts answers, where they are the load: their rate since the last step.
    fn measure(&mut self, layout: &CapacityLayout, now_ms: u64, answers: &impl Fn(&str, &str) -> u64) {
        let LoadSource::Answers { each_milli } = layout.capacity.source else { return };
        let total = layout.services.iter().map(|service| answers(service, &layout.key.region)).fold(0, u64::saturating_add);
        if let Some((before, then_ms)) = self.counted.replace((total, now_ms)).filter(|(_, then_ms)| *then_ms < now_ms) {
            let per_s = total.saturating_sub(before) as f64 * 1000.0 / (now_ms - then_ms) as f64;
            // Until the step after the next, which may come a little late.
            let until_ms = now_ms + 3 * layout.period_ms;
            self.reading = Some(Reading { load: per_s * thousandths(each_milli), at_ms: now_ms, until_ms });
        }
    }

    /// The load, if it is known.
    fn load(&self, now_ms: u64) -> Option<f64> {
        self.reading.filter(|reading| now_ms < reading.until_ms).map(|reading| reading.load)
    }

    /// What the load would be if nobody were shed.
    fn demand(&self, now_ms: u64) -> f64 {
        demand(self.load(now_ms).unwrap_or(0.0), self.shed)
    }

    /// What it sheds from now on.
    fn next_shed(&mut self, layout: &CapacityLayout, now_ms: u64) -> u16 {
        match self.load(now_ms) {
            Some(load) => {
                self.stale = None;
                let is_near = (load - self.limit).abs() < self.limit * NEAR;
                stepped(self.shed, target(load, self.shed, self.limit), is_near)
            }
            // Answers are counted since just now: their rate is known with the next step.
            None if self.reading.is_none() && layout.capacity.source != LoadSource::Pushed => self.shed,
            None => {
                let (from, since_ms) = *self.stale.get_or_insert((self.shed, now_ms));
                decayed(self.shed, from, now_ms - since_ms + layout.period_ms, layout.ramp_ms)
            }
        }
    }
}

/// The regions of a service that stand for one another, taken together.
#[derive(Debug, Clone, Copy)]
struct Group {
    load: f64,
    soft: f64,
    hard: f64,
}

impl Group {
    /// None where one of them bears anything, or there is none.
    fn of(members: &[&Member], layouts: &[CapacityLayout], accounts: &[Account], now_ms: u64) -> Option<Group> {
        let mut group = Group { load: 0.0, soft: 0.0, hard: 0.0 };
        for member in members {
            let at = member.capacity? as usize;
            group.load += accounts[at].load(now_ms).unwrap_or(0.0);
            group.soft += thousandths(layouts[at].capacity.soft_milli);
            group.hard += thousandths(layouts[at].capacity.hard_milli);
        }
        (!members.is_empty()).then_some(group)
    }

    /// Whether all of them bear what they can at most; once they do, until they bear noticeably less.
    fn is_full(self, was: bool) -> bool {
        self.load > if was { self.hard * SPILL_ENDS_AT } else { self.hard }
    }

    /// What one of them may bear: while the others have room its soft limit, then in proportion towards the hard one, and where all are over
    /// that and nobody else is there, all of them beyond it in the same proportion.
    fn limit(self, layout: &CapacityLayout, has_nobody_else: bool) -> f64 {
        let (soft, hard) = (thousandths(layout.capacity.soft_milli), thousandths(layout.capacity.hard_milli));
        match () {
            () if self.load <= self.soft => soft,
            () if self.load < self.hard => soft + (hard - soft) * (self.load - self.soft) / (self.hard - self.soft),
            () if has_nobody_else => hard * self.load / self.hard,
            () => hard,
        }
    }
}

/// The regions that are up: those that clients come to by themselves, and those that stand by.
fn up<'s>(sharing: &'s Sharing, is_up: &impl Fn(PoolId) -> bool) -> (Vec<&'s Member>, Vec<&'s Member>) {
    let open = sharing.members.iter().filter(|member| member.pools.iter().any(|id| is_up(*id)));
    open.partition(|member| member.standby != Standby::EveryName)
}

/// What the load would be without shedding.
fn demand(load: f64, shed: u16) -> f64 {
    load * f64::from(ADMIT_ALL) / f64::from(ADMIT_ALL - shed)
}

/// The share that would bring the load down to the limit, of 1024.
fn target(load: f64, shed: u16, limit: f64) -> u16 {
    let demand = demand(load, shed);
    if demand <= limit {
        return 0;
    }
    // From 0 to 1024, which fits.
    (((1.0 - limit / demand) * f64::from(ADMIT_ALL)).round() as u16).min(MAX_SHED)
}

/// One step towards the target; `is_near`: the load is about what may be borne.
fn stepped(shed: u16, target: u16, is_near: bool) -> u16 {
    if is_near && target > 0 && target.abs_diff(shed) < DEAD_BAND {
        return shed;
    }
    target.clamp(shed.saturating_sub(STEP), shed + STEP)
}

/// What is left of a share `elapsed_ms` after the load was known last.
fn decayed(shed: u16, from: u16, elapsed_ms: u64, ramp_ms: u64) -> u16 {
    if ramp_ms == 0 {
        return shed.saturating_sub(STEP);
    }
    let left = u64::from(from) * ramp_ms.saturating_sub(elapsed_ms) / ramp_ms;
    // At most `from`.
    shed.min(left as u16)
}

fn thousandths(milli: u64) -> f64 {
    milli as f64 / 1000.0
}

#[cfg(test)]
mod tests;
