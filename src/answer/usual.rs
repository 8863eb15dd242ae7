//! The short way through the corridor, which nine of ten questions take: a usual question for addresses that are there, or for what is not there,
//! while all is in order. It says what the long way would, whatever is not usual is left to that, and nothing has happened by then.

use std::net::IpAddr;

use super::{Ask, Class, Outcome, cookies};
use crate::geo::{Access, Family};
use crate::snapshot::Snapshot;
use crate::steer::decide::plain;
use crate::wire::usual::{Usual, UsualName, UsualReply};
use crate::wire::{Rcode, rtype};
use crate::zone::SteeringId;
use crate::zone::lookup::Match;
use crate::zone::rrset::Rrset;

/// Answers a usual question into `out`.
#[inline(always)]
pub(super) fn answer(world: &Snapshot, ask: &Ask<'_>, out: &mut [u8]) -> Option<Outcome> {
    let catalog = &*world.catalog;
    let mut name = UsualName::default();
    let question = Usual::read(ask.bytes, &mut name)?;
    let found = catalog.zones.find(&name, question.qtype)?;
    if !may_ask(&catalog.settings.queries_from, ask) || !may_ask(&found.zone.queries_from, ask) {
        return None;
    }
    let shown = match question.cookie {
        None => None,
        Some(cookie) => cookies::judged(&catalog.settings, ask, &cookie),
    };
    if shown.is_some_and(|shown| shown.is_refused) {
        return None;
    }
    let mut reply = UsualReply::new(&question, out)?;
    let mut outcome = Outcome::new(0, Class::Positive, Rcode::NOERROR);
    let mut scope = 0;
    match found.matched {
        Match::Rrset(rrset) => addresses(&mut reply, rrset)?,
        Match::Steered(steering) => scope = steered(world, ask, &question, steering, &mut reply, &mut outcome)?,
        Match::NoData | Match::NameError => {
            reply.negative(&found.zone.negative, found.zone.negative_soa.ttl_s())?;
            let does_exist = matches!(found.matched, Match::NoData);
            (outcome.class, outcome.rcode) = if does_exist { (Class::NoData, Rcode::NOERROR) } else { (Class::NameError, Rcode::NXDOMAIN) };
        }
        _ => return None,
    }
    outcome.qtype = question.qtype;
    outcome.ecs = question.subnet.is_some();
    (outcome.cookie, outcome.verified) = (question.cookie.is_some(), shown.is_some_and(|shown| shown.is_good));
    outcome.zone = Some(found.zone_id);
    outcome.owner_hash = found.owner_hash;
    outcome.len = reply.finish(outcome.rcode, catalog.settings.udp_size, scope, shown.as_ref().map(|shown| &shown.given))?;
    Some(outcome)
}

/// Whether the peer may ask; where everybody may, that is no call.
#[inline(always)]
fn may_ask(access: &Option<Access>, ask: &Ask<'_>) -> bool {
    #[inline(never)]
    fn is_allowed(access: &Access, ask: &Ask<'_>) -> bool {
        access.allows(ask.peer.ip())
    }
    access.as_ref().is_none_or(|access| is_allowed(access, ask))
}

/// The addresses of an RRset.
#[inline(always)]
fn addresses(reply: &mut UsualReply<'_, '_>, rrset: &Rrset) -> Option<()> {
    match rrset.rtype() {
        rtype::A => rrset.rdatas().as_chunks::<6>().0.iter().try_for_each(|[_, _, octets @ ..]| reply.v4(rrset.ttl_s(), *octets)),
        rtype::AAAA => rrset.rdatas().as_chunks::<18>().0.iter().try_for_each(|[_, _, octets @ ..]| reply.v6(rrset.ttl_s(), *octets)),
        _ => None,
    }
}

/// The addresses of a steered name, and the scope of the answer.
#[inline(always)]
fn steered(
    world: &Snapshot,
    ask: &Ask<'_>,
    question: &Usual<'_>,
    id: SteeringId,
    reply: &mut UsualReply<'_, '_>,
    outcome: &mut Outcome,
) -> Option<u8> {
    let catalog = &*world.catalog;
    let steering = &catalog.steerings[id.0 as usize];
    let family = steering.family(if question.qtype == rtype::A { Family::V4 } else { Family::V6 })?;
    // That is told with the answer.
    if ask.wall_s > catalog.settings.geo_good_until_s {
        return None;
    }
    let (client, is_told) = match question.subnet {
        Some(subnet) if steering.ecs && catalog.settings.believes(ask.peer.ip()) => (subnet.client(), true),
        // Longer than any address.
        _ => ((ask.peer.ip(), u8::MAX), false),
    };
    // There is always room for as many as there may be, so no turn is taken in vain.
    let put = |address| match address {
        IpAddr::V4(address) => reply.v4(steering.ttl_s, address.octets()),
        IpAddr::V6(address) => reply.v6(steering.ttl_s, address.octets()),
    };
    let located_by = (&*catalog.table, catalog.settings.hash_floor);
    let decision = plain((steering, family), located_by, &world.health, client, (ask.turns, ask.seed), put)?;
    (outcome.steering, outcome.region, outcome.reason) = (Some(id), Some(decision.region), decision.reason);
    Some(if is_told { decision.scope } else { 0 })
}
