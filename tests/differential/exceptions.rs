//! The differences that are meant, each with its name and its reason. A difference that fits none of them fails the test.
//! Each is written as narrowly as it can be: what it does not name must be equal.

use meridian::wire::{class, rtype};

use super::questions::Question;
use super::seen::{Rr, Seen};

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const NOTAUTH: u16 = 9;

/// Records of the cut `bigcut`: more than 512 octets hold, and fewer than 1232 do.
const BIG_CUT_GLUE: usize = 26;

/// Names near the owner of 255 octets, which take half of 512.
const LONG_NAME_OCTETS: usize = 200;

/// Who else was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Nsd,
    Knot,
    Bind,
}

/// What can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Rcode,
    Authoritative,
    Truncated,
    Flags,
    Question,
    Opt,
    Answer,
    Authority,
    Glue,
}

use Field::{Answer, Authoritative, Authority, Glue, Rcode, Truncated};

/// One question that was answered differently.
pub(crate) struct Case<'a> {
    pub(crate) peer: Peer,
    pub(crate) question: &'a Question,
    pub(crate) ours: &'a Seen,
    pub(crate) theirs: &'a Seen,
    pub(crate) differing: &'a [Field],
}

impl Case<'_> {
    /// Whether nothing differs but these.
    fn only(&self, fields: &[Field]) -> bool {
        self.differing.iter().all(|field| fields.contains(field))
    }

    fn asks(&self, types: &[u16]) -> bool {
        self.question.class == class::IN && types.contains(&self.question.qtype)
    }
}

