//! N9 and N13: sizes and truncation over UDP, streams over TCP, and from where replies leave.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use meridian::answer::Transport;

use super::common::PATIENCE;
use super::common::client::{Tcp, Udp, framed, tcp, udp};
use super::common::message::{OPTION_NSID, Query, Reply, query};
use super::house::{HOUSE, House, NOERROR, ask, everywhere, judge, world};

#[test]
fn n9_over_udp_the_lesser_size_counts_and_whole_rrsets_are_dropped() {
    // 10 strings of 201 octets fit no datagram of ours.
    for (size, limit) in [(0, 512), (300, 512), (512, 512), (1000, 1000), (1232, 1232), (4096, 1232), (65_535, 1232)] {
        let asked = query("big.big.example", "TXT").edns(size).subnet("10.1.2.0/24").option(OPTION_NSID, &[]);
        for address in HOUSE.addresses() {
            let reply = udp(*address, &asked);
            judge(&asked.octets(), &reply.octets, Some(limit));
            assert!(reply.is_truncated() && reply.answers().is_empty() && reply.rcode() == NOERROR, "{size}");
            assert!(reply.scope() == Some(0) && reply.option(OPTION_NSID).is_some(), "OPT is kept whole: {size}");
            assert_eq!(reply.question(), asked.question());
        }
    }
    let plain = udp(HOUSE.addresses()[0], &query("big.big.example", "TXT"));
    assert!(plain.is_truncated() && plain.message.edns.is_none() && plain.octets.len() <= 512);
}

#[test]
fn n9_a_reply_that_just_fits_is_sent_and_one_octet_more_truncates() {
    // 12 octets of header, 21 of question, 12 of record head, and 467 or 468 of data; OPT has 11.
    for address in HOUSE.addresses() {
        let asked = |name: &str| query(&format!("{name}.big.example"), "TXT");
        assert_eq!(udp(*address, &asked("fit")).octets.len(), 512);
        let over = udp(*address, &asked("ovr"));
        assert!(over.is_truncated() && over.answers().is_empty());
        assert_eq!(tcp(*address, &asked("ovr")).octets.len(), 513);
        assert_eq!(udp(*address, &asked("fit").edns(523)).octets.len(), 523);
        assert!(udp(*address, &asked("fit").edns(522)).is_truncated());
        assert!(udp(*address, &asked("fit").edns(523).subnet("10.0.0.0/8")).is_truncated(), "the option takes its room");
    }
}

#[test]
fn n9_tcp_carries_what_udp_cannot() {
    for address in HOUSE.addresses() {
        let asked = query("big.big.example", "TXT").edns(512);
        let reply = tcp(*address, &asked);
        judge(&asked.octets(), &reply.octets, Some(65_535));
        assert!(!reply.is_truncated() && reply.answers().len() == 10 && reply.octets.len() > 2000);
    }
}

#[test]
fn n9_glue_that_others_have_too_is_left_out_without_tc_and_in_domain_glue_with_it() {
    for (name, truncated) in [("x.optional.big.example", false), ("x.required.big.example", true)] {
        let asked = query(name, "A").edns(1232);
        for address in HOUSE.addresses() {
            let reply = udp(*address, &asked);
            judge(&asked.octets(), &reply.octets, None);
            assert_eq!(reply.is_truncated(), truncated, "{name}: {} octets", reply.octets.len());
            let whole = tcp(*address, &asked);
            judge(&asked.octets(), &whole.octets, Some(65_535));
            assert_eq!((whole.authorities().len(), whole.additionals().len(), whole.is_truncated()), (30, 60, false), "{name}");
            assert!(reply.additionals().len() < 60);
        }
    }
}

