//! N4, N5, N10, N11 and N12: what is a query, in which order it is judged, and what is answered to everything else.

use super::common::PATIENCE;
use super::common::client::{Tcp, Udp, udp};
use super::common::message::{OPTION_COOKIE, OPTION_ECS, OPTION_NSID, Query, Reply, name_octets, query};
use super::common::readers::form;
use super::house::{BADVERS, FORMERR, HOUSE, NOERROR, NOTAUTH, NOTIMP, NXDOMAIN, REFUSED, SERVER, ask, judge, world, world_of};

/// Sends octets as they are over UDP and TCP, IPv4 and IPv6; all replies must be the same.
#[track_caller]
fn send(octets: &[u8]) -> Reply {
    let mut replies = Vec::new();
    for address in HOUSE.addresses() {
        let udp = Udp::to(*address);
        udp.send(octets);
        replies.push(udp.receive(PATIENCE).unwrap_or_else(|| panic!("no reply to {octets:02x?}")));
        let mut tcp = Tcp::to(*address);
        tcp.send(octets);
        replies.push(tcp.receive().unwrap());
    }
    for reply in &replies {
        judge(octets, reply, None);
        assert_eq!(*reply, replies[0]);
    }
    Reply::read(&replies[0])
}

/// Nothing comes back; a query behind it on the same socket is answered.
#[track_caller]
fn is_dropped(octets: &[u8]) {
    let sentinel = query("static.example.com", "A").id(0x7e57);
    for address in HOUSE.addresses() {
        let udp = Udp::to(*address);
        udp.send(octets);
        assert_eq!(udp.ask(&sentinel).id(), 0x7e57, "something came back to {octets:02x?}");
        if !octets.is_empty() {
            let mut tcp = Tcp::to(*address);
            tcp.send(octets);
            assert_eq!(tcp.ask(&sentinel).id(), 0x7e57, "something came back to {octets:02x?}");
        }
    }
}

