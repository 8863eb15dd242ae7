//! Monitors: how an endpoint is probed, as typed in a file (`MonitorSpec`) and checked (`Monitor`); one file per kind of probe.
//! A monitor is data only: it never runs, and what it yields for an address (`TargetKey`) does not know where it is configured.

pub mod content;
pub mod dns;
pub mod exec;
pub mod grpc;
pub mod handshake;
pub mod http;
pub mod icmp;
pub mod tcp;
pub mod tls;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use serde_saphyr::Spanned;

use dns::{DnsSpec, Question};
use exec::ExecSpec;
use grpc::{GrpcCheck, GrpcSpec};
use handshake::{Handshake, HandshakeSpec};
use http::{HttpRequest, HttpSpec};
use icmp::IcmpSpec;
use tcp::TcpSpec;
use tls::ReadFile;

use super::damp::{Damping, Flap};
use crate::number;

/// Shortest interval: below it a probe is load, not a check.
pub const MIN_INTERVAL_MS: u32 = 100;
/// Longest interval: beyond an hour nothing is watched.
pub const MAX_INTERVAL_MS: u32 = 3_600_000;
/// Shortest timeout: one millisecond, the unit in which it is held.
pub const MIN_TIMEOUT_MS: u32 = 1;
/// Most consecutive outcomes that `fall` and `rise` may ask for.
pub const MAX_CONSECUTIVE: u32 = 100;

/// Interval when none is given.
const DEFAULT_INTERVAL_MS: u32 = 5_000;
/// Timeout when none is given.
const DEFAULT_TIMEOUT_MS: u32 = 2_000;
/// Failures in a row that take an up target down, when not given.
const DEFAULT_FALL: u32 = 3;
/// Interval of re-checks when none is given: fast enough to matter, slow enough for a target in trouble.
const DEFAULT_RECHECK_MS: u32 = 1_000;
/// Half-life of the flap count when none is given.
const DEFAULT_HALF_LIFE_MS: u32 = 900_000;
/// Flaps that suppress, when not given.
const DEFAULT_SUPPRESS: f64 = 3.0;
/// Flaps under which a suppressed target is trusted again, when not given.
const DEFAULT_REUSE: f64 = 1.0;
/// Most flaps that a limit may name.
const MAX_FLAPS: f64 = 100.0;
/// Successes in a row that bring a down target up, when not given.
const DEFAULT_RISE: u32 = 5;

/// A monitor as typed: one kind ([`KINDS`]) beside the keys that all kinds share. Unknown keys are refused.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitorSpec {
    http: Option<HttpSpec>,
    https: Option<HttpSpec>,
    tcp: Option<TcpSpec>,
    tls: Option<HandshakeSpec>,
    dns: Option<DnsSpec>,
    grpc: Option<GrpcSpec>,
    icmp: Option<IcmpSpec>,
    exec: Option<ExecSpec>,
    address: Option<Spanned<String>>,
    port: Option<Spanned<i64>>,
    interval: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    fall: Option<Spanned<i64>>,
    rise: Option<Spanned<i64>>,
    recheck: Option<Spanned<String>>,
    min_up: Option<Spanned<String>>,
    min_down: Option<Spanned<String>>,
    flap: Option<FlapSpec>,
    slow_ms: Option<Spanned<i64>>,
    invert: Option<bool>,
    observe_only: Option<bool>,
}

/// `flap: {half_life: 15m, suppress: 3, reuse: 1}`.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FlapSpec {
    half_life: Option<Spanned<String>>,
    suppress: Option<Spanned<f64>>,
    reuse: Option<Spanned<f64>>,
}

/// A checked monitor with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monitor {
    /// Probed instead of the endpoint's own address (H7).
    pub address: Option<IpAddr>,
    /// The probed port.
    pub port: u16,
    /// What is asked there.
    pub request: Request,
    /// From the start of one probe to the start of the next, in milliseconds; jitter only shortens it.
    pub interval_ms: u32,
    /// A probe without an answer by then has failed; always under the interval.
    pub timeout_ms: u32,
    /// Failures in a row that take an up target down.
    pub fall: u32,
    /// Successes in a row that bring a down target up.
    pub rise: u32,
    /// From the start of a probe to the next while its outcomes speak against the verdict, in milliseconds; never over the interval.
    pub recheck_ms: u32,
    /// What keeps its state from changing too often.
    pub damping: Damping,
    /// A good probe that took at least this long, in milliseconds, is degraded.
    pub slow_ms: Option<u32>,
    /// Good and bad change places: the target must not answer.
    pub invert: bool,
    /// Probed, shown and counted, but never acted on.
    pub observe_only: bool,
}

