//! What comes instead of a reply that is held back: a client with a true address comes again, over TCP or with the cookie that it is given.
//! It is written from the query alone and answers nothing.

use super::{Ask, Class, Outcome, cookies};
use crate::snapshot::Snapshot;
use crate::wire::edns::OptReply;
use crate::wire::query;
use crate::wire::reply::{Flags, Reply};
use crate::wire::{MIN_UDP_OCTETS, Rcode};

/// Writes over a reply in `out` an empty one: with TC, or for those who speak cookies with BADCOOKIE, which brings them back by UDP.
/// What became of the query then; the reply is never longer than the one before.
pub fn slip(world: &Snapshot, ask: &Ask<'_>, outcome: &Outcome, out: &mut [u8]) -> Outcome {
    let settings = &world.catalog.settings;
    // What asks for a cookie alone gets no more than would come instead; another message at fault has no reply that could be cut.
    let Ok(query) = query::parse(ask.bytes) else {
        return cookies::alone(world, ask, out).unwrap_or(Outcome { len: 0, ..*outcome });
    };
    let opt = query.edns.as_ref().map(|edns| OptReply::to(edns, settings.udp_size, settings.nsid.as_deref()));
    let shown = cookies::shown(settings, ask, query.edns.as_ref());
    let opt = opt.map(|opt| OptReply { cookie: shown.as_ref().map(|shown| &shown.given), ..opt });
    let truncated = shown.is_none();
    let rcode = if truncated { outcome.rcode } else { Rcode::BADCOOKIE };
    let mut reply = Reply::new(out, MIN_UDP_OCTETS, &query, opt);
    let len = reply.finish(rcode, Flags { aa: truncated && outcome.class != Class::Referral, tc: truncated });
    Outcome { len, truncated, rcode, ..*outcome }
}