/// A message from its parts: the counts of the four sections, and what follows.
fn message(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let header: Vec<u8> = [0x4d52, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect();
    [header, body.concat()].concat()
}

fn question(name: &str, qtype: u16) -> Vec<u8> {
    [&name_octets(name)[..], &qtype.to_be_bytes(), &[0, 1]].concat()
}

/// OPT of version 0 and size 1232 without options.
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

#[test]
fn n4_outside_our_zones_is_refused_without_aa() {
    for name in ["example.net", "com", ".", "xexample.com", "example.com.example.net"] {
        let reply = ask(&query(name, "A"));
        assert_eq!((reply.rcode(), reply.is_authoritative()), (REFUSED, false), "{name}");
        assert!(reply.answers().is_empty() && reply.authorities().is_empty() && reply.additionals().is_empty(), "{name}");
    }
}

#[test]
fn n4_aa_on_our_own_answers_of_every_kind() {
    for (name, qtype) in [
        ("static", "A"),
        ("www", "A"),
        ("www", "MX"),
        ("nowhere", "A"),
        ("b.ent", "A"),
        ("x.wild", "A"),
        ("alias", "A"),
        ("a-out", "A"),
        ("www", "ANY"),
    ] {
        assert!(ask(&query(&format!("{name}.example.com"), qtype)).is_authoritative(), "{name} {qtype}");
    }
}

#[test]
fn n4_rd_is_copied_and_the_other_flags_are_0() {
    for flags in [0, 0x0100, 0x0020, 0x0010, 0x0040, 0x0080, 0x0400, 0x0200, 0x07ff] {
        let reply = ask(&query("static.example.com", "A").flags(flags).edns(1232));
        let metadata = reply.message.metadata;
        assert_eq!(metadata.recursion_desired, flags & 0x0100 != 0);
        assert!(!metadata.recursion_available && !metadata.authentic_data && !metadata.checking_disabled && !metadata.truncation);
        assert_eq!((reply.rcode(), reply.answers().len()), (NOERROR, 2), "{flags:04x}");
    }
}

#[test]
fn n4_a_reply_is_dropped() {
    is_dropped(&query("static.example.com", "A").flags(0x8100).octets());
    is_dropped(&query("static.example.com", "A").flags(0x8000).subnet("10.1.0.0/16").octets());
    is_dropped(&message(0xffff, [1, 0, 0, 0], &[&question("static.example.com", 1)]));
}

#[test]
fn n4_other_opcodes_are_notimp() {
    for opcode in 1..16 {
        let reply = ask(&query("example.com", "SOA").flags(opcode << 11 | 0x0100));
        assert_eq!((reply.rcode(), u16::from(u8::from(reply.opcode()))), (NOTIMP, opcode));
        assert!(!reply.message.metadata.recursion_desired && !reply.is_authoritative(), "opcode {opcode}");
    }
}

#[test]
fn n4_other_than_one_question_is_formerr() {
    let one = question("static.example.com", 1);
    for (count, body) in [(0, vec![]), (2, vec![&one[..], &one]), (2, vec![&one[..]]), (65_535, vec![&one[..]])] {
        let reply = send(&message(0x0100, [count, 0, 0, 0], &body));
        assert_eq!((reply.rcode(), reply.answers().len()), (FORMERR, 0), "{count} questions");
    }
    // It could ask for a cookie (RFC 7873 5.4), but there is none in it.
    let reply = send(&message(0x0100, [0, 0, 0, 1], &[&OPT]));
    assert_eq!((reply.rcode(), reply.message.edns.is_some()), (FORMERR, true), "without OPT it would say that it knows none (RFC 6891 7)");
}

#[test]
fn n4_meta_types_have_their_rcodes() {
    for (qtype, rcode) in
        [("AXFR", REFUSED), ("IXFR", REFUSED), ("OPT", FORMERR), ("TSIG", FORMERR), ("TKEY", NOTIMP), ("MAILB", NOTIMP), ("MAILA", NOTIMP)]
    {
        for name in ["example.com", "www.example.com", "example.net"] {
            let reply = ask(&query(name, qtype).edns(1232));
            assert_eq!((reply.rcode(), reply.answers().len(), reply.is_authoritative()), (rcode, 0, false), "{qtype} at {name}");
        }
    }
}

#[test]
fn n4_tsig_without_keys_is_notauth() {
    let tsig: &[u8] = &[
        3, b'k', b'e', b'y', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 29, 11, b'h', b'm', b'a', b'c', b'-', b's', b'h', b'a', b'2', b'5', b'6', 0,
        0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0x4d, 0x52, 0, 0, 0, 0,
    ];
    let reply = send(&message(0, [1, 0, 0, 1], &[&question("static.example.com", 1), tsig]));
    assert_eq!((reply.rcode(), reply.answers().len()), (NOTAUTH, 0));
    let reply = send(&message(0, [1, 0, 0, 2], &[&question("static.example.com", 1), tsig, &OPT]));
    assert_eq!(reply.rcode(), FORMERR, "TSIG is the last record (RFC 8945 5.1)");
}

#[test]
fn n4_other_classes_are_refused() {
    for class in [0, 2, 4, 5, 254, 255, 65_535] {
        let reply = ask(&query("static.example.com", "A").class(class));
        assert_eq!((reply.rcode(), reply.is_authoritative()), (REFUSED, false), "class {class}");
    }
    for name in ["static.example.com", "bind", "example.version.bind"] {
        assert_eq!(ask(&query(name, "TXT").class(3)).rcode(), REFUSED, "CH {name}");
    }
}

#[test]
fn n5_the_question_is_echoed_bit_for_bit_and_case_is_ignored() {
    let spellings =
        ["WWW.EXAMPLE.COM", "wWw.ExAmPlE.cOm", "www.example.com", "X.APPS.example.COM", "sTaTiC.example.com", "ALIAS.example.com"];
    for name in spellings {
        let asked = query(name, "A").subnet("10.3.4.0/24");
        let reply = ask(&asked);
        assert_eq!(reply.question(), asked.question(), "{name}");
        assert_eq!(reply.rcode(), NOERROR);
        assert!(reply.answers()[0].starts_with(name), "the owner is spelled as asked: {:?}", reply.answers());
    }
    // Errors echo it too.
    let asked = query("NoWhere.eXample.NET", "A");
    assert_eq!(ask(&asked).question(), asked.question());
}

#[test]
fn n5_any_octets_may_stand_in_a_label() {
    let mut odd = message(0, [1, 0, 0, 0], &[&[4, 0, b'.', 0xff, b'A'], &question("wild.example.com", 1)]);
    let reply = send(&odd);
    assert_eq!((reply.rcode(), reply.addresses().len()), (NOERROR, 1), "the wildcard takes them");
    odd[2] = 0x01;
    assert_eq!(send(&odd).question(), &odd[12..]);
}

#[test]
fn n10_the_order_of_judgement() {
    let body = question("static.example.com", 1);
    let bad_option: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 7, 0, 8, 0, 3, 0, 1, 24];
    let bad_option_of_version_9: &[u8] = &[0, 0, 41, 4, 208, 0, 9, 0, 0, 0, 7, 0, 8, 0, 3, 0, 1, 24];
    let elsewhere = question("static.example.net", 1);
    let chaos = [&name_octets("static.example.com")[..], &[0, 1, 0, 3]].concat();
    let axfr_of_chaos = [&name_octets("example.net")[..], &[0, 41, 0, 3]].concat();
    let cases: [(&str, Vec<u8>, u16); 10] = [
        ("opcode before QDCOUNT", message(4 << 11, [0, 0, 0, 0], &[]), NOTIMP),
        ("opcode before the form of the question", message(4 << 11, [1, 0, 0, 0], &[&[0xc0]]), NOTIMP),
        ("QDCOUNT before the question", message(0, [2, 0, 0, 0], &[&[0xc0]]), FORMERR),
        ("other sections before OPT", message(0, [1, 1, 0, 1], &[&body, bad_option_of_version_9]), FORMERR),
        ("the form of OPT before its version", message(0, [1, 0, 0, 2], &[&body, bad_option_of_version_9, &OPT]), FORMERR),
        ("the version before options", message(0, [1, 0, 0, 1], &[&body, bad_option_of_version_9]), BADVERS),
        ("options before the class", message(0, [1, 0, 0, 1], &[&chaos, bad_option]), FORMERR),
        ("options before the zone", message(0, [1, 0, 0, 1], &[&elsewhere, bad_option]), FORMERR),
        ("the class before meta types", message(0, [1, 0, 0, 0], &[&axfr_of_chaos]), REFUSED),
        ("meta types before the zone", message(0, [1, 0, 0, 0], &[&question("example.net", 253)]), NOTIMP),
    ];
    for (what, octets, rcode) in cases {
        assert_eq!(send(&octets).rcode(), rcode, "{what}");
    }
}

