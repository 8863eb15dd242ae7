//! What replies promise: two independent readers find in them what was written, whole RRsets only, and OPT always.
//! Only tests of the wire rooms stand here.

use super::edns::OptReply;
use super::query::{Fault, FaultReply, Query, parse};
use super::reply::{Flags, Full, MIN_OUT_OCTETS, Owner, Reply, Section, fault};
use super::{Rcode, class, rtype};
use crate::name::Name;
use domain::base::rdata::ComposeRecordData;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use proptest::prelude::*;

/// One record as a reader sees it: section, owner, type, class, TTL and data, names uncompressed.
type Seen = (Section, Vec<u8>, u16, u16, u32, Vec<u8>);

/// A query with RD for a name in master-file text, with OPT (client subnet 192.0.2.0/24, NSID, DO) if asked for.
fn packet(qname: &str, qtype: u16, qclass: u16, edns: bool) -> Vec<u8> {
    let opt = [0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 15, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2, 0, 3, 0, 0];
    let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    packet.extend_from_slice(&wire(qname));
    packet.extend_from_slice(&qtype.to_be_bytes());
    packet.extend_from_slice(&qclass.to_be_bytes());
    packet.extend_from_slice(if edns { &opt } else { &[] });
    packet
}

fn wire(text: &str) -> Vec<u8> {
    Name::parse(text, None).unwrap().as_wire().to_vec()
}

fn query(packet: &[u8]) -> Query<'_> {
    parse(packet).unwrap_or_else(|_| panic!("the test's query is refused"))
}

fn opt_for<'a>(query: &Query<'a>) -> Option<OptReply<'a>> {
    query.edns.as_ref().map(|edns| OptReply::to(edns, 1232, Some(b"node")))
}

/// Record data in the form that `rrset` takes.
fn rdatas<D: AsRef<[u8]>>(list: &[D]) -> Vec<u8> {
    list.iter().flat_map(|data| [&(data.as_ref().len() as u16).to_be_bytes(), data.as_ref()].concat()).collect()
}

fn seen_by_domain(message: &[u8]) -> Vec<Seen> {
    let message = domain::base::Message::from_octets(message).unwrap();
    let mut seen = Vec::new();
    let (_, answer, authority, additional) = message.sections().unwrap();
    for (section, records) in [(Section::Answer, answer), (Section::Authority, authority), (Section::Additional, additional)] {
        for record in records {
            let record = record.unwrap();
            if record.rtype().to_int() == rtype::OPT {
                continue;
            }
            let (mut owner, mut data) = (Vec::new(), Vec::new());
            domain::base::ToName::compose(&record.owner(), &mut owner).unwrap();
            let parsed = record.to_any_record::<domain::rdata::AllRecordData<_, _>>().unwrap();
            parsed.data().compose_rdata(&mut data).unwrap();
            seen.push((section, owner, record.rtype().to_int(), record.class().to_int(), record.ttl().as_secs(), data));
        }
    }
    seen
}

fn seen_by_hickory(message: &[u8]) -> Vec<Seen> {
    let message = hickory_proto::op::Message::from_vec(message).unwrap();
    let sections =
        [(Section::Answer, &message.answers), (Section::Authority, &message.authorities), (Section::Additional, &message.additionals)];
    let plain = |item: &dyn Fn(&mut BinEncoder<'_>)| {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        item(&mut encoder);
        octets
    };
    let mut seen = Vec::new();
    for (section, records) in sections {
        for record in records {
            let owner = plain(&|encoder| record.name.emit(encoder).unwrap());
            let data = plain(&|encoder| record.data.emit(encoder).unwrap());
            seen.push((section, owner, record.record_type().into(), record.dns_class.into(), record.ttl, data));
        }
    }
    seen
}

/// Names that may have been compressed in lower case: a pointer gives them the letters of what it points to (RFC 4343 4.1). All else as it is.
fn in_lower_case(seen: &[Seen]) -> Vec<Seen> {
    let lower = |(section, owner, rtype, class, ttl, data): &Seen| {
        let mut data = data.clone();
        let names = match *rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => 0..data.len(),
            rtype::MX => 2..data.len(),
            rtype::SOA => 0..data.len() - 20,
            _ => 0..0,
        };
        data[names].make_ascii_lowercase();
        (*section, owner.to_ascii_lowercase(), *rtype, *class, *ttl, data)
    };
    seen.iter().map(lower).collect()
}

