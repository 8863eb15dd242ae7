//! The corridor: one query in, one reply out. Every transport, `explain` and the tests come through [`answer`].
//! It reads one immutable world; it allocates nothing, locks nothing, asks no clock and formats nothing.

pub mod ahead;
mod cookies;
pub mod explain;
mod outcome;
mod slip;
mod transfers;
mod transport;
mod usual;
mod why;

use std::net::SocketAddr;

use crate::geo::{Access, Admission, Family};
use crate::snapshot::Snapshot;
pub use crate::steer::balance::Turns;
pub use crate::steer::decide::Reason;
use crate::steer::decide::{Client, Decision, NoTrace, Question, Trace, decide};
use crate::steer::{Fallback, FamilySteering, MAX_ANSWERS, NODATA_TTL_S, Steering};
use crate::wire::cookie::Secret;
use crate::wire::edns::OptReply;
use crate::wire::extended::Extended;
use crate::wire::qname::QName;
use crate::wire::query::{self, Fault, FaultReply, Query};
use crate::wire::reply::{self, Flags, Full, Owner, Reply, Section};
use crate::wire::{MAX_MESSAGE_OCTETS, Rcode, class, rtype};
use crate::zone::build::MAX_ALIAS_CHAIN;
use crate::zone::hints::{self, Hints, with_hints};
use crate::zone::lookup::{Found, Match};
use crate::zone::rename::Renamed;
use crate::zone::rrset::Rrset;
use crate::zone::{Node, SteeringId};
pub use outcome::{Class, Outcome};
pub use slip::slip;
pub use transport::Transport;

/// One query, with all that an answer may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The message as received.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address that was asked.
    pub local: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// Milliseconds on the monotonic clock that health is judged by, taken once per batch.
    pub now_ms: u64,
    /// Seconds since 1970, taken once per batch: cookies have a date.
    pub wall_s: u64,
    /// What cookies are made with where the configuration names no secret.
    pub secret: &'a Secret,
    /// A number that differs from query to query.
    pub seed: u64,
    /// The worker's round-robin counters.
    pub turns: &'a Turns,
}

/// Answers one query from one world into `out` (at least 512 octets; a reply is never longer than `out`).
pub fn answer(world: &Snapshot, ask: &Ask<'_>, out: &mut [u8]) -> Outcome {
    match usual::answer(world, ask, out) {
        Some(outcome) => outcome,
        None => long(world, ask, out),
    }
}

/// Apart, so that the short way has its registers for itself.
#[inline(never)]
fn long(world: &Snapshot, ask: &Ask<'_>, out: &mut [u8]) -> Outcome {
    answer_traced(world, ask, out, &mut NoTrace)
}

/// As [`answer`], the long way, and tells how a steered name was decided.
pub fn answer_traced<T: Trace>(world: &Snapshot, ask: &Ask<'_>, out: &mut [u8], trace: &mut T) -> Outcome {
    let settings = &world.catalog.settings;
    let query = match query::parse(ask.bytes) {
        Ok(query) => query,
        Err(Fault::Drop) => return Outcome::new(0, Class::Dropped, Rcode::NOERROR),
        Err(Fault::Reply(fault)) => return at_fault(world, ask, &fault, out),
    };
    let limit = match ask.transport {
        Transport::Udp => query.udp_limit(settings.udp_size),
        _ => MAX_MESSAGE_OCTETS,
    };
    let refusal = rtype::refusal(query.question.qtype);
    let shown = cookies::shown(settings, ask, query.edns.as_ref());
    let wants_cookie = shown.is_some_and(|shown| shown.is_refused);
    // FORMERR and NOTIMP tell nothing of client and server (BEHAVIOUR E5); BADCOOKIE comes before them.
    let tells = wants_cookie || !matches!(refusal, Some(Rcode::FORMERR | Rcode::NOTIMP));
    let mut opt = query.edns.as_ref().map(|edns| OptReply::to(edns, settings.udp_size, settings.nsid.as_deref()));
    if ask.transport != Transport::Udp {
        opt = opt.map(|opt| opt.of_stream(query.edns.as_ref(), ask.transport.has_keepalive(), ask.transport.is_encrypted()));
    }
    let opt = if tells { opt } else { opt.map(OptReply::reserved) };
    let opt = opt.map(|opt| OptReply { cookie: shown.as_ref().map(|shown| &shown.given), ..opt });
    let mut qname = QName::default();
    qname.read(&query.question);
    let mut reply = Reply::new(out, limit, &query, opt);
    let mut outcome = Outcome::new(0, Class::Positive, Rcode::NOERROR);
    outcome.verified = shown.is_some_and(|shown| shown.is_good);
    let mut page = Page::new(world, ask, &query, &mut reply, &mut outcome, trace);
    if let Some(access) = &settings.queries_from
        && !page.admits(access)
    {
        page.finish();
        return outcome;
    }
    // The order of judgement: class, meta types, zone (BEHAVIOUR N10); everything before it is in `query::parse`.
    match (query.tsig, query.question.qclass, refusal) {
        _ if wants_cookie => page.wants_cookie(&qname),
        (true, ..) => page.refuse(Rcode::NOTAUTH),
        (_, class::IN | class::CH, None) if query.question.qtype == rtype::TXT && why::is_asked(&qname) && page.why(&qname) => {}
        (_, class::CH, _) => page.chaos(&qname),
        (_, class::IN, None) => match world.catalog.zones.find(&qname, query.question.qtype) {
            Some(found) => page.found(&found),
            None => page.not_ours(),
        },
        (_, class::IN, Some(_)) if matches!(query.question.qtype, rtype::AXFR | rtype::IXFR) => page.transfer(&qname),
        (_, class::IN, Some(rcode)) => page.refuse(rcode),
        _ => page.refuse(Rcode::REFUSED),
    }
    page.finish();
    outcome
}

