//! Static records: the types and values of one owner, from text to encoded RRsets.
//! What must hold between records (CNAME beside data, glue, cuts) is checked by the zone as a whole.

use super::MAX_TTL_S;
use crate::config::spec::{Field, Key, Value, shortened};
use crate::diag::{Diagnostics, Mark, nearest};
use crate::name::Name;
use crate::wire::rtype;
use crate::zone::rrset::{Rrset, rdata_from_text, txt_from_strings};
use crate::zone::text::DataFault;

/// Records of one owner and type: more than this never fit into a message of 65,535 octets.
pub(in crate::config) const MAX_RECORDS: usize = 4096;

/// Types for hints; others are written as TYPEnnn or by their mnemonic.
const COMMON_TYPES: [&str; 16] =
    ["A", "AAAA", "CAA", "CNAME", "DNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SRV", "SSHFP", "SVCB", "TLSA", "TXT"];

/// The NSEC of before 2004 (RFC 3755).
const OLD_NXT: u16 = 30;

/// What stands behind a type.
const WANTED: &str = "a value, a list of values, or a map with `ttl` and `values`";

/// The type that a key names; types that records never have are reported.
pub(super) fn record_type(key: &Key, out: &mut Diagnostics) -> Option<u16> {
    let Some(record_type) = rtype::parse(&key.text) else {
        unknown_type(&key.text, key.mark.clone(), "an entry holds `TYPE: value` pairs such as `A: 192.0.2.1`, or `steer:`", out);
        return None;
    };
    match refusal(record_type) {
        Some(hint) => {
            out.error_hint(key.mark.clone(), format!("`{}` records cannot be written here", shortened(&key.text)), hint);
            None
        }
        None => Some(record_type),
    }
}

/// Reports a type that nobody knows: a slip of the finger, or else `form` is what was wanted.
pub(in crate::config) fn unknown_type(text: &str, mark: Mark, form: &str, out: &mut Diagnostics) {
    let known = COMMON_TYPES.into_iter().chain(["steer"]);
    let hint = match nearest(&text.to_ascii_uppercase(), known.clone()).or(nearest(text, known)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => form.to_owned(),
    };
    out.error_hint(mark, format!("unknown record type `{}`", shortened(text)), hint);
}

/// Why records of a type are not taken from files.
pub(in crate::config) fn refusal(record_type: u16) -> Option<&'static str> {
    match record_type {
        rtype::SOA => Some("write the key `soa` beside `zone`"),
        rtype::RRSIG | rtype::NSEC | rtype::NSEC3 | rtype::NSEC3PARAM | rtype::SIG | OLD_NXT => Some("they are made when a zone is signed"),
        other if rtype::is_meta(other) || other == 0 => Some("this type is for questions and messages, not for zones"),
        _ => None,
    }
}

/// All records of one type; `None` after an error.
pub(super) fn rrset(record_type: u16, field: &Field<'_>, ttl_s: u32, origin: &Name, out: &mut Diagnostics) -> Option<Rrset> {
    let mut ttl_s = ttl_s;
    let mut values = *field;
    if let Value::Map(_) = field.node.value {
        let fields = field.fields(WANTED, &["ttl", "values"], out)?;
        ttl_s = fields.get("ttl").and_then(|field| field.seconds(0..=MAX_TTL_S, out)).unwrap_or(ttl_s);
        values = Field { key: field.key, ..fields.need("values", "[...]", out)? };
    }
    let items = values.filled_list("one or more values", out);
    if items.len() > MAX_RECORDS {
        out.error(field.mark(), format!("{} {} records, at most {MAX_RECORDS} fit into a message", items.len(), field.key));
        return None;
    }
    let rdatas: Vec<Option<Vec<u8>>> = items.iter().map(|item| rdata(record_type, item, origin, out)).collect();
    let rdatas: Option<Vec<Vec<u8>>> = rdatas.into_iter().collect();
    rdatas.filter(|rdatas| !rdatas.is_empty()).map(|rdatas| Rrset::new(record_type, ttl_s, &rdatas))
}