/// Both readers must see the records, the question and the OPT that was asked for.
#[track_caller]
fn assert_seen(message: &[u8], packet: &[u8], expected: &[Seen]) {
    let expected = in_lower_case(expected);
    assert_eq!(in_lower_case(&seen_by_domain(message)), expected);
    assert_eq!(in_lower_case(&seen_by_hickory(message)), expected);

    let query = query(packet);
    assert_eq!(message[..2], packet[..2]);
    assert_eq!(message[12..12 + query.question.raw.len()], *query.question.raw);
    let hickory = hickory_proto::op::Message::from_vec(message).unwrap();
    assert_eq!(hickory.edns.is_some(), query.edns.is_some());
    if let Some(edns) = hickory.edns {
        assert!(edns.version() == 0 && edns.flags().dnssec_ok && edns.max_payload() == 1232);
        let domain = domain::base::Message::from_octets(message).unwrap();
        let subnet = domain.opt().unwrap().opt().client_subnet().unwrap();
        assert_eq!((subnet.source_prefix_len(), subnet.addr()), (24, "192.0.2.0".parse().unwrap()));
    }
}

/// What a reply to a question without EDNS holds after the question.
fn after_question(qname: &str, write: impl FnOnce(&mut Reply<'_>)) -> Vec<u8> {
    let packet = packet(qname, rtype::A, class::IN, false);
    let query = query(&packet);
    let mut out = [0xee; 600];
    let mut reply = Reply::new(&mut out, 600, &query, None);
    write(&mut reply);
    let length = reply.finish(Rcode::NOERROR, Flags::default());
    out[packet.len()..length].to_vec()
}

#[test]
fn n5_a_steered_answer_octet_for_octet() {
    let packet = packet("wWw.Example.COM", rtype::A, class::IN, true);
    let query = query(&packet);
    let mut out = [0xee; 512];
    let mut reply = Reply::new(&mut out, 512, &query, opt_for(&query));
    reply.address(Owner::Question, 30, [192, 0, 2, 10].into()).unwrap();
    reply.set_scope(20);
    let length = reply.finish(Rcode::NOERROR, Flags { aa: true, tc: false });
    let header = [0xab, 0xcd, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, 10];
    let opt = [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 19, 0, 8, 0, 7, 0, 1, 24, 20, 192, 0, 2, 0, 3, 0, 4, b'n', b'o', b'd', b'e'];
    assert_eq!(out[..length], [&header, query.question.raw, &record, &opt].concat());
}

#[test]
fn names_point_to_what_stands_there_in_any_letter_case() {
    let name = |text: &str| rdatas(&[wire(text)]);
    // Below the question: offset 12 is `www`, 16 is `example`.
    let octets = after_question("www.example", |reply| {
        reply.rrset(Section::Answer, Owner::Question, rtype::CNAME, 1, &name("a.example")).unwrap();
        reply.rrset(Section::Answer, Owner::Name(&wire("a.example")), rtype::CNAME, 1, &name("wWW.example")).unwrap();
    });
    let first = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1, 0, 4, 1, b'a', 0xc0, 16];
    let second = [0xc0, 41, 0, 5, 0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 12];
    assert_eq!(octets, [&first[..], &second].concat());
}

#[test]
fn later_records_of_an_rrset_point_to_its_first_owner() {
    let octets = after_question("x", |reply| {
        reply.rrset(Section::Answer, Owner::Name(&wire("ab")), rtype::A, 1, &rdatas(&[[1; 4], [2; 4]])).unwrap();
    });
    let rest = [0, 1, 0, 1, 0, 0, 0, 1, 0, 4];
    assert_eq!(octets, [&[2, b'a', b'b', 0][..], &rest, &[1; 4], &[0xc0, 19], &rest, &[2; 4]].concat());
}

#[test]
fn names_in_newer_types_are_never_compressed() {
    let srv = [&[0, 1, 0, 2, 0, 80][..], &wire("www.example")].concat();
    let octets =
        after_question("www.example", |reply| reply.rrset(Section::Answer, Owner::Question, rtype::SRV, 1, &rdatas(&[&srv])).unwrap());
    assert_eq!(octets[12..], srv);
}

