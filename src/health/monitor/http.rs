//! The monitor kinds `http` and `https`: a target is good when it answers one request with a wanted status and body.
//! It holds the request as data and never sends it; what runs the probe is in `prober::http`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde_saphyr::{Location, Spanned};

use super::Problems;
use super::content::{self, BodySpec, Content, JsonSpec};
use super::tls::{ReadFile, Tls, TlsKeys};

/// Longest path of a request: what common servers take in a request line, with room.
pub const MAX_PATH: usize = 2048;
/// At most this many extra headers: a probe is one small packet.
pub const MAX_HEADERS: usize = 16;
/// Longest value of an extra header (a bearer token fits).
pub const MAX_HEADER_VALUE: usize = 4096;
/// Longest Host or SNI: a DNS name in text, with a port.
pub const MAX_HOST: usize = 260;
/// At most this many status ranges; there are only five classes of status.
pub const MAX_STATUS_RANGES: usize = 16;

/// Headers that the prober writes itself.
const OWN_HEADERS: [&str; 4] = ["connection", "content-length", "transfer-encoding", "upgrade"];

/// One HTTP request and the answer that is wanted. Part of the target key: equal requests to one address are probed once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Path and query, starting with `/`.
    pub path: Box<str>,
    /// Value of the Host header; none = the probed address and port.
    pub host: Option<Box<str>>,
    /// Further headers, sorted by lower-cased name.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// The statuses that count as success.
    pub status: StatusRanges,
    /// What the body must hold.
    pub content: Content,
    /// TLS, for `https`.
    pub tls: Option<Tls>,
}

/// Methods that a probe may use; none of them carries a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// GET (the default).
    Get,
    /// HEAD.
    Head,
    /// OPTIONS.
    Options,
    /// POST with an empty body.
    Post,
}

impl Method {
    const ALL: [Method; 4] = [Method::Get, Method::Head, Method::Options, Method::Post];

    /// The method as in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Post => "POST",
        }
    }
}

/// Inclusive ranges of HTTP statuses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusRanges(Box<[(u16, u16)]>);

impl StatusRanges {
    /// 200 to 399, the default: a redirect is an answer of a living server, and is not followed.
    pub fn success_or_redirect() -> StatusRanges {
        StatusRanges(Box::new([(200, 399)]))
    }

    /// True if `status` is wanted.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

impl fmt::Display for StatusRanges {
    /// `200-399`, `200, 404`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (low, high)) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            let upto = if low == high { String::new() } else { format!("-{high}") };
            write!(f, "{comma}{low}{upto}")?;
        }
        Ok(())
    }
}

/// The keys of an `http` or `https` monitor as typed; the short form is the path alone: `http: /health`.
#[derive(Debug, Clone, Default)]
pub struct HttpSpec(Keys);

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    path: Option<Spanned<String>>,
    port: Option<Spanned<i64>>,
    method: Option<Spanned<String>>,
    host: Option<Spanned<String>>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
    status: Option<Spanned<StatusSpec>>,
    body: Option<BodySpec>,
    json: Option<BTreeMap<String, Spanned<JsonSpec>>>,
    active: Option<Spanned<String>>,
    sni: Option<Spanned<String>>,
    verify: Option<Spanned<bool>>,
    ca: Option<Spanned<String>>,
    client_cert: Option<Spanned<String>>,
    client_key: Option<Spanned<String>>,
}

/// `200`, `"200-299"` or a list of those.
#[derive(Debug, Clone)]
struct StatusSpec(Vec<String>);

impl HttpSpec {
    /// The port as typed inside the kind.
    pub(super) fn port(&self) -> Option<Spanned<i64>> {
        self.0.port.clone()
    }

    /// The checked request; what is wrong goes to `problems`, and a default stands in its place.
    pub(super) fn check(self, https: bool, files: &mut ReadFile<'_>, problems: &mut Problems) -> HttpRequest {
        let keys = self.0;
        let path = keys.path.map_or_else(|| "/".to_owned(), |path| check_path(path, problems));
        let method = keys.method.map_or(Method::Get, |method| check_method(&method, problems));
        let host = keys.host.and_then(|host| check_host(host, problems));
        let headers = check_headers(keys.headers.unwrap_or_default(), problems);
        let status = keys.status.map_or_else(StatusRanges::success_or_redirect, |status| check_status(&status, problems));
        let content = content::check(keys.body, keys.json, keys.active, problems);
        if method == Method::Head && !content.is_empty() {
            problems.add_at(None, "`body`, `json` and `active` need a body, which HEAD has not", Some("use GET".to_owned()));
        }
        let tls = TlsKeys { sni: keys.sni, verify: keys.verify, ca: keys.ca, client_cert: keys.client_cert, client_key: keys.client_key };
        let tls = if https {
            Some(tls.check(host.as_deref(), files, problems))
        } else {
            tls.refuse("an `http`", "https", problems);
            None
        };
        HttpRequest { method, path: path.into(), host, headers, status, content, tls }
    }
}

