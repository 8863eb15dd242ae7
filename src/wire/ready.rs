//! An RRset made ready at load to stand right behind any question whose name ends in its owner: the SOA of negative answers.
//! It never looks into a zone; what it cannot take it leaves to the general way of writing, which gives the same records.

use super::reply::{Owner, Reply, Section};
use super::{HEADER_OCTETS, QUESTION_FIXED_OCTETS, class, rtype};

/// Pointers in it: of the owner, and of the two names in the data of an SOA.
const MAX_POINTERS: usize = 3;

/// Where the TTL stands behind an owner that is a pointer.
const TTL_AT: usize = 6;

/// The longest name that is compressed behind itself, with the fixed part of an SOA, and room to spare.
const BUFFER_OCTETS: usize = 2_048;

/// One record in the octets of a message whose question is its owner itself. Behind a longer question that ends in the owner, the
/// owner stands further on by what the question has more, and so does the record: every pointer grows by that and the rest is the same.
#[derive(Debug)]
pub struct Ready {
    owner: Box<[u8]>,
    octets: Box<[u8]>,
    /// Where in `octets` the pointers stand, that of the owner first.
    pointers: [u16; MAX_POINTERS],
    pointer_count: usize,
}

impl Ready {
    /// The SOA of a zone; `owner` in wire form, `rdatas` as [`Reply::rrset`] takes them, with one record.
    pub fn soa(owner: &[u8], ttl_s: u32, rdatas: &[u8]) -> Ready {
        let question = [owner, &rtype::SOA.to_be_bytes(), &class::IN.to_be_bytes()].concat();
        let start = HEADER_OCTETS + question.len();
        let mut out = vec![0; BUFFER_OCTETS];
        let mut reply = Reply::behind(&mut out, &question);
        // Three names and five numbers fit; an empty record would only never be used.
        let _ = reply.rrset(Section::Authority, Owner::Name(owner), rtype::SOA, ttl_s, rdatas);
        let end = reply.written();
        let octets = &out[start..end];
        let mut ready = Ready { owner: owner.into(), octets: octets.into(), pointers: [0; MAX_POINTERS], pointer_count: 0 };
        ready.find_pointers();
        ready
    }

    /// Finds the pointers: the owner, and at the ends of the two names behind the head of the record.
    fn find_pointers(&mut self) {
        let mut at = 0;
        for name in 0..MAX_POINTERS {
            while let Some(length @ 1..0xc0) = self.octets.get(at).copied() {
                at += 1 + usize::from(length);
            }
            let is_pointer = self.octets.get(at).is_some_and(|octet| *octet >= 0xc0);
            if is_pointer {
                self.pointers[self.pointer_count] = at as u16;
                self.pointer_count += 1;
            }
            at += if is_pointer { 2 } else { 1 };
            // Behind the owner: type, class, TTL and length.
            at += if name == 0 { 10 } else { 0 };
        }
    }

