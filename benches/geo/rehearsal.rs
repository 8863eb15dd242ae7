//! What it takes to rehearse the loss of a region over geo data of full size: load, one name that goes by distance, one that hashes clients.
//! It does what `meridian simulate` does, in this process.

use std::path::Path;

use meridian::daemon::prepare;
use meridian::geo::{Family, RegionId};
use meridian::name::Name;
use meridian::rehearsal::{Audience, Comparer, Down};

use crate::Stopwatch;

/// Ten regions over the continents: latitude and longitude.
const REGIONS: [(f64, f64); 10] = [
    (38.95, -77.45),
    (45.6, -121.2),
    (53.35, -6.26),
    (50.1, 8.68),
    (19.1, 72.9),
    (1.35, 103.8),
    (35.6, 139.7),
    (-23.5, -46.6),
    (-33.9, 18.4),
    (-33.9, 151.2),
];

/// The region that is lost.
const LOST: usize = 2;

/// Writes a configuration over a geo file beside it, and loses one of its regions, then each of them in turn.
pub(crate) fn rehearse(geo: &Path) {
    // Paths of a configuration start at its own folder.
    let geo = &geo.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", geo.display()));
    let folder = geo.with_extension("rehearsal");
    let region = |(index, (latitude, longitude)): (usize, &(f64, f64))| {
        format!("  r{index}: {{location: {{latitude: {latitude}, longitude: {longitude}}}, services: {{web: 192.0.2.{}}}}}\n", index + 1)
    };
    let regions: String = REGIONS.iter().enumerate().map(region).collect();
    let server = format!(
        "version: 1\nlisten: \"127.0.0.1:0\"\ngeodb: {:?}\nregions: regions.yaml\nzones: example.com.zone.yaml\n",
        geo.display().to_string()
    );
    let zone = "zone: example.com\nns: [ns.example.net.]\nrecords: {near: {steer: web}, even: {steer: {service: web, order: any}}}\n";
    let texts = [("meridian.yaml", server.as_str()), ("regions.yaml", &format!("regions:\n{regions}")), ("example.com.zone.yaml", zone)];
    let write = |(file, text): (&str, &str)| std::fs::write(folder.join(file), text);
    let written = std::fs::create_dir_all(&folder).and_then(|()| texts.into_iter().try_for_each(write));
    written.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let start = Stopwatch::start();
    let compiled = prepare(&folder.join("meridian.yaml"), None).unwrap_or_else(|found| panic!("{found}")).compiled;
    println!("rehearsal  {} regions: configuration loaded in {} ms", REGIONS.len(), start.ms());
    let before = Down::default().world(&compiled);
    let without = |index: usize| Down::default().and(RegionId(index as u16)).world(&compiled);
    let start = Stopwatch::start();
    let comparer = Comparer::new([&compiled.catalog; 2], &Audience::Addresses);
    println!("rehearsal  networks gone through in {} ms", start.ms());
    for name in ["near", "even"] {
        let owner = Name::parse(&format!("{name}.example.com"), None).unwrap_or_else(|error| panic!("{error}"));
        let start = Stopwatch::start();
        let lost = comparer.compare([&before, &without(LOST)], Family::V4, Some(&owner), || {});
        let one_ms = start.ms();
        let start = Stopwatch::start();
        let moved: f64 = (0..REGIONS.len())
            .flat_map(|index| comparer.compare([&before, &without(index)], Family::V4, Some(&owner), || {}))
            .map(|comparison| comparison.percent(comparison.moved()))
            .sum();
        let moves = lost.iter().map(|comparison| comparison.percent(comparison.moved())).sum::<f64>();
        println!(
            "rehearsal  {name}: a region lost in {one_ms} ms ({moves:.2} % move), each in turn in {} ms ({moved:.2} % in all)",
            start.ms()
        );
    }
}
