//! Meridian asked at a moderate rate while something else goes on in it, beside the same rate in quiet; all in turn, round by round.
//! It is one process from the first round to the last, probed and asked all the time, on one core: what disturbs answers shows.

mod setting;
mod targets;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::load::{DEFAULT_PORTS, Load, Measured};
use crate::process::{Cores, Running};
use crate::report::median;
use crate::servers::{Kind, meridian::Meridian};
use crate::sys;
use crate::table::Table;
use crate::udp;
use setting::Setting;
use targets::Targets;

/// How long the most that it can answer is measured.
const CAPACITY_TIME: Duration = Duration::from_secs(2);

/// Metrics are read, and what was reloaded is reloaded again, after so long.
const PERIOD: Duration = Duration::from_secs(1);

/// A reload that is not done by then has failed.
const RELOAD_LIMIT: Duration = Duration::from_secs(120);

/// How long an answer of the control socket may take.
const CONTROL_PATIENCE: Duration = Duration::from_secs(5);

/// Between looks at another program's log, which makes no event here, and at whether a measurement is over: 20 ms more of a disturbance
/// change nothing in seconds of measuring.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long and how hard it is asked.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) load_percent: u8,
    pub(crate) cores: Cores,
}

/// What goes on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Quiet,
    Flapping,
    Reload,
    Metrics,
}

impl Disturbance {
    const ALL: [Disturbance; 4] = [Disturbance::Quiet, Disturbance::Flapping, Disturbance::Reload, Disturbance::Metrics];

    fn title(self) -> &'static str {
        match self {
            Disturbance::Quiet => "quiet",
            Disturbance::Flapping => "health flaps",
            Disturbance::Reload => "geo reload",
            Disturbance::Metrics => "metrics read",
        }
    }
}

/// What one measurement gave, and how often the disturbance happened in it.
struct Figures {
    disturbance: Disturbance,
    measured: Measured,
    happened: u64,
}

/// Runs all rounds and prints the table.
pub(crate) fn run(folder: &Path, table: &Table, plan: &Plan, program: &Path) -> Result<()> {
    let targets = Targets::start()?;
    let place = Kind::Meridian.place(folder, &table.size);
    let setting = Setting::write(table, folder, place.address, targets.port())?;
    let mut server = Running::start(&Meridian, program, &setting.place, plan.cores, &setting.samples)?;
    let load = Load { server: place.address, process: server.process(), time: CAPACITY_TIME, rate: 0.0, ports: DEFAULT_PORTS };
    let capacity = udp::run(load, &setting.clients)?;
    let most = capacity.counts.replies as f64 / capacity.time.as_secs_f64();
    let load = Load { time: plan.time, rate: most * f64::from(plan.load_percent) / 100.0, ..load };
    let mut disturbances = Disturbance::ALL.to_vec();
    if let Err(error) = read_metrics(&setting) {
        eprintln!("metrics are left out: {error:#}");
        disturbances.retain(|disturbance| *disturbance != Disturbance::Metrics);
    }
    let mut figures = Vec::new();
    for round in 0..plan.rounds {
        for disturbance in &disturbances {
            eprintln!("round {} of {}: {}", round + 1, plan.rounds, disturbance.title());
            figures.push(measure(*disturbance, load, &setting, &targets, server.process())?);
            server.wait(place.address, &setting.samples).with_context(|| format!("after: {}", disturbance.title()))?;
        }
    }
    println!("{:.0} queries a second, {} % of {most:.0}; {} networks\n", load.rate, plan.load_percent, table.size.networks);
    print!("{}", report(&disturbances, &figures));
    Ok(())
}

fn measure(disturbance: Disturbance, load: Load, setting: &Setting, targets: &Targets, process: u32) -> Result<Figures> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| match disturbance {
            Disturbance::Quiet => Ok(0),
            Disturbance::Flapping => Ok(targets.flap_until(&is_over)),
            Disturbance::Reload => reload_until(&is_over, setting, process),
            Disturbance::Metrics => read_until(&is_over, setting),
        });
        // Where clients go while regions come and go is not known here, only that they are sent somewhere.
        let clients = if disturbance == Disturbance::Flapping { &setting.anywhere } else { &setting.clients };
        let measured = udp::run(load, clients);
        is_over.store(true, Ordering::Relaxed);
        let Ok(happened) = other.join() else { bail!("{}: it panicked", disturbance.title()) };
        Ok(Figures { disturbance, measured: measured?, happened: happened.context(disturbance.title())? })
    })
}

