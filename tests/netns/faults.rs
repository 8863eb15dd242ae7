//! What lost, rejected and swallowed packets do to regions: little loss nothing, a black hole takes its region in time, and when everything
//! is silent it is our own network that is out.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::common::backend::Backend;
use crate::common::client::Udp;
use crate::common::folder::Folder;
use crate::common::message::query;
use crate::common::server::{self, Server, logged_after};
use crate::common::wait_until;
use crate::net::{Net, REGIONS, address};

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nstate_dir: state\nregions: regions.yaml\nzones: z.zone.yaml\n";
const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords:\n  www: {steer: {service: web, order: priority}}\n";

const NAMES: [&str; REGIONS] = ["near", "next", "third", "last"];

/// Probed often, so that the tests are short; `fall` is the default.
const BRISK: &str = "interval: 1s, timeout: 400ms, fall: 3, rise: 2, recheck: 500ms";
/// BEHAVIOUR H2 for these: fall x interval + timeout + 1 s.
const DETECTION: Duration = Duration::from_millis(3 * 1_000 + 400 + 1_000);

/// The `hold_max` of tests that wait for its end, over [`DETECTION`]; and when that must have been noticed at the latest.
const HOLD_MAX: Duration = Duration::from_secs(6);
const NOTICED: Duration = Duration::from_secs(2);

/// Four regions in the world, preferred in their order, and the server in the prober's namespace. The fields are dropped in this order.
struct Fleet {
    server: Server,
    client: Udp,
    folder: Folder,
    backends: Vec<Backend>,
    net: Net,
}

impl Fleet {
    /// `monitor` is what each region's monitor says, with `@PORT@` for its port; `None` where there can be no namespaces.
    fn start(monitor: &str) -> Option<Fleet> {
        Fleet::start_with(monitor, "")
    }

    /// The same with [`HOLD_MAX`].
    fn start_with_short_hold(monitor: &str) -> Option<Fleet> {
        Fleet::start_with(monitor, &format!("hold_max: {}s\n", HOLD_MAX.as_secs()))
    }

    fn start_with(monitor: &str, more: &str) -> Option<Fleet> {
        let net = Net::new()?;
        let backends: Vec<Backend> = net.world.enter(|| (0..REGIONS).map(|region| Backend::start_at(address(region).into())).collect());
        let region = |(index, backend): (usize, &Backend)| {
            let monitor = monitor.replace("@PORT@", &backend.port().to_string());
            format!(
                "  {}:\n    location: {{latitude: {index}, longitude: 0}}\n    services: {{web: {{endpoints: [{}], monitor: {{{monitor}}}}}}}\n",
                NAMES[index],
                address(index)
            )
        };
        let regions = format!("regions:\n{}", backends.iter().enumerate().map(region).collect::<String>());
        let folder =
            Folder::with("netns", &[("meridian.yaml", &format!("{SERVER}{more}")), ("regions.yaml", &regions), ("z.zone.yaml", ZONE)]);
        let (server, client) = net.prober.enter(|| {
            let server = Server::start(&folder.join("meridian.yaml"));
            let client = Udp::to(server.address());
            (server, client)
        });
        let fleet = Fleet { server, client, folder, backends, net };
        assert_eq!(fleet.answer(), "near", "{}", fleet.server.lines().join("\n"));
        Some(fleet)
    }

    /// The region that is answered.
    fn answer(&self) -> &'static str {
        let reply = self.client.ask(&query("www.example.com", "A"));
        let [found] = reply.addresses()[..] else { panic!("{:?}", reply.answers()) };
        NAMES[(0..REGIONS).find(|region| found == address(*region)).unwrap()]
    }

    fn wait_for_answer(&self, region: &str) {
        wait_until(|| self.answer() == region, || self.server.lines().join("\n"));
    }

    /// Rows of `status --format json`.
    fn targets(&self) -> Vec<Value> {
        let path = self.folder.join("meridian.yaml");
        let output = server::run(&["status", "--format", "json", "--config", path.to_str().unwrap()]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        status["targets"].as_array().unwrap().clone()
    }

    /// Waits until every region was asked so many times more.
    fn wait_for_requests(&self, more: u32) {
        let before: Vec<u32> = self.backends.iter().map(Backend::requests).collect();
        // In steps, each of which is waited for with patience.
        (1..=more).for_each(|step| {
            let reached = || self.backends.iter().zip(&before).all(|(backend, before)| backend.requests() >= before + step);
            wait_until(reached, || self.server.lines().join("\n"));
        });
    }

    fn changes(&self, from: usize) -> Vec<String> {
        self.server.lines().split_off(from).into_iter().filter(|line| line.contains(" changed ")).collect()
    }
}