/// The reply to a message that is no query, unless it asks for a cookie only.
#[cold]
fn at_fault(world: &Snapshot, ask: &Ask<'_>, fault: &FaultReply<'_>, out: &mut [u8]) -> Outcome {
    let udp_size = world.catalog.settings.udp_size;
    cookies::alone(world, ask, out).unwrap_or_else(|| Outcome::new(reply::fault(fault, udp_size, out), Class::Error, fault.rcode))
}

/// Adds an address to a row of them; there is room for as many as an answer has.
fn append(row: &mut [u8], octets: &mut usize, address: &[u8]) {
    if let Some(place) = row.get_mut(*octets..*octets + address.len()) {
        place.copy_from_slice(address);
        *octets += address.len();
    }
}

/// The DNAMEs that have renamed a name, the last one first.
struct Way<'w> {
    node: &'w Node,
    before: Option<&'w Way<'w>>,
}

impl<'w> Way<'w> {
    fn before(&self) -> impl Iterator<Item = &'w Way<'w>> {
        std::iter::successors(self.before, |way| way.before)
    }

    /// Whether the last one was there before: circles are refused at load, but `a DNAME @` meets `x.a.a.a` thrice.
    fn meets_again(&self) -> bool {
        self.before().any(|way| std::ptr::eq(way.node, self.node))
    }
}

/// A reply while it is written, with what is told of it afterwards.
struct Page<'a, 'o, T> {
    world: &'a Snapshot,
    ask: &'a Ask<'a>,
    query: &'a Query<'a>,
    // Both are filled in where they stand: they are too large to be moved about.
    reply: &'a mut Reply<'o>,
    outcome: &'a mut Outcome,
    authoritative: bool,
    /// A steered alias was followed.
    followed_steered: bool,
    scope: u8,
    trace: &'a mut T,
}

impl<'a, 'o, T: Trace> Page<'a, 'o, T> {
    #[inline]
    fn new(
        world: &'a Snapshot,
        ask: &'a Ask<'a>,
        query: &'a Query<'a>,
        reply: &'a mut Reply<'o>,
        outcome: &'a mut Outcome,
        trace: &'a mut T,
    ) -> Page<'a, 'o, T> {
        outcome.qtype = query.question.qtype;
        outcome.ecs = query.edns.as_ref().is_some_and(|edns| edns.ecs.is_some());
        outcome.cookie = query.edns.as_ref().is_some_and(|edns| edns.cookie.is_some());
        Page { world, ask, query, reply, outcome, authoritative: false, followed_steered: false, scope: 0, trace }
    }

    #[inline]
    fn finish(self) {
        if self.outcome.class == Class::Dropped {
            return;
        }
        self.reply.set_scope(self.scope);
        let flags = Flags { aa: self.authoritative, tc: self.outcome.truncated };
        self.outcome.len = self.reply.finish(self.outcome.rcode, flags);
    }

    /// Outside our zones, or before there are any.
    fn not_ours(&mut self) {
        self.extend(if self.world.generation == 0 { Extended::NOT_READY } else { Extended::NOT_AUTHORITATIVE });
        self.refuse(Rcode::REFUSED);
    }

