//! The empty truncated reply that comes instead of one that is held back: a client with a true address comes again over TCP.
//! It is written from the query alone and answers nothing.

use super::{Ask, Class, Outcome};
use crate::snapshot::Snapshot;
use crate::wire::MIN_UDP_OCTETS;
use crate::wire::edns::OptReply;
use crate::wire::query;
use crate::wire::reply::{Flags, Reply};

/// Writes over a reply in `out` the one that says TC and nothing else: the question, the rcode and, to those who sent OPT, OPT.
/// What became of the query then; the reply is never longer than the one before.
pub fn slip(world: &Snapshot, ask: &Ask<'_>, outcome: &Outcome, out: &mut [u8]) -> Outcome {
    let settings = &world.catalog.settings;
    // A message at fault has no reply that could be cut.
    let Ok(query) = query::parse(ask.bytes) else { return Outcome { len: 0, ..*outcome } };
    let opt = query.edns.as_ref().map(|edns| OptReply::to(edns, settings.udp_size, settings.nsid.as_deref()));
    let mut reply = Reply::new(out, MIN_UDP_OCTETS, &query, opt);
    let len = reply.finish(outcome.rcode, Flags { aa: outcome.class != Class::Referral, tc: true });
    Outcome { len, truncated: true, ..*outcome }
}
