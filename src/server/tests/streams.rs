//! What TCP peers see.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

#[test]
fn n9_messages_may_be_split_over_any_segments() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let (first, second) = (framed(&query(1)), framed(&query(2)));
    for octet in &first {
        stream.write_all(&[*octet]).unwrap();
    }
    check(&query(1), &read_message(&mut stream));
    for cut in 1..first.len() + second.len() - 1 {
        let both = [&first[..], &second].concat();
        stream.write_all(&both[..cut]).unwrap();
        stream.write_all(&both[cut..]).unwrap();
        check(&query(1), &read_message(&mut stream));
        check(&query(2), &read_message(&mut stream));
    }
}

#[test]
fn n9_pipelined_messages_are_all_answered_in_order() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let all: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..100 {
        check(&query(id), &read_message(&mut stream));
    }
    assert_eq!(server.registry.totals().queries(Transport::Tcp), 100);
}

#[test]
fn n9_a_peer_that_asks_much_before_it_reads_gets_everything() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let count = 50_000u32;
    thread::scope(|scope| {
        scope.spawn(move || {
            for id in 0..count {
                writer.write_all(&framed(&query(id as u16))).unwrap();
            }
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        for id in 0..count {
            check(&query(id as u16), &read_message(&mut stream));
        }
    });
    assert!(is_closed(&mut stream), "the peer had ended its side");
}

#[test]
fn n9_a_half_sent_message_blocks_nobody() {
    let server = Server::on_loopback(1);
    let mut halves: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for (at, half) in halves.iter_mut().enumerate() {
        half.write_all(&framed(&query(9))[..=at]).unwrap();
    }
    ask_over(&mut server.connect(), 1);
    ask(&server.client(), 2);
    for (at, half) in halves.iter_mut().enumerate() {
        half.write_all(&framed(&query(9))[at + 1..]).unwrap();
        check(&query(9), &read_message(half));
    }
}

#[test]
fn n9_the_longest_message_is_taken_whole() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    let mut long = query(1);
    long.resize(usize::from(u16::MAX), 0);
    stream.write_all(&framed(&long)).unwrap();
    stream.write_all(&framed(&query(2))).unwrap();
    let reply = read_message(&mut stream);
    check(&query(1), &reply);
    check(&query(2), &read_message(&mut stream));
}

#[test]
fn n9_an_empty_message_ends_the_connection_after_the_replies_before_it() {
    let server = Server::on_loopback(1);
    let mut stream = server.connect();
    stream.write_all(&[framed(&query(1)), framed(b""), framed(&query(2))].concat()).unwrap();
    check(&query(1), &read_message(&mut stream));
    assert!(is_closed(&mut stream));
}

#[test]
fn n9_connections_beyond_the_cap_are_closed_and_places_come_back() {
    let server = Server::start(Config { connections: Caps { total: 3, per_network: 2, ..Caps::default() }, ..loopback(2) });
    let mut inside: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut inside {
        ask_over(stream, 1);
    }
    let mut third = server.connect();
    assert!(is_closed(&mut third));
    assert_eq!(server.registry.totals().count(Metric::ConnectionsRefused), 1);
    inside.pop();
    // The server learns of the end a moment later; each refusal is an event, not a wait.
    let entered = (0..10_000).any(|_| {
        let mut stream = server.connect();
        stream.write_all(&framed(&query(2))).is_ok() && stream.read(&mut [0; 2]).is_ok_and(|octets| octets > 0)
    });
    assert!(entered);
    ask_over(&mut inside[0], 3);
}

#[test]
fn a_connection_ends_after_so_many_queries_with_all_its_replies() {
    let server = Server::start(Config { connections: Caps { queries: Some(3), ..Caps::default() }, ..loopback(1) });
    let mut stream = server.connect();
    ask_over(&mut stream, 1);
    let rest: Vec<u8> = (2..500).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&rest).unwrap();
    for id in [2, 3] {
        check(&query(id), &read_message(&mut stream));
    }
    assert_eq!(stream.read(&mut [0; 2]).unwrap(), 0, "an end, and nothing of what was sent breaks it off");
    ask_over(&mut server.connect(), 4);
    assert_eq!(server.registry.totals().queries(Transport::Tcp), 4);
}

