//! The monitor kind `dns`: a target is good when it answers one question as wanted, over UDP.
//! It holds the question as data; what runs the probe is in `prober::dns`.

use std::net::IpAddr;

use serde_saphyr::Spanned;

use super::Problems;
use crate::name::Name;

/// Types that can be asked for.
const TYPES: [&str; 10] = ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];

/// Response codes that can be wanted, by number.
const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/// Longest wanted record data, in characters.
const MAX_EXPECT: usize = 255;

/// One question and the answer that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The name, absolute.
    pub name: Box<str>,
    /// The type, in upper case.
    pub rtype: &'static str,
    /// The response code.
    pub rcode: u8,
    /// Record data in text that must be among the answers; none = any answer, where the code is NOERROR.
    pub expect: Option<Box<str>>,
    /// Recursion is asked for: the target is a resolver.
    pub recurse: bool,
}

/// The keys of a `dns` monitor as typed.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DnsSpec {
    pub(super) port: Option<Spanned<i64>>,
    query: Option<Spanned<String>>,
    r#type: Option<Spanned<String>>,
    rcode: Option<Spanned<String>>,
    expect: Option<Spanned<String>>,
    recurse: Option<bool>,
}

impl DnsSpec {
    pub(super) fn check(self, problems: &mut Problems) -> Question {
        let name = match self.query {
            None => {
                problems.add_at(None, "a `dns` monitor needs a question", Some("write `dns: {query: www.example.com}`".to_owned()));
                String::new()
            }
            Some(typed) => Name::parse(&typed.value, None).map(|name| name.to_string()).unwrap_or_else(|_| {
                problems.add(&typed, format!("`query` `{}` is not a domain name", typed.value.escape_default()));
                String::new()
            }),
        };
        let of = |list: &[&'static str], typed: &Spanned<String>| list.iter().position(|known| known.eq_ignore_ascii_case(&typed.value));
        let rtype = self.r#type.as_ref().map_or(Some(0), |typed| of(&TYPES, typed));
        let rcode = self.rcode.as_ref().map_or(Some(0), |typed| of(&RCODES, typed));
        if let (Some(typed), None) = (&self.r#type, rtype) {
            problems.add_hint(typed, format!("unknown `type` `{}`", typed.value), format!("use one of {}", TYPES.join(", ")));
        }
        if let (Some(typed), None) = (&self.rcode, rcode) {
            problems.add_hint(typed, format!("unknown `rcode` `{}`", typed.value), format!("use one of {}", RCODES.join(", ")));
        }
        if let Some(typed) = self.expect.as_ref().filter(|typed| typed.value.is_empty() || typed.value.len() > MAX_EXPECT) {
            problems.add(typed, format!("`expect` must be from 1 to {MAX_EXPECT} characters"));
        }
        Question {
            name: name.into(),
            rtype: TYPES[rtype.unwrap_or(0)],
            // At most 5.
            rcode: rcode.unwrap_or(0) as u8,
            expect: self.expect.map(|typed| canonical(&typed.value)),
            recurse: self.recurse.unwrap_or(false),
        }
    }
}

/// Addresses in their one spelling, so that `2001:DB8::0:1` is found.
fn canonical(text: &str) -> Box<str> {
    text.parse::<IpAddr>().map_or_else(|_| text.into(), |address| address.to_string().into())
}
