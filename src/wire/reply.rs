//! Writing a reply into the caller's buffer: the question echoed, whole RRsets with compressed names, OPT always kept, header last.
//! This room never decides what is answered and never allocates; a record that does not fit leaves no trace.

use std::net::IpAddr;

use super::compress::Suffixes;
use super::edns::OptReply;
use super::extended::Extended;
use super::query::{FaultReply, Query};
use super::ready::Ready;
use super::{HEADER_OCTETS, MIN_UDP_OCTETS, Rcode, class, rtype};
use crate::name::name_octets;

/// The least length of the buffer: every reply without records fits it, with the longest question and all options.
pub const MIN_OUT_OCTETS: usize = MIN_UDP_OCTETS;

/// The pointer to the question's name, which always stands right after the header.
const QUESTION_POINTER: [u8; 2] = [0xc0, HEADER_OCTETS as u8];

/// Octets of type, class and TTL of a record.
const RECORD_HEAD_OCTETS: usize = 8;

/// Octets of an address record before the address, its owner a pointer.
const ADDRESS_HEAD_OCTETS: usize = 2 + RECORD_HEAD_OCTETS + 2;

/// What does not fit is not written; see [`Reply::truncate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The section that an RRset belongs to; they are written in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The answer.
    Answer,
    /// SOA of a negative answer, NS of a referral.
    Authority,
    /// Glue and other addresses; OPT is added by itself.
    Additional,
}

/// The owner of an RRset.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// The name of the question, in the letter case of the question.
    Question,
    /// Any other name, uncompressed, in its own letter case.
    Name(&'a [u8]),
}

/// Header bits that the answer decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Authoritative answer.
    pub aa: bool,
    /// Truncated.
    pub tc: bool,
}

/// A reply under construction.
pub struct Reply<'o> {
    /// Cut to the limit.
    out: &'o mut [u8],
    /// Where the next record goes.
    at: usize,
    /// Records end here at the latest: after it is the room of OPT.
    room: usize,
    question_end: usize,
    /// Only once a name is compressed: most answers have none, and it is too large to be made for nothing.
    suffixes: Option<Suffixes>,
    /// Records in the answer, authority and additional section, without OPT.
    counts: [u16; 3],
    last_section: Section,
    id: u16,
    rd: bool,
    class: u16,
    opt: Option<OptReply<'o>>,
    scope: u8,
    extended: Option<Extended>,
}

impl<'o> Reply<'o> {
    /// Begins a reply of at most `limit` octets (not under 512): the question is echoed bit for bit, the size of OPT is set aside.
    ///
    /// Records get class IN, or CH if the question has it.
    ///
    /// # Panics
    /// If `out` is shorter than [`MIN_OUT_OCTETS`].
    #[inline]
    pub fn new(out: &'o mut [u8], limit: usize, query: &Query<'_>, opt: Option<OptReply<'o>>) -> Reply<'o> {
        let class = if query.question.qclass == class::CH { class::CH } else { class::IN };
        Reply::start(out, limit, (query.id, query.rd), query.question.raw, class, opt)
    }

    #[inline]
    fn start(out: &'o mut [u8], limit: usize, (id, rd): (u16, bool), question: &[u8], class: u16, opt: Option<OptReply<'o>>) -> Reply<'o> {
        assert!(out.len() >= MIN_OUT_OCTETS, "the buffer of a reply must hold {MIN_OUT_OCTETS} octets");
        let limit = limit.clamp(MIN_OUT_OCTETS, out.len());
        let out = &mut out[..limit];
        let question_end = HEADER_OCTETS + question.len();
        out[HEADER_OCTETS..question_end].copy_from_slice(question);
        let room = limit - opt.as_ref().map_or(0, OptReply::octets);
        Reply {
            out,
            at: question_end,
            room,
            question_end,
            suffixes: None,
            counts: [0; 3],
            last_section: Section::Answer,
            id,
            rd,
            class,
            opt,
            scope: 0,
            extended: None,
        }
    }

