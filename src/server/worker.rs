//! One answering thread's own things: its hold on the world, its round-robin turns, its counters and its seed.
//! It knows no sockets: bytes in, bytes out, whichever transport brought them.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::limit::{Responses, Shares, Verdict};
use crate::answer::ahead::Ahead;
use crate::answer::{Ask, Outcome, Transport, Turns, answer, slip};
use crate::clock::{Clock, Stopwatch};
use crate::metrics::{Counters, Grid, Registry};
use crate::querylog::Tap;
use crate::random::Random;
use crate::snapshot::{Catalog, Reader, Shared, Snapshot};
use crate::wire::cookie::Secret;
use crate::wire::query;

/// Gives the milliseconds of the monotonic clock that health is judged by; asked once per batch.
pub type NowMs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One batch in so many is timed: two calls of a clock cost about as much as an eighth of an answer, spread over all these batches nothing.
const TIMED_EVERY: u32 = 64;

/// What one answering thread holds. Nothing in it is shared for writing.
pub struct Worker {
    reader: Reader,
    /// The world of this batch. Held here too, so that the old catalog is let go of before the old snapshot: whoever
    /// retires a snapshot and sees it unused knows that no worker frees any part of it.
    world: Arc<Snapshot>,
    turns: Turns,
    registry: Arc<Registry>,
    counters: Arc<Counters>,
    grid: Arc<Grid>,
    /// Of numbers that differ from query to query: for spreading load, never for secrets.
    seed: Random,
    now: NowMs,
    now_ms: u64,
    /// The time of day, by which cookies are dated; asked once per batch.
    clock: Clock,
    wall_s: u64,
    /// What cookies are made with where the configuration has no secret.
    secret: Secret,
    /// Takes samples for the query log, where there is one.
    tap: Option<Tap>,
    /// How the limits of responses are spread; none where there are never any.
    shares: Option<Shares>,
    /// The limits of responses over UDP in force, where there are any.
    limits: Option<Box<Responses>>,
    /// Batches until one is timed.
    untimed: u32,
    /// It is looked where the clients of this batch are.
    is_sampled: bool,
    ahead: Ahead,
}

impl Worker {
    /// A worker with cells of its own in the registry.
    pub fn new(shared: &Shared, registry: &Arc<Registry>, now: &NowMs) -> Worker {
        let mut reader = shared.reader();
        let world = Arc::clone(reader.current());
        let catalog = catalog_of(&world);
        Worker {
            turns: turns_for(catalog),
            grid: registry.grid(catalog, None),
            counters: registry.counters(),
            registry: Arc::clone(registry),
            reader,
            world,
            seed: any_seed(),
            now: Arc::clone(now),
            now_ms: now(),
            clock: Clock::system(),
            wall_s: 0,
            secret: new_secret(),
            tap: None,
            shares: None,
            limits: None,
            untimed: 0,
            is_sampled: false,
            ahead: Ahead::default(),
        }
    }

    /// The same, with an end of the query log.
    pub fn with_tap(self, tap: Option<Tap>) -> Worker {
        Worker { tap, ..self }
    }

    /// The same, with what cookies are made of: all workers of a server give and take the same ones.
    pub fn with_cookies(self, secret: Secret, clock: Clock) -> Worker {
        Worker { secret, wall_s: clock.wall_s(), clock, ..self }
    }

    /// The same, with this worker's share of the limits of responses.
    pub fn with_shares(mut self, shares: Shares) -> Worker {
        self.shares = Some(shares);
        self.limit_anew();
        self
    }

    /// Takes the newest world and the time for the queries that follow, and lets go of the world before.
    #[inline]
    pub fn begin_batch(&mut self) {
        self.now_ms = (self.now)();
        self.wall_s = self.clock.wall_s();
        let newest = self.reader.current();
        if !Arc::ptr_eq(newest, &self.world) {
            let newest = Arc::clone(newest);
            self.enter(newest);
        }
        if let Some(limits) = &mut self.limits {
            limits.tell(self.now_ms);
        }
    }

