//! Floods of connections: those that say nothing, those that never come to an end, and more than there are descriptors for.

use std::io::Write;
use std::net::{IpAddr, TcpStream};

use super::common::client::{Tcp, framed};
use super::common::message::query;
use super::common::secure;
use super::crowd::{HONEST, Target, ask_honestly, wait_for_count};

/// From one /24: all that a network may have, and some more.
const FROM_ONE_NETWORK: usize = 520;
const PER_NETWORK: u64 = 512;

/// Memory for each connection that says nothing.
const MAX_IDLE_KIB: u64 = 8;

/// A connection from an address of loopback.
fn connect(target: &Target, from: [u8; 4]) -> std::io::Result<TcpStream> {
    secure::connect(from.into(), target.address)
}

/// Honest ones ask over UDP and over TCP, all of them are answered.
fn assert_honest_are_served(target: &Target) {
    let honest = ask_honestly(target.address, 200);
    assert!(honest.answered * 100 >= honest.asked * 99, "{honest:?}");
    let IpAddr::V4(from) = HONEST else { unreachable!("an IPv4 address") };
    for _ in 0..20 {
        let mut connection = Tcp::of(connect(target, from.octets()).unwrap());
        assert_eq!(connection.ask(&query("www.example.com", "A")).answers().len(), 1);
    }
}

#[test]
fn connections_that_say_nothing_keep_nobody_out_and_end() {
    let target = Target::start("flood-idle");
    let before = target.usage();
    let idle: Vec<TcpStream> = (0..FROM_ONE_NETWORK).map(|at| connect(&target, [127, 3, 3, at as u8 % 250 + 1]).unwrap()).collect();
    wait_for_count(&target, "meridian_tcp_connections_refused_total", FROM_ONE_NETWORK as u64 - PER_NETWORK);
    let during = target.usage();
    assert!(during.memory_kib <= before.memory_kib + PER_NETWORK * MAX_IDLE_KIB, "{before:?} -> {during:?}");
    assert_honest_are_served(&target);
    // All of them, by the time limit for a first message.
    wait_for_count(&target, "meridian_tcp_connections_timed_out_total", PER_NETWORK);
    assert!(target.usage().descriptors <= before.descriptors + 2, "{before:?} -> {:?}", target.usage());
    drop(idle);
}

#[test]
fn connections_that_drip_keep_nobody_out_and_end() {
    let target = Target::start("flood-drip");
    let before = target.usage();
    let mut drips: Vec<TcpStream> = (0..200).map(|at| connect(&target, [127, 4, at, 1]).unwrap()).collect();
    let message = framed(&[0; 4_000]);
    // An octet from each, again and again, while others are served; whoever was closed stays so.
    for octet in &message[..20] {
        drips.iter_mut().for_each(|drip| _ = drip.write_all(&[*octet]));
    }
    assert_honest_are_served(&target);
    let timed_out = "meridian_tcp_connections_timed_out_total";
    super::common::wait_until(
        || {
            drips.iter().for_each(|mut drip| _ = drip.write_all(&[0]));
            target.page().value(timed_out) >= 200
        },
        || format!("{} of 200 drips were ended", target.page().value(timed_out)),
    );
    assert!(target.usage().descriptors <= before.descriptors + 2, "{before:?} -> {:?}", target.usage());
}

#[test]
fn a_lack_of_descriptors_takes_no_answer_from_udp_and_passes() {
    // The server's own, and a few connections.
    let target = Target::start_with("flood-descriptors", "ulimit -n 64 && exec \"$0\" \"$@\"");
    // The metrics are read before: a connection to the control socket needs a descriptor too.
    let failures = target.page().value("meridian_tcp_accept_failures_total");
    let crowd: Vec<TcpStream> = (0..100).map(|at| connect(&target, [127, 5, at, 1]).unwrap()).collect();
    let honest = ask_honestly(target.address, 200);
    assert!(honest.answered * 100 >= honest.asked * 99, "{honest:?}");
    target.server.wait_for(0, "cannot accept TCP connections just now");
    drop(crowd);
    assert_honest_are_served(&target);
    assert!(target.page().value("meridian_tcp_accept_failures_total") > failures);
    assert_eq!(target.page().value("meridian_panics_total"), 0);
}
