//! Cookies: given, taken, renewed, required, asked for alone; made alike by Knot and BIND with the same secret.

use std::net::IpAddr;

use meridian::answer::Transport;
use meridian::metrics::Metric;

use crate::common::client::{Udp, tcp, udp};
use crate::common::daemon::{Daemon, Recipe, find};
use crate::common::message::{OPTION_COOKIE, Query, Reply, query};
use crate::common::server::Server;
use crate::common::skip_without;
use crate::house::{Desk, REGIONS, ZONE, folder, server_file};

const CLIENT: [u8; 8] = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const OTHER: &str = "445536bcd2513298075a5d379663c962";
const BADCOOKIE: u16 = 23;

fn www() -> Query {
    query("www.example.com", "A")
}

fn with(cookie: &[u8]) -> Query {
    www().edns(1232).option(OPTION_COOKIE, cookie)
}

/// A query without a question.
fn alone(cookie: &[u8]) -> Vec<u8> {
    let mut octets = with(cookie).octets();
    octets.drain(12..12 + www().question().len());
    octets[5] = 0;
    octets
}

fn cookie_of(reply: &Reply) -> Vec<u8> {
    reply.option(OPTION_COOKIE).expect("a cookie")
}

#[test]
fn a_client_is_given_a_cookie_and_no_other_asks_for_one() {
    let mut desk = Desk::new("cookie-given", "", 1);
    let reply = desk.ask("192.0.2.1", &with(&CLIENT)).unwrap();
    let given = cookie_of(&reply);
    assert_eq!((reply.rcode(), reply.answers().len(), given.len(), &given[..8]), (0, 1, 24, &CLIENT[..]));
    assert_eq!(desk.ask("192.0.2.1", &www().edns(1232)).unwrap().option(OPTION_COOKIE), None);
    assert_eq!(cookie_of(&desk.ask("192.0.2.1", &with(&given)).unwrap()), given, "a fresh one comes back as it is");
    let elsewhere = cookie_of(&desk.ask("192.0.2.2", &with(&given)).unwrap());
    assert!(elsewhere != given && elsewhere[..8] == CLIENT, "another client gets its own");
    let totals = desk.totals();
    assert_eq!((totals.count(Metric::Cookies), totals.count(Metric::CookiesVerified)), (3, 1));
    let broken = desk.ask("192.0.2.1", &with(&CLIENT[..7])).unwrap();
    assert_eq!((broken.rcode(), broken.option(OPTION_COOKIE)), (1, None));
    let mut off = Desk::new("cookie-off", "cookies: false", 1);
    assert_eq!(off.ask("192.0.2.1", &with(&CLIENT)).unwrap().option(OPTION_COOKIE), None);
}

#[test]
fn cookies_of_an_hour_ago_of_strangers_and_of_the_future_are_replaced() {
    let folder = folder("cookie-age", "cookies: {secrets: secrets.txt}");
    folder.write("secrets.txt", &format!("# the new one, and the one before\n{SECRET}\n{OTHER}\n"));
    let mut desk = Desk::of(&folder, 1);
    let given = cookie_of(&desk.ask("192.0.2.1", &with(&CLIENT)).unwrap());
    for (wall_s, is_kept) in [(1_799, true), (1_802, false), (3_600, false), (5_000, false)] {
        desk.at_wall(wall_s);
        let now = cookie_of(&desk.ask("192.0.2.1", &with(&given)).unwrap());
        assert_eq!(now == given, is_kept, "after {wall_s} s");
    }
    desk.at_wall(0);
    let stranger = [&CLIENT[..], &[9; 16]].concat();
    assert_eq!(cookie_of(&desk.ask("192.0.2.1", &with(&stranger)).unwrap()), given);
    // The other secret is good, and what it made is replaced.
    folder.write("secrets.txt", &format!("{OTHER}\n"));
    let made = cookie_of(&Desk::of(&folder, 1).ask("192.0.2.1", &with(&CLIENT)).unwrap());
    let reply = desk.ask("192.0.2.1", &with(&made)).unwrap();
    assert_eq!(cookie_of(&reply), given);
    assert_eq!(desk.totals().count(Metric::CookiesVerified), 4, "of four ages three were good, and the other secret's");
}

#[test]
fn where_cookies_are_required_a_client_gets_its_answer_with_the_second_query() {
    let mut desk = Desk::new("cookie-required", "cookies: {required: true}", 1);
    let refused = desk.ask("192.0.2.1", &with(&CLIENT)).unwrap();
    assert_eq!((refused.rcode(), refused.answers().len(), refused.is_truncated()), (BADCOOKIE, 0, false));
    let answered = desk.ask("192.0.2.1", &with(&cookie_of(&refused))).unwrap();
    assert_eq!((answered.rcode(), answered.answers().len()), (0, 1));
    assert_eq!(desk.ask("192.0.2.2", &with(&cookie_of(&refused))).unwrap().rcode(), BADCOOKIE, "of another address");
    assert_eq!(desk.ask("192.0.2.1", &www()).unwrap().rcode(), 0, "who knows no cookies is answered (RFC 7873 5.2.1)");
    let peer: IpAddr = "192.0.2.1".parse().unwrap();
    let over_tcp = Reply::read(&desk.octets(peer, Transport::Tcp, &with(&CLIENT).octets()).unwrap());
    assert_eq!((over_tcp.rcode(), over_tcp.answers().len()), (0, 1), "TCP proves the address");
}

