//! From the octets of a packet to a query, or to the fault that is the answer to it; in the fixed order in which a query is judged.
//! This room never panics, never allocates and never follows a pointer: the work is bounded by the size of the packet.

use super::edns::{Edns, RawOpt};
use super::{HEADER_OCTETS, MIN_UDP_OCTETS, QUESTION_FIXED_OCTETS, Rcode, rtype};
use crate::name::{MAX_LABEL_OCTETS, MAX_NAME_OCTETS, name_octets};

/// Opcode QUERY, the only one that is answered.
const OPCODE_QUERY: u8 = 0;

/// Octets of type, class, TTL and data length after the owner of a record (RFC 1035 4.1.3).
const RECORD_FIXED_OCTETS: usize = 10;

/// A query that is well-formed. Its class, its type and its zone are not judged yet.
pub struct Query<'a> {
    /// The ID, to be copied.
    pub id: u16,
    /// Recursion desired, to be copied.
    pub rd: bool,
    /// The one question.
    pub question: Question<'a>,
    /// What OPT says; `None` without OPT, and then the reply has none.
    pub edns: Option<Edns<'a>>,
    /// Whether the last record is a TSIG. It is not verified here.
    pub tsig: bool,
}

impl Query<'_> {
    /// The most octets of a UDP reply (RFC 6891 6.2.3): the least of the client's size and `ours`, at least 512; 512 without OPT.
    #[inline]
    pub fn udp_limit(&self, ours: u16) -> usize {
        let theirs = self.edns.as_ref().map_or(0, |edns| edns.udp_size);
        usize::from(theirs.min(ours)).max(MIN_UDP_OCTETS)
    }
}

/// The question of a query; [`QName`](super::qname::QName) is its name for lookups.
pub struct Question<'a> {
    /// Name, type and class as received, to be echoed bit for bit.
    pub raw: &'a [u8],
    /// The query type.
    pub qtype: u16,
    /// The query class.
    pub qclass: u16,
}

impl<'a> Question<'a> {
    /// The name as received.
    pub fn name(&self) -> &'a [u8] {
        &self.raw[..self.raw.len() - QUESTION_FIXED_OCTETS]
    }
}

/// Why a packet is not a query that can be answered.
#[derive(Debug)]
pub enum Fault<'a> {
    /// No reply at all: shorter than a header, or itself a reply.
    Drop,
    /// The reply to send, by `reply::fault`.
    Reply(FaultReply<'a>),
}

/// A reply that says only what was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultReply<'a> {
    /// The ID, copied.
    pub id: u16,
    /// The opcode, copied.
    pub opcode: u8,
    /// Recursion desired, copied for opcode QUERY only.
    pub rd: bool,
    /// FORMERR, NOTIMP or BADVERS.
    pub rcode: Rcode,
    /// The question as received, if there is one that could be read.
    pub question: Option<&'a [u8]>,
    /// If an OPT was found before the fault: the reply carries one too, with this DO bit and no options.
    pub opt: Option<bool>,
}

/// Reads a packet.
///
/// The order of judgement: length, QR, opcode, QDCOUNT, question, other sections, form of OPT, EDNS version, options.
/// Octets after the last record are ignored, as are unknown options, EDNS flags and the header bits AA, TC, RA, AD, CD and Z.
// This and what it calls is put into `answer` whole: each part would else be handed over through memory, twice its own cost.
#[inline(always)]
pub fn parse(message: &[u8]) -> Result<Query<'_>, Fault<'_>> {
    let header = message.first_chunk::<HEADER_OCTETS>().ok_or(Fault::Drop)?;
    let [id_high, id_low, flags, ..] = *header;
    if flags & 0x80 != 0 {
        return Err(Fault::Drop);
    }
    let opcode = flags >> 3 & 0x0f;
    match sections(message, header, &mut ()) {
        Ok(Sections { question, edns, tsig }) if opcode == OPCODE_QUERY => {
            let id = u16::from_be_bytes([id_high, id_low]);
            Ok(Query { id, rd: flags & 1 != 0, question, edns, tsig })
        }
        _ => Err(Fault::Reply(fault(message, header))),
    }
}

