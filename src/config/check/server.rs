//! The server file: what this server listens on, how it treats clients, which geo files it reads.
//! It leaves `regions`, `zones`, `networks`, `areas` and `latencies` to their own files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::monitors::percent;
use super::regions::MAX_REGIONS;
use super::{access, api, limits, logs, places, prefix};
use crate::config::model::{EcsPolicy, MAX_BATCH, MAX_LISTEN, MAX_WORKERS, RunAs, Server};
use crate::config::spec::{Field, Fields};
use crate::config::{files, seen};
use crate::diag::Diagnostics;
use crate::geo::build::MAX_SOURCES;
use crate::geo::source::paths::{FIELDS, Paths};
use crate::geo::{Access, GeoFile, Prefix};
use crate::health::DEFAULT_HOLD_MAX_MS;
use crate::health::guard::Guard;
use crate::steer::decide::HashFloor;
use crate::wire::edns::MAX_NSID_OCTETS;
use crate::wire::{MAX_UDP_OCTETS, MIN_UDP_OCTETS};
use crate::zone::rrset::MAX_STRING_OCTETS;

/// Every key of the server file.
pub(in crate::config) const SERVER_KEYS: [&str; 40] = [
    "version",
    "listen",
    "geodb",
    "networks",
    "areas",
    "latencies",
    "regions",
    "zones",
    "workers",
    "cpus",
    "batch",
    "timestamps",
    "udp_size",
    "ecs",
    "explain_from",
    "proxy_from",
    "hash",
    "nsid",
    "version_text",
    "state_dir",
    "exec_probes",
    "sandbox",
    "guard",
    "control",
    "api",
    "encrypted",
    "log",
    "query_log",
    "tests",
    "resolvers",
    "hold_max",
    "rate_limit",
    "queries_from",
    "transfers_from",
    "extended_errors",
    "geo_max_age",
    "cookies",
    "tcp",
    "watch",
    "user",
];

/// The one version of the file format.
const VERSION: &str = "1";

/// Resolvers that are asked for the host names of endpoints; a stub resolver asks a few.
const MAX_RESOLVERS: usize = 8;

/// Longest `hold_max`: an operator has looked by then.
const MAX_HOLD_S: u64 = 86_400;

/// A day is less than any vendor's round; ten years are never.
const MIN_GEO_AGE_S: u64 = 86_400;
const MAX_GEO_AGE_S: u64 = 10 * 366 * 86_400;

/// Longest name of a user (useradd(8)).
const MAX_USER_CHARS: usize = 32;

/// Largest number of a processor: as many fit the system's sets of them.
const MAX_CPU: u64 = 1_023;

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// Largest UDP reply when none is given: fits the smallest IPv6 path in one piece (DNS Flag Day 2020).
const DEFAULT_UDP_OCTETS: u16 = 1232;

/// Networks of peers in one list, such as resolvers whose client subnets are believed: the work at load grows with their square.
const MAX_NETWORKS: usize = 1024;

/// Who may ask why by default: whoever is on this machine.
const LOOPBACK: [(IpAddr, u8); 2] = [(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)];

/// Windows of the guard: under ten seconds not even one probe is done, and after a day nobody remembers.
const MIN_GUARD_S: u64 = 10;
const MAX_GUARD_S: u64 = 86_400;
const DEFAULT_GUARD_S: u32 = 600;

/// What `version.bind` says when nothing is configured.
const DEFAULT_VERSION_TEXT: &str = concat!("meridian ", env!("CARGO_PKG_VERSION"));