    /// Says why the reply is what it is, where that is wanted (BEHAVIOUR N11).
    fn extend(&mut self, extended: Extended) {
        if self.world.catalog.settings.extended_errors {
            self.reply.extend(extended);
        }
    }

    /// Whether a client may ask; if not, the reply says so, or there is none.
    fn admits(&mut self, access: &Access) -> bool {
        match access.of(self.ask.peer.ip()) {
            Admission::Allow => return true,
            Admission::Refuse => {
                self.extend(Extended::PROHIBITED);
                self.refuse(Rcode::REFUSED);
            }
            Admission::Drop => self.outcome.class = Class::Dropped,
        }
        false
    }

    fn refuse(&mut self, rcode: Rcode) {
        self.outcome.rcode = rcode;
        self.outcome.class = if rcode == Rcode::REFUSED { Class::Refused } else { Class::Error };
    }

    /// What the zones found, along the aliases inside the zone; the load has bounded their number.
    fn found(&mut self, found: &Found<'a>) {
        self.outcome.zone = Some(found.zone_id);
        self.outcome.owner_hash = found.owner_hash;
        if let Some(access) = &found.zone.queries_from
            && !self.admits(access)
        {
            return;
        }
        self.authoritative = !matches!(found.matched, Match::Referral(_));
        self.follow(found, found.matched, Owner::Question, None);
    }

    /// What stands at a name and where it leads; `way` holds the DNAMEs on the way to it.
    fn follow<'n>(&mut self, found: &Found<'a>, mut matched: Match<'a>, mut owner: Owner<'n>, way: Option<&Way<'_>>)
    where
        'a: 'n,
    {
        loop {
            match matched {
                Match::Rrset(rrset) => return self.put(Section::Answer, owner, rrset, rrset.ttl_s()),
                Match::Steered(steering) => return self.steered(found, steering, owner),
                Match::Hinted(rrset, steering) => return self.hinted(rrset, steering, owner),
                Match::SteeredRecords(steering) => return self.steered_records(found, steering, owner, way),
                Match::NoData => return self.negative(found, Class::NoData, u32::MAX),
                Match::NameError => return self.negative(found, Class::NameError, u32::MAX),
                Match::Referral(cut) => return self.referral(cut),
                Match::Dname(dname, node) => return self.renamed(found, dname, owner, &Way { node, before: way }),
                Match::Alias(rrset, alias) => {
                    self.put(Section::Answer, owner, rrset, rrset.ttl_s());
                    let Some(next) = found.zone.follow(alias, self.query.question.qtype) else { return };
                    (matched, owner) = (next, Owner::Name(alias.name.as_wire()));
                }
            }
        }
    }

    /// The DNAME above a name, the CNAME that it stands for, and what this zone has at the new name (RFC 6672 3.2).
    #[cold]
    fn renamed(&mut self, found: &Found<'a>, dname: &Rrset, owner: Owner<'_>, way: &Way<'_>) {
        // A client follows a chain that ends here by itself.
        if way.before().count() > MAX_ALIAS_CHAIN {
            return;
        }
        let name = match owner {
            Owner::Question => self.query.question.name(),
            Owner::Name(name) => name,
        };
        // An RRset stands once in a message.
        if !way.meets_again() {
            self.put(Section::Answer, Owner::Name(way.node.owner.as_wire()), dname, dname.ttl_s());
        }
        let Some(renamed) = Renamed::of(name, &way.node.owner, dname) else { return self.refuse(Rcode::YXDOMAIN) };
        self.put_rdatas(Section::Answer, owner, (rtype::CNAME, dname.ttl_s()), renamed.rdatas());
        let qtype = self.query.question.qtype;
        // That CNAME is what was asked for, as one in the zone would be.
        if matches!(qtype, rtype::CNAME | rtype::ANY) {
            return;
        }
        if let Some(next) = self.world.catalog.zones.find_in(found.zone_id, &renamed.qname(), qtype) {
            self.follow(&next, next.matched, Owner::Name(renamed.as_wire()), Some(way));
        }
    }

    /// A and AAAA of a steered name.
    fn steered(&mut self, found: &Found<'a>, id: SteeringId, owner: Owner<'_>) {
        let catalog = &*self.world.catalog;
        let steering = &catalog.steerings[id.0 as usize];
        let family = if self.query.question.qtype == rtype::A { Family::V4 } else { Family::V6 };
        let Some(compiled) = steering.family(family) else { return self.negative(found, Class::NoData, u32::MAX) };
        let decision = self.decided(id, steering, compiled);
        if decision.is_negative() {
            return self.nothing_up(found, &decision);
        }
        self.addresses(owner, &decision);
    }