fn check_path(path: Spanned<String>, problems: &mut Problems) -> String {
    let text = &path.value;
    if !text.starts_with('/') {
        let hint = match text.split_once("://") {
            Some((_, rest)) => {
                let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
                format!(
                    "write `{path}`; the address is that of the endpoint or of `address`, the port goes into `port`, a name into `host`"
                )
            }
            None => format!("write `/{}`", text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric())),
        };
        problems.add_hint(&path, format!("`path` must start with `/`, not `{text}`"), hint);
    } else if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        problems.add_hint(&path, format!("`path` holds the character `{}`", bad.escape_default()), "percent-encode it");
    } else if text.len() > MAX_PATH {
        problems.add(&path, format!("`path` has {} octets, at most {MAX_PATH} are allowed", text.len()));
    }
    path.value
}

fn check_method(method: &Spanned<String>, problems: &mut Problems) -> Method {
    let found = Method::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(&method.value));
    found.unwrap_or_else(|| {
        problems.add_hint(method, format!("unknown `method` `{}`", method.value), "use GET, HEAD, OPTIONS or POST");
        Method::Get
    })
}

fn check_host(host: Spanned<String>, problems: &mut Problems) -> Option<Box<str>> {
    let text = &host.value;
    let fits = !text.is_empty() && text.len() <= MAX_HOST && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
    if !fits {
        problems.add_hint(&host, format!("`host` `{text}` is not a host name"), "write a name or address, with `:port` if need be");
        return None;
    }
    Some(host.value.into())
}

fn check_headers(headers: BTreeMap<String, Spanned<String>>, problems: &mut Problems) -> Box<[(Box<str>, Box<str>)]> {
    if headers.len() > MAX_HEADERS {
        problems.add_unplaced(format!("{} `headers`, at most {MAX_HEADERS} are allowed", headers.len()));
        return Box::default();
    }
    let mut checked = BTreeMap::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
            problems.add(&value, format!("`{}` is not a header name", name.escape_default()));
        } else if lower == "host" {
            problems.add_hint(&value, "`Host` among `headers`", "use the key `host`");
        } else if OWN_HEADERS.contains(&lower.as_str()) {
            problems.add(&value, format!("the header `{name}` is written by the prober itself"));
        } else if value.value.len() > MAX_HEADER_VALUE || !value.value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            problems.add_hint(
                &value,
                format!("the value of the header `{name}` cannot be sent"),
                "use up to 4096 printable ASCII characters",
            );
        } else if checked.insert(Box::from(lower), Box::from(value.value.trim())).is_some() {
            problems.add_unplaced(format!("the header `{name}` is given twice"));
        }
    }
    checked.into_iter().collect()
}

fn check_status(status: &Spanned<StatusSpec>, problems: &mut Problems) -> StatusRanges {
    let StatusSpec(items) = &status.value;
    if items.is_empty() || items.len() > MAX_STATUS_RANGES {
        problems.add(status, format!("`status` has {} ranges, 1 to {MAX_STATUS_RANGES} are allowed", items.len()));
    }
    let mut ranges = Vec::new();
    for item in items {
        match parse_range(item) {
            Some(range) => ranges.push(range),
            None => problems.add_hint(
                status,
                format!("`status` `{}` is not a status or a range of them", item.escape_default()),
                "write `200`, `200-299`, or a list of those, from 100 to 599",
            ),
        }
    }
    ranges.sort_unstable();
    ranges.dedup();
    StatusRanges(ranges.into())
}

/// `200` or `200-299`.
fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let status = |part: &str| part.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let (low, high) = (status(low)?, status(high)?);
    (low <= high).then_some((low, high))
}

impl<'de> Deserialize<'de> for HttpSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HttpSpec, D::Error> {
        deserializer.deserialize_any(HttpForm)
    }
}

/// Takes the mapping, or a bare path. Written by hand because an untagged enum loses line and column.
struct HttpForm;

impl<'de> Visitor<'de> for HttpForm {
    type Value = HttpSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, or a mapping with keys such as `path` and `port`")
    }

    fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<HttpSpec, E> {
        let path = Some(Spanned::new(path.to_owned(), Location::UNKNOWN, Location::UNKNOWN));
        Ok(HttpSpec(Keys { path, ..Keys::default() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HttpSpec, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map)).map(HttpSpec)
    }
}

impl<'de> Deserialize<'de> for StatusSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StatusSpec, D::Error> {
        deserializer.deserialize_any(StatusForm)
    }
}

struct StatusForm;

impl<'de> Visitor<'de> for StatusForm {
    type Value = StatusSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status such as `200`, a range such as `200-299`, or a list of those")
    }

    fn visit_u64<E: serde::de::Error>(self, status: u64) -> Result<StatusSpec, E> {
        Ok(StatusSpec(vec![status.to_string()]))
    }

    fn visit_i64<E: serde::de::Error>(self, status: i64) -> Result<StatusSpec, E> {
        Ok(StatusSpec(vec![status.to_string()]))
    }

    fn visit_str<E: serde::de::Error>(self, range: &str) -> Result<StatusSpec, E> {
        Ok(StatusSpec(vec![range.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<StatusSpec, A::Error> {
        let mut items = Vec::new();
        // One more than allowed is kept, so that the check can say so.
        while let Some(StatusSpec(item)) = list.next_element()? {
            if items.len() <= MAX_STATUS_RANGES {
                items.extend(item);
            }
        }
        Ok(StatusSpec(items))
    }
}
