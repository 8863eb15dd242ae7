//! What every fuzz target does with its input, one file each; `fuzz_targets/` hands over what the fuzzer makes, and `tests/fuzz_seeds.rs` of
//! the server hands over the seeds at every `cargo test`. Nothing here knows the fuzzer.

pub mod api;
pub mod doh;
pub mod doq;
pub mod files;
pub mod framing;
pub mod geo;
pub mod options;
pub mod proxy;
pub mod query;
pub mod takeover;

use std::path::PathBuf;
use std::sync::OnceLock;

/// What a target does with an input.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder of seeds.
pub const TARGETS: [(&str, Target); 12] = [
    ("query", query::run),
    ("options", options::run),
    ("framing", framing::run),
    ("proxy", proxy::run),
    ("yaml", files::yaml),
    ("folder", files::folder),
    ("master", files::master),
    ("geo", geo::run),
    ("api", api::run),
    ("doh", doh::run),
    ("doq", doq::run),
    ("takeover", takeover::run),
];

/// The folder of the fuzz targets, whichever package this is a part of.
pub fn home() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    if package.join("fuzz").is_dir() { package.join("fuzz") } else { package }
}

/// A folder of this process's own, made at the first call.
pub fn scratch() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = std::env::temp_dir().join(format!("meridian-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        folder
    };
    FOLDER.get_or_init(make).clone()
}

/// Octets that are taken from the front; where there are none left, 0.
pub struct Octets<'a>(pub &'a [u8]);

impl<'a> Octets<'a> {
    /// The next octet.
    pub fn next(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next so many octets, or as many as there are.
    pub fn take(&mut self, octets: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(octets.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
