//! The one table of everything that is counted: names, help texts, labels, and where the cells lie.
//! It holds no counts.

use crate::answer::{Class, Reason, Transport};
use crate::snapshot::Kind;
use crate::wire::rtype;

/// Response codes with a cell of their own: the 4 bits of the header and the assigned extended ones (to BADCOOKIE, 23).
const RCODES: [&str; 24] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "RCODE11",
    "RCODE12",
    "RCODE13",
    "RCODE14",
    "RCODE15",
    "BADVERS",
    "BADKEY",
    "BADTIME",
    "BADMODE",
    "BADNAME",
    "BADALG",
    "BADTRUNC",
    "BADCOOKIE",
];

/// Types with a cell of their own: those that a steered name can have, and what resolvers and monitors ask for beside them.
const TYPES: [(u16, &str); 11] = [
    (rtype::A, "A"),
    (rtype::AAAA, "AAAA"),
    (rtype::HTTPS, "HTTPS"),
    (rtype::SVCB, "SVCB"),
    (rtype::CNAME, "CNAME"),
    (rtype::NS, "NS"),
    (rtype::SOA, "SOA"),
    (rtype::TXT, "TXT"),
    (rtype::MX, "MX"),
    (rtype::SRV, "SRV"),
    (rtype::ANY, "ANY"),
];

/// Everything that is counted. The order is the one of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Metric {
    /// Messages that came in, by transport.
    Queries,
    /// The same, by the type that was asked for.
    Types,
    /// What was made of them, by class of answer.
    Answers,
    /// Messages that went out, by response code.
    Responses,
    /// Steered answers, by the reason of the choice.
    Decisions,
    /// Replies that were cut short (TC).
    Truncated,
    /// Queries with a well-formed client subnet.
    ClientSubnets,
    /// Of these, the ones for a steered name.
    ClientSubnetsSteered,
    /// Queries with a cookie.
    Cookies,
    /// Of these, the ones with a good server cookie.
    CookiesVerified,
    /// Packets whose handling panicked.
    Panics,
    /// Failed receive calls on UDP sockets, other than a time-out or a signal.
    ReceiveFailures,
    /// UDP replies that the kernel did not take.
    SendFailures,
    /// Packets that the kernel threw away before a worker could read them.
    KernelDrops,
    /// TCP connections that were taken on.
    Connections,
    /// TCP connections that were closed at once because of a cap.
    ConnectionsRefused,
    /// TCP connections that were ended by a time limit.
    ConnectionsTimedOut,
    /// Failed accept calls.
    AcceptFailures,
    /// UDP responses over the rate of their client network, by kind of answer.
    RateLimited,
    /// Of these, the ones that were sent empty and truncated.
    RateSlipped,
    /// UDP responses over the rate of all clients together.
    RateCeiling,
    /// Client networks that were forgotten by rate limiting before their time.
    RateDisplaced,
    /// Datagrams and connections of proxies without their header.
    ProxyFailures,
    /// TLS handshakes that failed or took too long.
    HandshakeFailures,
    /// Steered answers by service and region; its cells live in a grid.
    RegionAnswers,
    /// Answers by zone; its cells live in a grid.
    ZoneAnswers,
    /// Steered answers by name; its cells live in a grid.
    NameAnswers,
}

/// One line of the table: the name, the help text and the labels of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which metric the line describes.
    pub metric: Metric,
    /// The name as monitoring systems see it.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// Label names, in the order of the values in a sample.
    pub labels: &'static [&'static str],
    /// How many cells it has in a worker's counters.
    pub(super) cells: usize,
}

const METRICS: usize = 27;

