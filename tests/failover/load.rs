//! A region is lost and comes back while some hundred queries a second are answered: every single answer is judged, by when it was asked for
//! and by what the server's own log says. Clients are networks on five continents, each asking a name by geography and one by shares.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::common::client::Udp;
use crate::common::daemon::find;
use crate::common::folder::Folder;
use crate::common::message::{Query, query};
use crate::common::server::logged_after;
use crate::common::{skip_without, wait_until};
use crate::{DETECTION, Fleet, NEXT_NEAREST_TO_EU, RECOVERY, address, region_of};

const NAMES: [&str; 2] = ["www.example.com", "any.example.com"];

const LOAD_ZONE: &str = r#"
zone: example.com
ns: [ns.example.net.]
records:
  www: {steer: {service: web, ttl: 30}}
  any: {steer: {service: web, ttl: 30, order: any}}
"#;

/// First octet of client networks by continent as in `REGIONS`, and how many of them ask: most in the region that is lost.
const CLIENTS: [(u8, u8); 5] = [(17, 10), (193, 60), (1, 10), (200, 10), (41, 10)];

const LOST: &str = "eu-west";
const LOST_INDEX: usize = 1;

const RAMP: Duration = Duration::from_secs(4);
/// What a region takes back at once (docs/health.md).
const RAMP_FROM: f64 = 0.1;
/// How far the share of clients that are back may be from the ramp: 80 clients are few, and the answers of half a second are one sample.
const RAMP_TOLERANCE: f64 = 0.2;
const SAMPLE: Duration = Duration::from_millis(500);

/// Between two queries of the load: 500 a second.
const GAP: Duration = Duration::from_millis(2);
/// What dnsperf adds to that.
const DNSPERF_QPS: u32 = 200;

/// H6: a change is visible in answers within this time after it was logged.
const VISIBLE: Duration = Duration::from_secs(1);

/// One answer.
struct Seen {
    asked: SystemTime,
    answered: SystemTime,
    question: usize,
    region: &'static str,
}

/// Asks all questions in turn until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Seen>>,
}

impl Load {
    fn start(server: SocketAddr, questions: Vec<Query>) -> Load {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&rounds));
        let thread = thread::spawn(move || {
            let (client, mut seen, start) = (Udp::to(server), Vec::new(), Instant::now());
            while !told.load(Ordering::SeqCst) {
                for (question, query) in questions.iter().enumerate() {
                    // The pause is the load's own pace, not a wait for something. Late ones are not made up for: a burst would be another load.
                    thread::sleep((GAP * seen.len() as u32).saturating_sub(start.elapsed()).min(GAP));
                    let asked = SystemTime::now();
                    let reply = client.ask(query);
                    assert!(reply.is_authoritative() && reply.rcode() == 0, "{:?}", reply.message);
                    assert!(reply.ttl().is_some_and(|ttl| (1..=30).contains(&ttl)), "{:?}", reply.answers());
                    // Which also says that it is one address of one region, never none.
                    seen.push(Seen { asked, answered: SystemTime::now(), question, region: region_of(&reply) });
                }
                counted.fetch_add(1, Ordering::SeqCst);
            }
            seen
        });
        Load { stop, rounds, thread }
    }

    /// Waits until every question was asked and answered once more, from now on.
    fn one_more_round(&self) {
        let wanted = self.rounds.load(Ordering::SeqCst) + 2;
        wait_until(|| self.rounds.load(Ordering::SeqCst) >= wanted || self.thread.is_finished(), || "the load stands still".to_owned());
    }

    fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Client networks and the names that they ask for.
fn clients() -> Vec<(&'static str, String)> {
    let networks = CLIENTS.iter().flat_map(|(first, count)| (0..*count).map(move |n| format!("{first}.{n}.6.0/24")));
    networks.flat_map(|network| NAMES.map(|name| (name, network.clone()))).collect()
}