/// The settings of this server; `None` after an error.
pub(in crate::config) fn server(fields: &Fields<'_>, out: &mut Diagnostics) -> Option<Server> {
    version(fields, out);
    let listen = listen(fields, out);
    let workers = fields.get("workers").map_or_else(default_workers, |field| field.whole(1..=MAX_WORKERS as u64, out).unwrap_or(1));
    let cpus = fields.get("cpus").map(|field| cpus(&field, out)).unwrap_or_default();
    let batch = fields.get("batch").and_then(|field| field.whole(1..=MAX_BATCH as u64, out)).unwrap_or(MAX_BATCH);
    let timestamps = fields.get("timestamps").and_then(|field| field.flag(out)).unwrap_or(false);
    let udp_size = fields
        .get("udp_size")
        .and_then(|field| field.whole(MIN_UDP_OCTETS as u64..=MAX_UDP_OCTETS as u64, out))
        .unwrap_or(DEFAULT_UDP_OCTETS);
    let ecs = fields.get("ecs").and_then(|field| ecs(&field, out)).unwrap_or(EcsPolicy { enabled: true, from: None });
    let explain_from = fields.get("explain_from").map_or_else(|| Some(loopback()), |field| access::access(&field, out));
    let proxy_from = fields.get("proxy_from").map(|field| proxies(&field, out)).unwrap_or_default();
    let hash = fields.get("hash").and_then(|field| hash(&field, out)).unwrap_or_default();
    let nsid = fields.get("nsid").and_then(|field| bounded_text(&field, MAX_NSID_OCTETS, out)).map(|text| text.as_bytes().to_vec());
    let version_text = match fields.get("version_text") {
        None => Some(DEFAULT_VERSION_TEXT.to_owned()),
        Some(field) if matches!(field.scalar(), Some("off" | "false")) => None,
        Some(field) => bounded_text(&field, MAX_STRING_OCTETS, out).map(str::to_owned),
    };
    let control = fields.get("control").and_then(|field| places::control(&field, out));
    let state_dir = fields.get("state_dir").and_then(|field| places::state_dir(&field, fields.get("control").is_none(), out));
    let api = fields.get("api").map(|field| api::api(&field, out)).unwrap_or_default();
    let log = fields.get("log").map(|field| logs::log(&field, out)).unwrap_or_default();
    let query_log = fields.get("query_log").and_then(|field| logs::query_log(&field, nsid.as_deref(), out));
    let rate_limit = fields.get("rate_limit").and_then(|field| limits::rate_limit(&field, out));
    let cookies = fields.get("cookies").map_or_else(|| Some(limits::usual_cookies()), |field| limits::cookies(&field, out));
    let queries_from = fields.get("queries_from").and_then(|field| access::access(&field, out));
    let transfers_from = fields.get("transfers_from").map(|field| access::transfers(&field, out));
    let extended_errors = fields.get("extended_errors").is_none_or(|field| field.flag(out).unwrap_or(true));
    let geo_max_age_s = fields.get("geo_max_age").and_then(|field| field.seconds(MIN_GEO_AGE_S..=MAX_GEO_AGE_S, out));
    let connections = fields.get("tcp").and_then(|field| limits::tcp(&field, out)).unwrap_or_default();
    let exec_probes = fields.get("exec_probes").and_then(|field| field.flag(out)).unwrap_or(false);
    let sandbox = fields.get("sandbox").and_then(|field| field.flag(out)).unwrap_or(!exec_probes);
    let watch = fields.get("watch").and_then(|field| field.flag(out)).unwrap_or(false);
    let user = fields.get("user").and_then(|field| run_as(&field, out));
    let guard = fields.get("guard").and_then(|field| guard(&field, out));
    let resolvers = fields.get("resolvers").map(|field| resolvers(&field, out)).unwrap_or_default();
    let hold_max_s = fields.get("hold_max").and_then(|field| field.seconds(0..=MAX_HOLD_S, out));
    let hold_max_ms = hold_max_s.map_or(DEFAULT_HOLD_MAX_MS, |hold_s| u64::from(hold_s) * 1000);
    let server = Server {
        listen: listen?,
        workers,
        cpus,
        batch,
        timestamps,
        udp_size,
        ecs,
        explain_from,
        proxy_from,
        hash,
        rate_limit,
        queries_from,
        transfers_from,
        extended_errors,
        geo_max_age_s,
        cookies,
        connections,
        nsid,
        version_text,
        state_dir,
        control,
        api,
        // Read by the load: whoever only looks for the control socket may not be allowed to read keys.
        encrypted: None,
        log,
        query_log,
        resolvers,
        hold_max_ms,
        exec_probes,
        sandbox,
        guard,
        watch,
        user,
    };
    Some(server)
}

