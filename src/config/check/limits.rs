//! `rate_limit:`, `cookies:` and `tcp:` of the server file: how much of this server one client may have.
//! It fills in what is left out; how limits are kept is the business of the server.

use super::server::networks;
use crate::config::files;
use crate::config::model::Caps;
use crate::config::spec::Field;
use crate::diag::Diagnostics;
use crate::geo::Access;
use crate::snapshot::{Cookies, Kind, RateLimit};
use crate::wire::cookie::Secret;

const RATE_KEYS: [&str; 9] = ["responses", "network", "total", "window", "prefix", "slip", "allow", "log_only", "entries"];

/// Of `responses`: the kinds of answers, and what holds for those that are not named.
const KIND_KEYS: [&str; 8] = ["default", "steered", "positive", "nodata", "name-error", "referral", "refused", "error"];

const COOKIE_KEYS: [&str; 2] = ["required", "secrets"];

/// The one that makes cookies, and the one before it or after it (RFC 9018 5).
const MAX_SECRETS: usize = 2;

const TCP_KEYS: [&str; 3] = ["connections", "per_network", "queries"];

/// Fastest rate that can be kept: a microsecond from one response to the next.
const MAX_RATE: u64 = 1_000_000;

/// Responses that a client may have at once, in seconds of its rate: what a resolver asks when it has lost its cache.
const DEFAULT_WINDOW_S: u32 = 4;

/// Longer windows only let more through before a flood is noticed.
const MAX_WINDOW_S: u64 = 60;

/// Half of what is held back, so that a client with a true address is not left without a way for long.
const DEFAULT_SLIP: u32 = 2;

/// Fewer than that are as good as none.
const MAX_SLIP: u64 = 100;

/// The smallest IPv4 block that is routed on its own, the usual size of one site's IPv6 assignment (RFC 6177).
const DEFAULT_LENGTHS: (u8, u8) = (24, 56);

/// Places by default, 4 MiB: answers times client networks of some seconds.
const DEFAULT_ENTRIES: usize = 1 << 18;
const MIN_ENTRIES: u64 = 1 << 10;
/// 256 MiB.
const MAX_ENTRIES: u64 = 1 << 24;

/// As many descriptors as a process commonly may have.
const MAX_CONNECTIONS: u64 = 1 << 20;

/// More than a connection sees in its life.
const MAX_QUERIES: u64 = u32::MAX as u64;

/// `rate_limit:`, a rate of every answer or a map.
pub(super) fn rate_limit(field: &Field<'_>, out: &mut Diagnostics) -> Option<RateLimit> {
    let limit = |responses| RateLimit {
        responses,
        network: None,
        total: None,
        window_s: DEFAULT_WINDOW_S,
        v4: DEFAULT_LENGTHS.0,
        v6: DEFAULT_LENGTHS.1,
        slip: DEFAULT_SLIP,
        allow: Access::only([]),
        log_only: false,
        entries: DEFAULT_ENTRIES,
    };
    if field.scalar().is_some() {
        return Some(limit([Some(rate(field, out)?); Kind::ALL.len()]));
    }
    let keys = field.fields("responses a second, or a map such as `{responses: 20, slip: 2}`", &RATE_KEYS, out)?;
    let mut limit = limit(keys.get("responses").map(|field| responses(&field, out)).unwrap_or_default());
    limit.network = keys.get("network").and_then(|field| rate(&field, out));
    limit.total = keys.get("total").and_then(|field| rate(&field, out));
    if ["responses", "network", "total"].iter().all(|key| keys.get(key).is_none() && !keys.misspells(key)) {
        out.error_hint(field.mark(), "`rate_limit` limits nothing", "give `responses: 20`, `network: 500` or `total: 100000`");
    }
    if let Some(window_s) = keys.get("window").and_then(|field| field.seconds(1..=MAX_WINDOW_S, out)) {
        limit.window_s = window_s;
    }
    if let Some(lengths) = keys.get("prefix").and_then(|field| lengths(&field, out)) {
        (limit.v4, limit.v6) = lengths;
    }
    if let Some(slip) = keys.get("slip").and_then(|field| field.whole(0..=MAX_SLIP, out)) {
        limit.slip = slip;
    }
    limit.allow = Access::only(keys.get("allow").map(|field| networks(&field, out)).unwrap_or_default());
    limit.log_only = keys.get("log_only").and_then(|field| field.flag(out)).unwrap_or(false);
    if let Some(entries) = keys.get("entries").and_then(|field| field.whole(MIN_ENTRIES..=MAX_ENTRIES, out)) {
        limit.entries = entries;
    }
    Some(limit)
}

