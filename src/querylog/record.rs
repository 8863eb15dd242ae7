//! One sample: a query and its reply as octets, with what was told of them. Of fixed size, so that taking one allocates nothing.
//! It reads no message; the writer does.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::answer::{Ask, Outcome, Transport};
use crate::snapshot::Catalog;

/// Octets of a query that are kept: the longest question with every option that resolvers send.
const QUERY_OCTETS: usize = 512;

/// Octets of a reply that are kept: the usual limit over UDP.
const REPLY_OCTETS: usize = 1_232;

/// A query and what became of it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Which world it was answered from: its address, as a name only.
    pub(super) catalog: usize,
    pub(super) now_ms: u64,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) transport: Transport,
    pub(super) outcome: Outcome,
    query: [u8; QUERY_OCTETS],
    query_octets: u16,
    reply: [u8; REPLY_OCTETS],
    reply_octets: u16,
}

impl Record {
    pub(super) fn of(catalog: &Arc<Catalog>, ask: &Ask<'_>, outcome: &Outcome, reply: &[u8]) -> Record {
        let (mut query_copy, mut reply_copy) = ([0; QUERY_OCTETS], [0; REPLY_OCTETS]);
        let reply = reply.get(..outcome.len).unwrap_or_default();
        Record {
            catalog: address_of(catalog),
            now_ms: ask.now_ms,
            peer: ask.peer,
            local: ask.local,
            transport: ask.transport,
            outcome: *outcome,
            query_octets: copy(ask.bytes, &mut query_copy),
            query: query_copy,
            reply_octets: copy(reply, &mut reply_copy),
            reply: reply_copy,
        }
    }

    /// The query; none where it was too long to keep.
    pub(super) fn query(&self) -> &[u8] {
        &self.query[..usize::from(self.query_octets)]
    }

    /// The reply; none where there was none, or it was too long to keep.
    pub(super) fn reply(&self) -> &[u8] {
        &self.reply[..usize::from(self.reply_octets)]
    }
}

/// What a record calls a world.
pub(super) fn address_of(catalog: &Arc<Catalog>) -> usize {
    Arc::as_ptr(catalog) as usize
}

/// Half a message would be read as a broken one: it is kept whole or not at all.
fn copy(from: &[u8], to: &mut [u8]) -> u16 {
    match to.get_mut(..from.len()) {
        Some(room) => {
            room.copy_from_slice(from);
            from.len() as u16
        }
        None => 0,
    }
}