/// `user: NAME` or `NAME:GROUP`; whether there are such is for the machine that serves.
fn run_as(field: &Field<'_>, out: &mut Diagnostics) -> Option<RunAs> {
    let is_name =
        |text: &str| (1..=MAX_USER_CHARS).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic() && !":/".contains(c));
    field.parsed("the name of a user, or `USER:GROUP`", out, |text| {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let are_names = is_name(user) && group.is_none_or(is_name);
        are_names.then(|| RunAs { user: user.to_owned(), group: group.map(str::to_owned) })
    })
}

/// How many regions of a service may go down by measurement.
fn guard(field: &Field<'_>, out: &mut Diagnostics) -> Option<Guard> {
    let keys = field.fields("a map such as `{max_auto_down: 50%}`", &["max_auto_down", "max_down_rate", "window"], out)?;
    if keys.get("max_auto_down").or(keys.get("max_down_rate")).is_none() {
        out.error_hint(field.mark(), "`guard` guards nothing", "give `max_auto_down: 50%` or `max_down_rate: 2`");
    }
    let window_s: u32 = keys.get("window").and_then(|field| field.seconds(MIN_GUARD_S..=MAX_GUARD_S, out)).unwrap_or(DEFAULT_GUARD_S);
    Some(Guard {
        max_auto_down: keys.get("max_auto_down").and_then(|field| percent(&field, out)),
        max_down_rate: keys.get("max_down_rate").and_then(|field| field.whole(1..=MAX_REGIONS as u64, out)),
        // At most a day, which fits.
        window_ms: window_s * 1000,
    })
}

/// `geodb:`, each file there and of a known kind.
pub(in crate::config) fn geo_files(fields: &Fields<'_>, out: &mut Diagnostics) -> Vec<GeoFile> {
    let Some(field) = fields.get("geodb") else { return Vec::new() };
    let list = field.filled_list("a file or a list of files", out);
    if list.len() > MAX_SOURCES {
        out.error(field.mark(), format!("`geodb` has {} files, at most {MAX_SOURCES} are allowed", list.len()));
        return Vec::new();
    }
    let mut files: Vec<GeoFile> = Vec::new();
    for item in &list {
        let Some(file) = geo_file(item, out) else { continue };
        if files.iter().any(|other| other.path == file.path) {
            out.error(item.mark(), format!("`{}` stands twice in `geodb`", file.path.display()));
        } else {
            files.push(file);
        }
    }
    files
}

/// A file by its name, or `{file: ..., paths: {...}}`.
fn geo_file(item: &Field<'_>, out: &mut Diagnostics) -> Option<GeoFile> {
    if item.scalar().is_some() {
        return geo_path(item, out).map(GeoFile::from);
    }
    let keys = item.fields("a file, or a map with `file` and `paths`", &["file", "paths"], out)?;
    let path = keys.need("file", "city.mmdb", out).and_then(|field| geo_path(&field, out));
    let paths = keys.get("paths").map(|field| paths(&field, out)).unwrap_or_default();
    let path = path?;
    if !paths.is_empty() && path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("csv")) {
        out.error_hint(keys.key_mark("paths"), "`paths` is for `.mmdb` files", "a CSV file names its columns in its first line");
    }
    Some(GeoFile { path, paths })
}