#[test]
fn n10_badvers_says_version_0() {
    for version in [1, 2, 100, 255] {
        let reply = ask(&query("www.example.com", "A").version(version).subnet("10.1.0.0/16").option(OPTION_NSID, &[]));
        let edns = reply.message.edns.as_ref().unwrap();
        assert_eq!((reply.rcode(), edns.version(), edns.options().options.len()), (BADVERS, 0, 0));
        assert!(reply.answers().is_empty());
    }
}

#[test]
fn n10_two_opts_or_one_in_the_wrong_place_are_formerr() {
    let body = question("static.example.com", 1);
    assert_eq!(send(&message(0, [1, 0, 0, 2], &[&body, &OPT, &OPT])).rcode(), FORMERR);
    assert_eq!(send(&message(0, [1, 0, 0, 1], &[&body, &[1, b'x'], &OPT])).rcode(), FORMERR, "an owner other than the root");
    assert_eq!(send(&message(0, [1, 0, 1, 0], &[&body, &OPT])).rcode(), FORMERR, "OPT in authority");
    assert_eq!(send(&message(0, [1, 1, 0, 0], &[&body, &OPT])).rcode(), FORMERR, "OPT in answer");
}

#[test]
fn n10_unknown_options_and_flags_are_ignored_and_do_is_copied() {
    let plain = || query("static.example.com", "A");
    for query in [plain().option(65_001, b"hello"), plain().option(12, &[0; 40]), plain().edns_flags(0x7fff)] {
        let reply = ask(&query);
        assert_eq!((reply.rcode(), reply.answers().len()), (NOERROR, 2));
        let edns = reply.message.edns.as_ref().unwrap();
        assert!(edns.options().options.is_empty() && !edns.flags().dnssec_ok && edns.flags().z == 0, "{edns:?}");
    }
    for (name, rcode) in [("static.example.com", NOERROR), ("no.such.example.com", NXDOMAIN), ("www.example.net", REFUSED)] {
        let reply = ask(&query(name, "A").edns_flags(0x8000));
        assert!(reply.message.edns.as_ref().unwrap().flags().dnssec_ok && reply.rcode() == rcode, "{name}");
    }
    let fault = ask(&plain().edns_flags(0x8000).option(OPTION_ECS, &[9]));
    assert!(fault.rcode() == FORMERR && fault.message.edns.unwrap().flags().dnssec_ok, "an error copies DO too");
}

