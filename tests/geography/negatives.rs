//! BEHAVIOUR S6: whether an answer is negative never depends on the client, whatever is configured and whatever is down.

use std::net::IpAddr;

use meridian::geo::Family;

use crate::common::message::{Reply, query};
use crate::common::random::{Draws, Random};
use crate::common::world::PEER;
use crate::scopes::load;
use crate::worlds::{World, client};

const WORLDS: u64 = 120;

/// States of health for each world.
const STATES: usize = 4;

/// Clients for each question.
const CLIENTS: usize = 12;

/// What must be the same for everyone: whether there are addresses, the code and, of a negative answer, all of its authority section.
type Outside = (bool, u16, Vec<String>);

#[test]
fn s6_no_negative_answer_depends_on_the_client_or_has_a_scope() {
    let (mut negative, mut positive, mut fallback) = (0, 0, 0);
    for seed in 1000..1000 + WORLDS {
        let world = World::new(seed);
        let mut loaded = load(&world);
        let mut random = Random::new(seed);
        let prefixes = world.prefixes();
        for _ in 0..STATES {
            // None, a half, three quarters, or all of the endpoints.
            let (state, down) = (random.next(), random.pick(&[0, 2, 3, 4]));
            loaded.measure(|endpoint| draw(state, &endpoint.address.to_string()) % 4 < down);
            for name in &world.names {
                for qtype in ["A", "AAAA", "TXT"] {
                    let label = if random.one_in(2) { name.label.clone() } else { format!("{}-alias", name.label) };
                    let mut first: Option<(Outside, String)> = None;
                    for turn in 0..CLIENTS {
                        let family = random.pick(&[Family::V4, Family::V6]);
                        let client = client(&prefixes, family, &mut random);
                        let (reply, who) = ask(&loaded, &label, qtype, client, turn, &mut random);
                        let is_negative = reply.addresses().is_empty();
                        let of_all = (is_negative, reply.rcode(), if is_negative { reply.authorities() } else { Vec::new() });
                        if is_negative {
                            assert_eq!(reply.scope().unwrap_or(0), 0, "world {seed}: {label} {qtype} for {who}");
                            assert!(reply.soa_ttl().is_some(), "world {seed}: {label} {qtype} for {who}");
                        }
                        negative += usize::from(is_negative);
                        positive += usize::from(!is_negative);
                        fallback += usize::from(
                            reply
                                .addresses()
                                .iter()
                                .any(|address| ["198.51.100.99", "2001:db8:ffff::99"].contains(&address.to_string().as_str())),
                        );
                        match &first {
                            None => first = Some((of_all, who)),
                            Some((wanted, other)) => assert_eq!(of_all, *wanted, "world {seed}: {label} {qtype} for {who} and for {other}"),
                        }
                    }
                }
            }
        }
    }
    println!("{negative} negative, {positive} positive answers, {fallback} of them from behind a fence");
    assert!(negative > 10_000 && positive > 10_000 && fallback > 20, "{negative} {positive} {fallback}");
}

/// A number for a text, in this state of the world.
fn draw(state: u64, text: &str) -> u64 {
    text.bytes().fold(state, |drawn, octet| Random::new(drawn ^ Random::new(octet.into()).next()).next())
}

/// Asks as one of many: with a client subnet of any length, with one that says nothing, without one, from any peer.
fn ask(
    loaded: &crate::common::world::World,
    label: &str,
    qtype: &str,
    client: IpAddr,
    turn: usize,
    random: &mut Random,
) -> (Reply, String) {
    let question = query(&format!("{label}.example.com"), qtype);
    let width = usize::from(Family::of(client).bits());
    let (peer, question, who) = match turn {
        0 => (client, question, format!("the peer {client}")),
        1 => (client, question.ecs(client, 0), format!("the peer {client} with an empty subnet")),
        _ => {
            let length = if random.one_in(2) { width } else { random.below(width + 1) } as u8;
            (PEER, question.ecs(client, length), format!("{client}/{length}"))
        }
    };
    (loaded.ask_from(peer, &question).1, who)
}
