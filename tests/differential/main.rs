//! The same questions to Meridian and to NSD, Knot and BIND, all serving the same master files: whatever differs must be explained.
//! A difference that no named exception explains fails the test; servers that are not installed are skipped, and it is said so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

#[path = "../common/mod.rs"]
mod common;
mod exceptions;
mod questions;
mod seen;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use common::PATIENCE;
use common::client::{Tcp, Udp};
use common::daemon::{Daemon, Recipe};
use common::folder::Folder;
use common::server::Server;
use exceptions::{Case, Field, Peer, explain};
use meridian::wire::{class, rtype};
use questions::{Question, owners, questions};
use seen::{Rr, Seen};

/// How many questions each server is asked.
const QUESTIONS: usize = 5_000;

/// Unexplained differences that are printed in full.
const SHOWN: usize = 12;

const ZONE: (&str, &str) = ("example.test.zone", include_str!("../cases/differential/example.test.zone"));
const CHILD: (&str, &str) = ("child.example.test.zone", include_str!("../cases/differential/child.example.test.zone"));

const OURS: [(&str, &str); 4] = [
    ("meridian.yaml", include_str!("../cases/differential/meridian.yaml")),
    ("regions.yaml", include_str!("../cases/differential/regions.yaml")),
    ("example.test.zone.yaml", include_str!("../cases/differential/example.test.zone.yaml")),
    ("child.example.test.zone.yaml", include_str!("../cases/differential/child.example.test.zone.yaml")),
];

#[test]
fn answers_are_those_of_nsd() {
    let config = include_str!("../cases/differential/nsd.conf");
    let arguments = &["-d", "-c", "@CONFIG@"];
    compare(Peer::Nsd, &Recipe { program: "nsd", arguments, config, files: &[ZONE, CHILD], ready: "nsd started" });
}

#[test]
fn answers_are_those_of_knot() {
    let config = include_str!("../cases/differential/knot.conf");
    let arguments = &["-c", "@CONFIG@"];
    compare(Peer::Knot, &Recipe { program: "knotd", arguments, config, files: &[ZONE, CHILD], ready: "server started" });
}

#[test]
fn answers_are_those_of_bind() {
    let config = include_str!("../cases/differential/named.conf");
    let arguments = &["-g", "-n", "1", "-c", "@CONFIG@"];
    compare(Peer::Bind, &Recipe { program: "named", arguments, config, files: &[ZONE, CHILD], ready: "running" });
}

fn compare(peer: Peer, recipe: &Recipe<'_>) {
    let Some(daemon) = Daemon::start(recipe) else { return };
    let folder = Folder::with("differential", &[&OURS[..], &[ZONE, CHILD]].concat());
    let server = Server::start(&folder.join("meridian.yaml"));
    let (mut ours, mut theirs) = (Asker::of(server.address()), Asker::of(daemon.address()));
    let owners = owners(&[("example.test.", ZONE.1), ("child.example.test.", CHILD.1)]);
    let mut tally: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let (mut unexplained, mut report) = (0, String::new());
    for (index, question) in questions(&owners, QUESTIONS).iter().enumerate() {
        let id = index as u16;
        let ours = ours.ask(question, id);
        check(question, &ours);
        if peer == Peer::Bind && question.class == class::CH {
            *tally.entry(("not asked", "BIND answers three questions of class CH a second and drops the others")).or_default() += 1;
            continue;
        }
        let theirs = theirs.ask(question, id);
        let differing = differing(&ours, &theirs);
        if differing.is_empty() {
            *tally.entry(("equal", "")).or_default() += 1;
            continue;
        }
        let case = Case { peer, question, ours: &ours, theirs: &theirs, differing: &differing };
        match explain(&case) {
            Some(exception) => *tally.entry((exception.name, exception.reason)).or_default() += 1,
            None => {
                unexplained += 1;
                if unexplained <= SHOWN {
                    writeln!(report, "{question:?}\n  {differing:?}\n  ours   {}\n  theirs {}", shown(&ours), shown(&theirs)).unwrap();
                }
            }
        }
    }
    let table: Vec<String> = tally.iter().map(|((name, reason), count)| format!("{count:>6}  {name}\n        {reason}")).collect();
    eprintln!("{peer:?}, {QUESTIONS} questions:\n{}", table.join("\n"));
    assert_eq!(unexplained, 0, "differences that no exception explains; the first:\n{report}{}", daemon.log().join("\n"));
}

