//! The distinct rankings of a plan while it is compiled: each is worked out once for all clients with equal ingredients, on all cores, and
//! kept once. Which core worked out what never shows: numbers are given in the order in which clients first appear.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use super::head::{Ingredients, PlaceReader, Ranker};
use super::tail::Tails;
use super::{Entry, MAX_ENTRIES, PlanKey, PlanTooLarge, harm};
use crate::geo::intern::LoadMap;
use crate::progress::Progress;

/// Threads that rank at once: beyond, they would wait for the memory.
const MAX_THREADS: usize = 16;

/// Clients that are worth a thread of their own: some milliseconds of work.
const CLIENTS_PER_THREAD: usize = 4_096;

/// Clients after which it is told how many are done.
const CLIENTS_A_STEP: usize = 4_096;

/// A ranking while it is interned: its head, and which tail follows.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Interned {
    pub(super) head: Vec<Entry>,
    tail: u16,
    /// By entry of the head; empty where nobody is shed.
    harms: Vec<u8>,
}

/// What of a ranking enters an answer: candidates and bands, what follows, and the harms.
type Essence<'r> = (Vec<(u16, u16)>, u16, &'r [u8]);

/// The distinct rankings while they are collected.
#[derive(Default)]
pub(super) struct Rankings {
    interned: LoadMap<Interned, u32>,
    pub(super) entries: Vec<Entry>,
    pub(super) ends: Vec<u32>,
    pub(super) tail_of: Vec<u16>,
    /// Beside `entries`.
    pub(super) buckets: Vec<u8>,
}

impl Rankings {
    /// Works out the ranking of every client: the distinct ones, and the number of each client's.
    pub(super) fn of(
        key: &PlanKey,
        places: &PlaceReader<'_, '_>,
        tails: &Tails,
        clients: &[Ingredients],
        progress: &Progress,
    ) -> Result<(Rankings, Vec<u32>), PlanTooLarge> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
        let part_len = clients.len().div_ceil(cores).max(CLIENTS_PER_THREAD);
        let ranked = AtomicUsize::new(0);
        let count = |more: usize| progress.step("places", ranked.fetch_add(more, Relaxed) + more, clients.len());
        let count = &count;
        let parts: Vec<Part> = thread::scope(|scope| {
            let rank = |part| move || Part::ranked(key, places, tails, part, count);
            let start = |part| (part, thread::Builder::new().spawn_scoped(scope, rank(part)));
            let others: Vec<_> = clients.chunks(part_len).skip(1).map(start).collect();
            let first = clients.chunks(part_len).next().map(|part| rank(part)());
            let done = |(part, thread): (_, std::io::Result<thread::ScopedJoinHandle<'_, _>>)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // The system has no thread for it.
                Err(_) => rank(part)(),
            };
            first.into_iter().chain(others.into_iter().map(done)).collect::<Result<_, _>>()
        })?;
        let (mut rankings, mut by_client) = (Rankings::default(), Vec::with_capacity(clients.len()));
        for part in parts {
            let mut numbers = Vec::with_capacity(part.rankings.len());
            for ranking in part.rankings {
                numbers.push(rankings.number(ranking));
                if rankings.entries.len() > MAX_ENTRIES {
                    return Err(PlanTooLarge);
                }
            }
            by_client.extend(part.by_client.iter().map(|at| numbers[*at as usize]));
        }
        Ok((rankings, by_client))
    }

    /// The number of an equal ranking, or a new one.
    fn number(&mut self, ranking: Interned) -> u32 {
        *self.interned.entry(ranking).or_insert_with_key(|ranking| {
            self.entries.extend_from_slice(&ranking.head);
            self.buckets.extend_from_slice(&ranking.harms);
            self.ends.push(self.entries.len() as u32);
            self.tail_of.push(ranking.tail);
            self.tail_of.len() as u32 - 1
        })
    }

    /// Where the head of each ranking begins in `entries`, and where the last one ends.
    pub(super) fn starts(&self) -> Box<[u32]> {
        std::iter::once(0).chain(self.ends.iter().copied()).collect()
    }

    /// Whether any band of any ranking has several regions.
    pub(super) fn have_shared_bands(&self) -> bool {
        self.interned.keys().any(|ranking| ranking.head.windows(2).any(|pair| pair[0].band == pair[1].band))
    }

    /// For each ranking a number that is equal where candidates, bands and harms are, whatever put them there: what a scope must hold
    /// constant.
    pub(super) fn distinct_orders(&self) -> Vec<u32> {
        let mut known: LoadMap<Essence<'_>, u32> = LoadMap::default();
        let number = |(ends, tail): (&[u32], &u16)| {
            let head = ends[0] as usize..ends[1] as usize;
            let bands = self.entries[head.clone()].iter().map(|entry| (entry.candidate, entry.band)).collect();
            let harms = self.buckets.get(head).unwrap_or_default();
            let next = known.len() as u32;
            *known.entry((bands, *tail, harms)).or_insert(next)
        };
        self.starts().windows(2).zip(&self.tail_of).map(number).collect()
    }
}

/// What one thread has worked out.
struct Part {
    /// Distinct, in the order in which the part's clients first have them.
    rankings: Vec<Interned>,
    /// By client of the part, an index into `rankings`.
    by_client: Vec<u32>,
}

impl Part {
    fn ranked(
        key: &PlanKey,
        places: &PlaceReader<'_, '_>,
        tails: &Tails,
        clients: &[Ingredients],
        count: &(impl Fn(usize) + Sync),
    ) -> Result<Part, PlanTooLarge> {
        let (mut ranker, mut known, mut entries) = (Ranker::new(key), LoadMap::<Interned, u32>::default(), 0);
        let mut by_client = Vec::with_capacity(clients.len());
        for (at, client) in clients.iter().enumerate() {
            if at % CLIENTS_A_STEP == CLIENTS_A_STEP - 1 {
                count(CLIENTS_A_STEP);
            }
            let head = ranker.head(client, places.measured(client));
            let tail = tails.after(client.rule, &head);
            let harms = if key.sheds { harm::buckets(&head, ranker.scores(client, places.measured(client))) } else { Vec::new() };
            let (next, length) = (known.len() as u32, head.len());
            let number = *known.entry(Interned { head, tail, harms }).or_insert(next);
            entries += if number == next { length } else { 0 };
            if entries > MAX_ENTRIES {
                return Err(PlanTooLarge);
            }
            by_client.push(number);
        }
        let mut rankings: Vec<(u32, Interned)> = known.into_iter().map(|(ranking, number)| (number, ranking)).collect();
        rankings.sort_unstable_by_key(|(number, _)| *number);
        Ok(Part { rankings: rankings.into_iter().map(|(_, ranking)| ranking).collect(), by_client })
    }
}
