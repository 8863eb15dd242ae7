//! E1 to E7 and S4 to S7: the client subnet option (RFC 7871), what it does and how it is given back.

use std::net::IpAddr;

use super::common::message::{OPTION_ECS, Reply, query};
use super::common::world::World;
use super::house::{BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVER, ask, everywhere, world_of};

const EU: &str = "192.0.2.20";
const US: &str = "192.0.2.10";
const AP: &str = "192.0.2.30";

fn addresses(reply: &Reply) -> Vec<String> {
    reply.addresses().iter().map(IpAddr::to_string).collect()
}

#[test]
fn e1_malformed_options_are_formerr_with_question_and_opt_and_without_the_option() {
    let malformed: [(&str, &[u8]); 16] = [
        ("empty", &[]),
        ("one octet", &[0]),
        ("under four octets", &[0, 1, 24]),
        ("address too short", &[0, 1, 24, 0, 10, 1]),
        ("address too long", &[0, 1, 24, 0, 10, 1, 0, 0]),
        ("address missing", &[0, 1, 8, 0]),
        ("host bits in the last octet", &[0, 1, 23, 0, 10, 1, 1]),
        ("host bits, one bit", &[0, 1, 31, 0, 10, 1, 1, 1]),
        ("source over 32", &[0, 1, 33, 0, 10, 1, 0, 0, 0]),
        ("source over 128", &[0, 2, 129, 0, 32, 1, 13, 184, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("host bits in IPv6", &[0, 2, 47, 0, 32, 1, 13, 184, 0, 1]),
        ("scope in a query", &[0, 1, 24, 24, 10, 1, 0]),
        ("scope and no source", &[0, 1, 0, 1]),
        ("unknown family", &[0, 3, 8, 0, 10]),
        ("family 0 with a source", &[0, 0, 8, 0, 10]),
        ("address without a source", &[0, 1, 0, 0, 10]),
    ];
    for (what, option) in malformed {
        for name in ["www.example.com", "static.example.com", "no.such.example.com", "www.example.net"] {
            let reply = ask(&query(name, "A").option(OPTION_ECS, option));
            assert_eq!(reply.rcode(), FORMERR, "{what} at {name}");
            assert!(!reply.question().is_empty() && reply.message.edns.is_some(), "{what} at {name}");
            assert!(reply.option(OPTION_ECS).is_none() && reply.answers().is_empty(), "{what} at {name}");
        }
    }
}

#[test]
fn e2_of_two_options_the_first_counts() {
    let (eu, ap, broken): (&[u8], &[u8], &[u8]) = (&[0, 1, 16, 0, 10, 1], &[0, 1, 16, 0, 10, 3], &[0, 1, 99, 7]);
    for (first, second, expected) in [(eu, ap, EU), (ap, eu, AP), (ap, broken, AP)] {
        let reply = ask(&query("www.example.com", "A").option(OPTION_ECS, first).option(OPTION_ECS, second));
        assert_eq!(addresses(&reply), [expected]);
        let echoed = reply.option(OPTION_ECS).unwrap();
        assert_eq!((&echoed[..3], &echoed[4..]), (&first[..3], &first[4..]), "the first is echoed");
        let both = reply.message.edns.as_ref().unwrap().options().options.len();
        assert_eq!(both, 1, "and only the first");
    }
    let reply = ask(&query("www.example.com", "A").option(OPTION_ECS, broken).option(OPTION_ECS, eu));
    assert_eq!(reply.rcode(), FORMERR, "the first is the one that is judged");
}

#[test]
fn e3_zero_source_prefix_locates_the_peer() {
    // 0.0.0.0 and :: are near `ap` by an override, the peers near `eu`: whoever looks up the zero address gives himself away.
    for option in [[0, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 9, 0, 0]] {
        let reply = ask(&query("www.example.com", "A").option(OPTION_ECS, &option));
        assert_eq!(addresses(&reply), [EU], "{option:?}");
        assert_eq!(reply.option(OPTION_ECS).as_deref(), Some(&option[..]), "echoed with scope 0");
    }
    assert_eq!(addresses(&ask(&query("www.example.com", "A").subnet("0.0.0.0/32"))), [AP], "the address itself can be asked for");
}

#[test]
fn e4_no_option_without_one_and_no_opt_without_one() {
    for name in ["www.example.com", "static.example.com", "no.such.example.com", "www.example.net", "host.deleg.example.com"] {
        let plain = ask(&query(name, "A"));
        assert!(plain.message.edns.is_none(), "{name}");
        let edns = ask(&query(name, "A").edns(1400));
        assert!(edns.message.edns.is_some() && edns.option(OPTION_ECS).is_none(), "{name}");
        assert_eq!(edns.message.edns.as_ref().unwrap().max_payload(), 1232, "what OPT says of us (`udp_size`)");
    }
    assert_eq!(addresses(&ask(&query("www.example.com", "A"))), [EU], "without the option the peer is the client");
}

#[test]
fn e5_family_source_and_address_are_echoed_exactly() {
    let subnets = [
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.3/32",
        "10.0.0.0/9",
        "10.128.0.0/9",
        "10.1.2.128/25",
        "2001:db8:1::/48",
        "2001:db8:1:80::/57",
    ];
    for subnet in subnets.into_iter().chain(["2001:db8:1::1/128", "2000::/3", "8000::/1", "::/1"]) {
        let asked = query("www.example.com", "A").subnet(subnet);
        let sent = &asked.octets()[asked.octets().len() - 4 - subnet_octets(subnet)..];
        let reply = ask(&asked);
        let echoed = reply.option(OPTION_ECS).unwrap();
        assert_eq!((&echoed[..3], &echoed[4..]), (&sent[..3], &sent[4..]), "{subnet}");
        assert!(echoed[3] > 0, "{subnet}: an answer that depends on the client");
    }
}

fn subnet_octets(text: &str) -> usize {
    text.split_once('/').unwrap().1.parse::<usize>().unwrap().div_ceil(8)
}

#[test]
fn e5_what_does_not_depend_on_the_client_is_echoed_with_scope_0() {
    let cases = [
        ("static.example.com", "A", NOERROR),
        ("example.com", "SOA", NOERROR),
        ("www.example.com", "TXT", NOERROR),
        ("www.example.com", "MX", NOERROR),
        ("v4.example.com", "AAAA", NOERROR),
        ("static.example.com", "AAAA", NOERROR),
        ("b.ent.example.com", "A", NOERROR),
        ("no.such.example.com", "A", NXDOMAIN),
        ("host.deleg.example.com", "A", NOERROR),
        ("www.example.com", "ANY", NOERROR),
        ("www.example.net", "A", REFUSED),
        ("example.com", "AXFR", REFUSED),
    ];
    for (name, qtype, rcode) in cases {
        for subnet in ["10.3.4.0/24", "2001:db8:3::/48"] {
            let reply = ask(&query(name, qtype).subnet(subnet));
            assert_eq!((reply.rcode(), reply.scope()), (rcode, Some(0)), "{name} {qtype}");
        }
    }
    let chaos = ask(&query("version.bind", "TXT").class(3).subnet("10.3.4.0/24"));
    assert_eq!(chaos.scope(), Some(0));
}

#[test]
fn e5_formerr_notimp_and_badvers_carry_no_option() {
    let asked = || query("www.example.com", "A").subnet("10.1.2.0/24");
    let cases = [
        (asked().version(1), BADVERS),
        (query("example.com", "MAILB").subnet("10.1.2.0/24"), NOTIMP),
        (query("example.com", "OPT").subnet("10.1.2.0/24"), FORMERR),
        (asked().flags(0x1000), NOTIMP),
        (asked().option(10, &[1, 2, 3]), FORMERR),
    ];
    for (query, rcode) in cases {
        let reply = ask(&query);
        assert_eq!((reply.rcode(), reply.option(OPTION_ECS)), (rcode, None), "{query:?}");
        assert!(reply.message.edns.is_some(), "OPT itself stays: {query:?}");
    }
}

#[test]
fn e7_subnets_can_be_switched_off_per_name() {
    let reply = ask(&query("blind.example.com", "A").subnet("10.3.4.0/24"));
    assert_eq!((addresses(&reply), reply.scope()), (vec![EU.to_owned()], Some(0)));
}

#[test]
fn e7_subnets_can_be_switched_off_per_server_and_per_peer() {
    let asked = query("www.example.com", "A").subnet("10.3.4.0/24");
    let seen = |world: &World, peer: &str| {
        let (_, reply) = world.ask_from(peer.parse().unwrap(), &asked);
        (addresses(&reply).concat(), reply.scope())
    };
    let off = world_of(&format!("{SERVER}ecs: false\n"));
    assert_eq!(seen(&off, "127.0.0.1"), (EU.into(), Some(0)));
    let trusted = world_of(&format!("{SERVER}ecs: {{from: [10.2.0.0/16, \"2001:db8:1::/48\"]}}\n"));
    assert_eq!(seen(&trusted, "127.0.0.1"), (EU.into(), Some(0)));
    assert_eq!(seen(&trusted, "10.2.3.4"), (AP.into(), Some(16)));
    assert_eq!(seen(&trusted, "2001:db8:1::53"), (AP.into(), Some(16)));
    assert_eq!(seen(&trusted, "10.3.3.4"), (AP.into(), Some(0)), "located itself, not believed");
}

#[test]
fn s4_answers_that_do_not_depend_on_the_client_have_scope_0() {
    for name in ["static", "listed", "many", "few", "random", "blind", "alias-of-nobody"] {
        for (transport, reply) in everywhere(&query(&format!("{name}.example.com"), "A").subnet("10.3.4.0/24")) {
            let depends = name == "many";
            assert_eq!(reply.scope() == Some(0), !depends, "{name} over {transport}: {:?}", reply.scope());
        }
    }
    let listed = ask(&query("listed.example.com", "A").subnet("10.1.0.0/16"));
    assert_eq!(addresses(&listed), [AP], "the first of the list, wherever the client is");
}

#[test]
fn s5_names_that_hash_clients_have_at_least_the_hash_floor() {
    for name in ["sticky.example.com", "shared.example.com", "x.apps.example.com"] {
        for (subnet, least) in [("11.0.0.0/8", 24), ("10.1.2.0/24", 24), ("2a00::/16", 56), ("64:ff9b::a01:0/112", 120)] {
            let reply = ask(&query(name, "A").subnet(subnet));
            assert!(reply.scope().unwrap() >= least, "{name} for {subnet}: {:?}", reply.scope());
        }
    }
}

#[test]
fn s7_a_chain_carries_the_scope_of_what_it_leads_to() {
    let direct = ask(&query("www.example.com", "A").subnet("10.3.4.0/24"));
    let alias = ask(&query("alias.example.com", "A").subnet("10.3.4.0/24"));
    assert_eq!((direct.scope(), alias.scope()), (Some(16), Some(16)));
    assert_eq!(alias.answers(), ["alias.example.com. 300 CNAME WWW.example.com.", "WWW.example.com. 30 A 192.0.2.30"]);
    let none = ask(&query("a-none.example.com", "A").subnet("10.3.4.0/24"));
    assert_eq!((none.rcode(), none.scope()), (NXDOMAIN, Some(0)));
}

/// The region follows the subnet, not the peer, over every transport.
#[test]
fn a_client_subnet_takes_the_place_of_the_peer() {
    for (subnet, expected, scope) in
        [("10.1.2.0/24", EU, 16), ("10.2.0.0/16", US, 16), ("10.3.4.5/32", AP, 16), ("2001:db8:3::/48", AP, 48)]
    {
        let reply = ask(&query("www.example.com", "A").subnet(subnet));
        assert_eq!((addresses(&reply), reply.scope()), (vec![expected.to_owned()], Some(scope)), "{subnet}");
    }
    let unknown = ask(&query("www.example.com", "A").subnet("8.8.8.0/24"));
    assert_eq!(addresses(&unknown), [US], "unknown clients get the listed order (G1)");
}