/// What dig prints for a client near the region that is lost.
fn dig(server: SocketAddr) -> Option<String> {
    let Some(program) = find("dig") else {
        skip_without("dig");
        return None;
    };
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    let output = Command::new(program).args([&at, "-p", &port, NAMES[0], "A", "+subnet=193.0.6.0/24", "+short"]).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// dnsperf at work in the background until it is asked what it thinks.
struct Dnsperf {
    child: std::process::Child,
    _folder: Folder,
}

impl Dnsperf {
    fn start(server: SocketAddr, length: Duration) -> Option<Dnsperf> {
        let Some(program) = find("dnsperf") else {
            skip_without("dnsperf");
            return None;
        };
        let folder = Folder::with("dnsperf", &[("queries", &NAMES.map(|name| format!("{name} A\n")).concat())]);
        let mut command = Command::new(program);
        command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string(), "-Q", &DNSPERF_QPS.to_string()]);
        command.args(["-l", &length.as_secs().to_string(), "-d"]).arg(folder.join("queries"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Some(Dnsperf { child, _folder: folder })
    }

    /// Nothing was lost, and nothing answered but NOERROR.
    fn assert_content(self) {
        let output = self.child.wait_with_output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |name: &str| report.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("no {name}\n{report}")).to_owned();
        assert!(line("Queries lost:").contains(" 0 ("), "{report}");
        let codes = line("Response codes:");
        assert!(codes.contains("NOERROR") && codes.contains("(100.00%)"), "{report}");
    }
}

/// When the server logged that the lost region changed to a state.
fn changed(fleet: &Fleet, from: usize, state: &str, start: SystemTime) -> SystemTime {
    let line = fleet.server.wait_for_all(from, &["a region changed", &format!("region=\"{LOST}\""), "family=IPv4", &format!("to={state}")]);
    start + logged_after(start, &line)
}

#[test]
fn p8_under_load_a_lost_region_loses_exactly_its_clients_in_time_and_gets_them_back_along_the_ramp() {
    let mut fleet = Fleet::start_with(&format!("        ramp: {}s\n", RAMP.as_secs()), LOAD_ZONE);
    let server = fleet.server.address();
    let questions: Vec<Query> = clients().iter().map(|(name, network)| query(name, "A").subnet(network)).collect();
    let home: Vec<&str> = questions.iter().map(|question| region_of(&fleet.client.ask(question))).collect();
    let at_home = |fleet: &Fleet| questions.iter().zip(&home).all(|(question, home)| region_of(&fleet.client.ask(question)) == *home);
    let dnsperf = Dnsperf::start(server, RAMP * 2);
    let load = Load::start(server, questions.clone());
    load.one_more_round();
    assert!(dig(server).is_none_or(|shown| shown == address(LOST_INDEX).to_string()));

    let (mark, stopped) = (fleet.server.mark(), SystemTime::now());
    fleet.backends[LOST_INDEX].stop();
    let fell = changed(&fleet, mark, "down", stopped);
    load.one_more_round();
    assert!(dig(server).is_none_or(|shown| shown == address(0).to_string()), "{NEXT_NEAREST_TO_EU} is the next");
    // A reload in the middle of it is nothing that a client could notice.
    fleet.server.signal("HUP");
    fleet.server.wait_for(mark, "reloaded");
    load.one_more_round();

    let (mark, started) = (fleet.server.mark(), SystemTime::now());
    fleet.backends[LOST_INDEX].start_again();
    let rose = changed(&fleet, mark, "available", started);
    wait_until(|| at_home(&fleet), || fleet.server.lines().join("\n"));
    load.one_more_round();
    let seen = load.stop();
    assert!(dig(server).is_none_or(|shown| shown == address(LOST_INDEX).to_string()));

    // H2, by the server's own clock.
    let (to_fall, to_rise) = (fell.duration_since(stopped).unwrap(), rose.duration_since(started).unwrap());
    assert!(to_fall <= DETECTION, "noticed after {to_fall:?}, promised were {DETECTION:?}");
    assert!(to_rise <= RECOVERY, "noticed after {to_rise:?}, promised were {RECOVERY:?}");
    Judge { seen: &seen, home: &home, stopped, fell, rose }.judge();
    if let Some(dnsperf) = dnsperf {
        dnsperf.assert_content();
    }
}

