//! Which responses share a bucket, and that nobody pays for another; with a clock that the test sets.

use super::*;
use crate::geo::Access;
use crate::metrics::Registry;
use crate::zone::{SteeringId, ZoneId};

/// Some moment that is not the start of the clock.
const NOW_MS: u64 = 5_000;

struct Bench {
    limits: Responses,
    counters: std::sync::Arc<Counters>,
}

impl Bench {
    fn new(settings: &RateLimit) -> Bench {
        let shares = Shares { of_address: 1, of_all: 1, notes: Notes::default() };
        Bench { limits: Responses::new(settings, &shares), counters: Registry::new().counters() }
    }

    /// Whether a response would go over a limit.
    fn over(&mut self, peer: &str, outcome: &Outcome, now_ms: u64) -> Option<Over> {
        self.limits.over(peer.parse().unwrap(), outcome, now_ms, &self.counters)
    }

    /// How many of a hundred responses at one moment do not.
    fn granted(&mut self, peer: &str, outcome: &Outcome) -> usize {
        (0..100).filter(|_| self.over(peer, outcome, NOW_MS).is_none()).count()
    }

    fn verdict(&mut self, over: Over, peer: &str, outcome: &Outcome) -> Verdict {
        let peer = SocketAddr::new(peer.parse().unwrap(), 53);
        self.limits.judge(over, peer, outcome, NOW_MS, &self.counters)
    }
}

fn settings() -> RateLimit {
    RateLimit {
        responses: [Some(10); Kind::ALL.len()],
        network: None,
        total: None,
        window_s: 1,
        v4: 24,
        v6: 56,
        slip: 2,
        allow: Access::only(["203.0.113.0/24".parse().unwrap()]),
        log_only: false,
        entries: 4_096,
    }
}

fn outcome(class: Class, zone: u32, owner_hash: u64) -> Outcome {
    Outcome { zone: Some(ZoneId(zone)), owner_hash, ..Outcome::new(100, class, Rcode::NOERROR) }
}

#[test]
fn clients_of_one_network_share_a_rate_and_others_have_their_own() {
    let mut bench = Bench::new(&settings());
    let answer = outcome(Class::Positive, 0, 7);
    for (peer, granted) in [("192.0.2.1", 10), ("192.0.2.200", 0), ("192.0.3.1", 10), ("2001:db8:0:1ff::1", 10)] {
        assert_eq!(bench.granted(peer, &answer), granted, "{peer}");
    }
    assert_eq!(bench.granted("2001:db8:0:100:ffff::2", &answer), 0);
    assert_eq!(bench.granted("2001:db8:0:200::1", &answer), 10);
    assert_eq!(bench.granted("0.0.0.0", &answer), 10);
    assert_eq!(bench.granted("::", &answer), 10);
}

#[test]
fn an_owner_has_a_rate_of_its_own_and_names_without_number_that_do_not_exist_share_one() {
    let mut bench = Bench::new(&settings());
    let steered = |owner| Outcome { steering: Some(SteeringId(0)), ..outcome(Class::Positive, 0, owner) };
    for answer in [outcome(Class::Positive, 0, 1), outcome(Class::Positive, 0, 2), steered(1), outcome(Class::Referral, 0, 1)] {
        assert_eq!(bench.granted("192.0.2.1", &answer), 10);
    }
    for class in [Class::NoData, Class::NameError] {
        assert_eq!(bench.granted("192.0.2.1", &outcome(class, 0, 1)), 10);
        assert_eq!(bench.granted("192.0.2.1", &outcome(class, 0, 2)), 0, "another name of the zone");
        assert_eq!(bench.granted("192.0.2.1", &outcome(class, 1, 2)), 10, "another zone");
        assert_eq!(bench.granted("192.0.2.1", &Outcome { zone: None, ..outcome(class, 0, 0) }), 10, "no zone");
    }
    for class in [Class::Refused, Class::Error] {
        assert_eq!(bench.granted("192.0.2.1", &outcome(class, 0, 1)), 10);
        assert_eq!(bench.granted("192.0.2.1", &outcome(class, 9, 9)), 0);
    }
}

#[test]
fn a_kind_without_a_rate_is_not_limited_and_the_network_as_a_whole_is() {
    let mut responses = [None; Kind::ALL.len()];
    responses[Kind::NameError as usize] = Some(5);
    let mut bench = Bench::new(&RateLimit { responses, network: Some(30), ..settings() });
    assert_eq!(bench.granted("192.0.2.1", &outcome(Class::NameError, 0, 1)), 5);
    let names = (0..100).filter(|owner| bench.over("192.0.2.1", &outcome(Class::Positive, 0, *owner), NOW_MS).is_none());
    assert_eq!(names.count(), 25, "what is left of the network's rate");
}