fn geo_path(item: &Field<'_>, out: &mut Diagnostics) -> Option<PathBuf> {
    let path = files::resolve(item.text("a file", out)?, &item.node.mark);
    seen::file(&path, out);
    let kind = path.extension().map(|extension| extension.to_ascii_lowercase());
    if !kind.is_some_and(|kind| kind == "mmdb" || kind == "csv") {
        item.refuse("a file that ends in `.mmdb` or `.csv`", out);
        return None;
    }
    if !path.is_file() {
        let hint = "relative paths start at the folder of the file that names them; without `geodb` the built-in world table is used";
        out.error_hint(item.mark(), format!("cannot read `{}`: there is no such file", path.display()), hint);
        return None;
    }
    Some(path)
}

/// Where the fields are in the records of a vendor that has them elsewhere.
fn paths(field: &Field<'_>, out: &mut Diagnostics) -> Paths {
    let mut paths = Paths::default();
    let Some(keys) = field.fields("a map such as `{latitude: geo.lat, longitude: geo.lon}`", &FIELDS, out) else { return paths };
    for (index, key) in FIELDS.iter().enumerate() {
        if let Some(field) = keys.get(key) {
            _ = field.parsed("a path such as `geo.lat` or `areas.0.code`", out, |text| paths.set(index, text));
        }
    }
    paths
}

fn version(fields: &Fields<'_>, out: &mut Diagnostics) {
    let Some(field) = fields.need("version", VERSION, out) else { return };
    if field.scalar() != Some(VERSION) {
        let hint = "the files are in a format that this release does not know; it knows version 1";
        field.refuse_hint(format!("`{VERSION}`"), hint, out);
    }
}

fn listen(fields: &Fields<'_>, out: &mut Diagnostics) -> Option<Vec<SocketAddr>> {
    sockets(&fields.need("listen", "[\"0.0.0.0:53\", \"[::]:53\"]", out)?, out)
}

/// Addresses to listen on, each once.
pub(super) fn sockets(field: &Field<'_>, out: &mut Diagnostics) -> Option<Vec<SocketAddr>> {
    let list = field.filled_list("one or more addresses with ports", out);
    if list.len() > MAX_LISTEN {
        out.error(field.mark(), format!("`{}` has {} addresses, at most {MAX_LISTEN} are allowed", field.key, list.len()));
        return None;
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for item in &list {
        let Some(address) = socket(item, out) else { continue };
        // Port 0 asks the system for a free port, so two of them are two ports.
        if address.port() != 0 && addresses.contains(&address) {
            out.error_hint(item.mark(), format!("`{address}` stands twice in `{}`", field.key), "remove one of them");
        } else {
            addresses.push(address);
        }
    }
    Some(addresses)
}

/// One address with a port.
pub(super) fn socket(item: &Field<'_>, out: &mut Diagnostics) -> Option<SocketAddr> {
    const WANTED: &str = "an IP address with a port";
    let text = item.text(WANTED, out)?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let hint = match meant(text) {
        Some(address) => format!("write `\"{address}\"`"),
        None if has_port_too_large(text) => format!("ports end at {}", u16::MAX),
        None => "write `127.0.0.1:53` or `\"[::1]:53\"`; host names are not looked up here".into(),
    };
    item.refuse_hint(WANTED, hint, out);
    None
}

/// The address that was meant where brackets or the port are missing. In `::1:53` and `2001:db8::1:5300` the end is more likely a port than a part
/// of the address.
fn meant(text: &str) -> Option<SocketAddr> {
    let address = text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let split = text.rsplit_once(':').and_then(|(address, port)| Some((address.parse::<Ipv6Addr>().ok()?, port.parse::<u16>().ok()?)));
    match (address, split) {
        (None, Some((address, port))) => Some(SocketAddr::new(address.into(), port)),
        (Some(_), Some((address, port))) if is_likely_port(port) => Some(SocketAddr::new(address.into(), port)),
        (Some(address), _) => Some(SocketAddr::new(address, DNS_PORT)),
        (None, None) => None,
    }
}

/// The ports of DNS over its transports, and those that need no right.
fn is_likely_port(port: u16) -> bool {
    matches!(port, 53 | 443 | 853) || port >= 1024
}

fn has_port_too_large(text: &str) -> bool {
    let too_large = |port: &str| port.bytes().all(|octet| octet.is_ascii_digit()) && port.parse::<u16>().is_err() && !port.is_empty();
    text.rsplit_once(':').is_some_and(|(address, port)| address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() && too_large(port))
}

/// `resolvers:`, each an address with or without a port.
fn resolvers(field: &Field<'_>, out: &mut Diagnostics) -> Vec<SocketAddr> {
    const WANTED: &str = "the address of a resolver, such as `192.0.2.53`";
    let list = field.filled_list(WANTED, out);
    if list.len() > MAX_RESOLVERS {
        out.error(field.mark(), format!("`resolvers` has {} addresses, at most {MAX_RESOLVERS} are allowed", list.len()));
    }
    let read = |text: &str| text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, DNS_PORT)));
    list.iter().take(MAX_RESOLVERS).filter_map(|item| item.parsed(WANTED, out, read)).collect()
}

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS))
}