#[test]
fn n9_udp_size_is_configured() {
    for udp_size in [512, 1000, 4096] {
        let server = format!("{}udp_size: {udp_size}\n", super::house::SERVER);
        let world = super::house::world_of(&server);
        let asked = query("big.big.example", "TXT").edns(65_535).octets();
        let (outcome, octets) = world.ask_octets(super::common::world::PEER, Transport::Udp, &asked);
        assert!(octets.len() <= udp_size);
        assert_eq!(outcome.truncated, udp_size < 4096);
    }
}

#[test]
fn n9_tcp_pipelining_answers_every_query_once() {
    for address in HOUSE.addresses() {
        let mut connection = Tcp::to(*address);
        let queries: Vec<Query> = (0..500).map(|id| query(["static", "www", "nowhere", "alias"][id % 4], "A").id(id as u16)).collect();
        let stream: Vec<u8> = queries.iter().flat_map(|query| framed(&query.octets())).collect();
        connection.send_raw(&stream);
        let mut seen = vec![false; queries.len()];
        for _ in &queries {
            let reply = connection.receive().unwrap();
            let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
            judge(&queries[id].octets(), &reply, Some(65_535));
            assert!(!std::mem::replace(&mut seen[id], true), "two replies to query {id}");
        }
    }
}

#[test]
fn n9_tcp_takes_length_and_body_in_any_segments() {
    let asked = query("www.example.com", "A").subnet("10.1.2.0/24");
    let message = framed(&asked.octets());
    for address in HOUSE.addresses() {
        let mut connection = Tcp::to(*address);
        for cut in 1..message.len() {
            connection.send_raw(&message[..cut]);
            connection.send_raw(&message[cut..]);
            assert_eq!(connection.receive().map(|reply| reply.len()), Some(udp(*address, &asked).octets.len()), "cut at {cut}");
        }
        for octet in &message {
            connection.send_raw(&[*octet]);
        }
        judge(&asked.octets(), &connection.receive().unwrap(), Some(65_535));
        // The end of one and the start of the next in one segment.
        let two = [&message[..], &message[..7]].concat();
        connection.send_raw(&two);
        connection.receive().unwrap();
        connection.send_raw(&message[7..]);
        connection.receive().unwrap();
    }
}

#[test]
fn n9_a_half_sent_message_blocks_nobody() {
    let asked = query("static.example.com", "A");
    for address in HOUSE.addresses() {
        let mut halves: Vec<Tcp> = (0..20).map(|_| Tcp::to(*address)).collect();
        for (at, half) in halves.iter_mut().enumerate() {
            half.send_raw(&framed(&asked.octets())[..at + 1]);
        }
        for _ in 0..20 {
            assert_eq!(tcp(*address, &asked).answers().len(), 2);
            assert_eq!(udp(*address, &asked).answers().len(), 2);
        }
        for (at, half) in halves.iter_mut().enumerate() {
            half.send_raw(&framed(&asked.octets())[at + 1..]);
            judge(&asked.octets(), &half.receive().unwrap(), Some(65_535));
        }
    }
}

#[test]
fn n9_an_empty_message_ends_its_own_connection_only() {
    for address in HOUSE.addresses() {
        let (mut bad, mut good) = (Tcp::to(*address), Tcp::to(*address));
        bad.send_raw(&[0, 0]);
        assert_eq!(bad.receive(), None);
        assert_eq!(good.ask(&query("static.example.com", "A")).answers().len(), 2);
    }
}

#[test]
fn n9_a_message_of_65535_octets_is_read_and_answered() {
    let asked = query("static.example.com", "A").octets();
    let long = [&asked[..], &vec![0; 65_535 - asked.len()]].concat();
    for address in HOUSE.addresses() {
        let mut connection = Tcp::to(*address);
        connection.send(&long);
        judge(&long, &connection.receive().unwrap(), Some(65_535));
    }
}