/// One rate, or one by kind of answer; a kind without one is not limited.
fn responses(field: &Field<'_>, out: &mut Diagnostics) -> [Option<u32>; Kind::ALL.len()] {
    if field.scalar().is_some() {
        return [rate(field, out); Kind::ALL.len()];
    }
    let wanted = "responses a second, or a map such as `{default: 20, steered: 200}`";
    let Some(keys) = field.fields(wanted, &KIND_KEYS, out) else { return Default::default() };
    let mut rate_of = |key| keys.get(key).map(|field| if field.scalar() == Some("none") { None } else { rate(&field, out) });
    let default = rate_of("default").flatten();
    Kind::ALL.map(|kind| rate_of(kind.name()).unwrap_or(default))
}

fn rate(field: &Field<'_>, out: &mut Diagnostics) -> Option<u32> {
    field.whole(1..=MAX_RATE, out)
}

/// Prefix lengths of what counts as one client network. Whoever has an IPv6 network has all of the 64 bits below it.
fn lengths(field: &Field<'_>, out: &mut Diagnostics) -> Option<(u8, u8)> {
    let keys = field.fields("a map such as `{v4: 24, v6: 56}`", &["v4", "v6"], out)?;
    let v4 = keys.get("v4").and_then(|field| field.whole(8..=32, out)).unwrap_or(DEFAULT_LENGTHS.0);
    let v6 = keys.get("v6").and_then(|field| field.whole(16..=64, out)).unwrap_or(DEFAULT_LENGTHS.1);
    Some((v4, v6))
}

/// Cookies where nothing is said of them: given, never required, made with a secret of the process.
pub(super) fn usual_cookies() -> Cookies {
    Cookies { required: false, secrets: [].into() }
}

/// `cookies:`, a flag or a map; none where they are off.
pub(super) fn cookies(field: &Field<'_>, out: &mut Diagnostics) -> Option<Cookies> {
    if field.scalar().is_some() {
        return field.flag(out)?.then(usual_cookies);
    }
    let keys = field.fields("`true`, `false`, or a map such as `{secrets: cookies.txt}`", &COOKIE_KEYS, out)?;
    let required = keys.get("required").and_then(|field| field.flag(out)).unwrap_or(false);
    let secrets = keys.get("secrets").map(|field| secrets(&field, out)).unwrap_or_default();
    Some(Cookies { required, secrets: secrets.into() })
}

/// A file with a secret on each line: 32 hexadecimal digits, as BIND and Knot have them; what begins with `#` is a comment.
fn secrets(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Secret> {
    let Some(path) = field.text("a file", out).map(|text| files::resolve(text, &field.node.mark)) else { return Vec::new() };
    let Some(text) = files::read_secret_text(&path, &field.node.mark, out) else { return Vec::new() };
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut secrets = Vec::new();
    for (number, line) in lines {
        match secret(line) {
            Some(secret) => secrets.push(secret),
            // The line itself is not shown: it may be nearly a secret.
            None => out.error_hint(
                field.mark(),
                format!("line {number} of `{}` is not a secret", path.display()),
                "write 32 hexadecimal digits, as `openssl rand -hex 16` prints them",
            ),
        }
    }
    if secrets.len() > MAX_SECRETS {
        out.error(field.mark(), format!("`{}` has {} secrets, at most {MAX_SECRETS} are allowed", path.display(), secrets.len()));
    }
    if secrets.is_empty() && !out.has_errors() {
        out.error(field.mark(), format!("no secret is in `{}`", path.display()));
    }
    if !secrets.is_empty() {
        files::warn_of_readers(&path, &field.node.mark, out);
    }
    secrets
}

fn secret(digits: &str) -> Option<Secret> {
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some(Secret(u128::from_str_radix(digits, 16).ok()?.to_be_bytes()))
}

/// `tcp:`, the most connections and what one may ask.
pub(super) fn tcp(field: &Field<'_>, out: &mut Diagnostics) -> Option<Caps> {
    let keys = field.fields("a map such as `{connections: 4096, per_network: 512}`", &TCP_KEYS, out)?;
    let usual = Caps::default();
    let total = keys.get("connections").and_then(|field| field.whole(1..=MAX_CONNECTIONS, out)).unwrap_or(usual.total);
    let per_network = keys.get("per_network").and_then(|field| field.whole(1..=MAX_CONNECTIONS, out));
    // Where fewer are allowed in all, an eighth of them still.
    let per_network = per_network.unwrap_or(if keys.get("connections").is_some() { (total / 8).max(1) } else { usual.per_network });
    let queries = keys.get("queries").and_then(|field| field.whole(1..=MAX_QUERIES, out));
    Some(Caps { total, per_network, queries })
}