#[test]
fn n10_a_cookie_is_taken_and_a_malformed_one_is_formerr() {
    for length in 0..48 {
        // Over one transport: the cookie in the reply depends on the address.
        let reply = udp(HOUSE.addresses()[0], &query("static.example.com", "A").option(OPTION_COOKIE, &vec![7; length]));
        let good = matches!(length, 8 | 16..=40);
        assert_eq!(reply.rcode(), if good { NOERROR } else { FORMERR }, "a cookie of {length} octets (RFC 7873 5.2.2)");
    }
}

#[test]
fn n11_nsid_is_given_to_those_who_ask() {
    let nsid = |query: &Query| ask(query).option(OPTION_NSID);
    assert_eq!(nsid(&query("static.example.com", "A").option(OPTION_NSID, &[])).as_deref(), Some(&b"node-1"[..]));
    assert_eq!(nsid(&query("no.such.example.com", "A").option(OPTION_NSID, &[]).subnet("10.1.0.0/16")).as_deref(), Some(&b"node-1"[..]));
    assert_eq!(nsid(&query("static.example.com", "A").edns(1232)), None);
    let (_, reply) = world_of(&SERVER.replace("nsid: node-1\n", "")).ask(&query("static.example.com", "A").option(OPTION_NSID, &[]));
    assert_eq!(reply.option(OPTION_NSID), None, "none is configured");
}

#[test]
fn n11_version_and_id_in_class_ch() {
    for (name, text) in [("version.bind", "tested"), ("VERSION.server", "tested"), ("id.server", "node-1"), ("hostname.bind", "node-1")] {
        let reply = ask(&query(name, "TXT").class(3));
        assert_eq!((reply.rcode(), reply.is_authoritative()), (NOERROR, true), "{name}");
        assert_eq!(reply.answers(), [format!("{name}. 0 TXT {text}")]);
        assert_eq!(u16::from(reply.message.answers[0].dns_class), 3);
        let other = ask(&query(name, "A").class(3));
        assert_eq!((other.rcode(), other.answers().len()), (NOERROR, 0), "{name}");
    }
    let hidden = world_of(&SERVER.replace("version_text: tested", "version_text: off").replace("nsid: node-1\n", ""));
    for name in ["version.bind", "version.server", "id.server", "hostname.bind"] {
        let (_, reply) = hidden.ask(&query(name, "TXT").class(3));
        assert_eq!((reply.rcode(), reply.answers().len()), (REFUSED, 0), "{name} is hidden");
    }
}

#[test]
fn n12_under_12_octets_is_dropped() {
    let whole = query("static.example.com", "A").octets();
    for length in 0..12 {
        is_dropped(&whole[..length]);
    }
}