#[test]
fn n13_replies_leave_from_the_address_that_was_asked() {
    // A connected socket hears only from the address that it asked.
    let house = House::start(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))], world());
    let port = house.addresses()[0].port();
    for last in [1, 2, 77, 254] {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port));
        assert_eq!(udp(address, &query("static.example.com", "A")).answers().len(), 2, "{address}");
        assert_eq!(tcp(address, &query("static.example.com", "A")).answers().len(), 2, "{address}");
    }
    // And an unconnected one sees where it came from.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for last in [3, 4] {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port));
        socket.send_to(&query("static.example.com", "A").octets(), address).unwrap();
        assert_eq!(socket.recv_from(&mut [0; 1232]).unwrap().1, address);
    }
}

#[test]
fn n13_no_two_servers_can_be_made_to_talk_to_each_other() {
    // Every reply of ours, sent back to us, is met with silence.
    for (name, qtype) in [("static.example.com", "A"), ("nowhere.example.com", "A"), ("www.example.net", "A"), ("example.com", "MAILB")] {
        let reply = ask(&query(name, qtype).subnet("10.1.0.0/16"));
        let fault = ask(&query(name, qtype).option(8, &[1]));
        for octets in [&reply.octets, &fault.octets] {
            let client = Udp::to(HOUSE.addresses()[0]);
            client.send(octets);
            let sentinel = query("static.example.com", "A").id(0x7e57);
            assert_eq!(client.ask(&sentinel).id(), 0x7e57);
            assert_eq!(client.receive(Duration::from_millis(1)), None);
        }
    }
}

/// A client may come from any address of its family, and the transports agree on every kind of answer.
#[test]
fn every_kind_of_answer_is_the_same_over_every_transport() {
    let names = ["static", "www", "alias", "a1", "a-none", "nowhere", "b.ent", "x.wild", "host.deleg", "deep.sub", "sticky", "shared"];
    for name in names {
        for qtype in ["A", "AAAA", "NS", "TXT", "ANY", "DS", "SOA"] {
            for subnet in ["10.1.2.0/24", "2001:db8:3::/48"] {
                ask(&query(&format!("{name}.example.com"), qtype).subnet(subnet));
            }
        }
    }
    let replies = everywhere(&query("www.example.com", "A"));
    assert!(replies.iter().all(|(_, reply)| reply.addresses() == ["192.0.2.20".parse::<IpAddr>().unwrap()]));
    assert!(HOUSE.registry.totals().queries(Transport::Udp) > 0);
}

/// Options of RFC 7828 and RFC 7830.
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;

#[test]
fn padding_is_answered_with_padding_where_nobody_reads_along() {
    let world = world();
    for transport in Transport::ALL {
        let ask = |query: Query| world.ask_octets(super::common::world::PEER, transport, &query.octets()).1;
        let names = ["www.example.com", "nowhere.example.com", "big.big.example", "elsewhere.test"].map(|name| (name, "A"));
        for (name, qtype) in names.into_iter().chain([("www.example.com", "OPT"), ("www.example.com", "MAILB")]) {
            let bare = ask(query(name, qtype).edns(1232));
            let padded = ask(query(name, qtype).edns(1232).option(PADDING, &[0; 20]));
            if transport.is_encrypted() {
                assert_eq!(padded.len() % 468, 0, "{name} over {}: {}", transport.name(), padded.len());
                assert!(Reply::read(&padded).option(PADDING).unwrap().iter().all(|octet| *octet == 0));
            } else {
                assert_eq!(padded.len(), bare.len(), "{name} over {}", transport.name());
            }
            assert_eq!(Reply::read(&bare).option(PADDING), None);
        }
    }
}

#[test]
fn keepalive_is_told_on_streams_that_have_it() {
    let world = world();
    for transport in Transport::ALL {
        let asked = query("www.example.com", "A").option(KEEPALIVE, &[]).octets();
        let told = Reply::read(&world.ask_octets(super::common::world::PEER, transport, &asked).1).option(KEEPALIVE);
        // In tenths of a second.
        assert_eq!(told, transport.has_keepalive().then(|| 100_u16.to_be_bytes().to_vec()), "{}", transport.name());
    }
}
