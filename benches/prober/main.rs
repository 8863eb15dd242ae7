//! What probing costs: thousands of targets on loopback, probed by the prober of the server, with what it took in time, memory and
//! descriptors. It plays the targets in a process of its own, so that only the prober is measured; it judges nothing.
//!
//! `cargo bench --bench prober --no-run`, then `taskset -c 0 BINARY --targets 10000 --seconds 30 [--kind http|https|tcp] [--hanging 100]`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on stops here")]

mod servers;
mod usage;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meridian::clock::Clock;
use meridian::health::{Monitor, MonitorSpec, Outcome, TargetKey};
use meridian::prober::Prober;

/// From the start of one probe to the next, in milliseconds: the default of a monitor.
const INTERVAL_MS: u32 = 5_000;

/// What the bench was asked for.
struct Wish {
    targets: u32,
    hanging: u32,
    seconds: u64,
    kind: String,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "--serve") {
        servers::serve();
    }
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: u32| value(name).map_or(default, |text| text.parse().unwrap());
    let wish = Wish {
        // Without arguments (`cargo bench`) only a look whether it still runs.
        targets: number("--targets", 200),
        hanging: number("--hanging", 2),
        seconds: u64::from(number("--seconds", 6)),
        kind: value("--kind").map_or_else(|| "http".to_owned(), String::clone),
    };
    let _ = meridian::server::raise_descriptor_limit();
    let (mut server, ports) = start_servers();
    measure(&wish, ports);
    let _ = server.kill();
    let _ = server.wait();
}

/// The targets in a process of their own, on another core where there is one; and their ports: http, https, silent.
fn start_servers() -> (Child, [u16; 3]) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    let mut child = command.arg("--serve").stdout(Stdio::piped()).spawn().unwrap();
    // Where the prober is held to one core the targets get another; on a machine with one core this fails, and they share it.
    let _ = Command::new("taskset").args(["-acp", "1", &child.id().to_string()]).output();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ports: Vec<u16> = line.split_whitespace().map(|port| port.parse().unwrap()).collect();
    (child, ports.try_into().unwrap())
}

/// Targets on addresses of their own in 127.0.0.0/8, which all lead to the same listeners.
fn targets(wish: &Wish, [http, https, silent]: [u16; 3]) -> Vec<TargetKey> {
    let (yaml, port) = match wish.kind.as_str() {
        "http" => ("http: {path: /health, json: {/ok: true}}", http),
        "https" => ("https: {path: /health, verify: false, json: {/ok: true}}", https),
        "tcp" => ("tcp: 1", http),
        kind => panic!("no such kind: {kind}"),
    };
    let spec: MonitorSpec = serde_saphyr::from_str(yaml).unwrap();
    let monitor = spec.check(&mut |_| Err("no files here".to_owned())).unwrap();
    let monitor = |number: u32| {
        let port = if number < wish.hanging { silent } else { port };
        Monitor { port, interval_ms: INTERVAL_MS, ..monitor.clone() }
    };
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from(0x7F01_0001 + number));
    (0..wish.targets).map(|number| monitor(number).target(address(number))).collect()
}

fn measure(wish: &Wish, ports: [u16; 3]) {
    let threads = 2;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
    let counts: Arc<[AtomicU64; 3]> = Arc::default();
    let count = Arc::clone(&counts);
    let reports = move |_target, report: meridian::health::Report| {
        let cell = match report.outcome {
            Outcome::Success | Outcome::Degraded => 0,
            Outcome::Failure => 1,
            Outcome::ProberFault => 2,
        };
        count[cell].fetch_add(1, Ordering::Relaxed);
    };
    let targets = targets(wish, ports);
    let before_kib = usage::resident_kib();
    let start = Instant::now();
    let prober = Prober::start(runtime.handle(), Clock::system(), 7, targets, reports);
    let started_ms = start.elapsed().as_millis();
    let mut first_round_ms = None;
    let (mut descriptors, mut resident_kib, mut time_waits) = (0, 0, 0);
    while start.elapsed() < Duration::from_secs(wish.seconds) {
        std::thread::sleep(Duration::from_millis(500));
        if first_round_ms.is_none() && start.elapsed() > Duration::from_millis(2 * u64::from(INTERVAL_MS)) {
            first_round_ms = Some(prober.lateness_ms(0.99));
            prober.reset_lateness();
        }
        descriptors = descriptors.max(usage::descriptors());
        resident_kib = resident_kib.max(usage::resident_kib());
        time_waits = time_waits.max(usage::time_waits());
    }
    let cpu_s = usage::cpu_s();
    let [good, failed, faults] = [0, 1, 2].map(|cell: usize| counts[cell].load(Ordering::Relaxed));
    let [median_ms, p99_ms, worst_ms] = [0.5, 0.99, 1.0].map(|share| prober.lateness_ms(share));
    println!("targets        {} ({}), {} of them hanging, every {INTERVAL_MS} ms", wish.targets, wish.kind, wish.hanging);
    println!("set up         {started_ms} ms");
    println!("probes         {good} good, {failed} failed, {faults} prober faults in {} s", wish.seconds);
    println!(
        "lateness       median {median_ms} ms, p99 {p99_ms} ms, worst {worst_ms} ms; of the first two rounds p99 {} ms",
        first_round_ms.unwrap_or(0)
    );
    println!(
        "processor      {:.1} % of a core, {:.0} us a probe",
        cpu_s * 100.0 / wish.seconds as f64,
        cpu_s * 1e6 / (good + failed) as f64
    );
    let each_kib = resident_kib.saturating_sub(before_kib) as f64 / f64::from(wish.targets);
    println!("memory         {resident_kib} KiB at most, {each_kib:.1} KiB a target");
    println!("descriptors    {descriptors} at most; {time_waits} sockets of the machine in TIME-WAIT");
    drop(prober);
}
