//! `tests:` of the server file: what some clients shall be answered, also when something is down. It reads and resolves them;
//! asking is for `rehearse`, once everything is compiled.

use std::net::IpAddr;

use super::{Regions, prefix, reference_hint};
use crate::config::files;
use crate::config::model::{Expect, RCODES, Test};
use crate::config::spec::{Field, Fields};
use crate::diag::Diagnostics;
use crate::geo::{Family, Prefix, RegionId};
use crate::name::Name;
use crate::wire::Rcode;

/// Tests of one configuration: each is an answer in microseconds, and every reload waits for all of them.
const MAX_TESTS: usize = 10_000;

/// Regions and addresses that one test takes down.
const MAX_DOWN: usize = 1024;

/// Keys of a test.
const KEYS: [&str; 5] = ["name", "client", "type", "down", "expect"];

/// Keys of `expect`.
const EXPECT_KEYS: [&str; 5] = ["region", "not_region", "addresses", "rcode", "scope"];

/// Keys of a file of tests.
const FILE_KEYS: [&str; 1] = ["tests"];

/// `tests:`: a list of tests, or files of them.
pub(in crate::config) fn tests(server: &Fields<'_>, regions: &Regions, out: &mut Diagnostics) -> Vec<Test> {
    let Some(field) = server.get("tests") else { return Vec::new() };
    let mut tests = Vec::new();
    for item in field.list() {
        if item.scalar().is_none() {
            tests.extend(test(&item, regions, out));
            continue;
        }
        let mut found = Diagnostics::new();
        for (path, named) in files::expand(item, &mut found) {
            let Some(node) = files::read_yaml(&path, &named, out) else { continue };
            let root = Field { key: "a file of tests", node: &node };
            let Some(fields) = root.fields("a map with `tests`", &FILE_KEYS, out) else { continue };
            let list = fields.need("tests", "[{name: www.example.com, ...}]", out).map(|field| field.list()).unwrap_or_default();
            tests.extend(list.iter().filter_map(|item| test(item, regions, out)));
        }
        out.extend(found);
    }
    if tests.len() > MAX_TESTS {
        out.error(field.mark(), format!("there are {} tests, at most {MAX_TESTS} are allowed", tests.len()));
        tests.clear();
    }
    tests
}

fn test(item: &Field<'_>, regions: &Regions, out: &mut Diagnostics) -> Option<Test> {
    const EXAMPLE: &str = "a test such as `{name: www.example.com, client: 203.0.113.7, expect: {region: us-east}}`";
    let fields = item.fields(EXAMPLE, &KEYS, out)?;
    let name = fields.need("name", "www.example.com", out).and_then(|field| name(&field, out));
    let client = fields.need("client", "203.0.113.7", out).and_then(|field| client(&field, out));
    let family = fields.get("type").map_or(Some(Family::V4), |field| family(&field, out));
    let down = fields.get("down").map(|field| down(&field, regions, out)).unwrap_or_default();
    let expect = fields.need("expect", "{region: us-east}", out).and_then(|field| expect(&field, regions, out));
    Some(Test { mark: item.mark(), name: name?, client: client?, family: family?, down, expect: expect? })
}

fn name(field: &Field<'_>, out: &mut Diagnostics) -> Option<Name> {
    field.parsed("a name such as `www.example.com`", out, |text| Name::parse(text, None).ok())
}

/// An address stands for itself.
fn client(field: &Field<'_>, out: &mut Diagnostics) -> Option<Prefix> {
    prefix(field, out)
}

fn family(field: &Field<'_>, out: &mut Diagnostics) -> Option<Family> {
    match field.scalar() {
        Some("A") => return Some(Family::V4),
        Some("AAAA") => return Some(Family::V6),
        _ => field.refuse("`A` or `AAAA`", out),
    }
    None
}

/// Regions and addresses of endpoints, as typed; the regions must exist.
fn down(field: &Field<'_>, regions: &Regions, out: &mut Diagnostics) -> Vec<String> {
    let list = field.filled_list("one or more regions or addresses", out);
    if list.len() > MAX_DOWN {
        out.error(field.mark(), format!("`down` has {} values, at most {MAX_DOWN} are allowed", list.len()));
        return Vec::new();
    }
    let known = |item: &Field<'_>, out: &mut Diagnostics| {
        let text = item.text("a region or an address", out)?;
        let known = text.parse::<IpAddr>().is_ok() || region_named(text, item, regions, out).is_some();
        known.then(|| text.to_owned())
    };
    list.iter().filter_map(|item| known(item, out)).collect()
}

fn expect(field: &Field<'_>, regions: &Regions, out: &mut Diagnostics) -> Option<Expect> {
    let fields = field.fields("a map such as `{region: us-east}`", &EXPECT_KEYS, out)?;
    if fields.is_empty() {
        out.error_hint(field.mark(), "`expect` is empty", format!("give one or more of: {}", EXPECT_KEYS.join(", ")));
        return None;
    }
    let list = |key: &str, out: &mut Diagnostics| fields.get(key).map(|field| region_list(&field, regions, out)).unwrap_or_default();
    Some(Expect {
        regions: list("region", out),
        not_regions: list("not_region", out),
        addresses: fields.get("addresses").map(|field| addresses(&field, out)),
        rcode: fields.get("rcode").and_then(|field| rcode(&field, out)),
        scope: fields.get("scope").and_then(|field| field.whole(0..=128, out)),
    })
}

fn region_list(field: &Field<'_>, regions: &Regions, out: &mut Diagnostics) -> Vec<RegionId> {
    let list = field.filled_list("one or more regions", out);
    list.iter().filter_map(|item| region_named(item.text("the name of a region", out)?, item, regions, out)).collect()
}

fn region_named(name: &str, item: &Field<'_>, regions: &Regions, out: &mut Diagnostics) -> Option<RegionId> {
    let id = regions.id(name);
    if id.is_none() && regions.complete() {
        out.error_hint(item.mark(), format!("unknown region `{name}`"), reference_hint(name, regions.names(), "regions"));
    }
    id
}

/// `[]`: no address at all.
fn addresses(field: &Field<'_>, out: &mut Diagnostics) -> Vec<IpAddr> {
    let list = field.list();
    list.iter().filter_map(|item| item.parsed("an IPv4 or IPv6 address", out, |text| text.parse().ok())).collect()
}

fn rcode(field: &Field<'_>, out: &mut Diagnostics) -> Option<Rcode> {
    let found = RCODES.iter().find(|(name, _)| field.scalar() == Some(name));
    if found.is_none() {
        let names: Vec<String> = RCODES.iter().map(|(name, _)| format!("`{name}`")).collect();
        field.refuse(format!("one of {}", names.join(", ")), out);
    }
    found.map(|(_, rcode)| *rcode)
}