#[test]
fn n12_garbage_with_a_header_is_formerr_with_its_id() {
    let name = name_octets("static.example.com");
    let cases: [(&str, Vec<u8>); 10] = [
        ("a header alone", message(0, [1, 0, 0, 0], &[])),
        ("a label that is cut off", message(0, [1, 0, 0, 0], &[&name[..5]])),
        ("no root label", message(0, [1, 0, 0, 0], &[&name[..name.len() - 1]])),
        ("no type", message(0, [1, 0, 0, 0], &[&name])),
        ("half a class", message(0, [1, 0, 0, 0], &[&name, &[0, 1, 0]])),
        ("a label type of old", message(0, [1, 0, 0, 0], &[&[0x41, 1, 0, 0, 1, 0, 1]])),
        ("a name of 256 octets", message(0, [1, 0, 0, 0], &[&[63; 64].repeat(3), &[62; 63], &[0, 0, 1, 0, 1]])),
        ("a record that is missing", message(0, [1, 0, 0, 1], &[&question("static.example.com", 1)])),
        ("65,535 records that are missing", message(0, [1, 0, 0, 65_535], &[&question("static.example.com", 1), &OPT])),
        ("OPT that is cut off", message(0, [1, 0, 0, 1], &[&question("static.example.com", 1), &OPT[..10]])),
    ];
    for (what, octets) in cases {
        let reply = send(&octets);
        assert_eq!((reply.rcode(), reply.id(), reply.answers().len()), (FORMERR, 0x4d52, 0), "{what}");
    }
}

#[test]
fn n12_pointers_in_the_question_are_formerr() {
    let tail: &[u8] = &[0, 1, 0, 1];
    for pointer in [[0xc0, 12], [0xc0, 0], [0xc0, 13], [0xff, 0xff]] {
        assert_eq!(send(&message(0, [1, 0, 0, 0], &[&pointer, tail])).rcode(), FORMERR);
        assert_eq!(send(&message(0, [1, 0, 0, 0], &[&[3, b'w', b'w', b'w'], &pointer, tail])).rcode(), FORMERR);
    }
}

#[test]
fn n12_answer_and_authority_must_be_empty_but_for_ixfr() {
    let record: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1];
    let body = question("static.example.com", 1);
    assert_eq!(send(&message(0, [1, 1, 0, 0], &[&body, record])).rcode(), FORMERR);
    assert_eq!(send(&message(0, [1, 0, 1, 0], &[&body, record])).rcode(), FORMERR);
    assert_eq!(send(&message(0, [1, 0, 0, 1], &[&body, record])).rcode(), NOERROR, "additional records are skipped");
    let soa = [&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 1, 0, 22, 0, 0][..], &[0; 20]].concat();
    let ixfr = question("example.com", 251);
    assert_eq!(send(&message(0, [1, 0, 1, 0], &[&ixfr, &soa])).rcode(), REFUSED);
    assert_eq!(send(&message(0, [1, 0, 2, 0], &[&ixfr, &soa, &soa])).rcode(), FORMERR);
}

#[test]
fn n12_octets_behind_the_last_record_are_ignored() {
    for name in ["static.example.com", "no.such.example.com"] {
        let clean = query(name, "A").subnet("10.1.0.0/16").octets();
        let (trailing, long) = ([&clean[..], &[0xde, 0xad]].concat(), [&clean[..], &[0; 3000]].concat());
        let expected = send(&clean);
        assert_eq!((send(&trailing).octets, send(&long).octets), (expected.octets.clone(), expected.octets));
    }
}

/// Nothing in any reply may be an answer to what nobody asked; names of 255 octets fit.
#[test]
fn n12_the_longest_name_is_echoed_whole() {
    let label = |length: u8| [&[length][..], &vec![b'x'; length.into()]].concat();
    // 255 octets with the zone behind.
    let zone = name_octets("wild.example.com");
    let fill = 255 - zone.len() - 3 * 64;
    let name = [label(63), label(63), label(63), label(fill as u8 - 1), zone].concat();
    assert_eq!(name.len(), 255);
    let octets = message(0, [1, 0, 0, 1], &[&name, &[0, 1, 0, 1], &OPT]);
    let reply = send(&octets);
    assert_eq!((reply.rcode(), reply.addresses().len()), (NOERROR, 1));
    assert_eq!(form(&reply.octets).unwrap().question, octets[12..12 + 259]);
    let (outcome, _) = world().ask_octets(super::common::world::PEER, meridian::answer::Transport::Udp, &octets);
    assert_eq!(outcome.rcode.0, NOERROR);
}