/// Every metric name and help text.
pub const TABLE: [Row; METRICS] = [
    row(Metric::Queries, "meridian_queries_total", "DNS messages received, by transport", &["transport"], Transport::ALL.len()),
    row(Metric::Types, "meridian_query_types_total", "DNS messages received, by the type asked for", &["type"], TYPES.len() + 1),
    row(Metric::Answers, "meridian_answers_total", "DNS messages by the class of what was answered", &["class"], Class::ALL.len()),
    row(Metric::Responses, "meridian_responses_total", "DNS messages sent, by response code", &["rcode"], RCODES.len() + 1),
    row(Metric::Decisions, "meridian_decisions_total", "Steered answers, by the reason of the choice", &["reason"], Reason::ALL.len()),
    row(Metric::Truncated, "meridian_truncated_total", "Replies cut short with TC set", &[], 1),
    row(Metric::ClientSubnets, "meridian_client_subnets_total", "Queries with a well-formed EDNS client subnet", &[], 1),
    row(
        Metric::ClientSubnetsSteered,
        "meridian_client_subnets_steered_total",
        "Queries for steered names with a well-formed EDNS client subnet",
        &[],
        1,
    ),
    row(Metric::Cookies, "meridian_cookies_total", "Queries with a DNS cookie", &[], 1),
    row(Metric::CookiesVerified, "meridian_cookies_verified_total", "Queries with a good DNS cookie of ours", &[], 1),
    row(Metric::Panics, "meridian_panics_total", "Packets whose handling panicked; any is a bug to report", &[], 1),
    row(Metric::ReceiveFailures, "meridian_udp_receive_failures_total", "Failed receive calls on UDP sockets", &[], 1),
    row(Metric::SendFailures, "meridian_udp_send_failures_total", "UDP replies that the kernel did not take", &[], 1),
    row(Metric::KernelDrops, "meridian_kernel_drops_total", "UDP packets that the kernel threw away for want of room, unread", &[], 1),
    row(Metric::Connections, "meridian_tcp_connections_total", "TCP connections taken on", &[], 1),
    row(Metric::ConnectionsRefused, "meridian_tcp_connections_refused_total", "TCP connections closed at once because of a cap", &[], 1),
    row(Metric::ConnectionsTimedOut, "meridian_tcp_connections_timed_out_total", "TCP connections ended by a time limit", &[], 1),
    row(Metric::AcceptFailures, "meridian_tcp_accept_failures_total", "Failed accept calls on TCP listeners", &[], 1),
    row(
        Metric::RateLimited,
        "meridian_rate_limited_total",
        "UDP responses over the rate of their client network, by kind of answer; counted in log-only mode too",
        &["kind"],
        Kind::ALL.len(),
    ),
    row(
        Metric::RateSlipped,
        "meridian_rate_slipped_total",
        "UDP responses over the rate that were answered with TC or with a cookie instead, by kind of answer",
        &["kind"],
        Kind::ALL.len(),
    ),
    row(Metric::RateCeiling, "meridian_rate_ceiling_total", "UDP responses over the rate of all clients together", &[], 1),
    row(
        Metric::RateDisplaced,
        "meridian_rate_displaced_total",
        "Answers to client networks that rate limiting forgot for want of room before their time",
        &[],
        1,
    ),
    row(
        Metric::ProxyFailures,
        "meridian_proxy_failures_total",
        "Datagrams and connections of listed proxies that did not begin with a PROXY header",
        &[],
        1,
    ),
    row(Metric::HandshakeFailures, "meridian_tls_handshake_failures_total", "TLS and QUIC handshakes that failed or took too long", &[], 1),
    row(Metric::RegionAnswers, "meridian_region_answers_total", "Steered answers, by service and region", &["service", "region"], 0),
    row(
        Metric::ZoneAnswers,
        "meridian_zone_answers_total",
        "Answers by zone; the first 1,000 that are asked for, then `other`",
        &["zone"],
        0,
    ),
    row(
        Metric::NameAnswers,
        "meridian_name_answers_total",
        "Steered answers by name; the first 1,000 that are asked for, then `other`",
        &["name"],
        0,
    ),
];

const fn row(metric: Metric, name: &'static str, help: &'static str, labels: &'static [&'static str], cells: usize) -> Row {
    Row { metric, name, help, labels, cells }
}

/// Where the cells of each metric begin; the last entry is the number of cells in all.
pub(super) const FIRST: [usize; METRICS + 1] = {
    let mut first = [0; METRICS + 1];
    let mut at = 0;
    while at < METRICS {
        first[at + 1] = first[at] + TABLE[at].cells;
        at += 1;
    }
    first
};

pub(super) const CELLS: usize = FIRST[METRICS];

/// The cell of a response code: those without an own one share the last.
#[inline]
pub(super) fn rcode_cell(rcode: u16) -> usize {
    usize::from(rcode).min(RCODES.len())
}

/// The cell of a type: those without an own one share the last.
#[inline]
pub(super) fn type_cell(qtype: u16) -> usize {
    TYPES.iter().position(|(known, _)| *known == qtype).unwrap_or(TYPES.len())
}

/// The label value of a cell of a metric with one label.
pub(super) fn label(metric: Metric, index: usize) -> &'static str {
    match metric {
        Metric::Queries => Transport::ALL.get(index).map_or("", |transport| transport.name()),
        Metric::Types => TYPES.get(index).map_or("other", |(_, name)| name),
        Metric::Answers => Class::ALL.get(index).map_or("", |class| class.name()),
        Metric::Responses => RCODES.get(index).copied().unwrap_or("other"),
        Metric::RateLimited | Metric::RateSlipped => Kind::ALL.get(index).map_or("", |kind| kind.name()),
        Metric::Decisions => Reason::ALL.get(index).map_or("", |reason| reason.name()),
        _ => "",
    }
}
