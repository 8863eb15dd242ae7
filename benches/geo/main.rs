//! Geo data at full size: time and memory of a load, memory of the table, the cost of a look-up, of plans and of rehearsals.
//!
//! `cargo bench --bench geo` makes up a City-size database (4 million networks, 200,000 records) and loads it in a process of its own, so
//! that the peak is the loader's. `--networks N --records N --regions N --csv` change what is made; `--load FILE` measures any file.

mod mmdb;
mod rehearsal;
mod world;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use meridian::geo::{Family, Inputs, PlaceTable, Point, RegionId, build, read_file};
use meridian::progress::Progress;
use meridian::random::Random;
use meridian::steer::Weight;
use meridian::steer::order::OrderSpec;
use meridian::steer::plan::{Plan, PlanKey};
use world::World;

/// Look-ups of one measurement.
const LOOKUPS: usize = 4_000_000;

/// Addresses that stay in the first-level cache together with what they lead to.
const HOT: usize = 64;

struct Args {
    networks: usize,
    records: usize,
    regions: usize,
    csv: bool,
    load: Option<PathBuf>,
}

fn main() {
    let args = args();
    match &args.load {
        Some(path) => load(path, args.regions),
        None => make_and_load(&args),
    }
}

fn args() -> Args {
    let mut args = Args { networks: 4_000_000, records: 200_000, regions: 1000, csv: false, load: None };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{flag} needs a value"));
        let number = |text: String| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        match flag.as_str() {
            "--networks" => args.networks = number(value()),
            "--records" => args.records = number(value()),
            "--regions" => args.regions = number(value()),
            "--csv" => args.csv = true,
            "--load" => args.load = Some(value().into()),
            // Cargo passes flags of its own harness.
            _ => {}
        }
    }
    args
}

/// Writes the file once, then measures in a child process.
fn make_and_load(args: &Args) {
    let kind = if args.csv { "csv" } else { "mmdb" };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("geo-{}-{}.{kind}", args.networks, args.records));
    if !path.exists() {
        let world = World::new(args.networks, args.records);
        println!("made       {} IPv4 and {} IPv6 networks, {} records", world.v4.len(), world.v6.len(), world.records.len());
        let octets = if args.csv { csv(&world).into_bytes() } else { mmdb::write(world.in_one_tree(), &world.records) };
        std::fs::write(&path, octets).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let child = Command::new(own).arg("--load").arg(&path).args(["--regions", &args.regions.to_string()]).status();
    assert!(child.is_ok_and(|status| status.success()), "the loader failed");
}

fn csv(world: &World) -> String {
    let mut text = String::from("network,latitude,longitude,country,continent,subdivision,city\n");
    for (address, length, record) in world.networks() {
        let record = &world.records[record as usize];
        let (latitude, longitude) = (record.latitude, record.longitude);
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "{address}/{length},{latitude},{longitude},{},{},{},{}",
            record.country, record.continent, record.subdivision, record.city
        );
    }
    text
}

fn load(path: &Path, regions: usize) {
    let octets = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    println!("file       {} MiB", octets >> 20);
    let start = Stopwatch::start();
    let rows = read_file(&path.to_path_buf().into()).unwrap_or_else(|found| panic!("{found}"));
    let read_ms = start.ms();
    let (v4, v6) = (rows.count(Family::V4), rows.count(Family::V6));
    let start = Stopwatch::start();
    let table = build(Inputs { sources: vec![rows], ..Inputs::default() }).unwrap_or_else(|error| panic!("{error}"));
    println!("networks   {v4} IPv4, {v6} IPv6");
    println!("load       {} ms: read {read_ms} ms, build {} ms", read_ms + start.ms(), start.ms());
    println!("peak       {} MiB", peak_kib() >> 10);
    let (v4, v6) = (table.range_count(Family::V4), table.range_count(Family::V6));
    println!("table      {:.1} MiB: {v4} + {v6} ranges, {} places", mib(table.memory_bytes()), table.place_count());
    for family in [Family::V4, Family::V6] {
        lookups(&table, family);
    }
    for count in [10, regions] {
        plan(&table, count);
    }
    println!("peak       {} MiB with plans", peak_kib() >> 10);
    drop(table);
    rehearsal::rehearse(path);
}

fn lookups(table: &PlaceTable, family: Family) {
    let mut random = Random::new(7);
    let ranges: Vec<IpAddr> = table.ranges(family).map(|(_, prefix, _)| prefix.network()).collect();
    let addresses: Vec<IpAddr> = (0..LOOKUPS).map(|_| beside(ranges[random.below(ranges.len())], &mut random)).collect();
    drop(ranges);
    let hot: Vec<IpAddr> = addresses.iter().take(HOT).copied().cycle().take(LOOKUPS).collect();
    let (cold_ns, hot_ns) = (lookup_ns(table, &addresses), lookup_ns(table, &hot));
    println!("look-up    {family}: {cold_ns:.0} ns cold (any range alike), {hot_ns:.0} ns hot ({HOT} clients)");
}

/// Nanoseconds a look-up; each waits for the one before it, as queries of one worker do.
fn lookup_ns(table: &PlaceTable, addresses: &[IpAddr]) -> f64 {
    let start = Stopwatch::start();
    let mut before = 0;
    for address in addresses {
        // Never true, but neither the compiler nor the processor knows before the last look-up is done.
        let address = if before == u32::MAX { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { *address };
        before = black_box(table.locate(address, 128)).place.0;
    }
    start.ns() as f64 / addresses.len() as f64
}

/// An address a little behind another one.
fn beside(address: IpAddr, random: &mut Random) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | (random.next() & 3) as u32)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() | u128::from(random.next() >> 8))),
    }
}

fn plan(table: &PlaceTable, regions: usize) {
    let mut random = Random::new(9);
    let mut coordinate = |limit: f64| (random.below(200_001) as f64 / 100_000.0 - 1.0) * limit;
    let point = |latitude, longitude| Point::new(latitude, longitude).unwrap_or_else(|error| panic!("{error}"));
    let candidates = (0..regions).map(|index| (RegionId(index as u16), point(coordinate(60.0), coordinate(180.0)), Weight::ONE)).collect();
    let (rules, tiers) = (vec![], vec![]);
    let key = PlanKey {
        geo: 0,
        candidates,
        order: OrderSpec::Nearest,
        rules,
        tiers,
        latencies: None,
        spread_m: 0,
        hashes_clients: false,
        sheds: false,
    };
    let start = Stopwatch::start();
    let plan = Plan::compile(&key, table, &Progress::default()).unwrap_or_else(|error| panic!("{error}"));
    let (compile_ms, rankings) = (start.ms(), plan.ranking_count());
    println!("plan       {regions} regions: {compile_ms} ms, {:.1} MiB, {rankings} rankings", mib(plan.memory_bytes()));
}

/// Time of this thread on a processor, as Linux counts it: other programs on the machine do not enter. Elsewhere the time of the wall.
struct Stopwatch {
    processor_ns: Option<u64>,
    wall: Instant,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch { processor_ns: processor_ns(), wall: Instant::now() }
    }

    fn ns(&self) -> u64 {
        match (self.processor_ns, processor_ns()) {
            (Some(before), Some(now)) => now - before,
            _ => self.wall.elapsed().as_nanos() as u64,
        }
    }

    fn ms(&self) -> u64 {
        self.ns() / 1_000_000
    }
}

fn processor_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}

fn mib(octets: usize) -> f64 {
    octets as f64 / f64::from(1 << 20)
}

/// The most memory that this process ever had, as Linux counts it; 0 where it does not.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