/// What is asked of a target; one variant per kind of probe (http and https are one kind with and without TLS).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// One HTTP or HTTPS request.
    Http(Box<HttpRequest>),
    /// One TCP connection.
    Tcp,
    /// One TLS handshake.
    Tls(Box<Handshake>),
    /// One DNS question.
    Dns(Question),
    /// One call of a gRPC health service.
    Grpc(Box<GrpcCheck>),
    /// One ICMP echo.
    Icmp,
    /// One run of a program of the operator: its path and arguments.
    Exec(Box<[Box<str>]>),
}

/// What is probed: address, port and request with its timing and thresholds, but not where it is configured.
///
/// Places that agree in all of it share one target and are probed once (H2). Places that differ in any of it, be it only in `interval`,
/// `fall` or `rise`, are separate targets with health of their own: neither place then bends the other's thresholds.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey(Arc<Target>);

/// The content of a [`TargetKey`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Where the probe connects.
    pub socket: SocketAddr,
    /// How it is probed; its `address` is resolved into `socket` and always `None` here.
    pub monitor: Monitor,
}

/// One thing that is wrong in a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, from 1, of the value that is meant; none = the monitor as a whole.
    pub place: Option<(u32, u32)>,
    /// What, without a full stop, values in backticks.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl MonitorSpec {
    /// The checked monitor with defaults, or everything that is wrong with it.
    /// `files` reads the files that it names.
    pub fn check(self, files: &mut ReadFile<'_>) -> Result<Monitor, Vec<Problem>> {
        let mut problems = Problems::default();
        let interval_ms = check_duration("interval", self.interval.as_ref(), DEFAULT_INTERVAL_MS, MIN_INTERVAL_MS, &mut problems);
        let timeout_ms = check_duration("timeout", self.timeout.as_ref(), DEFAULT_TIMEOUT_MS, MIN_TIMEOUT_MS, &mut problems);
        if let (Some(interval_ms), Some(timeout_ms)) = (interval_ms, timeout_ms)
            && timeout_ms >= interval_ms
        {
            let what = format!("`timeout` ({timeout_ms} ms) must be under `interval` ({interval_ms} ms)");
            let typed = self.timeout.as_ref().or(self.interval.as_ref());
            problems.add_at(
                typed.and_then(place),
                what,
                Some("lengthen `interval` or shorten `timeout` (5s and 2s if left out)".to_owned()),
            );
        }
        let fall = check_count("fall", self.fall.as_ref(), DEFAULT_FALL, &mut problems);
        let rise = check_count("rise", self.rise.as_ref(), DEFAULT_RISE, &mut problems);
        let address = self.address.and_then(|address| check_address(&address, &mut problems));
        let recheck_ms = check_duration("recheck", self.recheck.as_ref(), DEFAULT_RECHECK_MS, MIN_INTERVAL_MS, &mut problems);
        let damping = Damping {
            min_up_ms: check_duration("min_up", self.min_up.as_ref(), 0, 0, &mut problems).unwrap_or(0),
            min_down_ms: check_duration("min_down", self.min_down.as_ref(), 0, 0, &mut problems).unwrap_or(0),
            flap: self.flap.and_then(|flap| check_flap(&flap, &mut problems)),
        };
        let slow_ms = self.slow_ms.and_then(|slow| check_slow(&slow, timeout_ms, &mut problems));
        let kinds = Kinds {
            http: self.http,
            https: self.https,
            tcp: self.tcp,
            tls: self.tls,
            dns: self.dns,
            grpc: self.grpc,
            icmp: self.icmp,
            exec: self.exec,
        };
        let kind = kinds.check(self.port, files, &mut problems);
        match (kind, interval_ms, timeout_ms) {
            (Some((request, port)), Some(interval_ms), Some(timeout_ms)) if problems.0.is_empty() => {
                let (invert, observe_only) = (self.invert.unwrap_or(false), self.observe_only.unwrap_or(false));
                let recheck_ms = recheck_ms.unwrap_or(DEFAULT_RECHECK_MS).min(interval_ms);
                let common = Monitor { address, interval_ms, timeout_ms, fall, rise, recheck_ms, damping, ..Monitor::new(port, request) };
                Ok(Monitor { slow_ms, invert, observe_only, ..common })
            }
            _ => Err(problems.0),
        }
    }
}

