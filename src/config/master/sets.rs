//! Records one by one into RRsets: one TTL each, a bounded number of records, in the order of first mention.
//! It knows nothing of text; what a record says has been read before.

use std::collections::HashMap;

use crate::config::check::MAX_RECORDS;
use crate::diag::{Diagnostics, Mark};
use crate::name::Name;
use crate::wire::rtype;
use crate::zone::rrset::{Rrset, Run};

/// An RRset and where it begins.
#[derive(Debug)]
pub(in crate::config) struct Placed {
    pub(in crate::config) owner: Name,
    pub(in crate::config) rrset: Rrset,
    pub(in crate::config) mark: Mark,
}

/// One record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) owner: Name,
    pub(super) rtype: u16,
    pub(super) ttl_s: u32,
    pub(super) rdata: Vec<u8>,
    pub(super) mark: Mark,
}

/// RRsets while they are collected.
#[derive(Debug, Default)]
pub(super) struct Sets {
    list: Vec<Set>,
    /// The newest set of each hash of owner and type; those before it hang on it.
    newest: HashMap<u64, u32>,
}

#[derive(Debug)]
struct Set {
    owner: Name,
    rtype: u16,
    ttl_s: u32,
    run: Run,
    mark: Mark,
    /// Another set of the same hash, or none: [`NONE`].
    older: u32,
}

const NONE: u32 = u32::MAX;

impl Sets {
    /// Adds a record; of different TTLs the lowest counts (RFC 2181 5.2).
    pub(super) fn add(&mut self, record: Record, out: &mut Diagnostics) {
        match self.find(&record.owner, record.rtype) {
            Ok(at) => self.extend(at, record, out),
            Err(hash) => self.push(hash, record),
        }
    }

    pub(super) fn finish(self) -> Vec<Placed> {
        drop(self.newest);
        let placed = |set: Set| Placed { rrset: Rrset::from_run(set.rtype, set.ttl_s, set.run), owner: set.owner, mark: set.mark };
        // A set over the limit has been reported.
        self.list.into_iter().filter(|set| set.run.records() <= MAX_RECORDS).map(placed).collect()
    }

    /// The set of an owner and type, else their hash.
    fn find(&self, owner: &Name, rtype: u16) -> Result<usize, u64> {
        let is_it = |set: &Set| set.rtype == rtype && set.owner == *owner;
        // Most files have the records of a set together.
        if self.list.last().is_some_and(is_it) {
            return Ok(self.list.len() - 1);
        }
        let hash = owner.hash64().rotate_left(16) ^ u64::from(rtype);
        let mut at = self.newest.get(&hash).copied().unwrap_or(NONE);
        while at != NONE {
            let set = &self.list[at as usize];
            if is_it(set) {
                return Ok(at as usize);
            }
            at = set.older;
        }
        Err(hash)
    }

    fn push(&mut self, hash: u64, record: Record) {
        let Record { owner, rtype, ttl_s, rdata, mark } = record;
        let older = self.newest.insert(hash, self.list.len() as u32).unwrap_or(NONE);
        let mut run = Run::default();
        run.push(&rdata);
        self.list.push(Set { owner, rtype, ttl_s, run, mark, older });
    }

    fn extend(&mut self, at: usize, record: Record, out: &mut Diagnostics) {
        let set = &mut self.list[at];
        let Record { owner, ttl_s, rdata, mark, .. } = record;
        let type_name = rtype::name(set.rtype);
        if set.ttl_s != ttl_s {
            let text =
                format!("this {type_name} of `{owner}` has the TTL {ttl_s}, and the one {} has {}", place_of(&set.mark, &mark), set.ttl_s);
            out.warning_hint(mark.clone(), text, "records of one owner and type have one TTL (RFC 2181 5.2); the lowest is used");
            set.ttl_s = set.ttl_s.min(ttl_s);
        }
        if set.run.records() == MAX_RECORDS {
            out.error(mark, format!("`{owner}` has more than {MAX_RECORDS} {type_name} records, which do not fit into a message"));
        }
        // One over the limit, so that it is told once.
        if set.run.records() <= MAX_RECORDS {
            set.run.push(&rdata);
        }
    }
}

/// `on line 3`, or with the file where it is another.
fn place_of(mark: &Mark, from: &Mark) -> String {
    if mark.source.path == from.source.path {
        format!("on line {}", mark.line)
    } else {
        format!("at {}:{}", mark.source.path.display(), mark.line)
    }
}