#[test]
fn a_good_cookie_passes_the_rate_limit_and_who_is_over_it_is_given_one() {
    let mut desk = Desk::new("cookie-rate", "rate_limit: {responses: 2, window: 1s, slip: 1}", 1);
    assert_eq!(desk.flood("192.0.2.1", &www(), 10), [2, 8, 0]);
    let slipped = desk.ask("192.0.2.7", &with(&CLIENT)).unwrap();
    assert_eq!((slipped.rcode(), slipped.is_truncated(), slipped.answers().len()), (BADCOOKIE, false, 0));
    let good = with(&cookie_of(&slipped));
    assert_eq!(desk.flood("192.0.2.7", &good, 100), [100, 0, 0]);
    assert_eq!(desk.ask("192.0.2.7", &good).unwrap().answers().len(), 1);
}

/// RFC 7873 5.4.
#[test]
fn a_query_without_a_question_asks_for_a_cookie_alone() {
    let mut desk = Desk::new("cookie-alone", "", 1);
    let peer: IpAddr = "192.0.2.1".parse().unwrap();
    let mut ask = |octets: &[u8]| Reply::read(&desk.octets(peer, Transport::Udp, octets).unwrap());
    let first = ask(&alone(&CLIENT));
    assert_eq!((first.rcode(), first.question().is_empty(), first.answers().len()), (0, true, 0));
    assert_eq!(ask(&alone(&cookie_of(&first))).rcode(), 0);
    let bad = ask(&alone(&[&CLIENT[..], &[9; 16]].concat()));
    assert_eq!((bad.rcode(), cookie_of(&bad)), (BADCOOKIE, cookie_of(&first)));
    let mut none = alone(&CLIENT);
    none.truncate(12);
    none[11] = 0;
    assert_eq!(ask(&none).rcode(), 1, "no question and no cookie");
}

/// A client that expects a cookie takes no reply without one (RFC 7873 5.3).
#[test]
fn a_good_cookie_is_answered_with_a_cookie_whatever_is_asked() {
    let mut desk = Desk::new("cookie-of-errors", "", 1);
    let given = cookie_of(&desk.ask("192.0.2.1", &with(&CLIENT)).unwrap());
    for (qtype, rcode) in [("OPT", 1), ("TKEY", 4), ("MAILB", 4), ("AXFR", 5), ("NS", 0)] {
        let reply = desk.ask("192.0.2.1", &query("example.com", qtype).edns(1232).option(OPTION_COOKIE, &given)).unwrap();
        assert_eq!((reply.rcode(), cookie_of(&reply)), (rcode, given.clone()), "{qtype}");
    }
}

#[test]
fn who_is_given_nothing_is_not_sent_for_a_cookie_first() {
    let mut desk = Desk::new("cookie-drop", "cookies: {required: true}\ntransfers_from: [{drop: any}]", 1);
    let mut rcode = |qtype: &str, cookie: &[u8]| {
        let reply = desk.ask("192.0.2.1", &query("example.com", qtype).edns(1232).option(OPTION_COOKIE, cookie))?;
        Some(reply.rcode())
    };
    assert_eq!(["A", "AXFR", "IXFR"].map(|qtype| rcode(qtype, &CLIENT)), [Some(BADCOOKIE), None, None]);
}

/// What is asked for alone comes at last under a limit, too, and is counted with no zone.
#[test]
fn a_cookie_that_is_asked_for_alone_comes_at_last_under_a_limit() {
    let mut desk = Desk::new("cookie-alone-rate", "rate_limit: {responses: 1, window: 1s, slip: 1}", 1);
    let peer: IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(desk.flood("192.0.2.1", &query("static.example.com", "AAAA"), 3), [1, 2, 0]);
    for cookie in [&CLIENT[..], &[&CLIENT[..], &[9; 16]].concat()] {
        let replies: Vec<_> =
            (0..3).map(|_| desk.octets(peer, Transport::Udp, &alone(cookie)).map(|octets| cookie_of(&Reply::read(&octets)))).collect();
        assert!(replies.iter().all(|given| given.as_ref().is_some_and(|given| given.len() == 24)), "{replies:?}");
    }
}