    /// A reply to a query that had no question.
    ///
    /// # Panics
    /// If `out` is shorter than [`MIN_OUT_OCTETS`].
    pub fn without_question(out: &'o mut [u8], id: u16, rd: bool, opt: OptReply<'o>) -> Reply<'o> {
        Reply::start(out, MIN_OUT_OCTETS, (id, rd), &[], class::IN, Some(opt))
    }

    /// Adds an RRset, whole or not at all.
    ///
    /// `rdatas` is for each record the length (16 bits, big-endian) and the data without compression. Names in the data of the types that
    /// every reader knows how to expand are compressed (RFC 3597 4).
    pub fn rrset(&mut self, section: Section, owner: Owner<'_>, rtype: u16, ttl: u32, rdatas: &[u8]) -> Result<(), Full> {
        debug_assert!(self.last_section <= section, "sections are written in their order");
        match (owner, rtype) {
            (Owner::Question, rtype::A) => self.addresses_of_question::<4>(section, rtype, ttl, rdatas),
            (Owner::Question, rtype::AAAA) => self.addresses_of_question::<16>(section, rtype, ttl, rdatas),
            _ => self.any_rrset(section, owner, rtype, ttl, rdatas),
        }
    }

    fn any_rrset(&mut self, section: Section, owner: Owner<'_>, rtype: u16, ttl: u32, rdatas: &[u8]) -> Result<(), Full> {
        let start = self.at;
        match self.records(owner, rtype, ttl, rdatas) {
            Ok(count) => {
                self.count(section, count);
                Ok(())
            }
            Err(Full) => {
                self.cut(start);
                Err(Full)
            }
        }
    }

    /// Adds an SOA to the authority section, if nothing stands behind the question yet and it fits; see [`Ready`]. The question's name lies in the
    /// zone of the SOA. Returns whether it was added.
    pub fn ready(&mut self, ready: &Ready, ttl: u32) -> bool {
        if self.at != self.question_end {
            return false;
        }
        let written = ready.write(self.out, self.question_end, self.room, ttl);
        self.at += written.unwrap_or(0);
        self.count(Section::Authority, u16::from(written.is_some()));
        written.is_some()
    }

    /// Adds one A or AAAA record to the answer section.
    #[inline]
    pub fn address(&mut self, owner: Owner<'_>, ttl: u32, address: IpAddr) -> Result<(), Full> {
        match (owner, address) {
            (Owner::Question, IpAddr::V4(v4)) => self.address_of_question(rtype::A, ttl, &v4.octets())?,
            (Owner::Question, IpAddr::V6(v6)) => self.address_of_question(rtype::AAAA, ttl, &v6.octets())?,
            (Owner::Name(name), IpAddr::V4(v4)) => self.address_of_name(name, rtype::A, ttl, &v4.octets())?,
            (Owner::Name(name), IpAddr::V6(v6)) => self.address_of_name(name, rtype::AAAA, ttl, &v6.octets())?,
        }
        self.count(Section::Answer, 1);
        Ok(())
    }

    /// Sets the scope prefix length of the client subnet that is echoed (RFC 7871 7.2.1); 0 until then.
    #[inline]
    pub fn set_scope(&mut self, scope: u8) {
        self.scope = scope;
    }

    /// Says why the reply is what it is (RFC 8914), if OPT is there and there is room behind everything else; the last word counts.
    #[inline]
    pub fn extend(&mut self, extended: Extended) {
        self.extended = Some(extended);
    }

    /// Takes all records back, as a reply with TC needs none.
    pub fn truncate(&mut self) {
        self.cut(self.question_end);
        self.counts = [0; 3];
        self.last_section = Section::Answer;
    }

    /// The last call: adds OPT, writes the header, and returns the length of the reply. QR is 1, RD is copied; RA, AD, CD and Z are 0.
    ///
    /// An extended `rcode` (over 15) needs OPT; without it only its low 4 bits are sent.
    #[inline]
    pub fn finish(&mut self, rcode: Rcode, flags: Flags) -> usize {
        let mut end = self.at;
        let [answers, authorities, mut additionals] = self.counts;
        if let Some(opt) = &self.opt {
            end += self.out.len() - self.room;
            let extended = self.extended.as_ref().filter(|extended| end + extended.octets() <= self.out.len());
            end += extended.map_or(0, Extended::octets);
            end = opt.padded(end, self.out.len());
            opt.write(&mut self.out[self.at..end], (rcode.0 >> 4) as u8, self.scope, extended);
            additionals += 1;
        }
        let questions = u64::from(self.question_end > HEADER_OCTETS);
        let bits = 0x80 | u8::from(flags.aa) << 2 | u8::from(flags.tc) << 1 | u8::from(self.rd);
        let codes = u64::from(bits) << 40 | u64::from(rcode.0 & 0x0f) << 32;
        let first = u64::from(self.id) << 48 | codes | questions << 16 | u64::from(answers);
        let last = u32::from(authorities) << 16 | u32::from(additionals);
        // In whole words.
        let (to_first, rest) = self.out.split_at_mut(8);
        to_first.copy_from_slice(&first.to_be_bytes());
        rest[..4].copy_from_slice(&last.to_be_bytes());
        end
    }

    #[inline]
    fn count(&mut self, section: Section, records: u16) {
        // No overflow: 65,535 octets hold fewer records.
        self.counts[section as usize] += records;
        self.last_section = section;
    }

    fn cut(&mut self, end: usize) {
        self.at = end;
        if let Some(suffixes) = &mut self.suffixes {
            suffixes.cut(end);
        }
    }

    /// The addresses of an RRset; all have the same size.
    #[inline]
    fn addresses_of_question<const N: usize>(&mut self, section: Section, rtype: u16, ttl: u32, rdatas: &[u8]) -> Result<(), Full> {
        let records = rdatas.chunks_exact(2 + N);
        if self.at + records.len() * (ADDRESS_HEAD_OCTETS + N) > self.room {
            return Err(Full);
        }
        for octets in records.filter_map(<[u8]>::last_chunk::<N>) {
            self.address_of_question(rtype, ttl, octets)?;
        }
        self.count(section, (rdatas.len() / (2 + N)) as u16);
        Ok(())
    }

    /// Copies of constant size: this is the most frequent record by far. It is not counted yet.
    #[inline]
    fn address_of_question<const N: usize>(&mut self, rtype: u16, ttl: u32, octets: &[u8; N]) -> Result<(), Full> {
        let end = self.at + ADDRESS_HEAD_OCTETS + N;
        if end > self.room {
            return Err(Full);
        }
        let [[t0, t1], [c0, c1], [l0, l1]] = [rtype, self.class, N as u16].map(u16::to_be_bytes);
        let ([p0, p1], [s0, s1, s2, s3]) = (QUESTION_POINTER, ttl.to_be_bytes());
        let (head, data) = self.out[self.at..end].split_at_mut(ADDRESS_HEAD_OCTETS);
        head.copy_from_slice(&[p0, p1, t0, t1, c0, c1, s0, s1, s2, s3, l0, l1]);
        data.copy_from_slice(octets);
        self.at = end;
        Ok(())
    }

    #[cold]
    fn address_of_name(&mut self, name: &[u8], rtype: u16, ttl: u32, octets: &[u8]) -> Result<(), Full> {
        let start = self.at;
        let written = self.put_name(name).and_then(|_| self.put_head(rtype, ttl)).and_then(|()| self.put_data(rtype, octets));
        written.inspect_err(|Full| self.cut(start))
    }

    /// Writes all records of an RRset; returns how many.
    fn records(&mut self, owner: Owner<'_>, rtype: u16, ttl: u32, rdatas: &[u8]) -> Result<u16, Full> {
        let mut pointer = match owner {
            Owner::Question => Some(QUESTION_POINTER),
            Owner::Name(_) => None,
        };
        let mut count = 0;
        let mut rest = rdatas;
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (data, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length))).unwrap_or((tail, &[]));
            match (pointer, owner) {
                (None, Owner::Name(name)) => pointer = self.put_name(name)?,
                (pointer, _) => self.put(&pointer.unwrap_or(QUESTION_POINTER))?,
            }
            self.put_head(rtype, ttl)?;
            self.put_data(rtype, data)?;
            count += 1;
            rest = tail;
        }
        Ok(count)
    }

    fn put_head(&mut self, rtype: u16, ttl: u32) -> Result<(), Full> {
        let (rtype, class, ttl) = (rtype.to_be_bytes(), self.class.to_be_bytes(), ttl.to_be_bytes());
        let head: [u8; RECORD_HEAD_OCTETS] = [rtype[0], rtype[1], class[0], class[1], ttl[0], ttl[1], ttl[2], ttl[3]];
        self.put(&head)
    }

    /// Length and data of a record.
    fn put_data(&mut self, rtype: u16, data: &[u8]) -> Result<(), Full> {
        let length_at = self.at;
        self.put(&[0, 0])?;
        let (before, names) = names_in(rtype);
        let (fixed, mut rest) = data.split_at_checked(before).unwrap_or((data, &[]));
        self.put(fixed)?;
        for _ in 0..names {
            // Data that is not as its type wants it is sent as it is.
            let Some((name, tail)) = name_octets(rest).ok().and_then(|octets| rest.split_at_checked(octets)) else { break };
            self.put_name(name)?;
            rest = tail;
        }
        self.put(rest)?;
        // At most the length of `data`, which is 16 bits.
        let length = (self.at - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// A name, as short as possible; returns a pointer to it, if one can reach it and is not longer than the name.
    fn put_name(&mut self, name: &[u8]) -> Result<Option<[u8; 2]>, Full> {
        let start = self.at;
        let found = self.suffixes.get_or_insert_with(Suffixes::new).find(&self.out[..start], name);
        let keep = found.as_ref().map_or(name.len(), |found| found.keep);
        self.put(&name[..keep])?;
        if let Some(found) = &found {
            self.put(&found.pointer.to_be_bytes())?;
        }
        let pointer = match found {
            Some(found) if keep == 0 => Some(found.pointer),
            _ => self.suffixes.as_mut().and_then(|suffixes| suffixes.enter(start, name, keep)),
        };
        Ok(pointer.map(u16::to_be_bytes))
    }

    #[inline]
    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.at + octets.len();
        if end > self.room {
            return Err(Full);
        }
        self.out[self.at..end].copy_from_slice(octets);
        self.at = end;
        Ok(())
    }
}

