//! Tests of plans: small tables and keys, rankings as text. Test code only.

use super::*;
use crate::geo::{Code, Fields, Inputs, Override, Prefix, build};
use crate::steer::rule::{Action, Fence, When};

fn point(latitude: f64, longitude: f64) -> Point {
    Point::new(latitude, longitude).unwrap()
}

fn network(prefix: &str, at: Option<Point>, country: Option<&str>, pin: Option<u16>) -> Override {
    let fields = Fields { point: at, country: country.and_then(Code::parse), ..Fields::default() };
    Override { prefix: prefix.parse().unwrap(), fields, pin: pin.map(RegionId) }
}

fn table(overrides: Vec<Override>) -> PlaceTable {
    build(Inputs { overrides, ..Inputs::default() }).unwrap()
}

fn compiled(key: &PlanKey, table: &PlaceTable) -> Plan {
    Plan::compile(key, table, &Progress::default()).unwrap()
}

/// Regions on the equator at these longitudes, with these weights.
fn key(regions: &[(f64, f64)]) -> PlanKey {
    let candidate = |(index, (longitude, weight)): (usize, &(f64, f64))| {
        (RegionId(index as u16), point(0.0, *longitude), Weight::from_decimal(*weight).unwrap())
    };
    let candidates = regions.iter().enumerate().map(candidate).collect();
    PlanKey {
        geo: 0,
        candidates,
        order: OrderSpec::Nearest,
        rules: vec![],
        tiers: vec![],
        latencies: None,
        spread_m: 0,
        hashes_clients: false,
        sheds: false,
    }
}

/// The ranking for an address as text: bands parted by `|`.
fn ranking(key: &PlanKey, table: &PlaceTable, address: &str) -> String {
    let plan = compiled(key, table);
    let leaf = table.locate(address.parse().unwrap(), 128);
    let mut text = String::new();
    let mut band = 0;
    for entry in plan.ranking(leaf.place).iter() {
        text += match (text.is_empty(), entry.band == band) {
            (true, _) => "",
            (_, true) => "+",
            (_, false) => "|",
        };
        band = entry.band;
        text += &entry.candidate.to_string();
    }
    text
}

fn at_zero() -> PlaceTable {
    table(vec![network("198.18.1.0/24", Some(point(0.0, 0.0)), Some("GA"), None)])
}

#[test]
fn g2_the_nearest_is_first_also_across_the_antimeridian() {
    let table = table(vec![network("198.18.1.0/24", Some(point(0.0, 179.0)), None, None)]);
    assert_eq!(ranking(&key(&[(100.0, 1.0), (-170.0, 1.0), (170.0, 1.0)]), &table, "198.18.1.1"), "2|1|0");
}

#[test]
fn a_weight_of_two_pulls_clients_from_twice_as_far() {
    assert_eq!(ranking(&key(&[(10.0, 1.0), (19.0, 2.0)]), &at_zero(), "198.18.1.1"), "1|0");
    assert_eq!(ranking(&key(&[(10.0, 1.0), (21.0, 2.0)]), &at_zero(), "198.18.1.1"), "0|1");
}

#[test]
fn g3_equal_distance_is_one_band_and_spread_widens_it() {
    assert_eq!(ranking(&key(&[(10.0, 1.0), (-10.0, 1.0), (11.0, 1.0)]), &at_zero(), "198.18.1.1"), "0+1|2");
    let wide = PlanKey { spread_m: 120_000, ..key(&[(10.0, 1.0), (-10.0, 1.0), (11.0, 1.0)]) };
    assert_eq!(ranking(&wide, &at_zero(), "198.18.1.1"), "0+1+2");
}

#[test]
fn p1_weight_zero_stands_behind_all_others() {
    assert_eq!(ranking(&key(&[(1.0, 0.0), (50.0, 1.0), (2.0, 0.0)]), &at_zero(), "198.18.1.1"), "1|0|2");
}

