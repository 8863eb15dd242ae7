//! A server that is never left alone: reloaded again and again, its regions failing and coming back, asked all the while over UDP and TCP.
//! It answers everything and holds as much memory, as many threads and descriptors at the end as when it had settled in.
//!
//! `MERIDIAN_SOAK_S=600 cargo test --test soak -- --nocapture` does it for ten minutes; without the option it takes some 20 seconds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]
#![cfg(target_os = "linux")]

mod common;

use std::time::{Duration, Instant};

use common::backend::Backend;
use common::client::{Udp, tcp};
use common::folder::Folder;
use common::gauge::{Page, Usage};
use common::message::query;
use common::server::Server;

/// How long it lasts, in seconds.
const OPTION: &str = "MERIDIAN_SOAK_S";
const DEFAULT_S: u64 = 20;

/// Questions between two disturbances.
const QUESTIONS: usize = 50;

/// How long both regions, or one of them, stay as they are: several probes long, however fast the machine reloads.
const PHASE: Duration = Duration::from_millis(800);

/// At most so many looks at memory are kept for judging.
const LOOKS: usize = 12;

/// Growth that the allocator is allowed from the settled half to the end: it returns memory in steps.
const MAX_GROWTH_KIB: u64 = 4 << 10;

/// Threads and descriptors of what is under way at a look: a load, its summary, probes. What is lost at each reload is soon more.
const PASSING: u64 = 4;

const SERVER: &str =
    "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\nstate_dir: state\ngeodb: places.csv\n";

fn regions(ports: [u16; 2]) -> String {
    let monitor = |port| {
        format!(
            "{{http: {{path: /, port: {port}}}, address: 127.0.0.1, interval: 200ms, timeout: 150ms, fall: 1, rise: 1, recheck: 100ms}}"
        )
    };
    let region = |name: &str, latitude, address: &str, port| {
        format!(
            "  {name}:\n    location: {{latitude: {latitude}, longitude: 10}}\n    services:\n      web: {{endpoints: [{address}], monitor: {}}}\n",
            monitor(port)
        )
    };
    format!("regions:\n{}{}", region("a", 1, "192.0.2.1", ports[0]), region("b", 50, "192.0.2.2", ports[1]))
}

/// A zone that is another one at each reload, of the same size.
fn zone(round: usize) -> String {
    let hosts: String = (0..500).map(|host| format!("  h{host}: {{A: 192.0.2.{}}}\n", (host + round) % 250 + 1)).collect();
    format!("zone: example.com\nns: [ns1]\nrecords:\n  ns1: {{A: 192.0.2.53}}\n  www: {{steer: {{service: web, ttl: 5}}}}\n{hosts}")
}

/// Networks that are others at each reload, as many.
fn places(round: usize) -> String {
    let rows = (0..2_000).map(|at| format!("10.{}.{}.0/24,{},10\n", at / 256, at % 256, (at + round) % 90));
    format!("network,latitude,longitude\n{}", rows.collect::<String>())
}

#[test]
fn reloads_and_failures_without_end_leave_no_growth() {
    let seconds = std::env::var(OPTION).ok().map_or(DEFAULT_S, |text| text.parse().unwrap_or_else(|_| panic!("{OPTION} is seconds")));
    let backends = [Backend::start(), Backend::start()];
    let regions = regions([backends[0].port(), backends[1].port()]);
    let files = [("meridian.yaml", SERVER), ("regions.yaml", &*regions), ("z.zone.yaml", &zone(0)), ("places.csv", &places(0))];
    let folder = Folder::with("soak", &files);
    let server = Server::start(&folder.join("meridian.yaml"));
    let control = folder.join("state/control.sock");
    let client = Udp::to(server.address());

    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let (mut looks, mut round) = (Vec::new(), 0);
    let mut between = 1;
    while Instant::now() < end || looks.len() < LOOKS / 2 {
        round += 1;
        folder.write("z.zone.yaml", &zone(round));
        folder.write("places.csv", &places(round));
        let mark = server.mark();
        server.signal("HUP");
        // Each region is down for a phase of four, so that one is up always, and all are for half of the time.
        let phase = start.elapsed().as_millis() / PHASE.as_millis() % 4;
        backends.iter().zip([0, 2]).for_each(|(backend, down)| backend.set_status(if phase == down { 503 } else { 200 }));
        for at in 0..QUESTIONS {
            let asked = if at % 2 == 0 { query("www.example.com", "A").subnet("10.1.2.0/24") } else { query("h7.example.com", "A") };
            let reply = if at % 10 == 0 { tcp(server.address(), &asked) } else { client.ask(&asked) };
            assert_eq!((reply.rcode(), reply.answers().len()), (0, 1), "round {round}");
        }
        server.wait_for(mark, "reloaded");
        server.wait_for_all(mark, &["by addresses"]);
        if round % between == 0 {
            looks.push(Usage::of(server.process()));
            // Every other one goes, and from now on they come half as often: few looks, spread over however long it lasts.
            if looks.len() == 2 * LOOKS {
                looks = looks.into_iter().skip(1).step_by(2).collect();
                between *= 2;
            }
        }
    }
    let page = Page::read(&control);
    let changes = page.value("meridian_region_changes_total");
    println!("{round} reloads, {changes} changes of regions; {looks:#?}");
    // Every phase begins with a change; the half of them is enough on a machine that lags.
    let phases = start.elapsed().as_millis() / PHASE.as_millis();
    assert!(u128::from(changes) >= phases / 2, "the regions did not fail: {changes} changes in {phases} phases");
    assert_eq!((page.value("meridian_panics_total"), page.value("meridian_loads_total{outcome=\"done\"}")), (0, round as u64 + 1));

    // The least of a half is what is held when nothing is under way.
    let (settled, late) = looks.split_at(looks.len() / 2);
    let least = |looks: &[Usage], of: fn(&Usage) -> u64| looks.iter().map(of).min().unwrap();
    let memory = (least(settled, |usage| usage.memory_kib), least(late, |usage| usage.memory_kib));
    assert!(memory.1 <= memory.0 + MAX_GROWTH_KIB, "memory grows: {memory:?} KiB\n{looks:#?}");
    let threads = (least(settled, |usage| usage.threads), least(late, |usage| usage.threads));
    assert!(threads.1 <= threads.0 + PASSING, "threads grow: {threads:?}\n{looks:#?}");
    let descriptors = (least(settled, |usage| usage.descriptors), least(late, |usage| usage.descriptors));
    assert!(descriptors.1 <= descriptors.0 + PASSING, "descriptors grow: {descriptors:?}\n{looks:#?}");
    let (status, log) = server.stop();
    assert!(status.success(), "{}", log.join("\n"));
}
