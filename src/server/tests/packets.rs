//! What UDP peers see.

use super::super::udp::{BATCH, QUERY_OCTETS};
use super::*;
use crate::clock::FakeClock;
use crate::wire::cookie::Secret;

#[test]
fn bursts_of_several_batches_are_answered_whole() {
    for batch in [BATCH, 5] {
        burst(&Config { reading: Reading { most: batch, has_stamps: true }, ..loopback(2) });
    }
}

fn burst(config: &Config) {
    let server = Server::start(config.clone());
    let client = server.client();
    let count = 3 * u16::try_from(BATCH).unwrap() + 7;
    for round in 0..20 {
        for id in 0..count {
            client.send(&query(id + round)).unwrap();
        }
        let mut open: Vec<_> = (0..count).map(|id| id + round).collect();
        while !open.is_empty() {
            let mut reply = [0; 512];
            let len = client.recv(&mut reply).unwrap();
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            check(&query(id), &reply[..len]);
            open.swap_remove(open.iter().position(|&other| other == id).expect("each reply comes once"));
        }
    }
    let Server { running, registry, .. } = server;
    running.stop();
    let totals = registry.totals();
    assert_eq!(totals.queries(Transport::Udp), 20 * u64::from(count));
    assert_eq!(totals.responses(5), 20 * u64::from(count));
    assert_eq!(totals.count(Metric::SendFailures), 0);
}

/// What the system says of the answering threads of this process: on which processors each may run.
#[cfg(target_os = "linux")]
fn processors(of: &str) -> Vec<String> {
    let allowed = |status: &str| Some(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned());
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let ours = threads.filter(|thread| std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == of));
    ours.filter_map(|thread| allowed(&std::fs::read_to_string(thread.path().join("status")).ok()?)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn workers_are_kept_on_their_processors_and_serve_where_there_is_no_such() {
    let ours = processors("dns-udp");
    // The first processor that this process may use, which need not be the first of the machine.
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first: usize = list.split(['-', ',']).next().unwrap().parse().unwrap();
    let server = Server::start(Config { cpus: vec![first, 1023], ..loopback(2) });
    let client = server.client();
    client.send(&query(7)).unwrap();
    check(&query(7), &{
        let mut reply = [0; 512];
        let len = client.recv(&mut reply).unwrap();
        reply[..len].to_vec()
    });
    // A worker answers once it is where it belongs; the other one may still be on its way there.
    let deadline = std::time::Instant::now() + PATIENCE;
    while !processors("dns-udp").contains(&first.to_string()) {
        assert!(std::time::Instant::now() < deadline, "{ours:?} before, {:?} now", processors("dns-udp"));
        thread::yield_now();
    }
}

#[test]
fn many_clients_each_get_their_own_replies() {
    let server = Server::on_loopback(3);
    thread::scope(|scope| {
        for client in 0..16u16 {
            let server = &server;
            scope.spawn(move || {
                let socket = server.client();
                for id in 0..200 {
                    ask(&socket, client << 8 | id);
                }
            });
        }
    });
    assert_eq!(server.registry.totals().queries(Transport::Udp), 16 * 200);
}

#[test]
fn n12_garbage_of_every_length_ends_nothing() {
    let server = Server::on_loopback(1);
    let client = server.client();
    for len in 0..64 {
        client.send(&vec![0xff; len]).unwrap();
    }
    // More than the room for a query: the message at its beginning counts, what follows is ignored.
    let mut long = query(7);
    long.resize(8 * QUERY_OCTETS, 0);
    client.send(&long).unwrap();
    let mut reply = [0; 8192];
    loop {
        let len = client.recv(&mut reply).unwrap();
        if reply[..2] == query(7)[..2] {
            check(&query(7), &reply[..len]);
            break;
        }
    }
}

#[test]
fn n13_replies_leave_from_the_address_that_was_asked() {
    let mut listen = vec![(Ipv4Addr::UNSPECIFIED, 0).into()];
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        listen.push((Ipv6Addr::UNSPECIFIED, 0).into());
    } else {
        println!("the IPv6 part is left out: this machine has no IPv6");
    }
    let server = Server::start(Config::new(listen, 2));
    let [v4, v6 @ ..] = server.running.addresses() else { panic!("an IPv4 address") };
    let mut asked: Vec<SocketAddr> = (1..=9).map(|host| (Ipv4Addr::new(127, 0, 0, host), v4.port()).into()).collect();
    asked.extend(v6.iter().map(|v6| SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port()))));
    for (id, to) in (0..).zip(asked) {
        let client = udp_client(if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        client.send_to(&query(id), to).unwrap();
        let mut reply = [0; 512];
        let (len, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!(from, to);
        check(&query(id), &reply[..len]);
    }
    let mut stream = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 3), v4.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    ask_over(&mut stream, 3);
}