    /// Asks for a decision, and notes what is told of it.
    #[inline]
    fn decided(&mut self, id: SteeringId, steering: &'a Steering, family: &'a FamilySteering) -> Decision<'a> {
        let catalog = &*self.world.catalog;
        let subnet = self.client_subnet(steering.ecs);
        let client = subnet.unwrap_or_else(|| Client::peer(self.ask.peer.ip()));
        let question = Question {
            steering,
            family,
            table: &catalog.table,
            health: &self.world.health,
            hash_floor: catalog.settings.hash_floor,
            client,
            turns: self.ask.turns,
            seed: self.ask.seed,
            now_ms: self.ask.now_ms,
        };
        self.trace.steered(&question, subnet.is_some());
        let decision = decide(&question, self.trace);
        self.trace.decided(&decision);
        if self.ask.wall_s > catalog.settings.geo_good_until_s {
            self.extend(Extended::STALE_GEO);
        }
        if decision.reason == Reason::FailOpen {
            self.extend(Extended::FAIL_OPEN);
        }
        self.outcome.steering = Some(id);
        self.outcome.reason = decision.reason;
        // Several steered names on one chain share the option: the longest scope holds for all (BEHAVIOUR S7).
        self.scope = self.scope.max(if subnet.is_some() { decision.scope } else { 0 });
        // A region of a fallback service is none of the name's own.
        self.outcome.region = decision.chosen.filter(|_| decision.reason != Reason::Fallback).map(|candidate| candidate.region);
        decision
    }

    /// SVCB and HTTPS of a steered name, with the addresses that this client gets as hints. A family without a healthy region has none.
    #[cold]
    fn hinted(&mut self, rrset: &Rrset, id: SteeringId, owner: Owner<'_>) {
        let steering = &self.world.catalog.steerings[id.0 as usize];
        let (mut v4, mut v6) = ([0; 4 * MAX_ANSWERS as usize], [0; 16 * MAX_ANSWERS as usize]);
        let (mut octets, mut ttl_s) = ([0, 0], rrset.ttl_s());
        for compiled in steering.families.iter().flatten().filter(|_| steering.hints) {
            let decision = self.decided(id, steering, compiled);
            ttl_s = ttl_s.min(decision.ttl_s);
            for address in decision.addresses().filter(|_| decision.reason < Reason::FailOpen) {
                match address {
                    std::net::IpAddr::V4(address) => append(&mut v4, &mut octets[0], &address.octets()),
                    std::net::IpAddr::V6(address) => append(&mut v6, &mut octets[1], &address.octets()),
                }
            }
        }
        let hints = Hints { v4: &v4[..octets[0]], v6: &v6[..octets[1]] };
        let mut room = [0; hints::MAX_OCTETS];
        let rdatas = if steering.hints { with_hints(rrset, &steering.owner, hints, &mut room) } else { None };
        self.put_rdatas(Section::Answer, owner, (rrset.rtype(), ttl_s), rdatas.unwrap_or(rrset.rdatas()));
    }

    /// Other types of a steered name: the records of the region that is chosen. An alias is followed once, as static ones are: a client
    /// follows the next one by itself, so that no circle of them goes round here.
    #[cold]
    fn steered_records<'n>(&mut self, found: &Found<'a>, id: SteeringId, owner: Owner<'n>, way: Option<&Way<'_>>)
    where
        'a: 'n,
    {
        let catalog = &*self.world.catalog;
        let steering = &catalog.steerings[id.0 as usize];
        let qtype = self.query.question.qtype;
        let other = steering.others.iter().find(|(rtype, _)| [qtype, rtype::CNAME].contains(rtype));
        let Some((rtype, family)) = other else { return self.negative(found, Class::NoData, u32::MAX) };
        let decision = self.decided(id, steering, family);
        let records = match (decision.chosen, family.fallback.as_deref()) {
            (Some(candidate), _) => Some(candidate.records),
            (None, Some(Fallback::Records(records))) if decision.reason == Reason::Fallback => Some(*records),
            _ => None,
        };
        let of_region = records.and_then(|records| catalog.records.get(records as usize)).into_iter().flatten();
        let Some(rrset) = of_region.into_iter().find(|rrset| rrset.rtype() == *rtype) else { return self.nothing_up(found, &decision) };
        self.put(Section::Answer, owner, rrset, decision.ttl_s);
        if *rtype != rtype::CNAME || matches!(qtype, rtype::CNAME | rtype::ANY) || std::mem::replace(&mut self.followed_steered, true) {
            return;
        }
        let Some(target) = Renamed::of(steering.owner.as_wire(), &steering.owner, rrset) else { return };
        if let Some(next) = catalog.zones.find_in(found.zone_id, &target.qname(), qtype) {
            self.follow(&next, next.matched, Owner::Name(target.as_wire()), way);
        }
    }

    /// A steered name without an answer, as its `on_all_down` says.
    #[cold]
    fn nothing_up(&mut self, found: &Found<'_>, decision: &Decision<'_>) {
        match decision.reason {
            Reason::ServFail => self.refuse(Rcode::SERVFAIL),
            Reason::Refused => self.refuse(Rcode::REFUSED),
            _ => self.negative(found, Class::NoData, decision.ttl_s.min(NODATA_TTL_S)),
        }
    }

    /// The client subnet, if there is one and it is to be believed (BEHAVIOUR E3, E7).
    fn client_subnet(&self, wanted: bool) -> Option<Client> {
        let ecs = self.query.edns.as_ref()?.ecs?;
        let peer = self.ask.peer.ip();
        let address = ecs.address().filter(|_| wanted && self.world.catalog.settings.believes(peer))?;
        Some(Client { address, source_length: ecs.source(), peer })
    }

    fn addresses(&mut self, owner: Owner<'_>, decision: &Decision<'_>) {
        if self.outcome.truncated {
            return;
        }
        for address in decision.addresses() {
            if self.reply.address(owner, decision.ttl_s, address) == Err(Full) {
                self.reply.truncate();
                self.outcome.truncated = true;
                return;
            }
        }
    }

    /// A negative answer: the zone's SOA in authority (RFC 2308), its TTL capped at `ttl_cap_s`.
    fn negative(&mut self, found: &Found<'_>, class: Class, ttl_cap_s: u32) {
        self.outcome.class = class;
        self.outcome.rcode = if class == Class::NameError { Rcode::NXDOMAIN } else { Rcode::NOERROR };
        let soa = &found.zone.negative_soa;
        let ttl_s = soa.ttl_s().min(ttl_cap_s);
        if self.outcome.truncated || self.reply.ready(&found.zone.negative, ttl_s) {
            return;
        }
        self.put(Section::Authority, Owner::Name(found.zone.apex.as_wire()), soa, ttl_s);
    }

    /// NS of the cut in authority, addresses of its servers in additional; those that nobody else can give must fit (RFC 9471).
    fn referral(&mut self, cut: &Node) {
        self.outcome.class = Class::Referral;
        if let Some(servers) = cut.rrset(rtype::NS) {
            self.put(Section::Authority, Owner::Name(cut.owner.as_wire()), servers, servers.ttl_s());
        }
        // Without its name servers nobody needs their addresses.
        if self.outcome.truncated {
            return;
        }
        for glue in &cut.glue {
            let written = self.reply.rrset(
                Section::Additional,
                Owner::Name(glue.owner.as_wire()),
                glue.rrset.rtype(),
                glue.rrset.ttl_s(),
                glue.rrset.rdatas(),
            );
            self.outcome.truncated |= written == Err(Full) && glue.required;
        }
    }

    /// TXT of class CH; a name that is hidden or unknown is refused (BEHAVIOUR N11).
    fn chaos(&mut self, qname: &QName) {
        let question = &self.query.question;
        let known = self.world.catalog.settings.chaos.iter().find(|(owner, _)| owner.as_wire() == qname.as_wire());
        match known {
            Some((_, rrset)) => {
                self.authoritative = true;
                if matches!(question.qtype, rtype::TXT | rtype::ANY) {
                    self.put(Section::Answer, Owner::Question, rrset, 0);
                } else {
                    self.outcome.class = Class::NoData;
                }
            }
            None => self.refuse(Rcode::REFUSED),
        }
    }

    /// One RRset, whole; where it does not fit the reply is truncated and ends, so that no part of it lacks what comes before.
    fn put(&mut self, section: Section, owner: Owner<'_>, rrset: &Rrset, ttl_s: u32) {
        self.put_rdatas(section, owner, (rrset.rtype(), ttl_s), rrset.rdatas());
    }

    fn put_rdatas(&mut self, section: Section, owner: Owner<'_>, (rtype, ttl_s): (u16, u32), rdatas: &[u8]) {
        if !self.outcome.truncated {
            self.outcome.truncated = self.reply.rrset(section, owner, rtype, ttl_s, rdatas) == Err(Full);
        }
    }
}