#[test]
fn n9_a_silent_peer_is_timed_out() {
    let timeouts = Timeouts { first_message: Duration::from_millis(20), ..Timeouts::default() };
    let server = Server::start(Config { timeouts, ..loopback(1) });
    assert!(is_closed(&mut server.connect()));
    let timeouts = Timeouts { idle: Duration::from_millis(20), ..Timeouts::default() };
    let server = Server::start(Config { timeouts, ..loopback(1) });
    let mut stream = server.connect();
    ask_over(&mut stream, 1);
    assert!(is_closed(&mut stream));
    assert_eq!(server.registry.totals().count(Metric::ConnectionsTimedOut), 1);
}

#[test]
fn n9_a_message_that_drips_in_does_not_prolong_the_time() {
    let timeouts = Timeouts { idle: Duration::from_millis(20), ..Timeouts::default() };
    let server = Server::start(Config { timeouts, ..loopback(1) });
    let (mut stream, clock) = (server.connect(), server.client());
    ask_over(&mut stream, 1);
    let given_up = framed(&[0; 65_000]).iter().any(|drip| {
        // A round trip with the server between two octets: all of them would take far longer than the time allowed.
        ask(&clock, 2);
        stream.write_all(&[*drip]).is_err()
    });
    assert!(given_up);
    assert_eq!(server.registry.totals().count(Metric::ConnectionsTimedOut), 1);
}

#[test]
fn n9_a_peer_that_does_not_read_is_given_up() {
    let timeouts = Timeouts { write: Duration::from_millis(50), ..Timeouts::default() };
    let server = Server::start(Config { timeouts, ..loopback(1) });
    let mut deaf = server.connect();
    let many: Vec<u8> = (0..1_000).flat_map(|id| framed(&query(id))).collect();
    while deaf.write_all(&many).is_ok() {}
    assert_eq!(server.registry.totals().count(Metric::ConnectionsTimedOut), 1);
    ask_over(&mut server.connect(), 1);
}

/// Set for the process that has few descriptors, which is this test again.
const FEW_DESCRIPTORS: &str = "MERIDIAN_TEST_FEW_DESCRIPTORS";

#[test]
fn n9_accepting_recovers_when_descriptors_run_out() {
    if std::env::var_os(FEW_DESCRIPTORS).is_some() {
        return serve_with_few_descriptors();
    }
    let name = "server::tests::streams::n9_accepting_recovers_when_descriptors_run_out";
    let mut few = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture --test-threads 1"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(FEW_DESCRIPTORS, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(few.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let mut said = |what: &str| lines.find_map(|line| Some(line.split_once(what)?.1.to_owned())).expect("the other process says it");
    let address: SocketAddr = said("address=").parse().unwrap();
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut crowd: Vec<_> = (0..100).map(|_| connect()).collect();
    said("out of descriptors");
    ask_over(&mut crowd[0], 1);
    let client = udp_client(address.ip());
    client.connect(address).unwrap();
    ask(&client, 2);
    drop(crowd);
    ask_over(&mut connect(), 3);
    drop(few.stdin.take());
    let failures: u64 = said("failures=").parse().unwrap();
    assert!(failures < 1_000, "{failures} failed calls: it spins");
    assert!(few.wait().unwrap().success());
}

fn serve_with_few_descriptors() {
    let server = Server::on_loopback(1);
    println!("\naddress={}", server.address());
    while server.registry.totals().count(Metric::AcceptFailures) == 0 {
        thread::yield_now();
    }
    println!("\nout of descriptors");
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    println!("\nfailures={}", server.registry.totals().count(Metric::AcceptFailures));
}
