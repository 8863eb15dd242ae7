//! Plans: a steering compiled to two arrays over the place table, place -> ranking and range -> scope length.
//! Everything that depends on the client's network only is worked out here, at load; health never enters, so a failover changes no scope.

use std::collections::HashMap;

use super::Weight;
use super::order::{self, OrderSpec};
use super::rule::{Action, Rule};
use crate::geo::{Kind, Leaf, Place, PlaceId, PlaceTable, Point, RegionId};

/// Whole bands are ranked, best first, until this many regions are (BEHAVIOUR G4); the rest follow as listed.
/// Eight regions down at once is beyond what nearness can still help with, and rankings stay few and short.
pub const RANKED_REGIONS: usize = 8;

/// Everything that a plan depends on. Names with equal keys share one plan, across reloads too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlanKey {
    /// [`PlaceTable::generation`] of the table that the plan lies over.
    pub geo: u64,
    /// Regions that have the address family, in listed order, with the weight that they have for this name.
    pub candidates: Vec<(RegionId, Point, Weight)>,
    /// How they are ordered.
    pub order: OrderSpec,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// Width of a band in metres.
    pub spread_m: u32,
    /// Whether the client's own network may enter the answer beside its ranking (sticky, share by hash).
    pub hashes_clients: bool,
}

/// Why a region stands where it stands in a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// `order` put it there.
    Order,
    /// `networks: {region: X}`.
    Pinned,
    /// `prefer:` of the rule with this index.
    Preferred(u16),
    /// `only:` of the rule with this index: inside the fence.
    Inside(u16),
    /// Outside that fence: used when all inside is out.
    Outside(u16),
    /// Listed order: the place is unknown, or eight regions were ranked already.
    Listed,
    /// Weight 0: behind all others.
    Standby,
}

/// One region of a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Index into the candidates.
    pub candidate: u16,
    /// Regions of equal band share their clients; bands count from 0.
    pub band: u16,
    /// Why it stands here.
    pub why: Why,
}

/// A compiled steering of one address family.
///
/// A ranking is a head, stored where it differs, and a tail, which many rankings share: with a thousand regions
/// only the nearest few are stored for each place.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    entries: Box<[Entry]>,
    /// The head of ranking r is `entries[starts[r]..starts[r + 1]]`.
    starts: Box<[u32]>,
    /// Which of `tails` follows the head of each ranking.
    tail_of: Box<[u16]>,
    /// All candidates in the order in which they follow a head (those in the head are passed over): the first as listed,
    /// then one for each rule with a fence.
    tails: Box<[Box<[u16]>]>,
    by_place: Box<[u32]>,
    /// By range; empty where no answer depends on the client.
    scopes: Box<[u8]>,
    has_shared_bands: bool,
}

impl Plan {
    /// Compiles a key over its table. The same inputs give the same plan, bit for bit.
    pub fn compile(key: &PlanKey, table: &PlaceTable) -> Plan {
        let tails = Tails::of(key);
        let (mut entries, mut starts, mut tail_of) = (Vec::new(), vec![0], Vec::new());
        let mut interned: HashMap<Interned, u32> = HashMap::new();
        let mut ranked: HashMap<Ingredients, u32> = HashMap::new();
        let mut ranking_of = |ingredients: &Ingredients| {
            let ranking = Interned { head: head(key, ingredients), tail: tails.after(ingredients.rule) };
            *interned.entry(ranking).or_insert_with_key(|ranking| {
                entries.extend_from_slice(&ranking.head);
                starts.push(entries.len() as u32);
                tail_of.push(ranking.tail);
                tail_of.len() as u32 - 1
            })
        };
        let ranking_of_place = |place| *ranked.entry(Ingredients::of(key, place)).or_insert_with_key(&mut ranking_of);
        let by_place: Box<[u32]> = table.places().iter().map(ranking_of_place).collect();

        let has_shared_bands = interned.keys().any(|ranking| ranking.head.windows(2).any(|pair| pair[0].band == pair[1].band));
        let orders = distinct_orders(&interned);
        // An answer that is the same for every client has scope 0 (BEHAVIOUR S4), and whether the peer stands in for one does not matter.
        let tells_clients_apart = key.hashes_clients || orders.iter().any(|order| *order > 0);
        let scope_key = |place: PlaceId| (orders[by_place[place.0 as usize] as usize], table.kind(place));
        let scopes = if tells_clients_apart { table.scopes(scope_key) } else { Box::default() };
        let tails = tails.orders.into_iter().map(Vec::into_boxed_slice).collect();
        Plan { entries: entries.into(), starts: starts.into(), tail_of: tail_of.into(), tails, by_place, scopes, has_shared_bands }
    }

