//! Who is being limited, told by the workers through bounded rings to one thread that writes a line when it begins and one when it ends.
//! A worker only counts; where the rings are full, notes are lost and nothing waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::geo::Prefix;
use crate::server::NowMs;

/// Networks that a worker counts at a time; of two that share a place, one is told early.
const SLOTS: usize = 64;

/// Notes that wait for the thread, of one worker: some of every place in the second between two looks.
const RING_NOTES: usize = 256;

/// How often workers tell and the thread looks.
const EVERY_MS: u64 = 1_000;

/// A network of which nothing was heard for so long is no longer limited.
const QUIET_MS: u64 = 10_000;

/// Networks that are followed at a time; of further ones only their number is told.
const MAX_FOLLOWED: usize = 1_024;

/// Lines in one look; of further ones only their number is told.
const MAX_LINES: usize = 10;

/// What a worker did to a network since it last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    network: Prefix,
    /// Responses over the limit.
    limited: u64,
    /// Of these, the ones that were sent empty and truncated.
    slipped: u64,
}

/// Where workers get their ends of the rings.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<Consumer<Note>>>>);

impl Notes {
    /// A ring of its own for one more worker, or for one whose limits have changed.
    pub(super) fn scribe(&self) -> Scribe {
        let (producer, consumer) = RingBuffer::new(RING_NOTES);
        self.rings(|rings| rings.push(consumer));
        Scribe { slots: [None; SLOTS], producer, told_ms: 0 }
    }

    /// Writes what the workers tell, until the stop.
    pub(in crate::server) fn write(&self, now: &NowMs, stop: &AtomicBool) {
        let mut ledger = Ledger::default();
        while !stop.load(Relaxed) {
            thread::park_timeout(Duration::from_millis(EVERY_MS));
            self.drain(|note| ledger.take(note, now()));
            ledger.lines(now()).iter().for_each(|line| tracing::warn!("{line}"));
        }
    }

    fn drain(&self, mut take: impl FnMut(Note)) {
        self.rings(|rings| {
            for ring in rings.iter_mut() {
                while let Ok(note) = ring.pop() {
                    take(note);
                }
            }
            rings.retain(|ring| !ring.is_abandoned());
        });
    }