/// A gap between two probes of a target is shortened by at most this share of the interval, 1/10, so that targets do not march in step.
pub const JITTER_DIVISOR: u32 = 10;

impl Monitor {
    /// The least time between the starts of two probes while an outcome speaks against the verdict, in milliseconds.
    pub fn least_recheck_ms(&self) -> u32 {
        self.recheck_ms.min(self.interval_ms - self.interval_ms / JITTER_DIVISOR)
    }

    /// A monitor of this request with every default.
    pub fn new(port: u16, request: Request) -> Monitor {
        Monitor {
            address: None,
            port,
            request,
            interval_ms: DEFAULT_INTERVAL_MS,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            fall: DEFAULT_FALL,
            rise: DEFAULT_RISE,
            recheck_ms: DEFAULT_RECHECK_MS,
            damping: Damping::default(),
            slow_ms: None,
            invert: false,
            observe_only: false,
        }
    }

    /// True if an outcome of it can be degraded, so that the region may take only a part of its clients.
    pub fn can_degrade(&self) -> bool {
        let by_content = match &self.request {
            Request::Http(request) => request.content.can_degrade(),
            Request::Tls(request) => request.degraded_days.is_some(),
            Request::Exec(_) => true,
            Request::Tcp | Request::Dns(_) | Request::Grpc(_) | Request::Icmp => false,
        };
        !self.observe_only && !self.invert && (self.slow_ms.is_some() || by_content)
    }

    /// What is probed for an endpoint at `endpoint`.
    pub fn target(&self, endpoint: IpAddr) -> TargetKey {
        let socket = SocketAddr::new(self.address.unwrap_or(endpoint), self.port);
        TargetKey(Arc::new(Target { socket, monitor: Monitor { address: None, ..self.clone() } }))
    }
}

impl Deref for TargetKey {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.0
    }
}

impl fmt::Display for TargetKey {
    /// As a URL: `http://192.0.2.10:8080/health`, with ` (Host www.example.com)` where one is set, `tls://192.0.2.10:443 (SNI www.example.com)`,
    /// or `tcp://192.0.2.10:25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, what: &str, name: Option<&str>| match name {
            Some(name) => write!(f, " ({what} {name})"),
            None => Ok(()),
        };
        match &self.monitor.request {
            Request::Tcp => write!(f, "tcp://{}", self.socket),
            Request::Tls(request) => {
                write!(f, "tls://{}", self.socket)?;
                named(f, "SNI", request.tls.sni.as_deref())
            }
            Request::Dns(question) => write!(f, "dns://{}/{} {}", self.socket, question.name, question.rtype),
            Request::Grpc(check) => {
                write!(f, "grpc://{}/{}", self.socket, check.service)?;
                named(f, "SNI", check.tls.as_ref().and_then(|tls| tls.sni.as_deref()))
            }
            Request::Icmp => write!(f, "icmp://{}", self.socket.ip()),
            Request::Exec(command) => write!(f, "exec:{} for {}", command.join(" "), self.socket.ip()),
            Request::Http(request) => {
                let scheme = if request.tls.is_some() { "https" } else { "http" };
                write!(f, "{scheme}://{}{}", self.socket, request.path)?;
                named(f, "Host", request.host.as_deref())
            }
        }
    }
}

impl fmt::Debug for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetKey({self})")
    }
}

