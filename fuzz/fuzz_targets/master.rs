//! Any text as a master file: its records load or are refused with a message, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_fuzz::load;

const SERVER: &[u8] = b"version: 1\nlisten: [\"127.0.0.1:0\"]\nregions: regions.yaml\nzones: zone.yaml\n";
const REGIONS: &[u8] = b"regions:\n  a: {location: {latitude: 1, longitude: 2}, services: {web: {endpoints: [192.0.2.1]}}}\n";
const ZONE: &[u8] = b"zone: example.com\nrecords_file: bulk.zone\n";

fuzz_target!(|text: &[u8]| {
    load(&[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", ZONE), ("bulk.zone", text)]);
});
