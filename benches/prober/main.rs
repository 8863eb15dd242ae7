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

use clap::{Parser, ValueEnum};
use meridian::clock::Clock;
use meridian::health::{Monitor, MonitorSpec, Outcome, TargetKey};
use meridian::prober::Prober;

/// From the start of one probe to the next, in milliseconds: the default of a monitor.
const INTERVAL_MS: u32 = 5_000;

/// Between two looks at memory and descriptors: a sample of what the probes take while they run, so the bench's own look stays small.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// What the bench was asked for.
#[derive(Parser)]
struct Wish {
    /// How many targets are probed; few unless told, so that `cargo bench` only looks whether it still runs
    #[arg(long, default_value_t = 200)]
    targets: u32,
    /// How many of them accept and never answer
    #[arg(long, default_value_t = 2)]
    hanging: u32,
    /// How long to look
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// How they are probed
    #[arg(long, value_enum, default_value_t = Kind::Http)]
    kind: Kind,
    /// Only serve the targets: how the bench starts its other half
    #[arg(long)]
    serve: bool,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Http,
    Https,
    Tcp,
}

fn main() {
    let wish = Wish::parse();
    if wish.serve {
        servers::serve();
    }
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
    let (yaml, port) = match wish.kind {
        Kind::Http => ("http: {path: /health, json: {/ok: true}}", http),
        Kind::Https => ("https: {path: /health, verify: false, json: {/ok: true}}", https),
        Kind::Tcp => ("tcp: 1", http),
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
        std::thread::sleep(SAMPLE_EVERY);
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
    println!("targets        {} ({:?}), {} of them hanging, every {INTERVAL_MS} ms", wish.targets, wish.kind, wish.hanging);
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
