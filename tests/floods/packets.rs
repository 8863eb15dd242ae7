//! Floods of packets: each kind is what one packet of it looks like, and from where it comes.

use std::net::{Ipv4Addr, UdpSocket};

use super::common::message::query;
use super::common::random::Random;
use super::crowd::{Target, flood};

/// A socket that never reads: the sender of a flood has no ears.
fn deaf(target: &Target, from: Ipv4Addr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect(target.address).ok()?;
    Some(socket)
}

#[test]
fn random_subdomains_keep_nobody_from_an_answer() {
    let target = Target::start("flood-random");
    let socket = deaf(&target, Ipv4Addr::LOCALHOST).unwrap();
    let mut random = Random::new(1);
    flood(&target, |number| {
        let zone = ["example.com", "wild.example.com", "www.example.com", "example.net"][number as usize % 4];
        socket.send(&query(&format!("{:016x}.{zone}", random.next()), "A").octets()).is_ok()
    });
}

#[test]
fn malformed_packets_keep_nobody_from_an_answer() {
    let target = Target::start("flood-malformed");
    let socket = deaf(&target, Ipv4Addr::LOCALHOST).unwrap();
    let mut random = Random::new(2);
    let good = query("www.example.com", "A").subnet("10.1.2.0/24").octets();
    flood(&target, |number| {
        let mut octets = good.clone();
        match number % 4 {
            // Damaged in three places.
            0 => (0..3).for_each(|_| octets[random.below(good.len())] = random.next() as u8),
            1 => octets.truncate(random.below(good.len())),
            2 => octets = (0..random.below(600)).map(|_| random.next() as u8).collect(),
            // A header that promises 65,535 questions, and a name of pointers.
            _ => octets = [&[1, 2, 1, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0], &[0xc0, 12].repeat(200)[..]].concat(),
        }
        socket.send(&octets).is_ok()
    });
}

#[test]
fn a_client_network_of_its_own_in_every_query_keeps_nobody_from_an_answer() {
    let target = Target::start("flood-ecs");
    let socket = deaf(&target, Ipv4Addr::LOCALHOST).unwrap();
    let mut random = Random::new(3);
    flood(&target, |_| {
        let address = Ipv4Addr::from_bits(random.next() as u32 & 0xffff_ff00);
        socket.send(&query("www.example.com", "A").ecs(address.into(), 24).octets()).is_ok()
    });
}

#[test]
fn a_peer_of_its_own_for_every_query_keeps_nobody_from_an_answer() {
    let target = Target::start("flood-peers");
    let mut random = Random::new(4);
    let asked = query("www.example.com", "A").octets();
    flood(&target, |_| {
        // Another /24 of loopback each time, as if forged; not the one of the honest.
        let address = Ipv4Addr::from_bits(0x7f80_0000 | random.next() as u32 & 0x007f_ff00 | 9);
        deaf(&target, address).is_some_and(|socket| socket.send(&asked).is_ok())
    });
}

#[test]
fn queries_that_want_the_largest_replies_keep_nobody_from_an_answer() {
    let target = Target::start("flood-amplify");
    let socket = deaf(&target, Ipv4Addr::LOCALHOST).unwrap();
    flood(&target, |number| {
        let (name, qtype) = [("example.com", "ANY"), ("example.com", "NS"), ("a.wild.example.com", "TXT")][number as usize % 3];
        socket.send(&query(name, qtype).edns(65_535).edns_flags(0x8000).octets()).is_ok()
    });
}
