//! What record data in wire form must hold beyond its shape: digests of the right length, parameters in order, tags of letters and digits.
//! It judges single records only.

use super::{params, write};
use crate::name::name_octets;
use crate::wire::rtype;

/// Whether data from the generic form has the shape of its type (RFC 3597 5).
pub(super) fn structure(record_type: u16, rdata: &[u8]) -> Result<(), String> {
    write::text_from_rdata(record_type, rdata, None).map(drop)
}

/// Whether data of the right shape makes sense.
pub(super) fn meaning(record_type: u16, rdata: &[u8]) -> Result<(), String> {
    match (record_type, rdata) {
        (rtype::TLSA | rtype::SMIMEA, [_, _, matching, data @ ..]) => digest("matching type", *matching, data, &[(1, 32), (2, 64)]),
        (rtype::SSHFP, [_, kind, data @ ..]) => digest("fingerprint type", *kind, data, &[(1, 20), (2, 32)]),
        (rtype::DS | rtype::CDS | rtype::DLV | rtype::TA, [_, _, _, kind, data @ ..]) => {
            digest("digest type", *kind, data, &[(1, 20), (2, 32), (3, 32), (4, 48)])
        }
        (rtype::URI, [_, _, _, _]) => Err("the target of a URI must not be empty (RFC 7553 4.4)".into()),
        (rtype::SVCB | rtype::HTTPS, [high, low, rest @ ..]) => {
            params::check(*high == 0 && *low == 0, &rest[name_octets(rest).unwrap_or(rest.len())..])
        }
        _ => Ok(()),
    }
}

/// Letters and digits, at least one (RFC 8659 4.1).
pub(super) fn is_tag(octets: &[u8]) -> bool {
    (1..=usize::from(u8::MAX)).contains(&octets.len()) && octets.iter().all(u8::is_ascii_alphanumeric)
}

/// A digest of a known kind has one length.
fn digest(what: &str, kind: u8, data: &[u8], lengths: &[(u8, usize)]) -> Result<(), String> {
    match lengths.iter().find(|(known, _)| *known == kind) {
        Some((_, octets)) if data.len() != *octets => {
            Err(format!("{what} {kind} has {octets} octets of data ({} hexadecimal digits), not {}", octets * 2, data.len()))
        }
        _ => Ok(()),
    }
}
