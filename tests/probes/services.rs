//! Services that are no web servers: etcd with its gRPC health service, Knot DNS, and an echo of ICMP where this machine permits it.
//! Each hangs (all connections open, nothing said) and wakes again.

use crate::common::daemon::{Daemon, Recipe};
use crate::site::{BRISK, Site};

/// A cluster of one. Port 0 asks for a free one; nobody needs to find it.
const ETCD: &str = "
name: alone
data-dir: @FOLDER@/db/etcd
listen-client-urls: http://@ADDRESS@:@PORT@
advertise-client-urls: http://@ADDRESS@:@PORT@
listen-peer-urls: http://127.0.0.1:0
initial-advertise-peer-urls: http://127.0.0.1:0
initial-cluster: alone=http://127.0.0.1:0
";

const KNOT: &str = include_str!("../cases/differential/knot.conf");

const ZONE: (&str, &str) = ("example.test.zone", "@ 300 IN SOA ns1 hostmaster 1 2 3 4 5\n@ 300 IN NS ns1\nns1 300 IN A 192.0.2.53\n");
const CHILD: (&str, &str) =
    ("child.example.test.zone", "@ 300 IN SOA ns1 hostmaster 1 2 3 4 5\n@ 300 IN NS ns1\nns1 300 IN A 192.0.2.54\n");

/// The server hangs, is noticed, wakes, and is noticed again.
fn hang_and_wake(daemon: &Daemon, site: &Site, service: &str) {
    let mark = site.server().mark();
    daemon.signal("STOP");
    site.wait_for(service, false);
    site.server().wait_for_all(mark, &["a target changed", "to=down", "timed out"]);
    daemon.signal("CONT");
    site.wait_for(service, true);
}

#[test]
fn a_grpc_health_service_of_another_house_is_understood() {
    let arguments = &["--config-file", "@CONFIG@"];
    let recipe = Recipe { program: "etcd", arguments, config: ETCD, files: &[], ready: "ready to serve client requests" };
    let Some(etcd) = Daemon::start(&recipe) else { return };
    let port = etcd.address().port();
    let monitor = |more: &str| format!("monitor: {{grpc: {{port: {port}{more}}}, {BRISK}}}");
    let site = Site::start(&[("whole", &monitor("")), ("unknown", &monitor(", service: shop.Cart"))], &[]);
    assert!(site.is_home("whole") && !site.is_home("unknown"), "{}", site.status());
    site.server().wait_for_all(0, &["a target changed", "to=up", "gRPC SERVING"]);
    // NOT_FOUND: the server knows no such service.
    site.server().wait_for_all(0, &["a target changed", "to=down", "gRPC status 5"]);
    hang_and_wake(&etcd, &site, "whole");
}

#[test]
fn a_dns_server_is_judged_by_code_and_data() {
    let recipe = Recipe { program: "knotd", arguments: &["-c", "@CONFIG@"], config: KNOT, files: &[ZONE, CHILD], ready: "server started" };
    let Some(knot) = Daemon::start(&recipe) else { return };
    let port = knot.address().port();
    let monitor = |query: &str| format!("monitor: {{dns: {{port: {port}, {query}}}, {BRISK}}}");
    let cases = [
        ("answered", "query: ns1.example.test", true),
        ("expected", "query: ns1.example.test, expect: 192.0.2.53", true),
        ("unexpected", "query: ns1.example.test, expect: 192.0.2.99", false),
        ("no-name", "query: missing.example.test", false),
        ("no-name-as-wanted", "query: missing.example.test, rcode: NXDOMAIN", true),
        ("no-data", "query: ns1.example.test, type: AAAA", false),
        ("not-served", "query: www.example.com, rcode: REFUSED", true),
        ("serial", "query: example.test, type: SOA", true),
    ];
    let services: Vec<(&str, String)> = cases.iter().map(|(service, query, _)| (*service, monitor(query))).collect();
    let services: Vec<(&str, &str)> = services.iter().map(|(name, settings)| (*name, settings.as_str())).collect();
    let site = Site::start(&services, &[]);
    for (service, query, stays) in cases {
        assert_eq!(site.is_home(service), stays, "{query}: {}", site.status());
    }
    hang_and_wake(&knot, &site, "answered");
}

#[test]
fn h5_an_echo_request_is_answered_or_is_the_probers_own_fault() {
    let site = Site::start(&[("echo", &format!("monitor: {{icmp: {{}}, {BRISK}}}"))], &[]);
    let (state, evidence) = site.target("icmp://127.0.0.1");
    // Either way clients stay: a probe that this machine does not permit says nothing about the target.
    assert!(site.is_home("echo"), "{}", site.status());
    if evidence.contains("ping_group_range") {
        println!("skipped: {evidence}");
        assert!(state == "unknown" && evidence.starts_with("prober fault"), "{state}: {evidence}");
    } else {
        assert!(state == "up" && evidence.starts_with("echo reply"), "{state}: {evidence}");
    }
}