#[test]
fn both_names_of_a_soa_are_compressed() {
    let soa = [wire("ns.example"), wire("host.ns.example"), vec![7; 20]].concat();
    let octets =
        after_question("example", |reply| reply.rrset(Section::Authority, Owner::Question, rtype::SOA, 1, &rdatas(&[&soa])).unwrap());
    let names = [2, b'n', b's', 0xc0, 12, 4, b'h', b'o', b's', b't', 0xc0, 37];
    assert_eq!(octets, [&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 1, 0, 32], &names[..], &[7; 20]].concat());
}

#[test]
fn the_root_is_never_a_pointer() {
    let octets = after_question("x", |reply| {
        reply.rrset(Section::Authority, Owner::Name(&[0]), rtype::NS, 1, &rdatas(&[[0], [0]])).unwrap();
    });
    assert_eq!(octets, [0, 0, 2, 0, 1, 0, 0, 0, 1, 0, 1, 0].repeat(2));
}

#[test]
fn chaos_answers_have_the_class_of_their_question() {
    let packet = packet("version.bind", rtype::TXT, class::CH, true);
    let query = query(&packet);
    let mut out = [0; 512];
    let mut reply = Reply::new(&mut out, 512, &query, opt_for(&query));
    reply.rrset(Section::Answer, Owner::Question, rtype::TXT, 0, &rdatas(&[b"\x02me"])).unwrap();
    let length = reply.finish(Rcode::NOERROR, Flags::default());
    let expected = (Section::Answer, wire("version.bind"), rtype::TXT, class::CH, 0, b"\x02me".to_vec());
    assert_seen(&out[..length], &packet, &[expected]);
}

#[test]
fn n9_an_rrset_that_does_not_fit_leaves_no_trace() {
    let packet = packet("www.example", rtype::A, class::IN, true);
    let query = query(&packet);
    let mut out = [0xee; 4096];
    let mut reply = Reply::new(&mut out, 0, &query, opt_for(&query));
    let owner = wire("other.example");
    reply.rrset(Section::Answer, Owner::Question, rtype::A, 5, &rdatas(&[[1; 4]; 20])).unwrap();
    let many = rdatas(&[[2; 4]; 20]);
    assert_eq!(reply.rrset(Section::Answer, Owner::Name(&owner), rtype::A, 5, &many), Err(Full));
    // The suffixes of the RRset that was taken back must not be pointed to.
    reply.rrset(Section::Authority, Owner::Name(&owner), rtype::A, 5, &rdatas(&[[3; 4]])).unwrap();
    while reply.address(Owner::Name(&owner), 5, [4; 16].into()).is_ok() {}
    let length = reply.finish(Rcode::NOERROR, Flags { aa: true, tc: true });
    assert!((480..=512).contains(&length), "{length}");
    assert!(out[512..].iter().all(|octet| *octet == 0xee), "nothing is written beyond the limit");
    let seen = seen_by_domain(&out[..length]);
    assert_eq!(seen.iter().filter(|seen| seen.1 == wire("www.example")).count(), 20);
    assert_eq!(seen.iter().filter(|seen| seen.5 == [3; 4] && seen.1 == owner).count(), 1);
    assert!(domain::base::Message::from_octets(&out[..length]).unwrap().opt().is_some());
}

#[test]
fn rrsets_that_did_not_fit_take_no_room_in_the_compression_table() {
    let octets = after_question("x", |reply| {
        for i in 0..100 {
            let owner = wire(&format!("n{i}"));
            assert_eq!(reply.rrset(Section::Answer, Owner::Name(&owner), rtype::A, 1, &rdatas(&[[1; 4]; 99])), Err(Full));
        }
        for owner in [Owner::Question, Owner::Name(&wire("ab")), Owner::Name(&wire("ab"))] {
            reply.address(owner, 1, [1; 4].into()).unwrap();
        }
    });
    assert_eq!((octets.len(), &octets[34..36]), (16 + 18 + 16, &[0xc0, 19 + 16][..]));
}