    /// The ranking for a place: all candidates, best first, each once.
    #[inline]
    pub fn ranking(&self, place: PlaceId) -> Ranking<'_> {
        Ranking { plan: self, id: self.by_place[place.0 as usize] }
    }

    /// The id of a place's ranking, equal for equal rankings of this plan.
    pub fn ranking_id(&self, place: PlaceId) -> u32 {
        self.by_place[place.0 as usize]
    }

    /// Length of the largest network around a leaf's range on which ranking and kind are constant (BEHAVIOUR S1).
    pub fn scope(&self, leaf: Leaf) -> u8 {
        self.scopes.get(leaf.range.0 as usize).copied().unwrap_or(0)
    }

    /// Whether the place of a client, or its own network, enters the answer.
    pub fn tells_clients_apart(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// How many different rankings there are.
    pub fn ranking_count(&self) -> usize {
        self.tail_of.len()
    }

    /// Whether clients are shared among several regions anywhere.
    pub fn has_shared_bands(&self) -> bool {
        self.has_shared_bands
    }

    /// Memory that the plan holds, in octets.
    pub fn memory_bytes(&self) -> usize {
        let tails: usize = self.tails.iter().map(|tail| size_of_val(&**tail)).sum();
        let rankings = size_of_val(&*self.entries) + size_of_val(&*self.starts) + size_of_val(&*self.tail_of);
        rankings + tails + size_of_val(&*self.by_place) + size_of_val(&*self.scopes)
    }
}

/// A ranking while it is interned: its head, and which tail follows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Interned {
    head: Vec<Entry>,
    tail: u16,
}

/// For each ranking a number that is equal where candidates and bands are, whatever put them there: what a scope must hold constant.
fn distinct_orders(rankings: &HashMap<Interned, u32>) -> Vec<u32> {
    let mut numbers = vec![0; rankings.len()];
    let mut by_id: Vec<(&u32, &Interned)> = rankings.iter().map(|(ranking, id)| (id, ranking)).collect();
    by_id.sort_by_key(|(id, _)| **id);
    let mut known: HashMap<(Vec<(u16, u16)>, u16), u32> = HashMap::new();
    for (id, ranking) in by_id {
        let bands = ranking.head.iter().map(|entry| (entry.candidate, entry.band)).collect();
        let next = known.len() as u32;
        numbers[*id as usize] = *known.entry((bands, ranking.tail)).or_insert(next);
    }
    numbers
}

/// The order of all candidates for one client.
#[derive(Debug, Clone, Copy)]
pub struct Ranking<'p> {
    plan: &'p Plan,
    id: u32,
}

impl<'p> Ranking<'p> {
    /// The regions that are ranked for the place, best first; those of one band follow one another. All that most questions need.
    #[inline]
    pub fn head(self) -> &'p [Entry] {
        let at = |ranking: u32| self.plan.starts[ranking as usize] as usize;
        &self.plan.entries[at(self.id)..at(self.id + 1)]
    }

    /// Those that follow when all of the head is out, each its own band.
    #[cold]
    pub fn tail(self) -> impl Iterator<Item = Entry> + 'p {
        let head = self.head();
        let next_band = head.last().map_or(0, |entry| entry.band + 1);
        let order = &self.plan.tails[usize::from(self.plan.tail_of[self.id as usize])];
        let behind = order.iter().filter(move |candidate| head.iter().all(|entry| entry.candidate != **candidate));
        (next_band..).zip(behind).map(|(band, candidate)| Entry { candidate: *candidate, band, why: Why::Listed })
    }

    /// All candidates, best first.
    pub fn iter(self) -> impl Iterator<Item = Entry> + 'p {
        self.head().iter().copied().chain(self.tail())
    }
}

/// What follows the head of a ranking when all of it is out.
struct Tails {
    orders: Vec<Vec<u16>>,
    by_rule: Vec<u16>,
}

