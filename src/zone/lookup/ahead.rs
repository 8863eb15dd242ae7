//! Reading ahead: brings what the names of a batch will be answered from into the cache, all of them a step further at a time, so that
//! the processor waits for the memory once for many names and not for each. It decides nothing: what it reads is thrown away.

use std::hint::black_box;

use super::{FREE, Slot, Zones};
use crate::zone::Node;

/// Names that go step by step together: the size of a batch. More would push each other out of the first-level cache.
const TOGETHER: usize = 64;

/// From this many places of the table on (1 MiB of them, and ten times as much of names and records) a look-up waits for the memory.
const MANY_SLOTS: usize = 1 << 16;

impl Zones {
    /// Whether the names are so many that reading ahead is worth its cost, about a tenth of an answer.
    #[inline]
    pub fn are_large(&self) -> bool {
        self.slots.len() >= MANY_SLOTS
    }

    /// Reads what names with these hashes will be answered from.
    pub fn read_ahead(&self, hashes: &[u64]) {
        hashes.chunks(TOGETHER).for_each(|hashes| self.read_together(hashes));
    }

    /// Each loop is one step, from a place of the table to the octets of the records: its reads do not depend on one another, so that the
    /// processor has many of them under way.
    fn read_together(&self, hashes: &[u64]) {
        let mask = self.slots.len() - 1;
        let mut slots = [Slot { hash: 0, zone: 0, node: FREE }; TOGETHER];
        for (slot, hash) in slots.iter_mut().zip(hashes) {
            *slot = self.slots[*hash as usize & mask];
        }
        let mut nodes: [Option<&Node>; TOGETHER] = [None; TOGETHER];
        for ((node, slot), hash) in nodes.iter_mut().zip(&slots).zip(hashes) {
            if slot.node != FREE && slot.hash == *hash {
                *node = self.zones[slot.zone as usize].nodes.get(slot.node as usize);
            }
        }
        // Both ends of a node, which is longer than a cache line.
        each(&nodes, |node| node.hash ^ node.rrsets.len() as u64 ^ u64::from(node.steering.is_some()) ^ u64::from(node.cut.is_some()));
        each(&nodes, |node| u64::from(node.owner.as_wire()[0]) ^ node.rrsets.first().map_or(0, |rrset| u64::from(rrset.rtype())));
        each(&nodes, |node| node.rrsets.first().and_then(|rrset| rrset.rdatas().first()).map_or(0, |octet| u64::from(*octet)));
    }
}

/// One step for all of them; the compiler must not find out that nobody wants the result.
#[inline(always)]
fn each(nodes: &[Option<&Node>], read: impl Fn(&Node) -> u64) {
    black_box(nodes.iter().flatten().fold(0, |seen, node| seen ^ read(node)));
}