/// `cpus:`, the numbers of processors.
fn cpus(field: &Field<'_>, out: &mut Diagnostics) -> Vec<usize> {
    let list = field.filled_list("the numbers of processors, such as `[0, 1]`", out);
    if list.len() > MAX_WORKERS {
        out.error(field.mark(), format!("`cpus` has {} processors, at most {MAX_WORKERS} are allowed", list.len()));
    }
    list.iter().take(MAX_WORKERS).filter_map(|item| item.whole(0..=MAX_CPU, out)).collect()
}

/// `ecs: false`, or the map.
fn ecs(field: &Field<'_>, out: &mut Diagnostics) -> Option<EcsPolicy> {
    if field.scalar().is_some() {
        return Some(EcsPolicy { enabled: field.flag(out)?, from: None });
    }
    let fields = field.fields("`true`, `false`, or a map with `enabled` and `from`", &["enabled", "from"], out)?;
    let enabled = fields.get("enabled").is_none_or(|field| field.flag(out).unwrap_or(true));
    Some(EcsPolicy { enabled, from: fields.get("from").map(|field| Access::only(networks(&field, out))) })
}

/// Peers whose word on who asks is taken: never everyone's.
fn proxies(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Prefix> {
    let all = networks(field, out);
    if all.iter().any(|prefix| prefix.length() == 0) {
        out.error_hint(field.mark(), "everyone could claim to be anyone", "list the addresses of your proxies");
    }
    all
}

fn loopback() -> Access {
    Access::only(LOOPBACK.map(|(address, length)| Prefix::masked(address, length)))
}

/// One network or a list of them.
pub(super) fn networks(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Prefix> {
    let list = field.filled_list("one or more networks", out);
    if list.len() > MAX_NETWORKS {
        out.error(field.mark(), format!("`{}` has {} networks, at most {MAX_NETWORKS} are allowed", field.key, list.len()));
        return Vec::new();
    }
    list.iter().filter_map(|item| prefix(item, out)).collect()
}

fn hash(field: &Field<'_>, out: &mut Diagnostics) -> Option<HashFloor> {
    let fields = field.fields("a map such as `{v4: 24, v6: 56}`", &["v4", "v6"], out)?;
    let v4 = fields.get("v4").and_then(|field| field.whole(8..=32, out)).unwrap_or(24);
    let v6 = fields.get("v6").and_then(|field| field.whole(16..=128, out)).unwrap_or(56);
    Some(HashFloor { v4, v6 })
}

fn bounded_text<'n>(field: &Field<'n>, max_octets: usize, out: &mut Diagnostics) -> Option<&'n str> {
    let text = field.text("a text", out)?;
    if !(1..=max_octets).contains(&text.len()) {
        field.refuse(format!("a text of 1 to {max_octets} octets"), out);
        return None;
    }
    Some(text)
}