/// A difference that is meant.
pub(crate) struct Exception {
    pub(crate) name: &'static str,
    /// Why it is meant.
    pub(crate) reason: &'static str,
    explains: fn(&Case<'_>) -> bool,
}

/// The first exception that explains a difference.
pub(crate) fn explain(case: &Case<'_>) -> Option<&'static Exception> {
    EXCEPTIONS.iter().find(|exception| (exception.explains)(case))
}

/// A reply of a header and a question.
fn is_bare(seen: &Seen) -> bool {
    !seen.is_authoritative() && seen.answer.is_empty() && seen.authority.is_empty() && seen.additional.is_empty()
}

/// Where the last CNAME of an answer leads, if nothing of the target stands behind it.
fn open_end(chain: &[Rr]) -> Option<&[u8]> {
    chain.last().filter(|rr| rr.rtype == rtype::CNAME).map(|rr| rr.data.as_slice())
}

/// The DNAME whose target takes most of 512 octets.
fn has_long_dname(seen: &Seen) -> bool {
    seen.chain.iter().any(|rr| rr.rtype == rtype::DNAME && rr.data.len() > LONG_NAME_OCTETS)
}

fn is_in_child(name: &[u8]) -> bool {
    name.ends_with(b"\x05child\x07example\x04test\x00")
}

const EXCEPTIONS: [Exception; 17] = [
    Exception {
        name: "ANY gets HINFO",
        reason: "RFC 8482 4.2: one small record instead of everything that stands at the name, over UDP and TCP alike",
        explains: |case| {
            let hinfo = |rr: &Rr| rr.rtype == rtype::HINFO;
            let asked = case.asks(&[rtype::ANY]) && case.only(&[Answer, Truncated]);
            asked && matches!(&case.ours.answer[..], [rr] if hinfo(rr)) && (!case.theirs.answer.is_empty() || case.theirs.is_truncated())
        },
    },
    Exception {
        name: "transfers are refused",
        reason: "we do not transfer zones, whatever the name; the others tell apart names that are no zone (NOTAUTH), \
                 IXFR without its SOA (FORMERR) and AXFR over UDP (FORMERR or NOTIMP)",
        explains: |case| {
            let theirs = [FORMERR, NOTIMP, REFUSED, NOTAUTH].contains(&case.theirs.rcode);
            case.asks(&[rtype::AXFR, rtype::IXFR]) && case.only(&[Rcode]) && case.ours.rcode == REFUSED && theirs && is_bare(case.ours)
        },
    },
    Exception {
        name: "meta types are not implemented",
        reason: "TKEY, MAILB and MAILA never stand in a zone; NSD and Knot look them up all the same, BIND wants a TKEY record beside the question",
        explains: |case| {
            let looked_up = case.peer != Peer::Bind && [NOERROR, NXDOMAIN, REFUSED].contains(&case.theirs.rcode);
            let malformed = case.peer == Peer::Bind && case.question.qtype == rtype::TKEY && case.theirs.rcode == FORMERR;
            let asked = case.asks(&[rtype::TKEY, rtype::MAILB, rtype::MAILA]) && case.ours.rcode == NOTIMP && is_bare(case.ours);
            asked && (looked_up || malformed) && case.only(&[Rcode, Authoritative, Answer, Authority, Truncated, Glue])
        },
    },
    Exception {
        name: "type 0 is looked up",
        reason: "no type has the number 0, so there is none at any name, as for other unknown types; Knot says NOTIMP",
        explains: |case| {
            let knot = case.peer == Peer::Knot && case.theirs.rcode == NOTIMP && is_bare(case.theirs);
            case.asks(&[0]) && knot && [NOERROR, NXDOMAIN, REFUSED].contains(&case.ours.rcode)
        },
    },
    Exception {
        name: "other classes are refused",
        reason: "zones are of class IN; BIND says FORMERR or NOTIMP, Knot NOTIMP to CH, NSD sends no question back, \
                 and NSD and Knot answer class ANY from class IN",
        explains: |case| {
            let errors = case.peer == Peer::Bind && [FORMERR, NOTIMP].contains(&case.theirs.rcode) && is_bare(case.theirs);
            let cut_short = case.peer == Peer::Nsd && case.theirs.rcode == REFUSED && case.theirs.question.is_empty();
            let answered = case.peer != Peer::Bind && case.question.class == class::ANY;
            let chaos = case.peer == Peer::Knot && case.question.class == class::CH && case.theirs.rcode == NOTIMP;
            let refused = case.question.class != class::IN && case.ours.rcode == REFUSED && is_bare(case.ours);
            refused && (errors || cut_short || answered || chaos)
        },
    },
    Exception {
        name: "glue is complete or TC is set",
        reason: "RFC 9471 3.1: a referral without all addresses of in-domain servers has TC; older releases of NSD and BIND leave them out in silence",
        explains: |case| {
            let cut = case.ours.authority.first().is_some_and(|rr| rr.owner == b"\x06bigcut\x07example\x04test\x00");
            let missing = !case.theirs.is_truncated() && case.theirs.glue().len() < BIG_CUT_GLUE;
            cut && case.only(&[Truncated, Glue]) && case.ours.is_truncated() && missing && !case.question.tcp
        },
    },
    Exception {
        name: "aliases are followed inside their zone",
        reason: "a CNAME into another zone of ours is the resolver's to follow, the parent's side of a cut the last that we say; NSD goes on in the other zone",
        explains: |case| {
            let leads_down = open_end(&case.ours.chain).is_some_and(is_in_child);
            let leads_up = is_in_child(&case.question.name.to_ascii_lowercase());
            let goes_on = case.peer == Peer::Nsd && case.theirs.chain.starts_with(&case.ours.chain);
            (leads_down || leads_up) && open_end(&case.ours.chain).is_some() && goes_on && case.only(&[Rcode, Answer, Authority, Glue])
        },
    },
    Exception {
        name: "a DNAME into another zone comes without the referral",
        reason: "where it leads below a cut of the zone that is another zone of ours; Knot adds the referral, and the resolver asks again in any case",
        explains: |case| {
            let referral = case.theirs.authority.iter().all(|rr| rr.rtype == rtype::NS && is_in_child(&rr.owner));
            let renamed = case.ours.chain.iter().any(|rr| rr.rtype == rtype::DNAME);
            let down = open_end(&case.ours.chain).is_some_and(is_in_child) && case.ours.authority.is_empty();
            case.peer == Peer::Knot && renamed && down && referral && case.only(&[Authority])
        },
    },
    Exception {
        name: "ANY below a DNAME is answered with the CNAME",
        reason: "as at any other CNAME, which ANY matches (RFC 1034 4.3.2 step 3a; BIND agrees); NSD and Knot go on",
        explains: |case| {
            let renamed = case.ours.chain.iter().any(|rr| rr.rtype == rtype::DNAME) && open_end(&case.ours.chain).is_some();
            let goes_on = case.peer != Peer::Bind && (case.theirs.chain.starts_with(&case.ours.chain) || case.theirs.is_truncated());
            case.asks(&[rtype::ANY]) && renamed && goes_on && case.only(&[Rcode, Answer, Authority, Glue, Truncated])
        },
    },
    Exception {
        name: "names are not compressed against the data of a DNAME",
        reason: "RFC 3597 4: names in the data of newer types stand for themselves; BIND points to them, so more fits where the target is long",
        explains: |case| {
            let renamed = has_long_dname(case.ours);
            let cut = case.ours.is_truncated() && case.theirs.chain.starts_with(&case.ours.chain) && !case.question.tcp;
            case.peer == Peer::Bind && renamed && cut && case.only(&[Rcode, Truncated, Answer, Authority])
        },
    },
    Exception {
        name: "a truncated chain has its last rcode",
        reason: "RFC 6604 3: the rcode is that of the end of the chain, whether all of it fits or not; Knot ends at what does not fit",
        explains: |case| {
            let cut = case.ours.is_truncated() && case.theirs.is_truncated() && !case.question.tcp;
            case.peer == Peer::Knot && cut && case.ours.rcode == NXDOMAIN && case.theirs.rcode == NOERROR && case.only(&[Rcode])
        },
    },
    Exception {
        name: "an SOA that does not fit is missed",
        reason: "RFC 2181 9: what is needed (RFC 2308 2) and does not fit sets TC; Knot leaves it out in silence",
        explains: |case| {
            let soa = |seen: &Seen| seen.authority.iter().any(|rr| rr.rtype == rtype::SOA);
            let cut = case.ours.is_truncated() && !case.question.tcp && !soa(case.ours) && !soa(case.theirs);
            case.peer == Peer::Knot && cut && !case.ours.answer.is_empty() && case.only(&[Truncated])
        },
    },
    Exception {
        name: "a CNAME to a cut comes with the referral",
        reason: "RFC 1034 4.3.2 step 3b after a CNAME; where the child is served here too, BIND stops at the CNAME",
        explains: |case| {
            let referral = case.ours.authority.iter().all(|rr| rr.rtype == rtype::NS && is_in_child(&rr.owner));
            let bind = case.peer == Peer::Bind && case.theirs.authority.is_empty();
            bind && open_end(&case.ours.chain).is_some_and(is_in_child) && referral && case.only(&[Authority])
        },
    },
    Exception {
        name: "chains of eight are given whole",
        reason: "in-zone CNAMEs are followed up to 8 steps; Knot stops after 5 and leaves the rest to the resolver",
        explains: |case| {
            let aliases = |chain: &[Rr]| chain.iter().filter(|rr| rr.rtype == rtype::CNAME).count();
            let stops = aliases(&case.theirs.chain) == 5 && open_end(&case.theirs.chain).is_some();
            let prefix = case.ours.chain.starts_with(&case.theirs.chain) && case.ours.chain.len() > case.theirs.chain.len();
            case.peer == Peer::Knot && stops && prefix && case.only(&[Rcode, Answer, Authority])
        },
    },
    Exception {
        name: "a CNAME answers KEY",
        reason: "only RRSIG and NSEC may stand beside a CNAME (RFC 4035 2.5); BIND also keeps KEY apart, as RFC 2535 did, and does not follow",
        explains: |case| {
            let prefix = open_end(&case.theirs.chain).is_some_and(|_| case.ours.chain.starts_with(&case.theirs.chain));
            let apart = case.theirs.answer.is_empty() || prefix;
            case.peer == Peer::Bind && case.asks(&[rtype::KEY]) && apart && open_end(&case.ours.chain).is_some()
        },
    },
    Exception {
        name: "RRSIG and NSEC are asked of the alias itself",
        reason: "RFC 4035 2.5: they stand beside a CNAME, so the CNAME does not answer for them (BIND and Knot agree); NSD answers with the CNAME. \
                 NSEC3 never stands at a CNAME's name, so there the CNAME answers; NSD says that nothing is there",
        explains: |case| {
            let (ours, theirs) = if case.asks(&[rtype::NSEC3]) { (case.theirs, case.ours) } else { (case.ours, case.theirs) };
            let asked = case.asks(&[rtype::RRSIG, rtype::NSEC, rtype::NSEC3]) && case.only(&[Answer, Authority, Rcode, Glue]);
            let stops = theirs.chain.starts_with(&ours.chain) && ours.rcode == NOERROR && open_end(&theirs.chain).is_some();
            case.peer == Peer::Nsd && asked && stops
        },
    },
    Exception {
        name: "owners are in the letters of the question",
        reason: "a record's owner points to the question; BIND writes it as the zone has it, which takes up to 255 octets more",
        explains: |case| {
            let long = case.question.name.len() > LONG_NAME_OCTETS || has_long_dname(case.ours);
            let long = long && !case.question.tcp && case.question.limit() == 512;
            case.peer == Peer::Bind && long && case.theirs.is_truncated() && case.only(&[Truncated, Answer, Authority])
        },
    },
];