impl Reply<'_> {
    /// Only for what is made ready at load: as if records followed this question.
    pub(super) fn behind<'o>(out: &'o mut [u8], question: &[u8]) -> Reply<'o> {
        let limit = out.len();
        Reply::start(out, limit, (0, false), question, class::IN, None)
    }

    /// Octets written so far.
    pub(super) fn written(&self) -> usize {
        self.at
    }
}

/// Whether any message of at most `limit` octets can hold an RRset as the answer to `question` (name, type, class), with `opt`.
///
/// For the load: it writes the RRset once and allocates the room for that.
pub fn can_hold(limit: usize, question: &[u8], opt: OptReply<'_>, rtype: u16, rdatas: &[u8]) -> bool {
    let mut out = vec![0; limit.max(MIN_OUT_OCTETS)];
    let mut reply = Reply::start(&mut out, limit, (0, false), question, class::IN, Some(opt));
    reply.rrset(Section::Answer, Owner::Question, rtype, 0, rdatas).is_ok()
}

/// Which names in the data of a type may be compressed: octets before the first, and how many follow each other (RFC 3597 4).
fn names_in(rtype: u16) -> (usize, usize) {
    match rtype {
        rtype::NS | rtype::CNAME | rtype::PTR => (0, 1),
        rtype::SOA => (0, 2),
        rtype::MX => (2, 1),
        _ => (0, 0),
    }
}

/// Writes the reply to a packet that is no query; `udp_size` is what OPT says of us. Returns the length, at most 512.
///
/// # Panics
/// If `out` is shorter than [`MIN_OUT_OCTETS`].
pub fn fault(fault: &FaultReply<'_>, udp_size: u16, out: &mut [u8]) -> usize {
    let opt = fault.opt.map(|dnssec_ok| OptReply { udp_size, dnssec_ok, ..OptReply::default() });
    let question = fault.question.unwrap_or_default();
    let mut reply = Reply::start(&mut *out, MIN_OUT_OCTETS, (fault.id, fault.rd), question, class::IN, opt);
    let length = reply.finish(fault.rcode, Flags::default());
    out[2] |= fault.opcode << 3;
    length
}
