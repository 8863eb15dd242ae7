//! Scopes of a million addresses in made-up worlds: every address inside has the same ranking, and the next larger block has not.

use std::net::IpAddr;

use meridian::answer::{Outcome, Reason, Transport};
use meridian::geo::{Family, Prefix};

use crate::common::message::{ecs_octets, query};
use crate::common::random::{Draws, Random};
use crate::common::world::{PEER, World as Loaded};
use crate::judge::{Judge, Kind, embedded};
use crate::worlds::{World, client};

/// Worlds, each with four names.
const WORLDS: u64 = 100;

/// Addresses in all.
const ADDRESSES: usize = 1_000_000;

/// To which client networks are masked before they are hashed.
const FLOOR: [u8; 2] = [24, 56];

#[test]
fn s1_s2_the_scope_of_a_million_addresses_is_right_and_the_largest() {
    let mut seen = [0usize; 5];
    for seed in 0..WORLDS {
        let world = World::new(seed);
        let loaded = load(&world);
        for name in &world.names {
            let judge = Judge::new(&world, name, 0);
            if !judge.is_offered() {
                continue;
            }
            let mut random = Random::new(seed * 31 + name.label.len() as u64);
            let prefixes = world.prefixes();
            for _ in 0..ADDRESSES / (WORLDS as usize * world.names.len()) {
                let family = random.pick(&[Family::V4, Family::V6]);
                let client = client(&prefixes, family, &mut random);
                check(&judge, &loaded, &name.label, client)
                    .unwrap_or_else(|found| panic!("world {seed}, {}, {client}: {found}", name.label));
                let at = match (embedded(client), judge.verdict(client).kind) {
                    (Some(_), _) => 0,
                    (None, Kind::Located) => 1,
                    (None, Kind::Unknown) => 2,
                    (None, Kind::UsePeer) => 3,
                };
                seen[at] += 1;
                seen[4] += usize::from(judge.verdict(client).fenced);
            }
        }
    }
    println!("embedded, located, unknown, reserved, fenced: {seen:?}");
    assert!(seen.iter().all(|count| *count > ADDRESSES / 100), "{seen:?}");
}

/// The world as Meridian reads it, everything up but what is down by hand.
pub(crate) fn load(world: &World) -> Loaded {
    let files = world.written();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Loaded::of("geography", &files)
}

fn check(judge: &Judge<'_>, loaded: &Loaded, label: &str, client: IpAddr) -> Result<(), String> {
    let (outcome, scope) = ask(loaded, label, client);
    check_region(judge, loaded, client, &outcome)?;
    if outcome.reason == Reason::NoData || !judge.tells_apart() {
        return if scope == 0 { Ok(()) } else { Err(format!("scope {scope} instead of 0")) };
    }
    let (address, shift) = embedded(client).unwrap_or((client, 0));
    let floor = if judge.hashes() { FLOOR[usize::from(address.is_ipv6())] } else { 0 };
    let Some(length) = scope.checked_sub(shift) else { return Err(format!("scope {scope} covers IPv6 as well")) };
    if length < floor {
        return Err(format!("scope {scope} is under the hash floor {floor}"));
    }
    let block = Prefix::masked(address, length);
    if !judge.is_one(&block) {
        return Err(format!("{block} has more than one ranking"));
    }
    if length > floor && judge.is_one(&Prefix::masked(address, length - 1)) {
        return Err(format!("scope {scope} could be larger"));
    }
    Ok(())
}

/// The region is one of the first band that is not down by hand.
fn check_region(judge: &Judge<'_>, loaded: &Loaded, client: IpAddr, outcome: &Outcome) -> Result<(), String> {
    let own = judge.verdict(client);
    let verdict = if own.kind == Kind::UsePeer { judge.verdict(PEER) } else { own };
    let region = outcome.region.map(|id| usize::from(id.0));
    let is_up = |index: &usize| judge.is_up(*index);
    let wanted = verdict.bands.iter().find(|band| band.iter().any(is_up));
    match (wanted, region) {
        (Some(band), Some(region)) if band.contains(&region) && is_up(&region) => Ok(()),
        (None, None) => Ok(()),
        _ => Err(format!("{:?} ({:?}) instead of one of {:?}", loaded.region(outcome), outcome.reason, verdict.bands)),
    }
}

/// Asks with the whole address as client subnet; the outcome and the scope, which is the last octet but those of the address.
pub(crate) fn ask(loaded: &Loaded, label: &str, client: IpAddr) -> (Outcome, u8) {
    let length = Family::of(client).bits();
    let mut out = [0; 1232];
    let question = query(&format!("{label}.example.com"), "A").ecs(client, length);
    let outcome = loaded.answer_into(PEER, Transport::Udp, &question.octets(), &mut out);
    (outcome, out[outcome.len - ecs_octets(client, length).len() + 3])
}