/// Types of which a region has no records: addresses are its endpoints, the others are the zone's alone.
const ZONE_TYPES: [u16; 5] = [rtype::A, rtype::AAAA, rtype::NS, rtype::DNAME, rtype::DS];

/// `records:` of a service in a region: RRsets that names of the service are answered with. Names in them are absolute; their TTL is that of
/// the steered name.
pub(super) fn region_records(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Rrset> {
    let mut rrsets: Vec<Rrset> = Vec::new();
    for (key, node) in field.map("a map such as `{MX: 10 mail.example.net.}`", out).unwrap_or_default() {
        let Some(rtype) = record_type(key, out) else { continue };
        if ZONE_TYPES.contains(&rtype) {
            let hint = if matches!(rtype, rtype::A | rtype::AAAA) { "list addresses under `endpoints`" } else { "write it into the zone" };
            out.error_hint(key.mark.clone(), format!("{} cannot be a record of a region", rtype::name(rtype)), hint);
            continue;
        }
        rrsets.extend(rrset(rtype, &Field { key: &key.text, node }, 0, &Name::root(), out));
    }
    let cname = rrsets.iter().find(|rrset| rrset.rtype() == rtype::CNAME);
    if cname.is_some_and(|cname| rrsets.len() > 1 || cname.iter().count() > 1) {
        out.error_hint(field.mark(), "a CNAME stands alone (RFC 1034 3.6.2)", "give one CNAME, or records of other types");
    }
    rrsets
}

/// One value: record data as in a master file, or the plain text of a TXT.
fn rdata(record_type: u16, item: &Field<'_>, origin: &Name, out: &mut Diagnostics) -> Option<Vec<u8>> {
    let read = match record_type {
        // Under `TYPE16` it is record data like any other.
        rtype::TXT if item.key.eq_ignore_ascii_case("TXT") => txt(item, out)?,
        _ => rdata_from_text(record_type, item.text("record data as one text", out)?, origin),
    };
    match read {
        Ok(rdata) => Some(rdata),
        Err(fault) => {
            match advice(record_type, item).map(str::to_owned).or(fault.hint) {
                Some(hint) => out.error_hint(item.mark(), fault.text, hint),
                None => out.error(item.mark(), fault.text),
            }
            None
        }
    }
}

/// A text, or a list of strings that make up one record.
fn txt(item: &Field<'_>, out: &mut Diagnostics) -> Option<Result<Vec<u8>, DataFault>> {
    const WANTED: &str = "a text, or a list of texts that make up one record";
    let strings: Option<Vec<&str>> = match &item.node.value {
        Value::List(_) => item.filled_list(WANTED, out).iter().map(|part| part.text(WANTED, out)).collect(),
        // A quoted empty text is a TXT with one empty string, which is valid.
        Value::Scalar { text, plain: false } => {
            if text.len() > 1 && text.starts_with('"') && text.ends_with('"') {
                let hint =
                    "the quotes of YAML are enough, as in `TXT: \"v=spf1 -all\"`; several strings of one record are a list in a list";
                out.warning_hint(item.mark(), "the quotes inside this text are served, too", hint);
            }
            Some(vec![text])
        }
        _ => item.text(WANTED, out).map(|text| vec![text]),
    };
    Some(txt_from_strings(&strings?).map_err(|text| DataFault { token: 0, text, hint: None }))
}

/// Advice on values that look like another type.
fn advice(record_type: u16, item: &Field<'_>) -> Option<&'static str> {
    let text = item.scalar()?;
    let is_address = text.parse::<std::net::IpAddr>();
    match (record_type, is_address) {
        (rtype::A, Ok(address)) if address.is_ipv6() => Some("an IPv6 address goes under `AAAA`"),
        (rtype::AAAA, Ok(address)) if address.is_ipv4() => Some("an IPv4 address goes under `A`"),
        (rtype::A | rtype::AAAA, Err(_)) if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '#']) => {
            Some("a name goes under `CNAME`")
        }
        _ => None,
    }
}