#[test]
fn the_portable_path_answers_too() {
    let socket = udp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).unwrap().remove(0);
    let local = socket.local_addr().unwrap();
    let (registry, stop) = (Registry::new(), AtomicBool::new(false));
    let mut worker = Worker::new(&empty_world(), &registry, &any_time());
    thread::scope(|scope| {
        scope.spawn(|| udp::run(&mut portable::Single::new(socket, local, Reading::default()), &mut worker, &stop));
        let client = udp_client(local.ip());
        client.connect(local).unwrap();
        client.send(b"short").unwrap();
        for id in 0..100 {
            ask(&client, id);
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(registry.totals().queries(Transport::Udp), 101);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_query_waits_to_be_read_is_measured_where_the_kernel_notes_when_it_came() {
    for has_stamps in [false, true] {
        let socket = udp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).unwrap().remove(0);
        let local = socket.local_addr().unwrap();
        let mut path = sys::Batch::new(socket, local, Reading { has_stamps, ..Reading::default() });
        let client = udp_client(local.ip());
        client.connect(local).unwrap();
        let before_s = Clock::system().wall_s();
        client.send(&query(7)).unwrap();
        // By the worker's clock it is an hour later when it gets to it.
        let fake = FakeClock::new();
        fake.set_wall_s(before_s + 3_600);
        let (registry, stopped) = (Registry::new(), AtomicBool::new(true));
        let mut worker = Worker::new(&empty_world(), &registry, &any_time()).with_cookies(Secret([0; 16]), fake.clock());
        udp::run(&mut path, &mut worker, &stopped);
        let totals = registry.totals();
        let waits = totals.waits();
        assert_eq!((totals.queries(Transport::Udp), waits.count()), (1, u64::from(has_stamps)));
        assert!(!has_stamps || (3_000_000_000_000..=3_600_000_000_000).contains(&waits.sum), "{} ns", waits.sum);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_kernel_throws_away_is_counted_apart() {
    let socket = udp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).unwrap().remove(0);
    let local = socket.local_addr().unwrap();
    // Room for a few packets only; nobody reads until all are sent.
    socket2::SockRef::from(&socket).set_recv_buffer_size(4_096).unwrap();
    let client = udp_client(local.ip());
    client.connect(local).unwrap();
    for id in 0..200 {
        client.send(&query(id)).unwrap();
    }
    let (registry, stopped) = (Registry::new(), AtomicBool::new(true));
    let mut path = sys::Batch::new(socket, local, Reading::default());
    let mut worker = Worker::new(&empty_world(), &registry, &any_time());
    let deadline = std::time::Instant::now() + PATIENCE;
    let (mut read, mut dropped) = (0, 0);
    while read + dropped < 200 {
        assert!(std::time::Instant::now() < deadline, "{read} packets read, {dropped} dropped");
        udp::run(&mut path, &mut worker, &stopped);
        (read, dropped) = (registry.totals().queries(Transport::Udp), registry.totals().count(Metric::KernelDrops));
    }
    assert!(read > 0 && dropped > 0 && read + dropped == 200, "{read} packets read, {dropped} dropped");
}