/// The whole story, answer by answer.
struct Judge<'a> {
    seen: &'a [Seen],
    /// The region of each question while all is well.
    home: &'a [&'a str],
    stopped: SystemTime,
    fell: SystemTime,
    rose: SystemTime,
}

impl Judge<'_> {
    fn judge(&self) {
        let lost = |seen: &&Seen| self.home[seen.question] == LOST;
        let strayed = self.seen.iter().find(|seen| !lost(seen) && seen.region != self.home[seen.question]);
        assert!(strayed.is_none(), "a client of {} is sent to {}", self.home[strayed.unwrap().question], strayed.unwrap().region);
        self.assert_nobody_is_sent_into_the_dark();
        self.assert_each_has_one_refuge();
        self.assert_nobody_turns_back();
        self.assert_the_ramp();
    }

    fn of_lost(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(|seen| self.home[seen.question] == LOST)
    }

    fn assert_nobody_is_sent_into_the_dark(&self) {
        for seen in self.of_lost() {
            if seen.answered < self.stopped {
                assert_eq!(seen.region, LOST, "moved although nothing was wrong");
            }
            let dark = seen.asked > self.fell + VISIBLE && seen.answered < self.rose;
            assert!(!dark || seen.region != LOST, "sent to the dead region {:?} after it fell", seen.asked.duration_since(self.fell));
        }
    }

    /// P8: where the clients of a lost region go is as fixed as where they come from.
    fn assert_each_has_one_refuge(&self) {
        let mut refuges: BTreeMap<usize, &str> = BTreeMap::new();
        for seen in self.of_lost().filter(|seen| seen.region != LOST) {
            let refuge = *refuges.entry(seen.question).or_insert(seen.region);
            assert_eq!(seen.region, refuge, "a client is sent to and fro");
            if seen.question % NAMES.len() == 0 {
                assert_eq!(refuge, NEXT_NEAREST_TO_EU);
            }
        }
        assert_eq!(refuges.len(), self.home.iter().filter(|home| **home == LOST).count(), "all had to move");
    }

    /// A client that came back along the ramp stays.
    fn assert_nobody_turns_back(&self) {
        let mut back = vec![false; self.home.len()];
        for seen in self.of_lost().filter(|seen| seen.asked > self.rose) {
            assert!(!back[seen.question] || seen.region == LOST, "a client came back and left again");
            back[seen.question] |= seen.region == LOST;
        }
        assert!(self.of_lost().all(|seen| back[seen.question]), "all come back");
    }

    fn assert_the_ramp(&self) {
        let share = |after: Duration| (RAMP_FROM + (1.0 - RAMP_FROM) * after.as_secs_f64() / RAMP.as_secs_f64()).min(1.0);
        let samples = (RAMP.as_millis() / SAMPLE.as_millis()) as u32;
        for sample in 0..samples {
            let Range { start, end } = SAMPLE * sample..SAMPLE * (sample + 1);
            let within = |seen: &&Seen| seen.asked > self.rose + start && seen.answered < self.rose + end;
            let (asked, back) =
                self.of_lost().filter(within).fold((0, 0), |(asked, back), seen| (asked + 1, back + u32::from(seen.region == LOST)));
            // A machine that stood still has nothing to say.
            if asked >= 20 {
                let seen = f64::from(back) / f64::from(asked);
                let (low, high) = (share(start) - RAMP_TOLERANCE, share(end) + RAMP_TOLERANCE);
                assert!(
                    (low..=high).contains(&seen),
                    "{start:?} after the return {seen:.2} of the clients are back, not {low:.2} to {high:.2}"
                );
            }
        }
    }
}
