//! Cookies in the corridor: what a client's is worth, which one it is given, and the query that asks for nothing else.
//! Who must show one, the settings say; without cookies in a query nothing here runs.

use super::{Ask, Class, Outcome, Page, Transport};
use crate::geo::Admission;
use crate::snapshot::{Settings, Snapshot};
use crate::steer::decide::Trace;
use crate::wire::Rcode;
use crate::wire::cookie::{COOKIE_OCTETS, Cookie, Secret, Worth};
use crate::wire::edns::{Edns, OptReply};
use crate::wire::extended::Extended;
use crate::wire::qname::QName;
use crate::wire::query;
use crate::wire::reply::{Flags, Reply};

/// The cookie that a query has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// What the client is given.
    pub(super) given: [u8; COOKIE_OCTETS],
    /// It has had one of ours before, so its address is true.
    pub(super) is_good: bool,
    /// It gets no answer without a good one.
    pub(super) is_refused: bool,
}

/// What to make of the cookie of a query; none where there is none, or cookies are off.
#[inline]
pub(super) fn shown(settings: &Settings, ask: &Ask<'_>, edns: Option<&Edns<'_>>) -> Option<Shown> {
    let cookie = edns?.cookie?;
    judged(settings, ask, &cookie)
}

/// The same of a cookie. Apart, so that an answer without one has its registers for itself.
#[inline(never)]
pub(super) fn judged(settings: &Settings, ask: &Ask<'_>, cookie: &Cookie<'_>) -> Option<Shown> {
    let policy = settings.cookies.as_ref()?;
    let own: [Secret; 1] = [*ask.secret];
    let secrets = if policy.secrets.is_empty() { &own[..] } else { &policy.secrets };
    let (worth, address) = (cookie.worth(secrets, ask.peer.ip(), ask.wall_s), ask.peer.ip());
    let given = match worth {
        Worth::Fresh => cookie.whole(),
        Worth::Ageing | Worth::Nothing => None,
    };
    let given = given.unwrap_or_else(|| cookie.renewed(&secrets[0], address, ask.wall_s));
    let is_good = worth != Worth::Nothing;
    Some(Shown { given, is_good, is_refused: !is_good && policy.required && ask.transport == Transport::Udp })
}

impl<T: Trace> Page<'_, '_, T> {
    /// Sends a client for a cookie; whom the rules for this name give nothing gets nothing here, too.
    #[cold]
    pub(super) fn wants_cookie(&mut self, qname: &QName) {
        let peer = self.ask.peer.ip();
        if self.rules(qname).into_iter().flatten().any(|access| access.of(peer) == Admission::Drop) {
            self.outcome.class = Class::Dropped;
        } else {
            self.refuse(Rcode::BADCOOKIE);
        }
    }
}

/// A query without a question and with a cookie asks for a cookie and nothing else (RFC 7873 5.4): the reply, if it is one.
#[cold]
pub(super) fn alone(world: &Snapshot, ask: &Ask<'_>, out: &mut [u8]) -> Option<Outcome> {
    let settings = &world.catalog.settings;
    let (id, rd, edns) = query::without_question(ask.bytes)?;
    let cookie = edns.cookie?;
    let shown = judged(settings, ask, &cookie)?;
    let admission = settings.queries_from.as_ref().map_or(Admission::Allow, |access| access.of(ask.peer.ip()));
    let (class, rcode) = match admission {
        Admission::Drop => return Some(Outcome { cookie: true, ..Outcome::new(0, Class::Dropped, Rcode::NOERROR) }),
        Admission::Refuse => (Class::Refused, Rcode::REFUSED),
        // Whoever shows none yet asks for his first.
        Admission::Allow if shown.is_good || cookie.server.is_empty() => (Class::NoData, Rcode::NOERROR),
        Admission::Allow => (Class::Error, Rcode::BADCOOKIE),
    };
    let mut opt = OptReply::to(&edns, settings.udp_size, settings.nsid.as_deref());
    if ask.transport != Transport::Udp {
        opt = opt.of_stream(Some(&edns), ask.transport.has_keepalive(), ask.transport.is_encrypted());
    }
    let mut reply = Reply::without_question(out, id, rd, OptReply { cookie: Some(&shown.given), ..opt });
    if admission == Admission::Refuse && settings.extended_errors {
        reply.extend(Extended::PROHIBITED);
    }
    let len = reply.finish(rcode, Flags::default());
    Some(Outcome { cookie: true, verified: shown.is_good, ..Outcome::new(len, class, rcode) })
}
