//! `meridian geo lookup`, `stats` and `coverage`: what they print, against what is answered and what was put in.

use crate::common::folder::Folder;
use crate::common::message::query;
use crate::common::server::run;
use crate::common::world::World;

const FILES: [(&str, &str); 4] = [
    (
        "meridian.yaml",
        "version: 1\nlisten: 127.0.0.1:0\ngeodb: own.csv\nregions: regions.yaml\nzones: zone.yaml\nnetworks: {80.128.0.0/9: {region: east}}\n",
    ),
    // A quarter of IPv4 at 0 degrees and another at 40; a sixteenth of 2000::/3 at 40.
    ("own.csv", "network,latitude,longitude,continent\n64.0.0.0/2,0,1,EU\n128.0.0.0/2,0,39,AS\n2400::/7,0,41,AS\n"),
    (
        "regions.yaml",
        "regions:
  west: {location: {latitude: 0, longitude: 0}, services: {web: [192.0.2.1, \"2001:db8::1\"]}}
  east: {location: {latitude: 0, longitude: 40}, weight: 3, services: {web: 192.0.2.2}}
",
    ),
    (
        "zone.yaml",
        "zone: example.com
ns: [ns.example.net.]
records:
  www: {steer: web}
  sticky: {steer: {service: web, balance: sticky}}
  deaf: {steer: {service: web, ecs: false}}
  any: {steer: {service: web, order: any}}
",
    ),
];

/// What a command prints; it must end well.
fn printed(arguments: &[&str], folder: &Folder) -> String {
    let config = folder.join("meridian.yaml");
    let output = run(&[arguments, &["--config", config.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn lookup_tells_the_scopes_that_are_answered() {
    let folder = Folder::with("lookup", &FILES);
    let world = World::load(&folder.join("meridian.yaml"));
    for (address, length) in
        [("80.1.2.3", 32), ("80.200.0.1", 32), ("2400::1", 128), ("64:ff9b::5001:203", 128), ("10.0.0.1", 32), ("::1", 128)]
    {
        let text = printed(&["geo", "lookup", address], &folder);
        for name in ["www", "sticky", "deaf", "any"] {
            let mut wanted = format!("scope    {name}.example.com.  ");
            for (index, qtype) in ["A", "AAAA"].iter().enumerate() {
                let (_, reply) = world.ask(&query(&format!("{name}.example.com"), qtype).ecs(address.parse().unwrap(), length));
                wanted += &format!("{}{qtype} /{}", if index > 0 { ", " } else { "" }, reply.scope().unwrap());
            }
            assert!(text.lines().any(|line| line == wanted), "{address}: no line `{wanted}` in\n{text}");
        }
    }
    let text = printed(&["geo", "lookup", "80.200.0.1"], &folder);
    assert!(text.contains("source   `networks:`\nregion   east first, by `networks:`\n"), "{text}");
}

#[test]
fn lookup_says_how_coarse_the_built_in_table_is() {
    let files = [("meridian.yaml", "version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: zone.yaml\n"), FILES[2], FILES[3]];
    let text = printed(&["geo", "lookup", "8.8.8.8"], &Folder::with("coarse", &files));
    assert!(text.contains("the built-in world table (one point for a registry's whole region"), "{text}");
}

#[test]
fn stats_tell_files_ages_memory_and_continents() {
    let folder = Folder::with("stats", &FILES);
    let text = printed(&["geo", "stats"], &folder);
    for part in ["own.csv: 2 IPv4 and 1 IPv6 networks, 3 distinct records, written 0 minutes ago", "ranges", "places", "KiB"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    // Reserved blocks of which the file does not speak do not count: all but 34 of 256 /8 do, give or take a few small ones.
    let share = |name: &str| -> Vec<f64> {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    assert!((share("EU")[0] - 6400.0 / 222.0).abs() < 0.05 && share("EU")[1] == 0.0, "{text}");
    assert!((share("AS")[0] - 6400.0 / 222.0).abs() < 0.05 && (share("AS")[1] - 6.25).abs() < 0.05, "{text}");
    assert!((share("unknown")[1] - 93.75).abs() < 0.05, "{text}");
}

#[test]
fn coverage_counts_addresses_and_sites_in_three_formats() {
    let folder = Folder::with("coverage", &FILES);
    let csv = printed(&["geo", "coverage", "--format", "csv"], &folder);
    let row = |name: &str, rtype: &str, region: &str| -> Vec<f64> {
        let start = format!("\"{name}.example.com.\",{rtype},{region},");
        let line = csv.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no {start} in\n{csv}"));
        line.split(',').map(|cell| cell.parse().unwrap()).collect()
    };
    let sites = 2f64.powi(48 - 7);
    // 64/2 without the half of 80/8 that is pinned to the other region.
    assert_eq!(row("www", "A", "west"), [2f64.powi(30) - 2f64.powi(23), 49.6094, 0.0, 0.0]);
    assert_eq!(row("www", "A", "east"), [2f64.powi(30) + 2f64.powi(23), 50.3906, sites, 100.0]);
    // The only region with IPv6 has all; under `any` the weights of 1 and 3 share all that are not pinned.
    assert_eq!(row("www", "AAAA", "west"), [2f64.powi(31), 100.0, sites, 100.0]);
    assert_eq!(row("any", "A", "west")[2..], [sites / 4.0, 25.0]);
    let json = printed(&["geo", "coverage", "--format", "json", "--name", "www.example.com"], &folder);
    assert_eq!(json.lines().count(), 2 + 3, "{json}");
    assert!(json.contains("{\"name\": \"www.example.com.\", \"type\": \"A\", \"region\": \"west\", \"ipv4_addresses\": 1065353216, \"ipv4_percent\": 49.6094,"), "{json}");
    let text = printed(&["geo", "coverage", "--name", "www.example.com"], &folder);
    assert!(text.contains("counted: addresses of IPv4, and of IPv6 networks of /48 inside 2000::/3") && !text.contains("sticky"), "{text}");
    let config = folder.join("meridian.yaml");
    let unknown = run(&["geo", "coverage", "--name", "nobody.example.com", "--config", config.to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn coverage_draws_who_is_answered_from_where_as_it_counts_them() {
    let folder = Folder::with("coverage-map", &FILES);
    let map = folder.join("map.svg");
    let text = printed(&["geo", "coverage", "--name", "www.example.com", "--map", map.to_str().unwrap()], &folder);
    assert!(text.contains("49.61 %"), "{text}");
    let svg = std::fs::read_to_string(&map).unwrap();
    assert!(svg.contains("<title>www.example.com., everything up, by addresses</title>") && svg.ends_with("</svg>\n"), "{svg}");
    // One circle for each place, and the network that is pinned to a region stands where that region does; nobody moves.
    let drawn = |colour: &str| svg.lines().filter(|line| line.starts_with("<circle ") && line.contains(colour)).count();
    assert_eq!((drawn("#0072b2"), drawn("#e69f00"), svg.matches("marker-end").count()), (1, 2, 0), "{svg}");
    // By all addresses, those of unknown place among them, who go to the first region that is listed.
    let legend = |region: &str| svg.lines().find(|line| line.contains(&format!(">{region}: "))).unwrap_or_else(|| panic!("{svg}"));
    assert!(!legend("west").contains("before") && !legend("east").contains("before"), "{svg}");
    let unwritable = folder.join("none/map.svg");
    let config = folder.join("meridian.yaml");
    let refused = run(&["geo", "coverage", "--map", unwritable.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert!(refused.status.code() == Some(1) && String::from_utf8_lossy(&refused.stderr).contains("none/map.svg"));
}