/// What holds for every reply of ours, whatever others say.
fn check(question: &Question, ours: &Seen) {
    assert!(ours.is_reply(), "{question:?}");
    assert_eq!(ours.question, question.octets(), "the question is echoed bit for bit");
    assert_eq!(ours.has_opt, question.udp_size.is_some(), "{question:?}");
    assert!(ours.octets <= question.limit(), "{} octets for {question:?}", ours.octets);
    let referred = !ours.authority.is_empty() && ours.authority.iter().all(|rr| rr.rtype == rtype::NS);
    assert!(referred || ours.additional.is_empty(), "only referrals have additional records: {question:?}");
    assert!(referred || ours.authority.iter().all(|rr| rr.rtype == rtype::SOA), "authority is a referral or an SOA: {question:?}");
    let mut expected = question.name.to_ascii_lowercase();
    for (index, rr) in ours.chain.iter().enumerate() {
        // A DNAME stands above the name that it renames, and the CNAME that says so follows it.
        let renames = rr.rtype == rtype::DNAME && expected.len() > rr.owner.len() && expected.ends_with(&rr.owner);
        let fits = renames || rr.owner == expected;
        assert!(fits, "record {index} of the answer is not next in its chain: {question:?}\n{}", shown(ours));
        if rr.rtype == rtype::CNAME {
            expected.clone_from(&rr.data);
        }
    }
}

/// What differs between two replies to one question.
fn differing(ours: &Seen, theirs: &Seen) -> Vec<Field> {
    // Of truncated replies only the head counts: the client asks again over TCP, and what of the rest is sent is free (RFC 2181 9).
    let whole = !(ours.is_truncated() && theirs.is_truncated());
    let fields = [
        (Field::Rcode, ours.rcode != theirs.rcode),
        (Field::Authoritative, ours.is_authoritative() != theirs.is_authoritative()),
        (Field::Truncated, ours.is_truncated() != theirs.is_truncated()),
        (Field::Flags, ours.other_flags() != theirs.other_flags()),
        (Field::Question, ours.question != theirs.question),
        (Field::Opt, ours.has_opt != theirs.has_opt),
        (Field::Answer, whole && ours.answer != theirs.answer),
        (Field::Authority, whole && ours.authority != theirs.authority),
        (Field::Glue, whole && !agree(&ours.glue(), &theirs.glue())),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

/// How much of the optional additional data is sent is free; what both have room for must not contradict.
fn agree(ours: &[&Rr], theirs: &[&Rr]) -> bool {
    ours.iter().all(|rr| theirs.contains(rr)) || theirs.iter().all(|rr| ours.contains(rr))
}

fn shown(seen: &Seen) -> String {
    let Seen { flags, rcode, answer, authority, additional, octets, .. } = seen;
    format!("rcode {rcode} flags {flags:04x} octets {octets}\n    {answer:?}\n    {authority:?}\n    {additional:?}")
}

/// One server, with a socket of each kind.
struct Asker {
    server: SocketAddr,
    udp: Udp,
    tcp: Option<Tcp>,
}

impl Asker {
    fn of(server: SocketAddr) -> Asker {
        Asker { server, udp: Udp::to(server), tcp: None }
    }

    fn ask(&mut self, question: &Question, id: u16) -> Seen {
        let message = question.message(id);
        let reply = if question.tcp {
            self.over_tcp(&message).unwrap_or_else(|| panic!("no reply over TCP to {question:?}"))
        } else {
            self.udp.send(&message);
            self.udp.receive(PATIENCE).unwrap_or_else(|| panic!("no reply to {question:?}"))
        };
        let seen = Seen::read(&reply).unwrap_or_else(|| panic!("a malformed reply to {question:?}: {}", reply.escape_ascii()));
        assert_eq!(seen.id, id, "{question:?}");
        seen
    }

    /// Over the open connection, or another if the server has closed it.
    fn over_tcp(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        (0..2).find_map(|_| {
            let tcp = self.tcp.get_or_insert_with(|| Tcp::to(self.server));
            tcp.send(message);
            let reply = tcp.receive();
            if reply.is_none() {
                self.tcp = None;
            }
            reply
        })
    }
}
