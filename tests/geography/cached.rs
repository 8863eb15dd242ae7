//! A caching resolver in front: for 200 client networks of many lengths what unbound has cached by our scopes is what we answer directly.

use std::net::IpAddr;

use meridian::geo::{Family, Prefix};

use crate::common::client::udp;
use crate::common::daemon::{Daemon, Recipe};
use crate::common::folder::Folder;
use crate::common::message::{Query, query};
use crate::common::random::{Draws, Random};
use crate::common::server::Server;
use crate::worlds::{World, client};

/// The resolver of the other tests with a resolver, with this zone behind it.
const UNBOUND: &str = include_str!("../cases/resolver/unbound.conf");

/// Its tree of subnets is small by default, and it sends no more than /24 and /56.
const SUBNETS: &str = "    send-client-subnet: 127.0.0.1
    client-subnet-always-forward: yes
    max-client-subnet-ipv4: 32
    max-client-subnet-ipv6: 128
    max-ecs-tree-size-ipv4: 10000
    max-ecs-tree-size-ipv6: 10000";

const CLIENTS: usize = 200;

#[test]
fn s1_what_a_resolver_has_cached_by_our_scopes_is_what_we_answer() {
    let world = World::new(4242);
    let mut files = world.written();
    // TTLs that outlive the test.
    files.iter_mut().for_each(|(_, text)| *text = text.replace("      service: web", "      service: web\n      ttl: 3600"));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let folder = Folder::with("cached", &files);
    let server = Server::start(&folder.join("meridian.yaml"));
    let stub = format!("{}@{}", server.address().ip(), server.address().port());
    let config = UNBOUND
        .replace("@MODULES@", "subnetcache iterator")
        .replace("@SUBNET@", SUBNETS)
        .replace("@STUB@", &stub)
        .replace("example.test", "example.com");
    let recipe =
        Recipe { program: "unbound", arguments: &["-d", "-c", "@CONFIG@"], config: &config, files: &[], ready: "start of service" };
    let Some(unbound) = Daemon::start(&recipe) else { return };

    let mut random = Random::new(7);
    let questions: Vec<Query> = clients(&world, &mut random)
        .into_iter()
        .flat_map(|(address, length)| names(&world).map(move |name| query(&name, "A").ecs(address, length)))
        .collect();
    let direct: Vec<(u16, Vec<IpAddr>)> = questions.iter().map(|question| content(&server, question)).collect();
    // Fresh in one order, then from the cache in many others.
    for round in 0..3 {
        let mut order: Vec<usize> = (0..questions.len()).collect();
        (0..order.len()).for_each(|at| order.swap(at, random.below(questions.len())));
        for index in order {
            let reply = udp(unbound.address(), &questions[index]);
            assert_eq!((reply.rcode(), reply.addresses()), direct[index], "round {round}: {:?}", questions[index]);
        }
    }
    let regions: std::collections::BTreeSet<&Vec<IpAddr>> = direct.iter().map(|(_, addresses)| addresses).collect();
    assert!(regions.len() > 2, "all get the same: {regions:?}");
    let (_, log) = server.stop();
    let answered = queries(&log).unwrap_or_else(|| panic!("no count of queries in\n{}", log.join("\n")));
    let asked = questions.len() * 3;
    println!("{asked} questions to the resolver, {} to us", answered - questions.len());
    // Beside a question for each network in one scope at most there are few: the cache works, and so the comparison means something.
    assert!(answered - questions.len() < asked / 2, "{answered} of {asked}");
}

/// Rcode and addresses, asked without the resolver.
fn content(server: &Server, question: &Query) -> (u16, Vec<IpAddr>) {
    let reply = udp(server.address(), question);
    (reply.rcode(), reply.addresses())
}

/// Every steered name, and its alias.
fn names(world: &World) -> impl Iterator<Item = String> {
    let labels: Vec<String> = world.names.iter().map(|name| name.label.clone()).collect();
    labels.into_iter().flat_map(|label| [format!("{label}.example.com"), format!("{label}-alias.example.com")])
}

/// Networks of many lengths around what the world tells apart.
fn clients(world: &World, random: &mut Random) -> Vec<(IpAddr, u8)> {
    let prefixes = world.prefixes();
    let mut clients = Vec::new();
    while clients.len() < CLIENTS {
        let family = random.pick(&[Family::V4, Family::V4, Family::V6]);
        let length = if family == Family::V4 { random.pick(&[16, 20, 24, 24, 28, 32]) } else { random.pick(&[32, 48, 56, 56, 64, 128]) };
        clients.push((Prefix::masked(client(&prefixes, family, random), length).network(), length));
    }
    clients
}

/// The number of queries that the server counted, from its last words.
fn queries(log: &[String]) -> Option<usize> {
    let last = log.iter().rev().find(|line| line.contains("stopped;"))?;
    let counts = last.split_once("queries ")?.1.split(',').next()?;
    Some(counts.split_whitespace().filter_map(|word| word.rsplit('=').next()?.parse::<usize>().ok()).sum())
}