/// What was found wrong so far.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add<T>(&mut self, at: &Spanned<T>, what: impl Into<String>) {
        self.add_at(place(at), what, None);
    }

    fn add_hint<T>(&mut self, at: &Spanned<T>, what: impl Into<String>, hint: impl Into<String>) {
        self.add_at(place(at), what, Some(hint.into()));
    }

    fn add_unplaced(&mut self, what: impl Into<String>) {
        self.add_at(None, what, None);
    }

    fn add_at(&mut self, place: Option<(u32, u32)>, what: impl Into<String>, hint: Option<String>) {
        self.0.push(Problem { place, what: what.into(), hint });
    }
}

/// Line and column of a value; none where the reader did not know them.
fn place<T>(at: &Spanned<T>) -> Option<(u32, u32)> {
    let (line, column) = (at.referenced.line(), at.referenced.column());
    let place = (u32::try_from(line).ok()?, u32::try_from(column).ok()?);
    (place.0 > 0).then_some(place)
}

/// The duration in milliseconds, the default where none is typed, or none where it is wrong.
fn check_duration(key: &str, typed: Option<&Spanned<String>>, default_ms: u32, min_ms: u32, problems: &mut Problems) -> Option<u32> {
    let Some(typed) = typed else { return Some(default_ms) };
    let Some(ms) = number::duration_ms(&typed.value) else {
        let bare = typed.value.parse::<u64>().is_ok();
        let what = format!("`{key}` `{}` is not a duration", typed.value.escape_default());
        let hint = if bare { format!("give it a unit: `{}s`", typed.value) } else { "write `5s`, `500ms` or `1m`".to_owned() };
        problems.add_hint(typed, what, hint);
        return None;
    };
    let fits = u32::try_from(ms).ok().filter(|ms| (min_ms..=MAX_INTERVAL_MS).contains(ms));
    if fits.is_none() {
        problems.add(typed, format!("`{key}` `{}` must be from {min_ms}ms to {}h", typed.value, MAX_INTERVAL_MS / 3_600_000));
    }
    fits
}

fn check_flap(typed: &FlapSpec, problems: &mut Problems) -> Option<Flap> {
    let half_life_ms = check_duration("half_life", typed.half_life.as_ref(), DEFAULT_HALF_LIFE_MS, 1_000, problems)?;
    let suppress = typed.suppress.as_ref().map_or(DEFAULT_SUPPRESS, |typed| typed.value);
    let reuse = typed.reuse.as_ref().map_or(DEFAULT_REUSE.min(suppress / 2.0), |typed| typed.value);
    // Written so that a NaN is refused too.
    let fits = (1.0..=MAX_FLAPS).contains(&suppress) && reuse >= 0.1 && reuse < suppress;
    if !fits {
        let what = format!("`flap` with `suppress: {suppress}` and `reuse: {reuse}` does not work");
        let hint = format!("`suppress` is from 1 to {MAX_FLAPS}, `reuse` from 0.1 to under `suppress`");
        problems.add_at(typed.suppress.as_ref().or(typed.reuse.as_ref()).and_then(place), what, Some(hint));
        return None;
    }
    // In range, so the casts lose only the fourth decimal.
    Some(Flap { half_life_ms, suppress_milli: (suppress * 1000.0) as u32, reuse_milli: (reuse * 1000.0) as u32 })
}

fn check_count(key: &str, typed: Option<&Spanned<i64>>, default: u32, problems: &mut Problems) -> u32 {
    let Some(typed) = typed else { return default };
    let fits = u32::try_from(typed.value).ok().filter(|count| (1..=MAX_CONSECUTIVE).contains(count));
    fits.unwrap_or_else(|| {
        problems.add(typed, format!("`{key}` `{}` must be from 1 to {MAX_CONSECUTIVE}", typed.value));
        default
    })
}

/// A probe that takes its whole timeout has failed, so that slow must come before.
fn check_slow(typed: &Spanned<i64>, timeout_ms: Option<u32>, problems: &mut Problems) -> Option<u32> {
    let limit_ms = timeout_ms.unwrap_or(MAX_INTERVAL_MS);
    let fits = u32::try_from(typed.value).ok().filter(|slow_ms| (1..limit_ms).contains(slow_ms));
    if fits.is_none() {
        problems.add(typed, format!("`slow_ms` `{}` must be at least 1 and under `timeout` ({limit_ms} ms)", typed.value));
    }
    fits
}

