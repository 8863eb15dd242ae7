//! Any text as one of the three files of a configuration, beside good ones: it loads or is refused with a message, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_fuzz::load;

const SERVER: &str = "version: 1\nlisten: [\"127.0.0.1:0\"]\nregions: regions.yaml\nzones: zone.yaml\n";
const REGIONS: &str = "regions:\n  a: {location: {latitude: 1, longitude: 2}, services: {web: {endpoints: [192.0.2.1]}}}\n";
const ZONE: &str = "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web}}\n";

fuzz_target!(|input: &[u8]| {
    // The first octet says which file it is.
    let Some((which, text)) = input.split_first() else { return };
    let mut files = [("meridian.yaml", SERVER.as_bytes()), ("regions.yaml", REGIONS.as_bytes()), ("zone.yaml", ZONE.as_bytes())];
    files[usize::from(*which) % 3].1 = text;
    load(&files);
});