/// The ID, RD and OPT of a query without any question, which is how a client asks for a cookie alone (RFC 7873 5.4).
#[cold]
pub fn without_question(message: &[u8]) -> Option<(u16, bool, Edns<'_>)> {
    let &[id_high, id_low, flags, _, ref counts @ ..] = message.first_chunk::<HEADER_OCTETS>()?;
    let [0, 0, 0, 0, 0, 0, high, low] = *counts else { return None };
    if flags & 0x80 != 0 || flags >> 3 & 0x0f != OPCODE_QUERY {
        return None;
    }
    let (edns, _) = additional(message, HEADER_OCTETS, u16::from_be_bytes([high, low]), &mut ()).ok()?;
    Some((u16::from_be_bytes([id_high, id_low]), flags & 1 != 0, edns?))
}

/// What is wrong with a packet that cannot be answered: reads it once more, and notes what can be echoed.
#[cold]
fn fault<'a>(message: &'a [u8], header: &[u8; HEADER_OCTETS]) -> FaultReply<'a> {
    let [id_high, id_low, flags, ..] = *header;
    let opcode = flags >> 3 & 0x0f;
    let id = u16::from_be_bytes([id_high, id_low]);
    let rd = opcode == OPCODE_QUERY && flags & 1 != 0;
    let mut fault = FaultReply { id, opcode, rd, rcode: Rcode::NOTIMP, question: None, opt: None };
    // Where the question is what lacks, nothing stands in front of its OPT.
    fault.opt = without_question(message).map(|(.., edns)| edns.dnssec_ok);
    match sections(message, header, &mut fault) {
        // Other opcodes are judged first, but what could be read is echoed in their reply too.
        Err(rcode) if opcode == OPCODE_QUERY => FaultReply { rcode, ..fault },
        _ => fault,
    }
}

/// Listens to the reading of a packet, for what can be echoed when it turns out to be at fault; a good one is read without.
trait Notes<'a> {
    fn question(&mut self, raw: &'a [u8]);
    fn opt(&mut self, dnssec_ok: bool);
}

impl<'a> Notes<'a> for () {
    fn question(&mut self, _raw: &'a [u8]) {}
    fn opt(&mut self, _dnssec_ok: bool) {}
}

impl<'a> Notes<'a> for FaultReply<'a> {
    fn question(&mut self, raw: &'a [u8]) {
        self.question = Some(raw);
    }

    fn opt(&mut self, dnssec_ok: bool) {
        self.opt = Some(dnssec_ok);
    }
}

/// What the sections of a well-formed query hold.
struct Sections<'a> {
    question: Question<'a>,
    edns: Option<Edns<'a>>,
    tsig: bool,
}

/// Walks over all sections; tells what can be echoed as soon as it is known.
#[inline(always)]
fn sections<'a>(message: &'a [u8], header: &[u8; HEADER_OCTETS], notes: &mut impl Notes<'a>) -> Result<Sections<'a>, Rcode> {
    let [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    if questions != 1 {
        return Err(Rcode::FORMERR);
    }
    let body = &message[HEADER_OCTETS..];
    let name = name_octets(body).map_err(|_| Rcode::FORMERR)?;
    let fixed = body[name..].first_chunk::<QUESTION_FIXED_OCTETS>().ok_or(Rcode::FORMERR)?;
    let raw = &body[..name + QUESTION_FIXED_OCTETS];
    let [qtype, qclass] = [[fixed[0], fixed[1]], [fixed[2], fixed[3]]].map(u16::from_be_bytes);
    notes.question(raw);

    let mut at = HEADER_OCTETS + raw.len();
    match (answers, authorities, qtype) {
        (0, 0, _) => {}
        // The SOA that the client has (RFC 1995 3).
        (0, 1, rtype::IXFR) => at = end_of_record(message, at).ok_or(Rcode::FORMERR)?,
        _ => return Err(Rcode::FORMERR),
    }
    let (edns, tsig) = if additionals == 0 { (None, false) } else { additional(message, at, additionals, notes)? };
    Ok(Sections { question: Question { raw, qtype, qclass }, edns, tsig })
}

/// Walks over the additional section: at most one OPT, and a TSIG only at the end; other records are skipped.
#[inline(always)]
fn additional<'a>(message: &'a [u8], mut at: usize, count: u16, notes: &mut impl Notes<'a>) -> Result<(Option<Edns<'a>>, bool), Rcode> {
    let mut opt = None;
    let mut tsig = false;
    // However large the count, each turn takes at least 11 octets of the packet.
    for _ in 0..count {
        let record = record(message, at).ok_or(Rcode::FORMERR)?;
        // RFC 8945 5.1: TSIG is the last record.
        if tsig {
            return Err(Rcode::FORMERR);
        }
        match record.rtype {
            rtype::OPT => {
                let owner_is_root = message[at] == 0;
                if !owner_is_root || opt.is_some() {
                    return Err(Rcode::FORMERR);
                }
                let raw = RawOpt::new(record.class, record.ttl, record.data);
                notes.opt(raw.dnssec_ok());
                opt = Some(raw);
            }
            rtype::TSIG => tsig = true,
            _ => {}
        }
        at = record.end;
    }
    match opt {
        None => Ok((None, tsig)),
        Some(opt) if opt.version() != 0 => Err(Rcode::BADVERS),
        Some(opt) => Ok((Some(opt.read().map_err(|_| Rcode::FORMERR)?), tsig)),
    }
}