fn check_address(address: &Spanned<String>, problems: &mut Problems) -> Option<IpAddr> {
    let parsed = address.value.parse().ok();
    if parsed.is_none() {
        let what = format!("`address` `{}` is not an IP address", address.value.escape_default());
        problems.add_hint(address, what, "the port goes into `port`, a name into `host`");
    }
    parsed
}

/// Every kind of probe.
pub const KINDS: [&str; 8] = ["http", "https", "tcp", "tls", "dns", "grpc", "icmp", "exec"];

/// The kinds as typed, of which one must be given.
struct Kinds {
    http: Option<HttpSpec>,
    https: Option<HttpSpec>,
    tcp: Option<TcpSpec>,
    tls: Option<HandshakeSpec>,
    dns: Option<DnsSpec>,
    grpc: Option<GrpcSpec>,
    icmp: Option<IcmpSpec>,
    exec: Option<ExecSpec>,
}

impl Kinds {
    /// The one kind that is given, and its port.
    fn check(self, port: Option<Spanned<i64>>, files: &mut ReadFile<'_>, problems: &mut Problems) -> Option<(Request, u16)> {
        let given = [
            self.http.is_some(),
            self.https.is_some(),
            self.tcp.is_some(),
            self.tls.is_some(),
            self.dns.is_some(),
            self.grpc.is_some(),
            self.icmp.is_some(),
            self.exec.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            problems.add_at(None, "the monitor has more than one kind", Some(format!("keep one of `{}`", KINDS.join("`, `"))));
            return None;
        }
        if let Some(http) = self.http {
            let port = check_port(http.port(), port, Some(80), problems);
            return Some((Request::Http(Box::new(http.check(false, files, problems))), port?));
        }
        if let Some(https) = self.https {
            let port = check_port(https.port(), port, Some(443), problems);
            return Some((Request::Http(Box::new(https.check(true, files, problems))), port?));
        }
        if let Some(tcp) = self.tcp {
            return Some((Request::Tcp, check_port(tcp.port, port, None, problems)?));
        }
        if let Some(tls) = self.tls {
            let port = check_port(tls.port.clone(), port, Some(443), problems);
            return Some((Request::Tls(Box::new(tls.check(files, problems))), port?));
        }
        if let Some(dns) = self.dns {
            let port = check_port(dns.port.clone(), port, Some(53), problems);
            return Some((Request::Dns(dns.check(problems)), port?));
        }
        if let Some(grpc) = self.grpc {
            let port = check_port(grpc.port.clone(), port, None, problems);
            return Some((Request::Grpc(Box::new(grpc.check(files, problems))), port?));
        }
        if let Some(exec) = self.exec {
            let port = check_port(exec.port.clone(), port, Some(0), problems);
            return Some((Request::Exec(exec.check(problems)), port?));
        }
        if self.icmp.is_some() {
            port.iter().for_each(|port| problems.add(port, "`port` in an `icmp` monitor"));
            return Some((Request::Icmp, 0));
        }
        let hint = "write for example `monitor: {http: {path: /health}}` or `monitor: {tcp: {port: 25}}`";
        problems.add_at(None, "the monitor has no kind", Some(hint.to_owned()));
        None
    }
}

/// The port, which may stand inside the kind or beside it, but not in both places.
fn check_port(inside: Option<Spanned<i64>>, beside: Option<Spanned<i64>>, default: Option<u16>, problems: &mut Problems) -> Option<u16> {
    if let (Some(_), Some(beside)) = (&inside, &beside) {
        problems.add_hint(beside, "`port` is given twice, inside the kind and beside it", "keep one of them");
    }
    match inside.or(beside) {
        Some(typed) => {
            let port = u16::try_from(typed.value).ok().filter(|port| *port > 0);
            if port.is_none() {
                problems.add(&typed, format!("`port` `{}` must be from 1 to 65535", typed.value));
            }
            port
        }
        None => {
            if default.is_none() {
                problems.add_at(None, "a `tcp` or `grpc` monitor needs a port", Some("write for example `tcp: {port: 25}`".to_owned()));
            }
            default
        }
    }
}

#[cfg(test)]
mod tests;
