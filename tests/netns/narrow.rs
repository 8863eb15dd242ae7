//! An interface that takes only short packets: replies leave in pieces, one by one or many at once, and none is lost.

use std::net::UdpSocket;
use std::time::Duration;

use crate::common::folder::Folder;
use crate::common::message::{Reply, query};
use crate::common::server::Server;
use crate::net::Net;

/// The shortest that every host of IPv4 takes (RFC 791 3.1).
const MTU: u16 = 576;

/// More than one such packet, less than what a client with EDNS takes.
const TEXT_OCTETS: usize = 900;

/// Nobody waits for it unless the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fewer than a batch holds.
const QUERIES: u16 = 32;

#[test]
fn n9_replies_longer_than_the_interface_takes_arrive_whole_also_many_to_one_client() {
    let Some(net) = Net::new() else { return };
    let text = "x".repeat(TEXT_OCTETS);
    let zone = format!("zone: example.com\nns: [ns.example.net.]\nrecords:\n  long: {{TXT: {text}}}\n  short: {{A: 192.0.2.1}}\n");
    let server_file = "version: 1\nlisten: \"10.66.0.1:0\"\nworkers: 1\nzones: z.zone.yaml\nregions: regions.yaml\n";
    let folder = Folder::with("narrow", &[("meridian.yaml", server_file), ("regions.yaml", "regions: {}\n"), ("z.zone.yaml", &zone)]);
    net.world.ip(&format!("link set wire mtu {MTU}"));
    let server = net.world.enter(|| Server::start(&folder.join("meridian.yaml")));
    let client = net.prober.enter(|| UdpSocket::bind("10.66.0.2:0").unwrap());
    client.connect(server.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    // The first ones are too long to leave as one, the next are sent in pieces, the last are short again.
    for name in ["long", "short", "long"] {
        let question = query(&format!("{name}.example.com"), if name == "long" { "TXT" } else { "A" }).edns(1232);
        (0..QUERIES).for_each(|id| _ = client.send(&question.clone().id(id).octets()).unwrap());
        let mut ids: Vec<u16> = (0..QUERIES)
            .map(|got| {
                let mut octets = [0; 1232];
                let length = client.recv(&mut octets).unwrap_or_else(|error| panic!("{got} of {QUERIES} replies to {name}: {error}"));
                let reply = Reply::read(&octets[..length]);
                assert_eq!((reply.rcode(), reply.answers().len(), reply.is_truncated()), (0, 1, false), "{name}");
                reply.id()
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..QUERIES).collect::<Vec<_>>());
    }
    let (status, lines) = server.stop();
    assert!(status.success(), "{}", lines.join("\n"));
}