#[test]
fn n9_truncation_keeps_question_and_opt() {
    let packet = packet("www.example", rtype::A, class::IN, true);
    let query = query(&packet);
    let mut out = [0; 512];
    let mut reply = Reply::new(&mut out, 512, &query, opt_for(&query));
    reply.address(Owner::Name(&wire("a.example")), 5, [1; 4].into()).unwrap();
    reply.truncate();
    let length = reply.finish(Rcode::NOERROR, Flags { aa: true, tc: true });
    assert_seen(&out[..length], &packet, &[]);
    assert_eq!(out[2..4], [0x87, 0]);
    // The same, with other records after the cut.
    let mut reply = Reply::new(&mut out, 512, &query, opt_for(&query));
    reply.rrset(Section::Additional, Owner::Name(&wire("a.example")), rtype::A, 5, &rdatas(&[[1; 4]])).unwrap();
    reply.truncate();
    reply.address(Owner::Name(&wire("b.a.example")), 5, [1; 4].into()).unwrap();
    let length = reply.finish(Rcode::NOERROR, Flags::default());
    assert_seen(&out[..length], &packet, &[(Section::Answer, wire("b.a.example"), 1, 1, 5, vec![1; 4])]);
}

#[test]
fn names_beyond_the_reach_of_pointers_are_written_whole() {
    let packet = packet("example", rtype::MX, class::IN, true);
    let query = query(&packet);
    let mut out = vec![0; 65535];
    let mut reply = Reply::new(&mut out, 65535, &query, opt_for(&query));
    let mut expected = Vec::new();
    for i in 0..1000 {
        let (owner, data) = (wire(&format!("host{i}.far")), [&[0, i as u8], &wire(&format!("Mail{i}.far"))[..]].concat());
        reply.rrset(Section::Answer, Owner::Name(&owner), rtype::MX, i, &rdatas(&[&data, &data])).unwrap();
        expected.extend(std::iter::repeat_n((Section::Answer, owner, rtype::MX, 1, i, data), 2));
    }
    let length = reply.finish(Rcode::NOERROR, Flags { aa: true, tc: false });
    assert!(length > 2 * 0x4000);
    assert_seen(&out[..length], &packet, &expected);
}