#[test]
fn h2_a_fifth_of_all_packets_may_get_lost_at_the_default_thresholds() {
    // Timeout, fall, rise and recheck are the defaults; the interval is not, so that more probes fit into the time.
    let Some(fleet) = Fleet::start("http: {port: @PORT@}, interval: 2100ms") else { return };
    // A probe fails when both of its SYNs are lost within 2 s, or one of them and its request three times: once in 23. Three in a row come
    // once in 12,000 probes, so that ten probes of four regions lose one by chance once in 300 runs; and twice, once in 90,000.
    let keeps_all = || {
        wait_until(|| fleet.targets().iter().all(|row| row["state"] == "up"), || format!("{:#?}", fleet.targets()));
        let mark = fleet.server.mark();
        fleet.net.world.filter("ip daddr 10.66.0.0/16 numgen random mod 5 == 0 counter name lost drop");
        fleet.wait_for_requests(10);
        assert!(fleet.net.world.lost() > 10, "{} packets were lost", fleet.net.world.lost());
        fleet.net.world.filter("");
        fleet.changes(mark).is_empty()
    };
    assert!(keeps_all() || keeps_all(), "{}", fleet.server.lines().join("\n"));
    assert_eq!(fleet.answer(), "near");
}

#[test]
fn h2_a_black_hole_and_a_wall_take_their_region_down_in_time_and_no_other() {
    let Some(fleet) = Fleet::start(&format!("http: {{port: @PORT@}}, {BRISK}")) else { return };
    let faults =
        [("drop", "timed out"), ("reject with icmp host-unreachable", "unreachable"), ("reject with tcp reset", "connection refused")];
    let rule = |(region, (verdict, _)): (usize, &(&str, &str))| format!("ip daddr {} meta l4proto tcp {verdict}\n", address(region));
    let start = SystemTime::now();
    fleet.net.world.filter(&faults.iter().enumerate().map(rule).collect::<String>());
    for (region, (fault, evidence)) in faults.into_iter().enumerate() {
        let target = format!("//{}:", address(region));
        fleet.server.wait_for_all(0, &["a target changed", &target, "from=up", "to=down", "outcomes=3", evidence]);
        let line = fleet.server.wait_for_all(0, &["a region changed", &format!("region=\"{}\"", NAMES[region]), "to=down"]);
        let took = logged_after(start, &line);
        assert!(took <= DETECTION, "{fault}: noticed after {took:?}, promised were {DETECTION:?}");
    }
    fleet.wait_for_answer("last");
    let mark = fleet.server.mark();
    fleet.net.world.filter("");
    fleet.wait_for_answer("near");
    for name in &NAMES[..3] {
        fleet.server.wait_for_all(mark, &["a region changed", &format!("region=\"{name}\""), "to=available"]);
    }
    assert!(!fleet.server.lines().iter().any(|line| line.contains("region=\"last\"") || line.contains("held")));
}

#[test]
fn h5_when_the_uplink_swallows_everything_the_state_is_held_and_flagged_until_something_is_heard() {
    let Some(fleet) = Fleet::start(&format!("http: {{port: @PORT@}}, {BRISK}")) else { return };
    // One region is down for a reason of its own, and stays so.
    fleet.net.world.filter(&format!("ip daddr {} meta l4proto tcp reject with tcp reset", address(0)));
    fleet.wait_for_answer("next");
    // The answer may be there before the line has been read.
    fleet.server.wait_for_all(0, &["a region changed", "region=\"near\"", "to=down"]);
    let mark = fleet.server.mark();
    fleet.net.world.filter("drop");
    for region in 1..REGIONS {
        fleet.server.wait_for_all(mark, &["does not follow its probes", &format!("//{}:", address(region)), "held"]);
    }
    let held: Vec<Value> = fleet.targets().into_iter().filter(|row| row["flag"].as_str().unwrap().contains("held")).collect();
    assert!(held.len() == REGIONS - 1 && held.iter().all(|row| row["state"] == "up"), "{held:#?}");
    assert_eq!((fleet.answer(), fleet.changes(mark)), ("next", vec![]), "nothing has changed");
    fleet.net.world.filter("");
    for region in 1..REGIONS {
        fleet.server.wait_for_all(mark, &["follows its probes again", &format!("//{}:", address(region))]);
    }
    fleet.wait_for_answer("near");
    let changed = fleet.changes(mark);
    assert!(changed.iter().all(|line| line.contains("near") || line.contains(&address(0).to_string())), "{changed:#?}");
}