#[test]
fn who_is_not_let_in_gets_no_cookie_by_asking_for_nothing_else() {
    let mut desk = Desk::new("cookie-alone-access", "queries_from: [{drop: 192.0.2.13}, {refuse: 192.0.2.14}, {allow: any}]", 1);
    let alone = alone(&CLIENT);
    let mut rcode = |peer: &str| {
        let octets = desk.octets(peer.parse().unwrap(), Transport::Udp, &alone)?;
        Some(Reply::read(&octets).rcode())
    };
    assert_eq!(["192.0.2.12", "192.0.2.13", "192.0.2.14"].map(&mut rcode), [Some(0), None, Some(5)]);
}

/// RFC 7873 5.2.3: a client that is refused for its cookie must be able to take a better one from the reply.
#[test]
fn whatever_is_asked_badcookie_comes_with_a_cookie() {
    let mut desk = Desk::new("cookie-meta", "cookies: {required: true}\nrate_limit: {responses: {error: 3}, window: 1s, slip: 1}", 1);
    for qtype in ["A", "OPT", "TKEY"] {
        let refused = desk.ask("192.0.2.1", &query("www.example.com", qtype).edns(1232).option(OPTION_COOKIE, &CLIENT)).unwrap();
        assert_eq!((refused.rcode(), cookie_of(&refused).len()), (BADCOOKIE, 24), "{qtype}");
    }
    let formerr = desk.ask("198.51.100.1", &query("www.example.com", "OPT").edns(1232)).unwrap();
    assert_eq!(formerr.rcode(), 1, "who speaks no cookies");
    // A flood of a forged network leaves its resolvers a way to their cookie.
    let over = desk.ask("192.0.2.1", &with(&CLIENT)).unwrap();
    let answered = desk.ask("192.0.2.1", &with(&cookie_of(&over))).unwrap();
    assert_eq!((over.rcode(), answered.answers().len()), (BADCOOKIE, 1));
}

/// dig sends a cookie and says what it thinks of the one in the reply.
#[test]
fn dig_takes_our_cookie_and_comes_back_with_it() {
    let Some(dig) = find("dig") else { return skip_without("dig") };
    let folder = folder("cookie-dig", "cookies: {required: true}");
    let server = Server::start(&folder.join("meridian.yaml"));
    let address = server.address();
    let run = |options: &[&str]| {
        let port = address.port().to_string();
        let mut command = std::process::Command::new(&dig);
        command.args([&format!("@{}", address.ip()), "-p", &port, "www.example.com", "A"]).args(options);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let good = run(&["+cookie"]);
    assert!(good.contains("192.0.2.10") && good.contains("(good)"), "{good}");
    let refused = run(&["+cookie", "+nobadcookie"]);
    assert!(refused.contains("BADCOOKIE") && !refused.contains("192.0.2.10"), "{refused}");
    assert_eq!(udp(address, &www()).answers().len(), 1);
    assert_eq!(tcp(address, &with(&CLIENT)).answers().len(), 1);
}

/// One address, several kinds of server behind it: what one has given, the others take.
fn shared_with(other: &Daemon, name: &str) {
    let folder = crate::common::folder::Folder::with(
        name,
        &[
            ("meridian.yaml", &server_file("cookies: {required: true, secrets: secrets.txt}")),
            ("regions.yaml", REGIONS),
            ("example.com.zone.yaml", ZONE),
            ("secrets.txt", SECRET),
        ],
    );
    let server = Server::start(&folder.join("meridian.yaml"));
    let (ours, theirs) = (Udp::to(server.address()), Udp::to(other.address()));
    for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
        let given = cookie_of(&from.ask(&with(&CLIENT)));
        let reply = to.ask(&with(&given));
        assert_ne!(reply.rcode(), BADCOOKIE, "{name}");
        assert_eq!(cookie_of(&reply), given, "a fresh cookie of the other is sent back as it is");
        let stranger = [&CLIENT[..], &[9; 16]].concat();
        assert_eq!(to.ask(&with(&stranger)).rcode(), BADCOOKIE);
    }
}

const MASTER: (&str, &str) = ("example.com.zone", include_str!("../cases/abuse/example.com.zone"));

#[test]
fn bind_with_our_secret_takes_our_cookies_and_we_take_its() {
    let config = include_str!("../cases/abuse/named-cookies.conf");
    let arguments = &["-g", "-n", "1", "-c", "@CONFIG@"];
    if let Some(bind) = Daemon::start(&Recipe { program: "named", arguments, config, files: &[MASTER], ready: "running" }) {
        shared_with(&bind, "cookie-bind");
    }
}

#[test]
fn knot_with_our_secret_takes_our_cookies_and_we_take_its() {
    let config = include_str!("../cases/abuse/knot-cookies.conf");
    let arguments = &["-c", "@CONFIG@"];
    if let Some(knot) = Daemon::start(&Recipe { program: "knotd", arguments, config, files: &[MASTER], ready: "server started" }) {
        shared_with(&knot, "cookie-knot");
    }
}
