//! `TXT _why.NAME`: the explanation of an answer by DNS, for those peers who may ask; nobody else can tell that it is there.
//! A real owner of that name always comes first, and no other question pays for this.

use super::explain::{Asked, Explanation, explain};
use super::{Ask, Class, Page};
use crate::geo::{Admission, Family, Prefix};
use crate::name::Name;
use crate::snapshot::Snapshot;
use crate::steer::decide::Trace;
use crate::wire::edns::Ecs;
use crate::wire::qname::QName;
use crate::wire::reply::{Owner, Section};
use crate::wire::{class, rtype};
use crate::zone::lookup::Match;
use crate::zone::rrset::txt_from_strings;

/// The label, with its length as in a question.
const LABEL: &[u8] = b"\x04_why";

/// Regions that are told of: a record each, and a message holds 64 KiB.
const MAX_ROWS: usize = 100;

/// Whether the name begins with the label.
#[inline]
pub(super) fn is_asked(qname: &QName) -> bool {
    qname.as_wire().starts_with(LABEL)
}

impl<T: Trace> Page<'_, '_, T> {
    /// Answers with the explanation, or with nothing who is to get that; false where the peer may not ask, or the name is a real one or not ours.
    #[cold]
    pub(super) fn why(&mut self, qname: &QName) -> bool {
        let (world, zones) = (self.world, &self.world.catalog.zones);
        let admission = world.catalog.settings.explains_to(self.ask.peer.ip());
        if admission == Admission::Refuse {
            return false;
        }
        let Some(found) = zones.find(qname, rtype::TXT) else { return false };
        let is_real = found.owner_hash == qname.hash() || matches!(found.matched, Match::Referral(_));
        // Class CH has no zones of its own: there nothing is in the way.
        if is_real && self.query.question.qclass == class::IN {
            return false;
        }
        if admission == Admission::Drop {
            self.outcome.class = Class::Dropped;
            return true;
        }
        let Ok(name) = Name::from_wire(qname.parent()) else { return false };
        let subnet = self.query.edns.as_ref().and_then(|edns| edns.ecs);
        let lines = lines(world, self.ask, &name, subnet);
        let rdatas: Vec<u8> = lines.iter().filter_map(|line| rdata(line)).flatten().collect();
        self.outcome.zone = Some(found.zone_id);
        self.outcome.owner_hash = found.owner_hash;
        self.authoritative = true;
        self.put_rdatas(Section::Answer, Owner::Question, (rtype::TXT, 0), &rdatas);
        // It holds for this client and nobody beside it; a subnet that is not used is echoed with 0 (BEHAVIOUR E7).
        self.scope = subnet.filter(|_| world.catalog.settings.believes(self.ask.peer.ip())).map_or(0, |subnet| subnet.source());
        true
    }
}

/// Numbered, as records have no order of their own.
fn lines(world: &Snapshot, ask: &Ask<'_>, name: &Name, subnet: Option<Ecs<'_>>) -> Vec<String> {
    let peer = ask.peer.ip();
    let subnet = subnet.and_then(|subnet| Prefix::new(subnet.address()?, subnet.source()).ok());
    let asked = |family| Asked { name: name.clone(), family, subnet, peer };
    let v4 = explain(world, asked(Family::V4), ask.now_ms);
    let v6 = explain(world, asked(Family::V6), ask.now_ms);
    let client = subnet.map_or_else(|| peer.to_string(), |subnet| subnet.to_string());
    let mut lines = vec![format!("client {client}"), format!("generation {}", world.generation)];
    tell("A", &v4, &mut lines);
    if v6.steps.is_some() {
        tell("AAAA", &v6, &mut lines);
    }
    lines.iter().enumerate().map(|(index, line)| format!("{index:03} {line}")).collect()
}

fn tell(qtype: &str, explanation: &Explanation<'_>, lines: &mut Vec<String>) {
    lines.push(format!("question {} {qtype}", explanation.asked.name));
    let text = explanation.to_string();
    let is_row = |line: &str| line.starts_with(' ');
    let rows = text.lines().filter(|line| is_row(line)).count();
    let mut told = 0;
    for line in text.lines() {
        told += usize::from(is_row(line));
        if !is_row(line) || told <= MAX_ROWS {
            // Columns are for screens.
            lines.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    if rows > MAX_ROWS {
        lines.push(format!("and {} regions more", rows - MAX_ROWS));
    }
    lines.push(format!("answer {}", answer(explanation)));
}

fn answer(explanation: &Explanation<'_>) -> String {
    let Some(steps) = &explanation.steps else { return explanation.outcome.class.name().to_owned() };
    let addresses: Vec<String> = steps.addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "no data".to_owned() } else { addresses.join(" ") };
    format!("{addresses}, ttl {}, scope /{}", steps.ttl_s, steps.scope)
}

/// A record of a run: its length and the data.
fn rdata(line: &str) -> Option<Vec<u8>> {
    let data = txt_from_strings(&[line]).ok()?;
    Some([&u16::try_from(data.len()).ok()?.to_be_bytes()[..], &data].concat())
}