/// Reloads another geo database each time; a period after one is done, the next begins.
fn reload_until(is_over: &AtomicBool, setting: &Setting, process: u32) -> Result<u64> {
    let mut done = 0;
    while !is_over.load(Ordering::Relaxed) {
        let before = setting.reloads()?;
        setting.change()?;
        sys::signal(process, libc::SIGHUP).context("SIGHUP")?;
        let limit = Instant::now() + RELOAD_LIMIT;
        while setting.reloads()? == before {
            ensure!(Instant::now() < limit, "no reload in {} s, see {}", RELOAD_LIMIT.as_secs(), setting.log().display());
            thread::sleep(LOOK_AGAIN);
        }
        done += 1;
        pause(is_over);
    }
    Ok(done)
}

fn read_until(is_over: &AtomicBool, setting: &Setting) -> Result<u64> {
    let mut done = 0;
    while !is_over.load(Ordering::Relaxed) {
        read_metrics(setting)?;
        done += 1;
        pause(is_over);
    }
    Ok(done)
}

/// The time between two disturbances, or until nobody is measured any more.
fn pause(is_over: &AtomicBool) {
    let until = Instant::now() + PERIOD;
    while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
        thread::sleep(LOOK_AGAIN);
    }
}

/// Reads all metrics by the control socket.
fn read_metrics(setting: &Setting) -> Result<()> {
    let socket = setting.control();
    let mut stream = UnixStream::connect(&socket).with_context(|| socket.display().to_string())?;
    stream.set_read_timeout(Some(CONTROL_PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let first = answer.lines().next().unwrap_or_default();
    ensure!(first.starts_with("HTTP/1.1 200"), "the control socket answers `{first}` to GET /metrics");
    Ok(())
}

fn report(disturbances: &[Disturbance], figures: &[Figures]) -> String {
    let mut text = format!(
        "{:13} {:>8} {:>8} {:>9} {:>9} {:>7} {:>7} {:>10} {:>9} {:>9}\n",
        "", "p50 us", "p99 us", "p99.9 us", "replies", "lost", "wrong", "CPU us/q", "happened", "sender %"
    );
    for disturbance in disturbances {
        let of: Vec<&Figures> = figures.iter().filter(|figures| figures.disturbance == *disturbance).collect();
        let middle = |value: &dyn Fn(&Measured) -> f64| median(of.iter().map(|figures| value(&figures.measured)));
        let percentile = |share| middle(&|measured| measured.counts.latency.percentile_us(share));
        let sum = |value: &dyn Fn(&Figures) -> u64| of.iter().map(|figures| value(figures)).sum::<u64>();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:13} {:8.0} {:8.0} {:9.0} {:9} {:7} {:7} {:10.2} {:9} {:9.0}",
            disturbance.title(),
            percentile(0.5),
            percentile(0.99),
            percentile(0.999),
            sum(&|figures| figures.measured.counts.replies),
            sum(&|figures| figures.measured.counts.lost),
            sum(&|figures| figures.measured.counts.wrong),
            middle(&|measured| measured.server.whole_us / measured.counts.replies as f64),
            sum(&|figures| figures.happened),
            middle(&|measured| measured.sender_share * 100.0),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Used;
    use crate::load::Counts;

    #[test]
    fn a_report_has_a_line_for_each_disturbance() {
        let figures = |disturbance, happened| {
            let mut counts = Counts::new();
            counts.replies = 1000;
            counts.latency.add(10_000);
            let server = Used { whole_us: 2000.0, ..Used::default() };
            Figures { disturbance, measured: Measured { counts, time: PERIOD, server, sender_share: 1.0 }, happened }
        };
        let all = [figures(Disturbance::Quiet, 0), figures(Disturbance::Reload, 2), figures(Disturbance::Reload, 3)];
        let expected = "\x20               p50 us   p99 us  p99.9 us   replies    lost   wrong   CPU us/q  happened  sender %
quiet               10       10        10      1000       0       0       2.00         0       100
geo reload          10       10        10      2000       0       0       2.00         5       100
";
        assert_eq!(report(&[Disturbance::Quiet, Disturbance::Reload], &all), expected);
    }
}