#[test]
fn badvers_spreads_over_header_and_opt() {
    let refused = FaultReply { id: 7, opcode: 0, rd: true, rcode: Rcode::BADVERS, question: Some(b"\0\0\x01\0\x01"), opt: Some(true) };
    let mut out = [0xee; 512];
    let length = fault(&refused, 1232, &mut out);
    let header = [0, 7, 0x81, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    assert_eq!(out[..length], [&header[..], b"\0\0\x01\0\x01", &[0, 0, 41, 4, 208, 1, 0, 0x80, 0, 0, 0]].concat());
}

#[test]
fn the_largest_reply_without_records_fits_the_least_buffer() {
    let label = "a".repeat(63);
    let packet = packet(&format!("{label}.{label}.{label}.{}", &label[..61]), rtype::A, class::IN, true);
    let query = query(&packet);
    assert_eq!(query.question.raw.len(), 259);
    let opt = OptReply { udp_size: 1232, ..OptReply::LONGEST };
    let mut out = [0; MIN_OUT_OCTETS];
    let length = Reply::new(&mut out, 0, &query, Some(opt)).finish(Rcode::REFUSED, Flags::default());
    assert!(hickory_proto::op::Message::from_vec(&out[..length]).is_ok());
}

/// Names that share suffixes, also in another letter case.
fn shared_name() -> impl Strategy<Value = Vec<u8>> {
    let label =
        prop::sample::select(vec!["a", "A", "b", "example", "Example", "eXample", "a-much-longer-label-than-the-others", r"\.\000"]);
    prop::collection::vec(label, 0..6).prop_map(|labels| wire(&format!("{}.", labels.join("."))))
}

/// A type with one to five records of it.
fn records() -> impl Strategy<Value = (u16, Vec<Vec<u8>>)> {
    let plain = |rtype, length| prop::collection::vec(prop::collection::vec(any::<u8>(), length), 1..5).prop_map(move |list| (rtype, list));
    let named = |rtype, before: usize, names: usize, after: usize| {
        let names = prop::collection::vec(shared_name(), names).prop_map(|names| names.concat());
        let data = (prop::collection::vec(any::<u8>(), before), names, prop::collection::vec(any::<u8>(), after));
        prop::collection::vec(data.prop_map(|(before, name, after)| [before, name, after].concat()), 1..5)
            .prop_map(move |list| (rtype, list))
    };
    prop_oneof![
        plain(rtype::A, 4),
        plain(rtype::AAAA, 16),
        prop::collection::vec("[a-z]{1,30}", 1..5)
            .prop_map(|texts| (rtype::TXT, texts.iter().map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect())),
        named(rtype::NS, 0, 1, 0),
        named(rtype::CNAME, 0, 1, 0),
        named(rtype::PTR, 0, 1, 0),
        named(rtype::MX, 2, 1, 0),
        named(rtype::SRV, 6, 1, 0),
        named(rtype::SOA, 0, 2, 20),
    ]
}

proptest! {
    #[test]
    fn every_reply_reads_back_as_it_was_written(
        qname in shared_name(),
        edns in any::<bool>(),
        limit in 0..2000_usize,
        sets in prop::collection::vec((0..3_usize, prop::option::of(shared_name()), records(), 0..=0x7fff_ffff_u32), 0..12),
    ) {
        let packet = packet(&Name::from_wire(&qname).unwrap().to_string(), rtype::A, class::IN, edns);
        let query = query(&packet);
        let mut out = vec![0xee; 2048];
        let mut reply = Reply::new(&mut out, limit, &query, opt_for(&query));
        let mut expected = Vec::new();
        let mut sets = sets;
        sets.sort_by_key(|set| set.0);
        for (section, owner, (rtype, list), ttl) in &sets {
            let section = [Section::Answer, Section::Authority, Section::Additional][*section];
            let place = owner.as_ref().map_or(Owner::Question, |name| Owner::Name(name));
            let written = match (section, list.as_slice(), *rtype) {
                (Section::Answer, [octets], rtype::A) => reply.address(place, *ttl, <[u8; 4]>::try_from(octets.as_slice()).unwrap().into()),
                (Section::Answer, [octets], rtype::AAAA) => reply.address(place, *ttl, <[u8; 16]>::try_from(octets.as_slice()).unwrap().into()),
                _ => reply.rrset(section, place, *rtype, *ttl, &rdatas(list)),
            };
            if written.is_ok() {
                let owner = owner.as_ref().unwrap_or(&qname);
                expected.extend(list.iter().map(|data| (section, owner.clone(), *rtype, class::IN, *ttl, data.clone())));
            }
        }
        let length = reply.finish(Rcode::NOERROR, Flags { aa: true, tc: false });
        prop_assert!(length <= limit.max(512));
        prop_assert!(out[limit.max(512)..].iter().all(|octet| *octet == 0xee));
        assert_seen(&out[..length], &packet, &expected);
    }

    #[test]
    fn every_fault_is_a_readable_reply(flags in 0..0x80_u8, rest in prop::collection::vec(any::<u8>(), 9..80), edns in any::<bool>(), cut in 0..40_usize) {
        let mut packet = packet("www.example.com", rtype::A, class::IN, edns);
        // Half of the packets are near a good one, half are noise.
        if cut < 20 {
            packet.truncate(packet.len() - cut);
        } else {
            packet.truncate(2);
            packet.push(flags);
            packet.extend_from_slice(&rest);
        }
        let Err(Fault::Reply(refused)) = parse(&packet) else { return Ok(()) };
        let mut out = [0xee; 512];
        let length = fault(&refused, 1232, &mut out);
        let message = domain::base::Message::from_octets(&out[..length]).unwrap();
        prop_assert_eq!(message.header().id(), refused.id);
        prop_assert!(message.header().qr() && !message.header().aa() && message.header().rd() == refused.rd);
        prop_assert_eq!(message.header().opcode().to_int(), refused.opcode);
        prop_assert_eq!(message.opt_rcode().to_int(), refused.rcode.0);
        prop_assert_eq!(message.header_counts().qdcount(), u16::from(refused.question.is_some()));
        prop_assert_eq!(message.opt().map(|opt| opt.dnssec_ok()), refused.opt);
        prop_assert!(seen_by_domain(&out[..length]).is_empty());
    }
}