    /// Lets the memory begin with what a batch of messages will be answered from, while nothing waits for it yet; each with its peer.
    #[inline]
    pub fn read_ahead<'q>(&mut self, messages: impl Iterator<Item = (&'q [u8], IpAddr)> + Clone) {
        self.ahead.read(&self.world, messages);
    }

    /// A running watch if this batch is one of those that are timed; the first one is.
    #[inline]
    pub fn stopwatch(&mut self) -> Option<Stopwatch> {
        let is_timed = self.untimed == 0;
        // Not the one that is timed: the look-up is no part of an answer.
        self.is_sampled = self.untimed == TIMED_EVERY / 2;
        self.untimed = if is_timed { TIMED_EVERY - 1 } else { self.untimed - 1 };
        is_timed.then(Stopwatch::start)
    }

    /// Counts what a batch of so many answers took, each on the average.
    #[cold]
    pub fn took(&self, watch: &Stopwatch, answers: usize) {
        self.counters.took(watch.elapsed_ns() / answers.max(1) as u64);
    }

    /// Counts how long the newest packet of this batch has waited to be read since it came, in nanoseconds since 1970.
    #[cold]
    pub fn waited(&self, newest_ns: u64) {
        self.counters.waited(self.clock.wall_ns().saturating_sub(newest_ns));
    }

    /// Answers one message into `out` and counts it. Returns the length of the reply; 0 = send nothing.
    #[inline]
    pub fn answer(&mut self, bytes: &[u8], peer: SocketAddr, local: SocketAddr, transport: Transport, out: &mut [u8]) -> usize {
        let seed = self.seed.next();
        let ask =
            Ask { bytes, peer, local, transport, now_ms: self.now_ms, wall_s: self.wall_s, secret: &self.secret, seed, turns: &self.turns };
        let mut outcome = answer(&self.world, &ask, out);
        if transport == Transport::Udp
            && let Some(limits) = &mut self.limits
            && !outcome.verified
            && let Some(over) = limits.over(peer.ip(), &outcome, self.now_ms, &self.counters)
        {
            let verdict = limits.judge(over, peer, &outcome, self.now_ms, &self.counters);
            outcome = held_back(verdict, &self.world, &ask, outcome, out);
        }
        self.counters.count(transport, &outcome);
        self.grid.count(&outcome);
        self.ahead.note(outcome.steering);
        if self.is_sampled && outcome.steering.is_some() {
            self.locate_client(&ask);
        }
        if let Some(tap) = &mut self.tap {
            tap.take(&self.world.catalog, &ask, &outcome, out);
        }
        outcome.len
    }

    /// Whether anybody is to put a header of the PROXY protocol in front.
    #[inline]
    pub(super) fn has_proxies(&self) -> bool {
        !self.world.catalog.settings.proxy_from.is_empty()
    }

    /// Whether this peer is to do so.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.world.catalog.settings.is_proxy(peer)
    }

    /// Counts the country of a client, by its subnet if that is used, else by its address.
    #[cold]
    fn locate_client(&self, ask: &Ask<'_>) {
        let catalog = catalog_of(&self.world);
        let peer = ask.peer.ip();
        let query = query::parse(ask.bytes).ok();
        let ecs = query.and_then(|query| query.edns?.ecs).filter(|_| catalog.settings.believes(peer));
        let subnet = ecs.and_then(|ecs| Some((ecs.address()?, ecs.source())));
        let (address, length) = subnet.unwrap_or((peer, if peer.is_ipv4() { 32 } else { 128 }));
        self.counters.located(catalog.table.place(catalog.table.locate(address, length).place).country);
    }

    /// This worker's counters, for what happens around the answers.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Another world: health changes share the catalog and keep turns and cells; a reload starts new ones.
    #[cold]
    fn enter(&mut self, newest: Arc<Snapshot>) {
        if !Arc::ptr_eq(catalog_of(&newest), catalog_of(&self.world)) {
            self.turns = turns_for(catalog_of(&newest));
            self.grid = self.registry.grid(catalog_of(&newest), Some(&self.grid));
        }
        self.world = newest;
        self.limit_anew();
    }

    /// The limits of the world that is in force; what was counted under the same ones goes on.
    #[cold]
    fn limit_anew(&mut self) {
        let wanted = self.world.catalog.settings.rate_limit.as_ref();
        let wanted = self.shares.as_ref().and_then(|shares| Some((wanted?, shares)));
        match (wanted, &self.limits) {
            (None, _) => self.limits = None,
            (Some((settings, _)), Some(limits)) if limits.are(settings) => {}
            (Some((settings, shares)), _) => self.limits = Some(Box::new(Responses::new(settings, shares))),
        }
    }
}