#[test]
fn g1_unknown_clients_get_the_listed_order() {
    assert_eq!(ranking(&key(&[(50.0, 1.0), (1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]), &at_zero(), "192.88.98.1"), "0|1|3|2");
}

#[test]
fn any_is_one_band_of_all_whoever_asks() {
    let any = PlanKey { order: OrderSpec::Any, ..key(&[(50.0, 1.0), (1.0, 1.0), (2.0, 1.0)]) };
    assert_eq!(ranking(&any, &at_zero(), "198.18.1.1"), "0+1+2");
    assert_eq!(ranking(&any, &at_zero(), "9.9.9.9"), "0+1+2");
    assert!(compiled(&any, &at_zero()).scopes.is_empty());
}

#[test]
fn s4_priority_has_scope_zero_everywhere() {
    let priority = PlanKey { order: OrderSpec::Priority, ..key(&[(50.0, 1.0), (1.0, 1.0)]) };
    assert_eq!(ranking(&priority, &at_zero(), "198.18.1.1"), "0|1");
    let plan = compiled(&priority, &at_zero());
    assert_eq!(plan.ranking_count(), 1);
    assert_eq!(plan.scope(at_zero().locate("198.18.1.1".parse().unwrap(), 32)), 0);
}

#[test]
fn g4_all_regions_are_ranked_eight_by_order_and_the_rest_as_listed() {
    let regions: Vec<(f64, f64)> = (0..12).map(|index| (f64::from(40 - 3 * index), 1.0)).collect();
    // At longitude 0 the nearest is the one at 1 (index 13 would be); from there outwards in turn, then those left as listed.
    assert_eq!(ranking(&key(&regions), &at_zero(), "198.18.1.1"), "11|10|9|8|7|6|5|4|0|1|2|3");
    let with_standby: Vec<(f64, f64)> =
        regions.iter().enumerate().map(|(index, region)| (region.0, if index == 1 { 0.0 } else { 1.0 })).collect();
    assert_eq!(ranking(&key(&with_standby), &at_zero(), "198.18.1.1"), "11|10|9|8|7|6|5|4|0|2|3|1");
}

#[test]
fn a_pinned_region_comes_first_and_is_no_fence() {
    let table = table(vec![network("198.18.1.0/24", Some(point(0.0, 0.0)), None, Some(2))]);
    assert_eq!(ranking(&key(&[(1.0, 1.0), (10.0, 1.0), (50.0, 1.0)]), &table, "198.18.1.1"), "2|0|1");
}

#[test]
fn rules_prefer_and_fence_and_the_first_match_wins() {
    let rule = |action| Rule { when: When { countries: vec![Code::parse("GA").unwrap()], ..When::default() }, action };
    let regions = [(1.0, 1.0), (10.0, 1.0), (50.0, 1.0), (60.0, 1.0)];
    let prefer = PlanKey { rules: vec![rule(Action::Prefer(vec![RegionId(3), RegionId(1)]))], ..key(&regions) };
    assert_eq!(ranking(&prefer, &at_zero(), "198.18.1.1"), "3|1|0|2");
    let only = PlanKey { rules: vec![rule(Action::Only(vec![RegionId(3), RegionId(2)], Fence::Soft))], ..key(&regions) };
    assert_eq!(ranking(&only, &at_zero(), "198.18.1.1"), "2|3|0|1");
    let other =
        Rule { when: When { countries: vec![Code::parse("FR").unwrap()], ..When::default() }, action: Action::Prefer(vec![RegionId(0)]) };
    let both = PlanKey { rules: vec![other, rule(Action::Prefer(vec![RegionId(2)]))], ..key(&regions) };
    assert_eq!(ranking(&both, &at_zero(), "198.18.1.1"), "2|0|1|3");
}

#[test]
fn s1_the_scope_is_the_widest_network_with_one_ranking() {
    let (here, there) = (Some(point(0.0, 0.0)), Some(point(0.0, 100.0)));
    let table = table(vec![network("10.0.0.0/8", here, None, None), network("10.1.0.0/16", there, None, None)]);
    let plan = compiled(&key(&[(1.0, 1.0), (99.0, 1.0)]), &table);
    let scope = |address: &str| plan.scope(table.locate(address.parse().unwrap(), 32));
    assert_eq!([scope("10.1.7.7"), scope("10.0.7.7"), scope("10.2.7.7"), scope("10.200.7.7")], [16, 16, 15, 9]);
}

#[test]
fn equal_keys_give_equal_plans() {
    let key = key(&[(10.0, 1.0), (19.0, 2.0), (5.0, 0.0)]);
    assert_eq!(compiled(&key, &at_zero()), compiled(&key, &at_zero()));
}

#[test]
fn rules_on_networks_are_edges_of_the_scope() {
    let named: Prefix = "198.18.1.64/26".parse().unwrap();
    let inputs = Inputs {
        overrides: vec![network("198.18.0.0/16", Some(point(0.0, 0.0)), None, None)],
        named_prefixes: vec![named],
        ..Inputs::default()
    };
    let table = build(inputs).unwrap();
    let rule = Rule { when: When { networks: vec![named], ..When::default() }, action: Action::Prefer(vec![RegionId(1)]) };
    let key = PlanKey { rules: vec![rule], ..key(&[(1.0, 1.0), (10.0, 1.0)]) };
    assert_eq!(ranking(&key, &table, "198.18.1.65"), "1|0");
    assert_eq!(ranking(&key, &table, "198.18.1.63"), "0|1");
    let plan = compiled(&key, &table);
    assert_eq!(plan.scope(table.locate("198.18.1.65".parse().unwrap(), 32)), 26);
}

/// A fence around `inside` for clients in Gabon.
fn fenced(inside: &[u16], fence: Fence) -> Rule {
    let when = When { countries: vec![Code::parse("GA").unwrap()], ..When::default() };
    Rule { when, action: Action::Only(inside.iter().copied().map(RegionId).collect(), fence) }
}

fn hard(fallback: &str) -> Fence {
    Fence::Hard { fallback: vec![fallback.parse().unwrap()] }
}

#[test]
fn s6_a_hard_fence_is_never_left_and_a_pin_does_not_reach_over_it() {
    let regions = [(1.0, 1.0), (10.0, 1.0), (50.0, 0.0), (60.0, 1.0)];
    let key = PlanKey { rules: vec![fenced(&[3, 2, 1], hard("192.0.2.9"))], ..key(&regions) };
    assert_eq!(ranking(&key, &at_zero(), "198.18.1.1"), "1|3|2");
    assert_eq!(ranking(&key, &at_zero(), "9.9.9.9"), "0|1|3|2");
    let pinned = |pin| table(vec![network("198.18.1.0/24", Some(point(0.0, 0.0)), Some("GA"), Some(pin))]);
    assert_eq!(ranking(&key, &pinned(3), "198.18.1.1"), "3|1|2");
    assert_eq!(ranking(&key, &pinned(0), "198.18.1.1"), "1|3|2");
}

#[test]
fn s6_the_tail_of_a_hard_fence_stays_inside_as_well() {
    let regions: Vec<(f64, f64)> = (0..14).map(|index| (f64::from(index), 1.0)).collect();
    let inside: Vec<u16> = (2..13).collect();
    let key = PlanKey { rules: vec![fenced(&inside, hard("192.0.2.9"))], ..key(&regions) };
    assert_eq!(ranking(&key, &at_zero(), "198.18.1.1"), "2|3|4|5|6|7|8|9|10|11|12");
}

#[test]
fn s6_fences_with_other_fallback_addresses_are_not_one_scope() {
    let table = table(vec![
        network("10.0.0.0/9", Some(point(0.0, 0.0)), Some("GA"), None),
        network("10.128.0.0/9", Some(point(0.0, 0.0)), Some("FR"), None),
    ]);
    let france =
        |fallback| Rule { when: When { countries: vec![Code::parse("FR").unwrap()], ..When::default() }, ..fenced(&[0], hard(fallback)) };
    for (fallback, scope) in [("192.0.2.9", 8), ("192.0.2.10", 9)] {
        let key = PlanKey { rules: vec![fenced(&[0], hard("192.0.2.9")), france(fallback)], ..key(&[(1.0, 1.0), (2.0, 1.0)]) };
        let plan = compiled(&key, &table);
        let leaf = table.locate("10.200.0.1".parse().unwrap(), 32);
        assert_eq!(plan.scope(leaf), scope);
        assert_eq!(plan.ranking(leaf.place).fallback().unwrap(), [fallback.parse::<IpAddr>().unwrap()]);
    }
}

/// Scopes of two /24 that make up a /23, in Gabon and elsewhere, for so many regions, the last one nearest, and this rule for Gabon.
fn scopes_of_siblings(regions: usize, rule: Rule) -> [u8; 2] {
    let here = Some(point(0.0, 0.0));
    let table = table(vec![network("10.0.0.0/24", here, Some("GA"), None), network("10.0.1.0/24", here, Some("FR"), None)]);
    let regions: Vec<(f64, f64)> = (0..regions).rev().map(|longitude| (longitude as f64, 1.0)).collect();
    let plan = compiled(&PlanKey { rules: vec![rule], ..key(&regions) }, &table);
    ["10.0.0.1", "10.0.1.1"].map(|address| plan.scope(table.locate(address.parse().unwrap(), 32)))
}

#[test]
fn s1_a_fence_that_changes_no_ranking_parts_no_scopes() {
    // The head holds all candidates; the same follows it; another follows it; another head.
    let nearest: Vec<u16> = (6..14).collect();
    assert_eq!(scopes_of_siblings(2, fenced(&[1], Fence::Soft)), [23, 23]);
    assert_eq!(scopes_of_siblings(14, fenced(&nearest, Fence::Soft)), [23, 23]);
    assert_eq!(scopes_of_siblings(14, fenced(&[&nearest[..], &[5]].concat(), Fence::Soft)), [24, 24]);
    assert_eq!(scopes_of_siblings(2, fenced(&[0], Fence::Soft)), [24, 24]);
}

#[test]
fn s6_a_hard_fence_around_all_regions_still_has_its_own_fallback_addresses() {
    assert_eq!(scopes_of_siblings(2, fenced(&[0, 1], hard("192.0.2.9"))), [24, 24]);
}

/// The rule of DESIGN 3 spelled out, every candidate judged: bands of (candidates), best first, until eight are ranked.
fn plain_bands(key: &PlanKey, client: Point) -> Vec<Vec<u16>> {
    let mut bands: Vec<Vec<u16>> = Vec::new();
    for standby in [false, true] {
        let of_kind = |candidate: &u16| (key.candidates[usize::from(*candidate)].2 == Weight::ZERO) == standby;
        let mut waiting: Vec<u16> = (0..key.candidates.len() as u16).filter(of_kind).collect();
        let metres = |candidate: u16| crate::geo::distance_m(client, key.candidates[usize::from(candidate)].1);
        let score = |candidate: u16| {
            let weight = if standby { Weight::ONE } else { key.candidates[usize::from(candidate)].2 };
            f64::from(metres(candidate).max(1000)) / f64::from(weight.milli())
        };
        while !waiting.is_empty() && bands.iter().map(Vec::len).sum::<usize>() < RANKED_REGIONS {
            let best = waiting.iter().copied().min_by(|a, b| score(*a).total_cmp(&score(*b)).then(a.cmp(b))).unwrap();
            let shares = |candidate: &u16| *candidate == best || metres(*candidate).abs_diff(metres(best)) <= key.spread_m;
            let (band, rest) = waiting.into_iter().partition(shares);
            waiting = rest;
            bands.push(band);
        }
    }
    bands
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Coordinates with few digits, so that regions and clients meet, distances tie or differ by metres.
    fn anywhere() -> impl Strategy<Value = Point> {
        let coarse = (-6i32..=6, -12i32..=12).prop_map(|(north, east)| point(f64::from(north) * 15.0, f64::from(east) * 15.0));
        let metres_apart =
            (-40i32..=40, -40i32..=40).prop_map(|(north, east)| point(45.0 + f64::from(north) * 1e-5, f64::from(east) * 1e-3));
        prop_oneof![coarse, metres_apart, (-90.0..=90.0, -180.0..=180.0).prop_map(|(north, east)| point(north, east))]
    }

    proptest! {
        #[test]
        fn g4_passing_over_far_regions_changes_no_ranking(
            regions in prop::collection::vec((anywhere(), prop::sample::select(vec![0.0, 1.0, 1.0, 1.0, 0.5, 3.0])), 1..80),
            equal_weights: bool,
            spread_m in prop::sample::select(vec![0, 0, 0, 1, 500, 200_000, 3_000_000, 20_100_000]),
            client in anywhere(),
        ) {
            let candidate = |(index, (at, weight)): (usize, &(Point, f64))| {
                (RegionId(index as u16), *at, Weight::from_decimal(if equal_weights { 2.0 } else { *weight }).unwrap())
            };
            let candidates = regions.iter().enumerate().map(candidate).collect();
            let key = PlanKey { candidates, spread_m, ..key(&[]) };
            let table = table(vec![network("198.18.1.0/24", Some(client), None, None)]);
            let plan = compiled(&key, &table);
            let ranking = plan.ranking(table.locate("198.18.1.1".parse().unwrap(), 32).place);
            let mut bands: Vec<Vec<u16>> = Vec::new();
            for entry in ranking.head() {
                bands.resize(usize::from(entry.band) + 1, Vec::new());
                bands[usize::from(entry.band)].push(entry.candidate);
            }
            prop_assert_eq!(bands, plain_bands(&key, client));
            let mut all: Vec<u16> = ranking.iter().map(|entry| entry.candidate).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..regions.len() as u16).collect::<Vec<_>>());
        }
    }
}

