//! Files of a configuration: any text loads and compiles, or is refused with a message of bounded length.
//! The files are written to a folder, as `serve` reads them; `TMPDIR` says where.

use std::fs;

use meridian::daemon::rehearse;
use meridian::progress::Progress;

use super::scratch;

const SERVER: &str = "version: 1\nlisten: [\"127.0.0.1:0\"]\nregions: regions.yaml\nzones: zone.yaml\n";
const REGIONS: &str = "regions:\n  a: {location: {latitude: 1, longitude: 2}, services: {web: {endpoints: [192.0.2.1]}}}\n";
const ZONE: &str = "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web}}\n";
const BULK: &str = "zone: example.com\nrecords_file: bulk.zone\n";

/// Longest that all messages about files of some kilobytes may be.
const MAX_TEXT_OCTETS: usize = 16 << 20;

/// Between the files of an input of [`folder`].
const CUT: &[u8] = b"\n---8<---\n";

/// One octet that chooses the file, then its text; the other files are good ones.
pub fn yaml(input: &[u8]) {
    let Some((which, text)) = input.split_first() else { return };
    let mut files = [("meridian.yaml", SERVER.as_bytes()), ("regions.yaml", REGIONS.as_bytes()), ("zone.yaml", ZONE.as_bytes())];
    files[usize::from(*which) % 3].1 = text;
    load(&files);
}

/// All files of a folder, cut by lines `---8<---`, in this order: server, regions, zone, master file, networks. What is missing is empty.
pub fn folder(input: &[u8]) {
    let mut rest = Some(input);
    let files = ["meridian.yaml", "regions.yaml", "zone.yaml", "bulk.zone", "networks.csv"].map(|name| {
        let all = rest.take().unwrap_or_default();
        let cut = all.windows(CUT.len()).position(|part| part == CUT);
        let (text, after) = cut.map_or((all, None), |at| (&all[..at], Some(&all[at + CUT.len()..])));
        rest = after;
        (name, text)
    });
    load(&files);
}

/// A master file.
pub fn master(text: &[u8]) {
    let good = [("meridian.yaml", SERVER.as_bytes()), ("regions.yaml", REGIONS.as_bytes()), ("zone.yaml", BULK.as_bytes())];
    load(&[good[0], good[1], good[2], ("bulk.zone", text)]);
}

/// Loads, compiles and rehearses these files, of which `meridian.yaml` is the first to be read, and prints what was found.
fn load(files: &[(&str, &[u8])]) {
    let folder = scratch().join("files");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let found = match rehearse(&folder.join("meridian.yaml"), None, &Progress::default()) {
        Ok(prepared) => prepared.warnings,
        Err(errors) => {
            assert!(errors.has_errors(), "refused without a reason");
            errors
        }
    };
    assert!(found.to_string().len() < MAX_TEXT_OCTETS, "a small file must not get megabytes of messages");
}