#[test]
fn the_ceiling_holds_for_all_networks_together_and_is_never_slipped() {
    let mut bench = Bench::new(&RateLimit { responses: [None; Kind::ALL.len()], total: Some(1_000), slip: 1, ..settings() });
    let answer = outcome(Class::Positive, 0, 1);
    let mut granted = 0;
    for ms in 0..2_000 {
        for host in 0..4 {
            granted += u32::from(bench.over(&format!("192.{host}.{}.1", ms % 250), &answer, NOW_MS + ms).is_none());
        }
    }
    assert!((2_080..=2_120).contains(&granted), "a thousand a second, and those of a tenth of a second at once: {granted}");
    assert_eq!(bench.over("192.0.2.1", &answer, NOW_MS + 1_999), Some(Over::Ceiling));
    assert_eq!(bench.verdict(Over::Ceiling, "192.0.2.1", &answer), Verdict::Drop);
}

#[test]
fn what_is_sent_instead_of_a_response_counts_for_the_ceiling() {
    let mut bench = Bench::new(&RateLimit { total: Some(200), slip: 1, ..settings() });
    let answer = outcome(Class::Positive, 0, 1);
    assert_eq!(bench.granted("192.0.2.1", &answer), 10);
    let slipped = (0..100).filter(|_| bench.verdict(Over::Client, "192.0.2.1", &answer) == Verdict::Slip).count();
    assert_eq!(slipped, 10, "of the twenty of a tenth of a second");
}

#[test]
fn one_in_so_many_is_sent_truncated_by_chance_and_errors_never() {
    let answer = outcome(Class::Positive, 0, 1);
    for (slip, expected) in [(0, 0..=0), (1, 10_000..=10_000), (2, 4_800..=5_200), (10, 850..=1_150)] {
        let mut bench = Bench::new(&RateLimit { slip, ..settings() });
        let slipped = (0..10_000).filter(|_| bench.verdict(Over::Client, "192.0.2.1", &answer) == Verdict::Slip).count();
        assert!(expected.contains(&slipped), "{slip}: {slipped}");
        for class in [Class::Error, Class::Refused] {
            assert_eq!(bench.verdict(Over::Client, "192.0.2.1", &outcome(class, 0, 1)), Verdict::Drop);
        }
    }
}

#[test]
fn log_only_holds_nothing_back_but_counts() {
    let registry = Registry::new();
    let mut bench = Bench { counters: registry.counters(), ..Bench::new(&RateLimit { log_only: true, ..settings() }) };
    for over in [Over::Client, Over::Ceiling] {
        assert_eq!(bench.verdict(over, "192.0.2.1", &outcome(Class::Positive, 0, 1)), Verdict::Send);
    }
    let totals = registry.totals();
    assert_eq!((totals.count(Metric::RateCeiling), totals.limited(Kind::Positive)), (1, 1));
}

#[test]
fn who_is_allowed_is_sent_everything_and_takes_nothing_from_neighbours_nor_from_the_ceiling() {
    let allow = Access::only(["203.0.113.128/25".parse().unwrap()]);
    let mut bench = Bench::new(&RateLimit { allow, total: Some(200), network: Some(10), ..settings() });
    let answer = outcome(Class::Positive, 0, 1);
    assert_eq!(bench.granted("203.0.113.129", &answer), 100);
    assert_eq!(bench.granted("203.0.113.1", &answer), 10);
    assert_eq!(bench.granted("198.51.100.1", &answer), 10, "what the ceiling has for a tenth of a second is used up only now");
    assert_eq!(bench.granted("198.51.101.1", &answer), 0);
}

#[test]
fn what_is_not_sent_costs_nothing() {
    let mut bench = Bench::new(&settings());
    assert_eq!(bench.granted("192.0.2.1", &Outcome { len: 0, ..outcome(Class::Dropped, 0, 0) }), 100);
    assert_eq!(bench.granted("192.0.2.1", &outcome(Class::Error, 0, 0)), 10);
}

/// Two workers that are given the same keys put them into other places: nobody can know what meets what.
#[test]
fn every_table_has_secrets_of_its_own() {
    let (one, other) = (Bench::new(&settings()).limits.secrets, Bench::new(&settings()).limits.secrets);
    assert!(one.iter().zip(other).all(|(one, other)| *one != other));
}
