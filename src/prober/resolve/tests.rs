//! Resolution against a DNS server on loopback that says what it is told to, and the judgement of what it said.
//! The tests wait for what is told, never for time to pass.

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;

use super::*;

fn v4(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn a_resolution_is_what_both_families_say_and_a_failure_takes_nothing_away() {
    let good = |last: u8, ttl_s| Ok((vec![v4(last)], ttl_s));
    let none = || Ok((Vec::new(), MAX_TTL_S));
    let failed = || Err(Box::from("timed out"));
    for (found, expected, next_s, fails) in [
        ([good(1, 60), none()], [Some(vec![v4(1)]), Some(vec![])], 60, false),
        ([good(1, 0), none()], [Some(vec![v4(1)]), Some(vec![])], MIN_TTL_S, false),
        ([good(1, 86_400), none()], [Some(vec![v4(1)]), Some(vec![])], MAX_TTL_S, false),
        ([good(1, 60), failed()], [Some(vec![v4(1)]), None], RETRY_S, true),
        ([failed(), failed()], [None, None], RETRY_S, true),
        ([none(), none()], [None, None], RETRY_S, true),
        ([none(), failed()], [Some(vec![]), None], RETRY_S, true),
    ] {
        let text = format!("{found:?}");
        let resolution = judge(found);
        assert_eq!((resolution.addresses, resolution.next_s, resolution.error.is_some()), (expected, next_s, fails), "{text}");
    }
}

/// A DNS server that gives `lb.example.net` an alias with a short life and an address, and fails for all other names.
async fn server() -> SocketAddr {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 512];
        while let Ok((len, peer)) = udp.recv_from(&mut octets).await {
            let mut answer = Message::from_vec(&octets[..len]).unwrap();
            answer.metadata.message_type = MessageType::Response;
            let query = answer.queries[0].clone();
            if query.name().to_ascii() != "lb.example.net." {
                answer.metadata.response_code = ResponseCode::ServFail;
            } else if query.query_type() == RecordType::A {
                let node = Name::from_ascii("node.example.net.").unwrap();
                answer.add_answer(Record::from_rdata(query.name().clone(), 7, RData::CNAME(CNAME(node.clone()))));
                answer.add_answer(Record::from_rdata(node, 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))));
            }
            let _ = udp.send_to(&answer.to_vec().unwrap(), peer).await;
        }
    });
    address
}

#[tokio::test]
async fn names_are_resolved_by_the_named_resolver_and_live_as_long_as_all_on_the_way_to_them() {
    let servers = [server().await];
    let (to, mut told) = mpsc::unbounded_channel();
    let hosts = ["lb.example.net", "gone.example.net"].map(HostName::from);
    let tell = move |host: &HostName, resolution| drop(to.send((host.clone(), resolution)));
    let mut resolver = Resolver::start(&Handle::current(), &servers, hosts, tell);
    assert!(resolver.first_round().await);
    let mut all = BTreeMap::new();
    while all.len() < 2 {
        let (host, resolution) = told.recv().await.unwrap();
        all.insert(host, resolution);
    }
    let found = &all["lb.example.net"];
    assert_eq!((&found.addresses, found.next_s, &found.error), (&[Some(vec![v4(1)]), Some(vec![])], 7, &None));
    let failed = &all["gone.example.net"];
    assert!(failed.addresses == [None, None] && failed.error.is_some(), "{failed:?}");
    resolver.set(&servers, [HostName::from("lb.example.net")]);
    assert_eq!(resolver.tasks.len(), 1);
}
