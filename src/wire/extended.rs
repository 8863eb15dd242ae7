//! Extended errors (RFC 8914): why a reply is what it is, for whoever debugs it.
//! A reply never depends on them: where there is no room they are left out.

/// One extended error: its code and a short text for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    /// INFO-CODE.
    pub code: u16,
    /// EXTRA-TEXT; may be empty.
    pub text: &'static str,
}

impl Extended {
    /// The world is not loaded yet (RFC 8914 4.15).
    pub const NOT_READY: Extended = Extended { code: 14, text: "" };
    /// This client may not ask (RFC 8914 4.19).
    pub const PROHIBITED: Extended = Extended { code: 18, text: "" };
    /// The name is in no zone of ours (RFC 8914 4.21).
    pub const NOT_AUTHORITATIVE: Extended = Extended { code: 20, text: "" };
    /// Nothing that could be answered is measured up (RFC 8914 4.1: Other).
    pub const FAIL_OPEN: Extended = Extended { code: 0, text: "fail open: nothing is up" };
    /// The geo data is older than it should be (RFC 8914 4.1: Other).
    pub const STALE_GEO: Extended = Extended { code: 0, text: "stale geo data" };

    /// Octets of the whole option.
    pub(super) const fn octets(&self) -> usize {
        super::edns::OPTION_HEADER_OCTETS + size_of::<u16>() + self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::edns::OptReply;
    use crate::wire::query;
    use crate::wire::reply::{Flags, MIN_OUT_OCTETS, Owner, Reply, Section};
    use crate::wire::{Rcode, rtype};

    /// Octets of a reply to `a. TXT` of at most 512 that leaves `spare` of them.
    fn written(spare: usize, extended: Extended) -> usize {
        let message = b"\0\x01\0\0\0\x01\0\0\0\0\0\x01\x01a\0\0\x10\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
        let query = query::parse(message).unwrap_or_else(|_| panic!());
        let mut out = [0; MIN_OUT_OCTETS];
        let mut reply = Reply::new(&mut out, MIN_OUT_OCTETS, &query, Some(OptReply::default()));
        // 12 of the header, 7 of the question, 12 before the data, 11 of OPT.
        let data = MIN_OUT_OCTETS - 12 - 7 - 12 - 11 - spare;
        let rdata = [&(data as u16).to_be_bytes()[..], &vec![0; data]].concat();
        reply.rrset(Section::Answer, Owner::Question, rtype::TXT, 0, &rdata).unwrap();
        reply.extend(extended);
        reply.finish(Rcode::NOERROR, Flags::default())
    }

    #[test]
    fn n11_they_are_left_out_first_where_there_is_no_room() {
        for extended in [Extended::NOT_READY, Extended::STALE_GEO] {
            let octets = extended.octets();
            assert_eq!(octets, 6 + extended.text.len());
            for spare in 0..40 {
                let added = if spare >= octets { octets } else { 0 };
                assert_eq!(written(spare, extended), MIN_OUT_OCTETS - spare + added, "{spare}");
            }
        }
    }
}