impl Tails {
    fn of(key: &PlanKey) -> Tails {
        let listed = |inside: &dyn Fn(RegionId) -> bool| {
            let mut order: Vec<u16> = (0..key.candidates.len() as u16).collect();
            order.sort_by_key(|candidate| {
                let (region, _, weight) = key.candidates[usize::from(*candidate)];
                (!inside(region), weight == Weight::ZERO)
            });
            order
        };
        let mut tails = Tails { orders: vec![listed(&|_| true)], by_rule: Vec::new() };
        for rule in &key.rules {
            let tail = match &rule.action {
                Action::Prefer(_) => 0,
                Action::Only(regions) => {
                    let order = listed(&|region| regions.contains(&region));
                    tails.number(order)
                }
            };
            tails.by_rule.push(tail);
        }
        tails
    }

    /// Equal orders have one number.
    fn number(&mut self, order: Vec<u16>) -> u16 {
        let known = self.orders.iter().position(|known| *known == order);
        known.unwrap_or_else(|| {
            self.orders.push(order);
            self.orders.len() - 1
        }) as u16
    }

    fn after(&self, rule: Option<u16>) -> u16 {
        rule.map_or(0, |rule| self.by_rule[usize::from(rule)])
    }
}

/// What of a place enters its ranking: equal ingredients are ranked once.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ingredients {
    point: Option<Point>,
    pin: Option<RegionId>,
    rule: Option<u16>,
}

impl Ingredients {
    fn of(key: &PlanKey, place: &Place) -> Ingredients {
        let usable = place.kind != Kind::UsePeer;
        Ingredients {
            point: place.point.filter(|_| usable && key.order.policy().uses_place()),
            pin: place.pin.filter(|pin| key.candidates.iter().any(|(region, ..)| region == pin)),
            rule: key.rules.iter().position(|rule| usable && rule.when.matches(place)).map(|index| index as u16),
        }
    }
}

/// The regions that are ranked for this client, best first.
fn head(key: &PlanKey, client: &Ingredients) -> Vec<Entry> {
    let mut head = Head { key, point: client.point, entries: Vec::new(), next_band: 0 };
    if let Some(pin) = client.pin {
        head.push_listed(&[pin], Why::Pinned);
    }
    match client.rule.map(|index| (index, &key.rules[usize::from(index)].action)) {
        Some((index, Action::Prefer(regions))) => head.push_listed(regions, Why::Preferred(index)),
        Some((index, Action::Only(regions))) => {
            head.push_ordered(|region| regions.contains(&region), Some(Why::Inside(index)));
            head.push_ordered(|_| true, Some(Why::Outside(index)));
        }
        None => {}
    }
    head.push_ordered(|_| true, None);
    head.entries
}

/// The head of a ranking under construction.
struct Head<'k> {
    key: &'k PlanKey,
    point: Option<Point>,
    entries: Vec<Entry>,
    next_band: u16,
}

/// A candidate with what its order said of it.
struct Scored {
    candidate: u16,
    judged: order::Judged,
}