/// What is told of a response that is over a limit. One that is not sent brings no region a client.
#[cold]
fn held_back(verdict: Verdict, world: &Snapshot, ask: &Ask<'_>, outcome: Outcome, out: &mut [u8]) -> Outcome {
    match verdict {
        Verdict::Send => outcome,
        Verdict::Slip => Outcome { steering: None, region: None, ..slip(world, ask, &outcome, out) },
        Verdict::Drop => Outcome { len: 0, steering: None, region: None, ..outcome },
    }
}

// The next two functions are all that the server knows of the snapshot's fields.

fn catalog_of(world: &Snapshot) -> &Arc<Catalog> {
    &world.catalog
}

fn turns_for(catalog: &Catalog) -> Turns {
    Turns::new(catalog.turn_slots)
}

/// Starts anywhere, so that workers and restarts do not repeat each other. The source is the standard library's keys for hash tables.
fn any_seed() -> Random {
    Random::new(RandomState::new().hash_one(0u8))
}

/// A secret that nobody knows: the standard library's keys for hash tables are the system's random numbers.
pub(super) fn new_secret() -> Secret {
    let random = RandomState::new();
    let half = |number: u8| u128::from(random.hash_one(number));
    Secret((half(1) << 64 | half(2)).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    fn any_time() -> NowMs {
        Arc::new(|| 1_700_000_000)
    }

    fn world_of(catalog: &Arc<Catalog>) -> Snapshot {
        Snapshot { catalog: Arc::clone(catalog), ..Snapshot::default() }
    }

    #[test]
    fn t3_a_batch_sees_one_world_and_the_next_batch_the_newest() {
        let shared = Shared::new(world_of(&Arc::default()));
        let mut worker = Worker::new(&shared, &Registry::new(), &any_time());
        let first = shared.load();
        let old = shared.publish(Arc::new(world_of(&first.catalog)));
        assert!(Arc::ptr_eq(&worker.world, &old));
        worker.begin_batch();
        assert!(Arc::ptr_eq(&worker.world, &shared.load()));
    }

    #[test]
    fn turns_and_cells_outlive_health_changes_but_not_reloads() {
        let catalog = Arc::default();
        let shared = Shared::new(world_of(&catalog));
        let mut worker = Worker::new(&shared, &Registry::new(), &any_time());
        let before = Arc::clone(&worker.grid);
        shared.publish(Arc::new(world_of(&catalog)));
        worker.begin_batch();
        assert!(Arc::ptr_eq(&worker.grid, &before));
        shared.publish(Arc::new(world_of(&Arc::default())));
        worker.begin_batch();
        assert!(!Arc::ptr_eq(&worker.grid, &before));
    }

    #[test]
    fn a_retired_world_is_let_go_whole() {
        let shared = Shared::new(world_of(&Arc::default()));
        let mut worker = Worker::new(&shared, &Registry::new(), &any_time());
        let retired = shared.publish(Arc::new(world_of(&Arc::default())));
        worker.begin_batch();
        assert_eq!((Arc::strong_count(&retired), Arc::strong_count(&retired.catalog)), (1, 1));
    }

    #[test]
    fn the_time_is_asked_once_a_batch() {
        let asked = Arc::new(AtomicU64::new(0));
        let now: NowMs = {
            let asked = Arc::clone(&asked);
            Arc::new(move || asked.fetch_add(1, Relaxed))
        };
        let mut worker = Worker::new(&Shared::new(world_of(&Arc::default())), &Registry::new(), &now);
        worker.begin_batch();
        let (somebody, before) = (SocketAddr::from(([192, 0, 2, 1], 53)), asked.load(Relaxed));
        for _ in 0..10 {
            worker.answer(&[0; 12], somebody, somebody, Transport::Udp, &mut [0; 512]);
        }
        assert_eq!(asked.load(Relaxed), before);
    }

    #[test]
    fn seeds_do_not_repeat() {
        let mut seeds = [any_seed(), any_seed()];
        let drawn: std::collections::HashSet<_> = (0..10_000).flat_map(|_| [seeds[0].next(), seeds[1].next()]).collect();
        assert_eq!(drawn.len(), 20_000);
    }
}