/// More clients than one thread ranks: the plan is the one that a single thread would make.
#[test]
fn many_clients_are_ranked_on_all_cores_and_numbered_in_order() {
    let clients = 20_000;
    let at = |n: u32| point(f64::from(n % 120) - 60.0, f64::from(n * 7 % 36_000) / 100.0 - 180.0);
    let networks = (0..clients).map(|n| network(&format!("10.{}.{}.0/24", n >> 8, n & 255), Some(at(n)), None, None));
    let networks: Vec<Override> = networks.collect();
    let table = table(networks);
    let key = PlanKey { spread_m: 500_000, ..key(&[(0.0, 1.0), (40.0, 2.0), (90.0, 1.0), (-120.0, 0.5), (170.0, 0.0)]) };
    let plan = compiled(&key, &table);
    let mut ranker = head::Ranker::new(&key);
    let mut reader = PlaceReader::new(&key);
    let mut highest = 0;
    for (id, place) in table.places().enumerate() {
        let client = reader.read(&place);
        let ranking = plan.ranking(PlaceId(id as u32));
        assert_eq!(ranking.head(), ranker.head(&client, reader.measured(&client)), "{place:?}");
        let number = plan.ranking_id(PlaceId(id as u32));
        assert!(number <= highest, "a ranking has its number from its first client");
        highest = highest.max(number + 1);
    }
    assert!(highest > 10, "{highest} rankings");
    assert_eq!(compiled(&key, &table), plan);
}
