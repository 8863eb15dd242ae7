//! Response rate limiting: who gets how much, what comes instead, what is counted and told.

use std::net::IpAddr;
use std::time::Duration;

use meridian::answer::Transport;
use meridian::metrics::Metric;
use meridian::snapshot::{Kind, Snapshot};

use crate::common::client::{Udp, tcp, udp};
use crate::common::message::{OPTION_NSID, Query, query};
use crate::common::server::Server;
use crate::common::world::World;
use crate::house::{Desk, folder};

fn www() -> Query {
    query("www.example.com", "A")
}

#[test]
fn a_rate_holds_over_time_and_what_comes_instead_is_empty_truncated_and_shorter() {
    let mut desk = Desk::new("rate-holds", "nsid: node-1\nrate_limit: {responses: 20, window: 2s, slip: 1}", 1);
    let asked = query("static.example.com", "TXT").edns(1232).subnet("198.51.100.0/24").option(OPTION_NSID, &[]);
    let whole = desk.octets("192.0.2.1".parse().unwrap(), Transport::Udp, &asked.octets()).unwrap();
    let mut sums = [0; 3];
    for _ in 0..100 {
        desk.pass(100);
        let counts = desk.flood("192.0.2.1", &asked, 50);
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    // 20 a second for 10 s, and two seconds' worth at once.
    assert!((237..=241).contains(&sums[0]), "{sums:?}");
    assert_eq!((sums[1], sums[2]), (5_000 - sums[0], 0));
    let slip = desk.ask("192.0.2.7", &asked).unwrap();
    assert!(slip.is_truncated() && slip.is_authoritative() && slip.rcode() == 0 && slip.id() == asked.id);
    assert!(slip.answers().is_empty() && slip.authorities().is_empty() && slip.additionals().is_empty());
    assert_eq!(slip.question(), asked.question());
    assert_eq!((slip.scope(), slip.option(OPTION_NSID)), (Some(0), Some(b"node-1".to_vec())), "OPT is whole");
    assert!(slip.octets.len() < whole.len());
    let totals = desk.totals();
    assert_eq!(totals.limited(Kind::Positive), totals.slipped(Kind::Positive));
    assert_eq!(totals.limited(Kind::Positive), 5_001 - sums[0] as u64);
    assert_eq!(totals.count(Metric::Truncated), totals.slipped(Kind::Positive));
}

#[test]
fn a_flood_of_one_network_takes_nothing_from_another_nor_from_another_name() {
    let mut desk = Desk::new("rate-fair", "rate_limit: {responses: 10, window: 1s, slip: 0}", 1);
    for _ in 0..20 {
        desk.pass(1_000);
        let [whole, truncated, _] = desk.flood("192.0.2.1", &www(), 1_000);
        assert_eq!((whole, truncated), (10, 0));
        for victim in ["192.0.3.1", "2001:db8::1", "198.51.100.1"] {
            assert_eq!(desk.flood(victim, &www(), 10), [10, 0, 0], "{victim}");
        }
        assert_eq!(desk.flood("192.0.2.1", &query("static.example.com", "A"), 10), [10, 0, 0]);
    }
}

#[test]
fn made_up_names_share_one_rate_below_a_wildcard_a_cut_and_where_nothing_is() {
    for (suffix, kind) in [("wild.example.com", Kind::Positive), ("deleg.example.com", Kind::Referral), ("example.com", Kind::NameError)] {
        let mut desk = Desk::new("rate-names", "rate_limit: 10", 1);
        let granted = (0..1_000).filter(|number| {
            let reply = desk.ask("192.0.2.1", &query(&format!("x{number}.{suffix}"), "A"));
            reply.is_some_and(|reply| !reply.is_truncated())
        });
        assert_eq!(granted.count(), 40, "{suffix}");
        assert_eq!(desk.totals().limited(kind), 960);
    }
}

#[test]
fn a_slipped_name_error_keeps_its_rcode_and_refusals_are_dropped() {
    let mut desk =
        Desk::new("rate-rcodes", "rate_limit: {responses: {error: 1, refused: 1, name-error: 1, default: none}, window: 1s, slip: 1}", 1);
    let missing = query("missing.example.com", "A");
    assert_eq!(desk.flood("192.0.2.1", &missing, 10), [1, 9, 0]);
    assert_eq!(desk.ask("192.0.2.1", &missing).unwrap().rcode(), 3);
    assert_eq!(desk.flood("192.0.2.1", &query("www.example.net", "A"), 10), [1, 0, 9]);
    assert_eq!(desk.flood("192.0.2.1", &query("x.example.com", "A").flags(0x2000), 10), [1, 0, 9], "another opcode");
    assert_eq!(desk.flood("192.0.2.1", &www(), 100), [100, 0, 0], "no rate of its own");
}

#[test]
fn each_worker_keeps_its_share() {
    let mut desk = Desk::new("rate-share", "rate_limit: {responses: 40, window: 1s, slip: 0}", 4);
    assert_eq!(desk.flood("192.0.2.1", &www(), 100), [10, 0, 90]);
}

#[test]
fn streams_and_those_who_are_allowed_are_not_limited() {
    let mut desk =
        Desk::new("rate-exempt", "rate_limit: {responses: 1, window: 1s, slip: 0, allow: [192.0.2.128/25, \"2001:db8::/32\"]}", 1);
    let stranger: IpAddr = "198.51.100.1".parse().unwrap();
    assert!((0..100).all(|_| desk.octets(stranger, Transport::Tcp, &www().octets()).is_some()));
    assert_eq!(desk.flood("192.0.2.200", &www(), 100), [100, 0, 0]);
    assert_eq!(desk.flood("2001:db8:7::1", &www(), 100), [100, 0, 0]);
    assert_eq!(desk.flood("198.51.100.1", &www(), 100), [1, 0, 99]);
}

#[test]
fn nobody_is_limited_in_log_only_mode_but_it_is_counted() {
    let mut desk = Desk::new("rate-log-only", "rate_limit: {responses: 10, window: 1s, log_only: true}", 1);
    assert_eq!(desk.flood("192.0.2.1", &www(), 100), [100, 0, 0]);
    let totals = desk.totals();
    assert_eq!((totals.limited(Kind::Steered), totals.slipped(Kind::Steered)), (90, 0));
}

#[test]
fn an_answer_that_is_not_sent_is_no_load_of_its_region() {
    let mut desk = Desk::new("rate-load", "rate_limit: {responses: 10, window: 1s, slip: 2}", 1);
    let [whole, truncated, none] = desk.flood("192.0.2.1", &www(), 100);
    assert_eq!((whole, truncated + none), (10, 90));
    assert_eq!(desk.totals().region_answers("web", "us"), 10);
}

#[test]
fn a_reload_changes_the_limits_and_what_was_counted_under_equal_ones_goes_on() {
    let keys = "rate_limit: {responses: 10, window: 1s, slip: 0}";
    let mut desk = Desk::new("rate-reload", keys, 1);
    assert_eq!(desk.flood("192.0.2.1", &www(), 20), [10, 0, 10]);
    let reload = |desk: &mut Desk, keys: &str| {
        let world = World::load(&folder("rate-reload-next", keys).join("meridian.yaml"));
        desk.shared.publish(std::sync::Arc::new(Snapshot { generation: 2, ..world.snapshot }));
        desk.worker.begin_batch();
    };
    reload(&mut desk, keys);
    assert_eq!(desk.flood("192.0.2.1", &www(), 20), [0, 0, 20]);
    reload(&mut desk, "rate_limit: {responses: 15, window: 1s, slip: 0}");
    assert_eq!(desk.flood("192.0.2.1", &www(), 20), [15, 0, 5]);
    reload(&mut desk, "");
    assert_eq!(desk.flood("192.0.2.1", &www(), 20), [20, 0, 0]);
}

/// The real server on a real clock: a burst of queries that loopback could never be refused otherwise, and what the log says of it.
#[test]
fn a_flood_at_the_real_server_is_held_back_told_once_and_tcp_still_answers() {
    let folder = folder("rate-flood", "workers: 1\nrate_limit: {responses: 5, window: 1s, slip: 2}");
    let server = Server::start(&folder.join("meridian.yaml"));
    let (address, client) = (server.address(), Udp::to(server.address()));
    // As many replies as fit the client's buffer.
    let queries = 400;
    (0..queries).for_each(|id| client.send(&www().id(id).octets()));
    let mut replies = Vec::new();
    while let Some(octets) = client.receive(Duration::from_millis(500)) {
        replies.push(crate::common::message::Reply::read(&octets));
    }
    let truncated = replies.iter().filter(|reply| reply.is_truncated()).count();
    let whole = replies.len() - truncated;
    // A busy machine takes its time, in which more is granted.
    assert!((5..=100).contains(&whole), "{whole}");
    assert!((130..=260).contains(&truncated), "about half of the others: {truncated}");
    server.wait_for(0, "limiting the rate of responses to `127.0.0.0/24`");
    assert_eq!(tcp(address, &www()).addresses().len(), 1);
    // A truncated or no reply to the resolver that shares the network; another name is answered.
    assert_eq!(udp(address, &query("static.example.com", "A")).addresses().len(), 1);
    let (_, lines) = server.stop();
    let told = lines.iter().filter(|line| line.contains("limiting the rate of responses to `127.0.0.0/24`")).count();
    assert_eq!(told, 1, "{lines:?}");
    let end = lines.iter().find(|line| line.contains("stopped;")).unwrap();
    assert!(end.contains("rate_limited steered=") && end.contains("rate_slipped steered="), "{end}");
}