/// One record of a query.
struct Record<'a> {
    rtype: u16,
    class: u16,
    ttl: [u8; 4],
    data: &'a [u8],
    /// Offset of what follows the record.
    end: usize,
}

/// The record at an offset, owner not read; `None` if it is cut off or its owner is no name.
#[inline(always)]
fn record(message: &[u8], at: usize) -> Option<Record<'_>> {
    let fixed_at = skip_owner(message, at)?;
    let fixed = message.get(fixed_at..)?.first_chunk::<RECORD_FIXED_OCTETS>()?;
    let [type_high, type_low, class_high, class_low, ttl @ .., length_high, length_low] = *fixed;
    let data_at = fixed_at + RECORD_FIXED_OCTETS;
    let end = data_at + usize::from(u16::from_be_bytes([length_high, length_low]));
    let data = message.get(data_at..end)?;
    Some(Record { rtype: u16::from_be_bytes([type_high, type_low]), class: u16::from_be_bytes([class_high, class_low]), ttl, data, end })
}

/// The offset after a record that only a few queries have.
#[cold]
fn end_of_record(message: &[u8], at: usize) -> Option<usize> {
    Some(record(message, at)?.end)
}

/// The offset after the owner of a record. A pointer ends it and is not followed.
#[inline]
fn skip_owner(message: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while at - start < MAX_NAME_OCTETS {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            length @ 1..=MAX_LABEL_OCTETS => at += 1 + length,
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUESTION: &[u8] = b"\x03wWw\x07EXAMPLE\x00\x00\x01\x00\x01";
    const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];
    const TSIG: &[u8] = &[1, b'k', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0];

    /// A packet with ID 0x1234; `counts` are QDCOUNT, ANCOUNT, NSCOUNT and ARCOUNT.
    fn packet(flags: u8, counts: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let [qd, an, ns, ar] = counts;
        let header = [0x12, 0x34, flags, 0x30, 0, qd, 0, an, 0, ns, 0, ar];
        [header.as_slice(), &parts.concat()].concat()
    }

    /// An OPT record with these options.
    fn opt(options: &[u8]) -> Vec<u8> {
        [&OPT[..10], &[options.len() as u8], options].concat()
    }

    #[track_caller]
    fn refused(packet: &[u8]) -> FaultReply<'_> {
        match parse(packet) {
            Err(Fault::Reply(fault)) => fault,
            Err(Fault::Drop) => panic!("dropped"),
            Ok(_) => panic!("taken"),
        }
    }

    /// Asserts FORMERR, and what is echoed.
    #[track_caller]
    fn assert_formerr(packet: &[u8], question: Option<&[u8]>, opt: Option<bool>) {
        assert_eq!(refused(packet), FaultReply { id: 0x1234, opcode: 0, rd: true, rcode: Rcode::FORMERR, question, opt });
    }

    #[test]
    fn a_plain_query_is_read() {
        let packet = packet(1, [1, 0, 0, 0], &[QUESTION]);
        let query = parse(&packet).unwrap_or_else(|_| panic!());
        assert_eq!((query.id, query.rd, query.edns.is_none(), query.tsig), (0x1234, true, true, false));
        assert_eq!((query.question.raw, query.question.qtype, query.question.qclass), (QUESTION, 1, 1));
    }

    #[test]
    fn n9_the_limit_is_the_smaller_size_but_at_least_512() {
        for (theirs, ours, limit) in
            [(4096, 1232, 1232), (1000, 1232, 1000), (100, 1232, 512), (0, 1232, 512), (65535, 65535, 65535), (4096, 100, 512)]
        {
            let mut opt = OPT.to_vec();
            opt[3..5].copy_from_slice(&u16::to_be_bytes(theirs));
            let packet = packet(0, [1, 0, 0, 1], &[QUESTION, &opt]);
            assert_eq!(parse(&packet).unwrap_or_else(|_| panic!()).udp_limit(ours), limit);
        }
        let packet = packet(0, [1, 0, 0, 0], &[QUESTION]);
        assert_eq!(parse(&packet).unwrap_or_else(|_| panic!()).udp_limit(1232), 512);
    }

    #[test]
    fn n12_packets_shorter_than_a_header_are_dropped() {
        let packet = packet(1, [1, 0, 0, 0], &[]);
        for length in 0..HEADER_OCTETS {
            assert!(matches!(parse(&packet[..length]), Err(Fault::Drop)));
        }
    }

    #[test]
    fn n4_a_reply_is_dropped_whatever_else_it_holds() {
        for packet in [packet(0x81, [1, 0, 0, 0], &[QUESTION]), packet(0xf8, [9, 9, 9, 9], &[b"\xff"])] {
            assert!(matches!(parse(&packet), Err(Fault::Drop)));
        }
    }

    #[test]
    fn n4_other_opcodes_are_not_implemented_and_rd_is_not_copied() {
        for opcode in 1..16 {
            let packet = packet(opcode << 3 | 1, [1, 0, 0, 1], &[QUESTION, OPT]);
            let expected = FaultReply { id: 0x1234, opcode, rd: false, rcode: Rcode::NOTIMP, question: Some(QUESTION), opt: Some(true) };
            assert_eq!(refused(&packet), expected);
        }
        assert_eq!(refused(&packet(0x78, [9, 9, 9, 9], &[b"\xff"])).rcode, Rcode::NOTIMP, "judged before the sections");
    }

    #[test]
    fn n4_exactly_one_question_is_taken() {
        for count in [0, 2, 255] {
            assert_formerr(&packet(1, [count, 0, 0, 0], &[QUESTION, QUESTION]), None, None);
        }
    }

    #[test]
    fn n12_garbage_after_the_header_gets_formerr_without_a_question() {
        let long = [b"\x3f".as_slice(), &[b'a'; 63]].concat().repeat(4);
        let cases: [&[u8]; 8] = [
            b"",
            b"\x03ww",
            b"\x03www\x00\x00\x01\x00",
            b"\x03www\xc0\x0c\x00\x01\x00\x01",
            b"\xc0\x0c\x00\x01\x00\x01",
            b"\x40\x00\x00\x01\x00\x01",
            b"\x80\x00\x00\x01\x00\x01",
            &[&long, b"\x00\x00\x01\x00\x01".as_slice()].concat(),
        ];
        for body in cases {
            assert_formerr(&packet(1, [1, 0, 0, 0], &[body]), None, None);
        }
    }

    #[test]
    fn n12_records_in_answer_or_authority_get_formerr() {
        let soa = b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00\x00\x02aa";
        for counts in [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1], [1, 255, 255, 255]] {
            assert_formerr(&packet(1, counts, &[QUESTION, soa]), Some(QUESTION), None);
        }
    }

    #[test]
    fn n12_ixfr_may_have_one_record_in_authority() {
        let ixfr = b"\x01a\x00\x00\xfb\x00\x01";
        let soa = b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00\x00\x02aa";
        let good = packet(0, [1, 0, 1, 1], &[ixfr, soa, OPT]);
        let query = parse(&good).unwrap_or_else(|_| panic!());
        assert!(query.question.qtype == rtype::IXFR && query.edns.is_some());
        assert_formerr(&packet(1, [1, 0, 1, 0], &[ixfr, &soa[..13]]), Some(ixfr), None);
        assert_formerr(&packet(1, [1, 0, 2, 0], &[ixfr, soa, soa]), Some(ixfr), None);
    }

    #[test]
    fn n12_trailing_octets_are_ignored() {
        assert!(parse(&packet(1, [1, 0, 0, 0], &[QUESTION, b"\xff\xff"])).is_ok());
        assert!(parse(&packet(1, [1, 0, 0, 1], &[QUESTION, OPT, b"\xff"])).is_ok());
    }

    #[test]
    fn n12_a_count_that_the_packet_does_not_hold_gets_formerr() {
        assert_formerr(&packet(1, [1, 0, 0, 2], &[QUESTION, OPT]), Some(QUESTION), Some(true));
        assert_formerr(&packet(1, [1, 0, 0, 1], &[QUESTION, &OPT[..10]]), Some(QUESTION), None);
        assert_formerr(&packet(1, [1, 0, 0, 255], &[QUESTION]), Some(QUESTION), None);
        let endless_owner = [b"\x01a".repeat(200), vec![0], OPT.to_vec()].concat();
        assert_formerr(&packet(1, [1, 0, 0, 1], &[QUESTION, &endless_owner]), Some(QUESTION), None);
    }

    #[test]
    fn n10_other_additional_records_are_skipped() {
        let other = b"\x01x\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04abcd";
        let packet = packet(1, [1, 0, 0, 3], &[QUESTION, other, OPT, other]);
        assert!(parse(&packet).unwrap_or_else(|_| panic!()).edns.is_some_and(|edns| edns.dnssec_ok && edns.udp_size == 1232));
    }

    #[test]
    fn n10_two_opt_records_get_formerr_even_of_another_version() {
        let version_1 = [0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0];
        assert_formerr(&packet(1, [1, 0, 0, 2], &[QUESTION, OPT, OPT]), Some(QUESTION), Some(true));
        assert_formerr(&packet(1, [1, 0, 0, 2], &[QUESTION, &version_1, OPT]), Some(QUESTION), Some(false));
    }

    #[test]
    fn n10_opt_must_belong_to_the_root() {
        for owner in [b"\x01a\x00".as_slice(), b"\xc0\x0c"] {
            assert_formerr(&packet(1, [1, 0, 0, 1], &[QUESTION, owner, &OPT[1..]]), Some(QUESTION), None);
        }
    }

    #[test]
    fn n10_another_edns_version_gets_badvers_before_options_are_read() {
        let packet = packet(1, [1, 0, 0, 1], &[QUESTION, &[0, 0, 41, 4, 208, 0, 1, 0x80, 0, 0, 1, 0xff]]);
        let expected = FaultReply { id: 0x1234, opcode: 0, rd: true, rcode: Rcode::BADVERS, question: Some(QUESTION), opt: Some(true) };
        assert_eq!(refused(&packet), expected);
    }

    #[test]
    fn e1_malformed_options_get_formerr_with_question_and_opt() {
        let options: [&[u8]; 4] = [&[0, 8, 0, 5, 0, 1, 24, 0, 10], &[0, 8, 0, 3, 0, 1, 0], &[0, 3, 0], &[0, 10, 0, 1, 0]];
        for options in options {
            assert_formerr(&packet(1, [1, 0, 0, 1], &[QUESTION, &opt(options)]), Some(QUESTION), Some(true));
        }
    }

    #[test]
    fn e3_e4_the_client_subnet_is_reported_only_if_sent() {
        let zero = packet(1, [1, 0, 0, 1], &[QUESTION, &opt(&[0, 8, 0, 4, 0, 1, 0, 0])]);
        let ecs = parse(&zero).unwrap_or_else(|_| panic!()).edns.unwrap().ecs.unwrap();
        assert_eq!((ecs.family(), ecs.source(), ecs.address()), (1, 0, None));
        let none = packet(1, [1, 0, 0, 1], &[QUESTION, OPT]);
        assert_eq!(parse(&none).unwrap_or_else(|_| panic!()).edns.unwrap().ecs, None);
    }

    #[test]
    fn n4_tsig_is_reported_and_must_be_last() {
        for parts in [&[QUESTION, OPT, TSIG][..], &[QUESTION, TSIG]] {
            let packet = packet(1, [1, 0, 0, parts.len() as u8 - 1], parts);
            assert!(parse(&packet).unwrap_or_else(|_| panic!()).tsig);
        }
        assert_formerr(&packet(1, [1, 0, 0, 2], &[QUESTION, TSIG, OPT]), Some(QUESTION), None);
        assert_formerr(&packet(1, [1, 0, 0, 2], &[QUESTION, TSIG, TSIG]), Some(QUESTION), None);
    }

    proptest! {
        #[test]
        fn n12_random_octets_never_panic_and_are_never_silent(packet in prop::collection::vec(any::<u8>(), 0..600)) {
            let silent = packet.len() < HEADER_OCTETS || packet[2] & 0x80 != 0;
            match parse(&packet) {
                Err(Fault::Drop) => prop_assert!(silent),
                Err(Fault::Reply(fault)) => prop_assert!(!silent && fault.id == u16::from_be_bytes([packet[0], packet[1]])),
                Ok(query) => prop_assert!(!silent && name_octets(query.question.raw) == Ok(query.question.raw.len() - QUESTION_FIXED_OCTETS)),
            }
        }

        #[test]
        fn n12_damaged_queries_never_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let options = opt(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 0, 0]);
            let mut packet = packet(1, [1, 0, 0, 2], &[QUESTION, &options, TSIG]);
            for (at, octet) in damage {
                let at = at.index(packet.len());
                packet[at] = octet;
            }
            let _ = parse(&packet);
            let _ = parse(&packet[..cut.index(packet.len())]);
        }
    }
}
