//! Who moves when something changes: nobody by the order of a file or a second run, and by a region lost or added only its own clients (P8).

use std::collections::BTreeMap;
use std::net::IpAddr;

use meridian::config::compile::{Compiled, Earlier};
use meridian::daemon::prepare;
use meridian::geo::Family;

use crate::common::folder::Folder;
use crate::common::message::query;
use crate::common::random::{Draws, Random};
use crate::common::world::World as Loaded;
use crate::judge::{Judge, Kind, embedded};
use crate::scopes::load;
use crate::worlds::{World, client};

const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords:\n  any: {steer: {service: web, order: any}}\n  near: {steer: {service: web, spread: 20000km}}\n";

/// Regions by number with their weights, in this order.
fn shared(regions: &[(usize, f64)]) -> Loaded {
    let region = |(n, weight): &(usize, f64)| {
        format!("  r{n}: {{location: {{latitude: {n}, longitude: {}}}, weight: {weight}, services: {{web: 192.0.2.{}}}}}\n", n * 7, n + 1)
    };
    let regions: String = regions.iter().map(region).collect();
    let server = "version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: zone.yaml\n";
    Loaded::of("moves", &[("meridian.yaml", server), ("regions.yaml", &format!("regions:\n{regions}")), ("zone.yaml", ZONE)])
}

/// The region of 4,096 client networks.
fn regions_of(loaded: &Loaded, name: &str) -> BTreeMap<IpAddr, String> {
    let client = |n: u32| IpAddr::from([80, (n >> 8) as u8, n as u8, 0]);
    let ask = |client: IpAddr| {
        let (outcome, _) = loaded.ask(&query(&format!("{name}.example.com"), "A").ecs(client, 24));
        (client, loaded.region(&outcome).unwrap().to_owned())
    };
    (0..4096).map(|n| ask(client(n))).collect()
}

#[test]
fn p8_a_region_that_goes_moves_exactly_its_clients_and_one_that_comes_moves_clients_only_to_it() {
    let all = [(1, 1.0), (2, 2.0), (3, 1.0), (4, 0.5), (5, 3.0)];
    let with_all = shared(&all);
    for name in ["any", "near"] {
        let whole = regions_of(&with_all, name);
        for lost in 0..all.len() {
            // The others in another order: names count, not places in a file.
            let mut others: Vec<(usize, f64)> =
                all.iter().copied().enumerate().filter(|(at, _)| *at != lost).map(|(_, region)| region).collect();
            others.reverse();
            let gone = format!("r{}", all[lost].0);
            let fewer = regions_of(&shared(&others), name);
            let moved: Vec<_> = whole.iter().filter(|(client, region)| fewer[*client] != **region).collect();
            assert!(!moved.is_empty() && moved.iter().all(|(_, region)| **region == gone), "{name} without {gone}");
            assert_eq!(moved.len(), whole.values().filter(|region| **region == gone).count(), "{name} without {gone}");
        }
    }
}

#[test]
fn p8_a_region_that_is_down_moves_the_same_clients_as_one_that_is_gone() {
    let mut loaded = shared(&[(1, 1.0), (2, 2.0), (3, 1.0)]);
    loaded.down(&["r2"]);
    assert_eq!(regions_of(&loaded, "any"), regions_of(&shared(&[(3, 1.0), (1, 1.0)]), "any"));
}

#[test]
fn the_order_of_the_region_file_moves_no_client_but_for_ties_and_unknown_places() {
    let mut compared = 0;
    for seed in 2000..2030 {
        let world = World::new(seed);
        let mut random = Random::new(seed);
        let mut order: Vec<usize> = (0..world.regions.len()).collect();
        (0..order.len()).for_each(|at| order.swap(at, random.below(world.regions.len())));
        let (here, there) = (load(&world), shuffled(&world, &order));
        let prefixes = world.prefixes();
        for name in &world.names {
            let judge = Judge::new(&world, name, 0);
            for _ in 0..if judge.is_offered() { 100 } else { 0 } {
                let family = random.pick(&[Family::V4, Family::V6]);
                let client = client(&prefixes, family, &mut random);
                let located = judge.verdict(client).kind == Kind::Located
                    && embedded(client).is_none_or(|(v4, _)| judge.verdict(v4).kind == Kind::Located);
                if !located {
                    continue;
                }
                let question = query(&format!("{}.example.com", name.label), "A").ecs(client, family.bits());
                let ((one, reply), (other, again)) = (here.ask(&question), there.ask(&question));
                assert_eq!(here.region(&one), there.region(&other), "world {seed}, {} for {client}", name.label);
                assert_eq!((reply.addresses(), reply.scope(), reply.ttl()), (again.addresses(), again.scope(), again.ttl()));
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

/// The same world with the lines of its region file in another order.
fn shuffled(world: &World, order: &[usize]) -> Loaded {
    let mut files = world.written();
    let (_, regions) = files.iter_mut().find(|(name, _)| name == "regions.yaml").unwrap();
    let lines: Vec<String> = regions.lines().skip(1).map(str::to_owned).collect();
    let lines: Vec<&str> = order.iter().map(|index| lines[*index].as_str()).collect();
    *regions = format!("regions:\n{}\n", lines.join("\n"));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Loaded::of("shuffled", &files)
}

#[test]
fn two_loads_of_the_same_files_give_the_same_plans_to_the_last_bit() {
    for seed in 3000..3010 {
        let files = World::new(seed).written();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (here, there) = (Folder::with("one", &files), Folder::with("two", &files));
        let load = |folder: &Folder, earlier: Option<&Earlier>| {
            prepare(&folder.join("meridian.yaml"), earlier).unwrap_or_else(|found| panic!("{found}")).compiled
        };
        let (one, two) = (load(&here, None), load(&there, None));
        assert_eq!(texts(&one), texts(&two), "world {seed}");
        assert_eq!(one.catalog.table.generation(), two.catalog.table.generation());
        // A reload of the same files shares them.
        let again = load(&here, Some(&Earlier::of(&one)));
        let plans = |compiled: &Compiled| {
            compiled
                .catalog
                .steerings
                .iter()
                .flat_map(|steering| steering.families.iter().flatten())
                .map(|family| std::sync::Arc::as_ptr(&family.plan))
                .collect::<Vec<_>>()
        };
        assert_eq!(plans(&one), plans(&again), "world {seed}");
    }
}

/// Every plan, whole.
fn texts(compiled: &Compiled) -> Vec<String> {
    let families = compiled.catalog.steerings.iter().flat_map(|steering| steering.families.iter().flatten());
    families.map(|family| format!("{:?} {}", family.plan, family.hashes_clients)).collect()
}