    /// Writes the record with `ttl_s` behind the question that `message` ends with, whose name lies in the zone of the owner. Returns its
    /// length; `None` if it has no room before `room`.
    pub(super) fn write(&self, message: &mut [u8], question_end: usize, room: usize, ttl_s: u32) -> Option<usize> {
        let name_end = question_end - QUESTION_FIXED_OCTETS;
        let owner_at = name_end.checked_sub(self.owner.len())?;
        let further = u16::try_from(owner_at.checked_sub(HEADER_OCTETS)?).ok()?;
        let end = question_end + self.octets.len();
        // The root is no pointer, and so nothing would be gained.
        if end > room || self.owner.len() == 1 {
            return None;
        }
        // Most ask in lower case, which a plain comparison sees in a tenth of the time.
        let asked = &message[owner_at..name_end];
        if *asked != *self.owner && !asked.eq_ignore_ascii_case(&self.owner) {
            return None;
        }
        let record = &mut message[question_end..end];
        record.copy_from_slice(&self.octets);
        record.get_mut(TTL_AT..TTL_AT + 4)?.copy_from_slice(&ttl_s.to_be_bytes());
        for at in &self.pointers[..self.pointer_count] {
            let (pointer, _) = record.get_mut(usize::from(*at)..)?.split_first_chunk_mut::<2>()?;
            // Far from the end of 14 bits: a question has at most 259 octets, and the record is short.
            *pointer = (u16::from_be_bytes(*pointer) + further).to_be_bytes();
        }
        Some(self.octets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::wire::edns::OptReply;
    use crate::wire::query;
    use proptest::prelude::*;

    fn wire(name: &str) -> Vec<u8> {
        Name::parse(name, None).unwrap().as_wire().to_vec()
    }

    fn soa(mname: &str, rname: &str) -> Vec<u8> {
        let data = [wire(mname), wire(rname), (0..20).collect()].concat();
        [(data.len() as u16).to_be_bytes().as_slice(), &data].concat()
    }

    /// The reply to a question with the SOA in authority, written this way or the general one.
    fn reply(name: &str, owner: &str, ready: Option<&Ready>, rdatas: &[u8]) -> Option<Vec<u8>> {
        let message = [&[0; 5], [1].as_slice(), &[0; 6], &wire(name), &[0, 1, 0, 1]].concat();
        let query = query::parse(&message).unwrap_or_else(|_| panic!());
        let mut out = [0; 1232];
        let mut reply = Reply::new(&mut out, 1232, &query, None::<OptReply<'_>>);
        match ready {
            Some(ready) => reply.ready(ready, 77).then_some(())?,
            None => reply.rrset(Section::Authority, Owner::Name(&wire(owner)), rtype::SOA, 77, rdatas).ok()?,
        }
        let length = reply.finish(crate::wire::Rcode::NXDOMAIN, Default::default());
        Some(out[..length].to_vec())
    }

    /// Reads every name of the record, pointers followed.
    fn names(message: &[u8]) -> Vec<String> {
        let message = domain::base::Message::from_octets(message).unwrap();
        let record = message.authority().unwrap().next().unwrap().unwrap();
        let owner = record.owner().to_string();
        let soa = record.to_record::<domain::rdata::Soa<_>>().unwrap().unwrap();
        assert_eq!((soa.ttl().as_secs(), soa.data().minimum().as_secs()), (77, 0x1011_1213));
        vec![owner, soa.data().mname().to_string(), soa.data().rname().to_string()]
    }

    #[test]
    fn it_says_the_same_as_the_general_way_behind_every_question_of_the_zone() {
        let zones = ["example.com.", "com.", "a.very.deep.zone.example.org."];
        let servers = ["ns1.example.com.", "example.com.", "ns.elsewhere.net.", "com.", ".", "ns1.a.very.deep.zone.example.org."];
        let pairs = || servers.iter().flat_map(|mname| servers.map(|rname| (mname, rname)));
        for (owner, (mname, rname)) in zones.iter().flat_map(|zone| pairs().map(move |pair| (zone, pair))) {
            let rdatas = soa(mname, rname);
            let ready = Ready::soa(&wire(owner), 300, &rdatas);
            for label in ["", "x.", "ns1.", "a.b.c.d.e.f.g.", "com.", "example."] {
                let name = format!("{label}{owner}");
                let quick = reply(&name, owner, Some(&ready), &rdatas).unwrap();
                let general = reply(&name, owner, None, &rdatas).unwrap();
                assert_eq!(names(&quick), names(&general), "{name} {mname} {rname}");
            }
        }
    }

    #[test]
    fn letter_case_does_not_matter_and_the_root_is_left_to_the_general_way() {
        let ready = Ready::soa(&wire("example.com."), 300, &soa("ns1.example.com.", "host.example.com."));
        let mixed = reply("x.EXAMPLE.com.", "example.com.", Some(&ready), &[]).unwrap();
        assert_eq!(names(&mixed), ["EXAMPLE.com", "ns1.EXAMPLE.com", "host.EXAMPLE.com"]);
        assert_eq!(reply("x.example.org.", "example.com.", Some(&ready), &[]), None);
        let root = Ready::soa(&[0], 300, &soa("a.root.", "b.root."));
        assert_eq!(reply("x.example.", ".", Some(&root), &[]), None);
    }

    proptest! {
        #[test]
        fn any_room_is_kept(room in 0usize..200) {
            let ready = Ready::soa(&wire("example.com."), 300, &soa("ns1.example.com.", "host.example.com."));
            let mut message = [&[0; HEADER_OCTETS], wire("www.example.com.").as_slice(), &[0, 1, 0, 1]].concat();
            let question_end = message.len();
            message.resize(200, 0xaa);
            let written = ready.write(&mut message, question_end, room, 5).unwrap_or(0);
            prop_assert!(written == 0 || question_end + written <= room);
            prop_assert!(message[question_end + written..].iter().all(|octet| *octet == 0xaa));
            prop_assert_eq!(room >= question_end + ready.octets.len(), written > 0);
        }
    }
}