impl Head<'_> {
    fn is_ranked(&self, candidate: u16) -> bool {
        self.entries.iter().any(|entry| entry.candidate == candidate)
    }

    fn push_band(&mut self, candidates: &[u16], why: Why) {
        let band = self.next_band;
        self.entries.extend(candidates.iter().map(|candidate| Entry { candidate: *candidate, band, why }));
        self.next_band += 1;
    }

    /// Those of `regions` that are candidates, in this order, each its own band.
    fn push_listed(&mut self, regions: &[RegionId], why: Why) {
        for wanted in regions {
            let candidate = self.key.candidates.iter().position(|(region, ..)| region == wanted).map(|index| index as u16);
            if let Some(candidate) = candidate.filter(|candidate| !self.is_ranked(*candidate)) {
                self.push_band(&[candidate], why);
            }
        }
    }

    /// The candidates that are not ranked yet and that `include` admits: positive weights first, standby regions behind them.
    fn push_ordered(&mut self, include: impl Fn(RegionId) -> bool, why: Option<Why>) {
        for standby in [false, true] {
            let waiting: Vec<u16> = (0..self.key.candidates.len() as u16)
                .filter(|candidate| {
                    let (region, _, weight) = self.key.candidates[usize::from(*candidate)];
                    (weight == Weight::ZERO) == standby && include(region) && !self.is_ranked(*candidate)
                })
                .collect();
            let why = if standby { Some(Why::Standby) } else { why };
            self.push_bands(self.scored(&waiting), why);
        }
    }

    /// Judged by the order, best first; standby regions as of weight 1. Ties keep the listed order.
    fn scored(&self, waiting: &[u16]) -> Vec<Scored> {
        let policy = self.key.order.policy();
        let judge = |candidate: &u16| {
            let (_, point, weight) = self.key.candidates[usize::from(*candidate)];
            let weight = if weight == Weight::ZERO { Weight::ONE } else { weight };
            let judged = policy.judge(self.point, usize::from(*candidate), &order::Candidate { point, weight });
            Scored { candidate: *candidate, judged }
        };
        let mut scored: Vec<Scored> = waiting.iter().map(judge).collect();
        scored.sort_by(|a, b| a.judged.score.total_cmp(&b.judged.score));
        scored
    }

    /// Whole bands, best first, until enough regions are ranked.
    fn push_bands(&mut self, mut waiting: Vec<Scored>, why: Option<Why>) {
        let in_the_dark = self.point.is_none() && self.key.order.policy().uses_place();
        let why = why.unwrap_or(if in_the_dark { Why::Listed } else { Why::Order });
        while !waiting.is_empty() && self.entries.len() < RANKED_REGIONS {
            let best = waiting.remove(0);
            let near = |scored: &mut Scored| match (best.judged.measure, scored.judged.measure) {
                (Some(best), Some(measure)) => best.abs_diff(measure) <= u64::from(self.key.spread_m),
                _ => false,
            };
            let others: Vec<u16> = waiting.extract_if(.., near).map(|scored| scored.candidate).collect();
            self.push_band(&[&[best.candidate], &others[..]].concat(), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Code, Fields, Inputs, Override, Prefix, build};
    use crate::steer::rule::When;

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

    /// Regions on the equator at these longitudes, with these weights.
    fn key(regions: &[(f64, f64)]) -> PlanKey {
        let candidate = |(index, (longitude, weight)): (usize, &(f64, f64))| {
            (RegionId(index as u16), point(0.0, *longitude), Weight::from_decimal(*weight).unwrap())
        };
        let candidates = regions.iter().enumerate().map(candidate).collect();
        PlanKey { geo: 0, candidates, order: OrderSpec::Nearest, rules: vec![], spread_m: 0, hashes_clients: false }
    }

    /// The ranking for an address as text: bands parted by `|`.
    fn ranking(key: &PlanKey, table: &PlaceTable, address: &str) -> String {
        let plan = Plan::compile(key, table);
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
        assert!(Plan::compile(&any, &at_zero()).scopes.is_empty());
    }

    #[test]
    fn s4_priority_has_scope_zero_everywhere() {
        let priority = PlanKey { order: OrderSpec::Priority, ..key(&[(50.0, 1.0), (1.0, 1.0)]) };
        assert_eq!(ranking(&priority, &at_zero(), "198.18.1.1"), "0|1");
        let plan = Plan::compile(&priority, &at_zero());
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
        let only = PlanKey { rules: vec![rule(Action::Only(vec![RegionId(3), RegionId(2)]))], ..key(&regions) };
        assert_eq!(ranking(&only, &at_zero(), "198.18.1.1"), "2|3|0|1");
        let other = Rule {
            when: When { countries: vec![Code::parse("FR").unwrap()], ..When::default() },
            action: Action::Prefer(vec![RegionId(0)]),
        };
        let both = PlanKey { rules: vec![other, rule(Action::Prefer(vec![RegionId(2)]))], ..key(&regions) };
        assert_eq!(ranking(&both, &at_zero(), "198.18.1.1"), "2|0|1|3");
    }

    #[test]
    fn s1_the_scope_is_the_widest_network_with_one_ranking() {
        let (here, there) = (Some(point(0.0, 0.0)), Some(point(0.0, 100.0)));
        let table = table(vec![network("10.0.0.0/8", here, None, None), network("10.1.0.0/16", there, None, None)]);
        let plan = Plan::compile(&key(&[(1.0, 1.0), (99.0, 1.0)]), &table);
        let scope = |address: &str| plan.scope(table.locate(address.parse().unwrap(), 32));
        assert_eq!([scope("10.1.7.7"), scope("10.0.7.7"), scope("10.2.7.7"), scope("10.200.7.7")], [16, 16, 15, 9]);
    }

    #[test]
    fn equal_keys_give_equal_plans() {
        let key = key(&[(10.0, 1.0), (19.0, 2.0), (5.0, 0.0)]);
        assert_eq!(Plan::compile(&key, &at_zero()), Plan::compile(&key, &at_zero()));
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
        let plan = Plan::compile(&key, &table);
        assert_eq!(plan.scope(table.locate("198.18.1.65".parse().unwrap(), 32)), 26);
    }
}