#[test]
fn h5_a_hold_is_released_when_its_time_is_over() {
    let Some(fleet) = Fleet::start_with_short_hold(&format!("http: {{port: @PORT@}}, {BRISK}")) else { return };
    fleet.net.world.filter("drop");
    let start = SystemTime::now();
    let held = logged_after(start, &fleet.server.wait_for(0, "held: every target is silent"));
    while start.elapsed().unwrap() + NOTICED < held + HOLD_MAX {
        assert_eq!((fleet.answer(), fleet.changes(0).iter().any(|line| line.contains("to=down"))), ("near", false));
        // How often one looks while the server's own time runs; nothing waits for this pause to be long enough.
        std::thread::sleep(Duration::from_millis(100));
    }
    for name in NAMES {
        let line = fleet.server.wait_for_all(0, &["a region changed", &format!("region=\"{name}\""), "to=down"]);
        let after = logged_after(start, &line);
        // The server counts in milliseconds, its log in microseconds.
        let due = held + HOLD_MAX - Duration::from_millis(1);
        assert!((due..due + NOTICED).contains(&after), "held since {held:?}, {name} fell after {after:?}");
    }
    // Nobody is left: whoever is near is answered, as it may be us after all (`on_all_down: open`).
    assert_eq!(fleet.answer(), "near");
    fleet.net.world.filter("");
    for name in NAMES {
        fleet.server.wait_for_all(0, &["a region changed", &format!("region=\"{name}\""), "from=down", "to=available"]);
    }
}

#[test]
fn h5_without_a_way_out_of_this_machine_nothing_is_known_and_nothing_changes() {
    let Some(fleet) = Fleet::start_with_short_hold(&format!("http: {{port: @PORT@}}, {BRISK}")) else { return };
    let mark = fleet.server.mark();
    fleet.net.disconnect();
    let is_fault = |row: &Value| row["evidence"].as_str().unwrap().starts_with("prober fault");
    wait_until(|| fleet.targets().iter().all(is_fault), || format!("{:#?}", fleet.targets()));
    // By then each of them would have fallen, if it were its own fault.
    for region in 0..REGIONS {
        fleet
            .server
            .wait_for_all(mark, &["does not follow its probes", &format!("//{}:", address(region)), "cannot be measured from here"]);
    }
    assert!(fleet.targets().iter().all(|row| is_fault(row) && row["state"] == "up"), "{:#?}", fleet.targets());
    fleet.net.connect();
    fleet.wait_for_requests(2);
    assert_eq!((fleet.answer(), fleet.changes(mark)), ("near", vec![]));
}

#[test]
fn an_echo_that_is_swallowed_takes_its_region_down_where_echoes_are_permitted() {
    let Some(fleet) = Fleet::start(&format!("icmp: {{}}, {BRISK}")) else { return };
    assert!(fleet.targets().iter().all(|row| row["evidence"].as_str().unwrap().contains("ping_group_range")));
    // Each namespace has a setting of its own; the next probe has its socket.
    fleet.net.prober.enter(|| std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")).unwrap();
    fleet.server.wait_for_all(0, &["a target changed", &address(3).to_string(), "to=up", "echo reply"]);
    fleet.server.wait_for_all(0, &["a target changed", &address(0).to_string(), "to=up", "echo reply"]);
    fleet.net.world.filter(&format!("ip daddr {} drop", address(0)));
    fleet.server.wait_for_all(0, &["a target changed", &address(0).to_string(), "to=down", "timed out"]);
    fleet.wait_for_answer("next");
    fleet.net.world.filter("");
    fleet.wait_for_answer("near");
}
