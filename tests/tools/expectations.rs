//! `tests:` of the server file: `check`, start and reload ask them, and a failing one changes nothing and says why.

use std::net::SocketAddr;

use crate::common::client::udp;
use crate::common::folder::Folder;
use crate::common::message::query;
use crate::common::server::{Server, run};

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nworkers: 1\nregions: regions.yaml\nzones: \"*.zone.yaml\"\n\
                      networks: {10.1.0.0/16: {latitude: 53, longitude: -6}}\n";

const TESTS: &str = r#"
tests:
  - {name: www.example.com, client: 10.1.2.0/24, expect: {region: eu, addresses: [192.0.2.1], rcode: NOERROR, scope: 16}}
  - {name: www.example.com, client: 10.1.2.3, down: eu, expect: {region: [us, ap], not_region: eu}}
  - {name: www.example.com, client: 10.1.2.3, down: [192.0.2.1], expect: {region: us}}
  - {name: www.example.com, client: 10.1.2.3, type: AAAA, expect: {addresses: []}}
  - {name: none.example.com, client: 10.1.2.3, expect: {rcode: NXDOMAIN}}
  - more.yaml
"#;

const MORE: &str = "tests: [{name: www.example.org, client: 10.1.2.3, expect: {rcode: REFUSED}}]\n";

const REGIONS: &str = "regions:\n  eu: {location: {latitude: 53, longitude: -6}, services: {web: 192.0.2.1}}\n  \
                       us: {location: {latitude: 39, longitude: -77}, services: {web: 192.0.2.2}}\n";

const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords: {www: {steer: web}}\n";

fn folder() -> Folder {
    let server = format!("{SERVER}{TESTS}").replace("[us, ap]", "us");
    Folder::with(
        "expectations",
        &[("meridian.yaml", &server), ("more.yaml", MORE), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)],
    )
}

fn check(folder: &Folder) -> (Option<i32>, String) {
    let output = run(&["check", "--config", folder.join("meridian.yaml").to_str().unwrap()]);
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn addresses(server: SocketAddr) -> Vec<String> {
    udp(server, &query("www.example.com", "A").subnet("10.1.2.0/24")).addresses().iter().map(ToString::to_string).collect()
}

#[test]
fn check_asks_them_and_counts_them() {
    let (code, text) = check(&folder());
    assert!(code == Some(0) && text.contains("tests\n  6 passed\n"), "{text}");
}

#[test]
fn each_kind_of_failure_is_told_with_its_place_and_the_explanation() {
    let folder = folder();
    for (right, wrong, said) in [
        ("expect: {region: eu,", "expect: {region: us,", "for 10.1.2.0/24 `eu` is answered, not `us`"),
        ("not_region: eu", "not_region: us", "for 10.1.2.3/32 with eu down `us` is answered, which must not be"),
        ("[192.0.2.1], rcode", "[192.0.2.2], rcode", "192.0.2.1 is answered, not 192.0.2.2"),
        ("addresses: []", "addresses: [\"2001:db8::1\"]", "no address is answered, not 2001:db8::1"),
        ("rcode: NXDOMAIN", "rcode: NOERROR", "the response code is NXDOMAIN, not NOERROR"),
        ("scope: 16", "scope: 24", "the scope is /16, not /24"),
    ] {
        let server = format!("{SERVER}{TESTS}").replace("[us, ap]", "us");
        assert!(server.contains(right), "{right}");
        folder.write("meridian.yaml", &server.replacen(right, wrong, 1));
        let (code, text) = check(&folder);
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains("error: this test fails: for ") && text.contains(said), "{said}\n{text}");
        assert!(text.contains("meridian.yaml:") && text.contains("hint: this is how the answer came about\nsteering  "), "{text}");
    }
}

#[test]
fn what_cannot_be_asked_is_an_error_of_the_file() {
    let folder = folder();
    for (tests, said) in [
        ("[{name: www.example.com, client: 10.1.2.3, expect: {}}]", "`expect` is empty"),
        ("[{name: www.example.com, client: 10.1.2.3, expect: {region: eww}}]", "unknown region `eww`"),
        ("[{name: www.example.com, client: 10.1.2.3, down: eww, expect: {region: eu}}]", "unknown region `eww`"),
        ("[{name: www.example.com, client: 10.1.2.3, down: 192.0.2.77, expect: {region: eu}}]", "no endpoint has the address `192.0.2.77`"),
        ("[{name: www.example.com, client: 10.1.2.3/24, expect: {region: eu}}]", "has bits set beyond its prefix length"),
        ("[{name: www.example.com, client: 10.1.2.3, type: MX, expect: {region: eu}}]", "`A` or `AAAA`"),
        ("[{name: www.example.com, client: 10.1.2.3, expect: {rcode: SERVFAIL}}]", "one of `NOERROR`"),
        ("[{name: www.example.com, client: 10.1.2.3}]", "`expect`"),
        ("missing.yaml", "missing.yaml"),
    ] {
        folder.write("meridian.yaml", &format!("{SERVER}tests: {tests}\n"));
        let (code, text) = check(&folder);
        assert!(code == Some(3) && text.contains(said), "{said}\n{text}");
    }
}

#[test]
fn a_failing_test_keeps_the_running_configuration_and_starts_no_server() {
    let folder = folder();
    let server = Server::start(&folder.join("meridian.yaml"));
    assert_eq!(addresses(server.address()), ["192.0.2.1"]);
    // Somebody takes the region away that the tests name.
    let mark = server.mark();
    folder.write("regions.yaml", &REGIONS.replace("{latitude: 53, longitude: -6}", "{latitude: -53, longitude: 150}"));
    server.signal("HUP");
    server.wait_for(mark, "reload refused");
    server.wait_for(mark, "this test fails: for 10.1.2.0/24 `us` is answered, not `eu`");
    assert_eq!(addresses(server.address()), ["192.0.2.1"]);
    let second = run(&["serve", "--config", folder.join("meridian.yaml").to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(3));
    // With the test the new configuration is taken.
    folder.write("meridian.yaml", &format!("{SERVER}tests: [{{name: www.example.com, client: 10.1.2.3, expect: {{region: us}}}}]\n"));
    let mark = server.mark();
    server.signal("HUP");
    server.wait_for(mark, "reloaded");
    server.wait_for(mark, "with everything up, by addresses: clients move: www.example.com. A ");
    assert_eq!(addresses(server.address()), ["192.0.2.2"]);
    server.stop();
}
