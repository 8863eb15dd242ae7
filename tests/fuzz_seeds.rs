//! The seeds of the fuzz targets, each through the very function that the fuzzer calls, with some damage done to it: what fuzzing has found once
//! stays found, at every `cargo test` and without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]
#![allow(unreachable_pub, missing_docs, reason = "these files are a library where the fuzzer is")]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::PathBuf;

use meridian::random::Random;

/// Damaged copies of each seed, unless [`OPTION`] says otherwise: it makes of this test a fuzzer without feedback.
const DAMAGED: usize = 8;
const OPTION: &str = "MERIDIAN_FUZZ_DAMAGED";

/// Octets that are changed in each copy, at most.
const CHANGES: usize = 4;

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = targets::home().join("seeds").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = files.map(|file| file.unwrap().path()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    seeds.sort();
    seeds
}

#[test]
fn seeds_of_every_target_still_pass() {
    let damaged = std::env::var(OPTION).map_or(DAMAGED, |text| text.parse().unwrap());
    for (target, run) in targets::TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        for (path, seed) in seeds {
            // Whose seed it was stands in front of the message of whatever fails.
            println!("{}", path.display());
            run(&seed);
            let mut random = Random::new(seed.len() as u64);
            for _ in 0..damaged {
                let mut damaged = seed.clone();
                for _ in 0..random.below(CHANGES) {
                    if let Some(octet) = (!damaged.is_empty()).then(|| random.below(damaged.len())).and_then(|at| damaged.get_mut(at)) {
                        *octet = random.next() as u8;
                    }
                }
                damaged.truncate(damaged.len() - random.below(damaged.len() / 4 + 1));
                run(&damaged);
            }
        }
    }
}

#[test]
fn every_target_has_its_program() {
    let manifest = std::fs::read_to_string(targets::home().join("Cargo.toml")).unwrap();
    for (target, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target} is not in fuzz/Cargo.toml");
        assert!(targets::home().join(format!("fuzz_targets/{target}.rs")).is_file(), "{target}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets::TARGETS.len());
}