    fn rings<T>(&self, work: impl FnOnce(&mut Vec<Consumer<Note>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A worker's end of a ring, with what it has not told yet.
#[derive(Debug)]
pub(super) struct Scribe {
    slots: [Option<Note>; SLOTS],
    producer: Producer<Note>,
    told_ms: u64,
}

impl Scribe {
    /// Counts one response over the limit.
    pub(super) fn note(&mut self, network: Prefix, slipped: bool) {
        let slot = &mut self.slots[slot_of(&network)];
        let note = match slot {
            Some(note) if note.network == network => note,
            _ => {
                if let Some(other) = slot.take() {
                    _ = self.producer.push(other);
                }
                slot.insert(Note { network, limited: 0, slipped: 0 })
            }
        };
        note.limited += 1;
        note.slipped += u64::from(slipped);
    }

    /// Tells what was counted, once a second.
    #[inline]
    pub(super) fn tell(&mut self, now_ms: u64) {
        if now_ms.wrapping_sub(self.told_ms) >= EVERY_MS {
            self.told_ms = now_ms;
            self.tell_all();
        }
    }

    #[cold]
    fn tell_all(&mut self) {
        self.slots.iter_mut().filter_map(Option::take).for_each(|note| _ = self.producer.push(note));
    }
}

/// Neighbours have places of their own.
fn slot_of(network: &Prefix) -> usize {
    let bits = network.first_bits().unbounded_shr((network.family().bits() - network.length()).into());
    (bits ^ bits >> 6) as usize % SLOTS
}

/// Who is limited just now.
#[derive(Debug, Default)]
struct Ledger {
    followed: HashMap<Prefix, Episode>,
    /// Notes of networks for which there was no room.
    others: u64,
}

#[derive(Debug)]
struct Episode {
    began_ms: u64,
    heard_ms: u64,
    limited: u64,
    slipped: u64,
    is_told: bool,
}

impl Ledger {
    fn take(&mut self, note: Note, now_ms: u64) {
        if self.followed.len() >= MAX_FOLLOWED && !self.followed.contains_key(&note.network) {
            self.others += 1;
            return;
        }
        let new = Episode { began_ms: now_ms, heard_ms: now_ms, limited: 0, slipped: 0, is_told: false };
        let episode = self.followed.entry(note.network).or_insert(new);
        episode.heard_ms = now_ms;
        episode.limited += note.limited;
        episode.slipped += note.slipped;
    }

    /// What there is to say: who is limited anew, and who no longer is.
    fn lines(&mut self, now_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let mut untold = std::mem::take(&mut self.others);
        for (network, episode) in self.followed.iter_mut().filter(|(_, episode)| !episode.is_told) {
            episode.is_told = true;
            if lines.len() < MAX_LINES {
                lines.push(format!("limiting the rate of responses to `{network}`: {} over the limit so far", episode.limited));
            } else {
                untold += 1;
            }
        }
        if untold > 0 {
            lines.push(format!("limiting the rate of responses to more networks than are named: {untold}"));
        }
        let mut ended = 0;
        self.followed.retain(|network, episode| {
            let goes_on = now_ms.saturating_sub(episode.heard_ms) < QUIET_MS;
            if !goes_on {
                ended += 1;
                if ended <= MAX_LINES {
                    let seconds = (episode.heard_ms - episode.began_ms).div_ceil(1_000).max(1);
                    let Episode { limited, slipped, .. } = episode;
                    lines.push(format!(
                        "no longer limiting responses to `{network}`: {limited} were over the limit in {seconds} s, {slipped} of them sent truncated"
                    ));
                }
            }
            goes_on
        });
        if ended > MAX_LINES {
            lines.push(format!("no longer limiting responses to more networks: {}", ended - MAX_LINES));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn told(notes: &Notes) -> Vec<Note> {
        let mut told = Vec::new();
        notes.drain(|note| told.push(note));
        told
    }

    #[test]
    fn a_worker_tells_each_network_once_a_second_with_its_counts() {
        let notes = Notes::default();
        let mut scribe = notes.scribe();
        for turn in 0..1_000 {
            scribe.note(network("192.0.2.0/24"), turn % 2 == 0);
            scribe.note(network("2001:db8::/56"), false);
        }
        scribe.tell(EVERY_MS);
        let mut first = told(&notes);
        first.sort_by_key(|note| note.network);
        let expected = [("192.0.2.0/24", 500), ("2001:db8::/56", 0)];
        assert_eq!(first, expected.map(|(text, slipped)| Note { network: network(text), limited: 1_000, slipped }));
        scribe.note(network("192.0.2.0/24"), false);
        scribe.tell(2 * EVERY_MS - 1);
        assert_eq!(told(&notes), []);
        scribe.tell(2 * EVERY_MS);
        assert_eq!(told(&notes).len(), 1);
    }

    #[test]
    fn networks_without_number_fill_no_more_than_the_ring_and_a_worker_that_is_gone_leaves_no_ring() {
        let notes = Notes::default();
        let mut scribe = notes.scribe();
        (0..100_000u32).for_each(|host| scribe.note(Prefix::host(std::net::IpAddr::V4(host.into())), false));
        assert_eq!(told(&notes).len(), RING_NOTES);
        drop(scribe);
        told(&notes);
        assert_eq!(notes.rings(|rings| rings.len()), 0);
    }

    #[test]
    fn one_line_tells_the_begin_and_one_the_end() {
        let mut ledger = Ledger::default();
        let note = Note { network: network("192.0.2.0/24"), limited: 90, slipped: 40 };
        for second in 0..60 {
            ledger.take(note, second * 1_000);
            let lines = ledger.lines(second * 1_000);
            let begins = ["limiting the rate of responses to `192.0.2.0/24`: 90 over the limit so far"];
            assert_eq!(lines, &begins[..usize::from(second == 0)], "{second}");
        }
        assert!(ledger.lines(59_000 + QUIET_MS - 1).is_empty());
        let end = "no longer limiting responses to `192.0.2.0/24`: 5400 were over the limit in 59 s, 2400 of them sent truncated";
        assert_eq!(ledger.lines(59_000 + QUIET_MS), [end]);
        assert!(ledger.lines(100_000).is_empty() && ledger.followed.is_empty());
    }

    #[test]
    fn many_networks_are_a_few_lines_and_bounded_memory() {
        let mut ledger = Ledger::default();
        for host in 0..5_000u32 {
            ledger.take(Note { network: Prefix::host(std::net::IpAddr::V4(host.into())), limited: 1, slipped: 0 }, 0);
        }
        assert_eq!(ledger.followed.len(), MAX_FOLLOWED);
        let begin = ledger.lines(0);
        assert_eq!(begin.len(), MAX_LINES + 1);
        assert!(begin[MAX_LINES].ends_with(&format!(": {}", 5_000 - MAX_LINES)), "{}", begin[MAX_LINES]);
        let end = ledger.lines(QUIET_MS);
        assert_eq!(end.len(), MAX_LINES + 1);
        assert!(end[MAX_LINES].ends_with(&format!(": {}", MAX_FOLLOWED - MAX_LINES)), "{}", end[MAX_LINES]);
    }
}
