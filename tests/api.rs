//! The admin API over the real binary: metrics, health checks, status, overrides, reload, and who may do what.
//! Requests are plain HTTP over the control socket or a port of loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::api::{by_socket, get, request};
use common::client::udp;
use common::folder::Folder;
use common::message::query;
use common::server::{self, Server};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\nstate_dir: state\n";
const REGIONS: &str = "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services: {web: 192.0.2.1}\n  b:\n    \
                       location: {latitude: 2, longitude: 10}\n    services: {web: 192.0.2.2}\n";
const ZONE: &str = "zone: example.com\nsoa: {mname: ns1, rname: hostmaster}\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  \
                    www: {steer: {service: web}}\n";

/// The sample with more in its server file.
fn folder(name: &str, more: &str) -> Folder {
    Folder::with(name, &[("meridian.yaml", &format!("{SERVER}{more}")), ("regions.yaml", REGIONS), ("z.zone.yaml", ZONE)])
}

/// Where the API listens.
fn api_address(server: &Server) -> SocketAddr {
    let line = server.wait_for(0, "the API listens");
    line.split("address=").nth(1).unwrap().trim().parse().unwrap()
}

fn meridian(path: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = server::run(&[arguments, &["--config", path.to_str().unwrap()]].concat());
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn metrics_count_what_was_answered_and_tell_of_health_loads_and_the_process() {
    let folder = folder("api-metrics", "");
    let server = Server::start(&folder.join("meridian.yaml"));
    for _ in 0..3 {
        udp(server.address(), &query("www.example.com.", "A"));
    }
    let page = get(&folder, "/metrics");
    assert!(page.status == 200 && page.head.contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
    let number = |name: &str| page.body.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    for (name, expected) in [
        ("meridian_queries_total{transport=\"udp\"}", 3.0),
        ("meridian_query_types_total{type=\"A\"}", 3.0),
        ("meridian_zone_answers_total{zone=\"example.com.\"}", 3.0),
        ("meridian_name_answers_total{name=\"www.example.com.\"}", 3.0),
        ("meridian_region_up{service=\"web\",region=\"a\",family=\"IPv4\"}", 1.0),
        ("meridian_loads_total{outcome=\"done\"}", 1.0),
        ("meridian_last_load_successful", 1.0),
        ("meridian_zones", 1.0),
    ] {
        assert_eq!(number(name), Some(expected), "{name}\n{}", page.body);
    }
    assert!(number("meridian_answer_seconds_count").unwrap() >= 1.0);
    if cfg!(target_os = "linux") {
        assert!(number("process_resident_memory_bytes").unwrap() > 1e6 && number("process_open_fds").unwrap() > 5.0);
    }
    let stream = UnixStream::connect(folder.join("state/control.sock")).unwrap();
    let open = request(stream, "GET", "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n", "");
    assert!(open.head.contains("application/openmetrics-text") && open.body.ends_with("# EOF\n"));
    check_with_promtool(&page.body);
    let guide = std::fs::read_to_string("docs/operations.md").unwrap();
    let families = page.body.lines().filter_map(|line| line.strip_prefix("# TYPE meridian_")?.split(' ').next());
    let unknown: Vec<&str> = families.filter(|name| !guide.contains(&format!("`meridian_{name}`"))).collect();
    assert!(unknown.is_empty(), "not in docs/operations.md: {unknown:?}");
}

/// The linter of Prometheus finds nothing to say.
fn check_with_promtool(page: &str) {
    let Some(program) = common::daemon::find("promtool") else { return common::skip_without("promtool") };
    let mut child = std::process::Command::new(program)
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn a_server_is_live_and_ready_while_it_serves_and_not_ready_before() {
    // A target that never answers keeps the first round of probes waiting.
    let regions = "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services:\n      web:\n        endpoints: [192.0.2.1]\n        \
                   monitor: {tcp: 9, timeout: 4s}\n";
    let folder = Folder::with(
        // Not a word that the log is searched for: it names its folders.
        "api-live",
        &[("meridian.yaml", &format!("{SERVER}api: {{listen: \"127.0.0.1:0\"}}\n")), ("regions.yaml", regions), ("z.zone.yaml", ZONE)],
    );
    let path = folder.join("meridian.yaml");
    let server = Server::launch(&path);
    let address = api_address(&server);
    let probe = |path: &str| request(TcpStream::connect(address).unwrap(), "GET", path, "", "");
    let early = probe("/readyz");
    // On a machine without a route the probe fails at once, and the server is ready before it is asked.
    if early.status != 200 {
        assert_eq!((early.status, early.json()["detail"].as_str()), (503, Some("starting")));
        assert!(early.head.contains("application/problem+json"), "{}", early.head);
    }
    assert_eq!(probe("/livez").status, 200);
    server.wait_for(0, "ready");
    assert_eq!((probe("/readyz").status, probe("/livez").status), (200, 200));
    assert_eq!(meridian(&path, &["ctl", "ready"]).0, Some(0));
    server.stop();
    let (code, _, failed) = meridian(&path, &["ctl", "ready"]);
    assert!(code == Some(1) && failed.contains("cannot reach the server"), "{failed}");
}

#[test]
fn overrides_are_forced_listed_and_cleared_and_the_audit_log_says_by_whom() {
    let folder = folder("api-overrides", "");
    let server = Server::start(&folder.join("meridian.yaml"));
    let wish = json!({ "selector": "a", "state": "drain", "reason": "disk", "author": "kim", "expires_s": 3600 });
    let forced = by_socket(&folder, "POST", "/v1/overrides", &wish);
    assert_eq!((forced.status, forced.json()["endpoints"].as_u64()), (201, Some(1)), "{}", forced.body);
    let listed = &get(&folder, "/v1/overrides").json()["overrides"][0];
    assert_eq!((listed["selector"].as_str(), listed["author"].as_str(), listed["reason"].as_str()), (Some("a"), Some("kim"), Some("disk")));
    assert_eq!(listed["until"].as_u64().unwrap() - listed["since"].as_u64().unwrap(), 3600);
    assert_eq!(get(&folder, "/v1/regions/a").json()["services"][0]["state"], "forced down");
    server.wait_for_all(0, &["asked by the API", "force drain", "kim", "disk"]);

    assert_eq!(by_socket(&folder, "DELETE", "/v1/overrides?selector=a", &Value::Null).status, 200);
    let again = by_socket(&folder, "DELETE", "/v1/overrides?selector=a", &Value::Null);
    assert_eq!((again.status, again.json()["title"].as_str()), (404, Some("Not Found")));
    for (wish, status, said) in [
        (json!({ "selector": "nowhere", "state": "up" }), 409, "names no endpoint"),
        (json!({ "selector": "a", "state": "sideways" }), 400, "`state`"),
        (json!({ "selector": "a//", "state": "up" }), 400, "REGION/SERVICE"),
        (json!({ "selector": "a", "state": "up", "expires_s": 0 }), 400, "expires_s"),
        (json!({ "selector": "a", "state": "up", "more": 1 }), 422, "unknown field"),
        (json!({ "selector": "a", "state": "up", "reason": "x".repeat(70_000) }), 413, "length limit"),
    ] {
        let reply = by_socket(&folder, "POST", "/v1/overrides", &wish);
        assert!(reply.status == status && reply.json()["detail"].as_str().unwrap().contains(said), "{} {}", reply.status, reply.body);
    }
}

#[test]
fn a_reload_answers_with_what_became_of_it() {
    let folder = folder("api-reload", "");
    let path = folder.join("meridian.yaml");
    let server = Server::start(&path);
    let done = by_socket(&folder, "POST", "/v1/reload", &Value::Null);
    server.wait_for_all(0, &["asked by the API", "reload", "begun"]);
    server.wait_for_all(0, &["asked by the API", "reload", "generation"]);
    assert!(done.status == 200 && done.json()["generation"].as_u64() > Some(1), "{}", done.body);
    folder.write("z.zone.yaml", &ZONE.replace("web}", "wob}"));
    let refused = by_socket(&folder, "POST", "/v1/reload", &Value::Null);
    assert_eq!(refused.status, 422);
    let diagnostics = refused.json()["diagnostics"].as_str().unwrap().to_owned();
    assert!(diagnostics.contains("z.zone.yaml:6:") && diagnostics.contains("`wob`"), "{diagnostics}");
    let (code, _, said) = meridian(&path, &["ctl", "reload"]);
    // The diagnostics, on the standard error, and the exit code of a refused configuration.
    assert!(code == Some(3) && said.contains("`wob`"), "{code:?} {said}");
    folder.write("z.zone.yaml", ZONE);
    let (code, said, _) = meridian(&path, &["ctl", "reload"]);
    assert!(code == Some(0) && said.contains("generation ") && !said.contains("restart"), "{said}");
    folder.write("meridian.yaml", &format!("{SERVER}workers: 7\n"));
    let (code, said, _) = meridian(&path, &["ctl", "reload"]);
    assert!(code == Some(0) && said.contains("warning: a change of `workers` takes a restart\n"), "{said}");
    let page = get(&folder, "/metrics").body;
    let loads: Vec<&str> = page.lines().filter(|line| line.starts_with("meridian_loads_total")).collect();
    assert!(loads.contains(&"meridian_loads_total{outcome=\"refused\"} 2"), "{loads:?}");
}

#[test]
fn who_may_do_what_on_the_network() {
    let tokens = "# for the dashboards\ngraphs read abcdefghijklmnop\nops write ponmlkjihgfedcba\n";
    let folder = folder("api-tokens", "api: {listen: [\"127.0.0.1:0\"], tokens: tokens, open_metrics: true}\n");
    folder.write("tokens", tokens);
    let server = Server::start(&folder.join("meridian.yaml"));
    let address = api_address(&server);
    let ask = |method: &str, path: &str, token: &str| {
        let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let body = json!({ "selector": "a", "state": "drain", "author": "somebody else" }).to_string();
        let headers = format!("{token}Content-Type: application/json\r\n");
        request(TcpStream::connect(address).unwrap(), method, path, &headers, if method == "POST" { &body } else { "" })
    };
    assert_eq!(["/livez", "/readyz", "/metrics", "/openapi.json"].map(|path| ask("GET", path, "").status), [200; 4]);
    let refused = ask("GET", "/v1/status", "");
    assert!(refused.status == 401 && refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
    assert_eq!(ask("GET", "/v1/status", "abcdefghijklmnop").status, 200);
    assert_eq!(ask("POST", "/v1/overrides", "abcdefghijklmnop").status, 403);
    assert_eq!(ask("POST", "/v1/overrides", "ponmlkjihgfedcba").status, 201);
    // Whoever has a token is who the token says.
    assert_eq!(get(&folder, "/v1/overrides").json()["overrides"][0]["author"], "ops");
    assert_eq!(ask("GET", "/nowhere", "ponmlkjihgfedcba").status, 404);
    assert_eq!(ask("DELETE", "/livez", "ponmlkjihgfedcba").status, 405);
}

#[test]
fn tokens_follow_a_reload_and_are_kept_where_others_would_listen() {
    let api = "api: {listen: \"127.0.0.1:0\", tokens: tokens}\n";
    let folder = folder("api-new-tokens", api);
    folder.write("tokens", "lost write abcdefghijklmnop\nops write ponmlkjihgfedcba\n");
    let server = Server::start(&folder.join("meridian.yaml"));
    let address = api_address(&server);
    let status = |path: &str, token: &str| {
        request(TcpStream::connect(address).unwrap(), "GET", path, &format!("Authorization: Bearer {token}\r\n"), "").status
    };
    let reload = |server_file: &str, expected: &str| {
        folder.write("meridian.yaml", &format!("{SERVER}{server_file}"));
        let mark = server.mark();
        server.signal("HUP");
        server.wait_for(mark, expected);
        server.lines()[mark..].iter().any(|line| line.contains("`api` takes a restart"))
    };
    assert_eq!([status("/v1/status", "abcdefghijklmnop"), status("/metrics", "")], [200, 401]);
    folder.write("tokens", "ops read ponmlkjihgfedcba\nnew write new-new-new-new-new\n");
    assert!(!reload(&api.replace("tokens}", "tokens, open_metrics: true}"), "reloaded"));
    let now = ["abcdefghijklmnop", "ponmlkjihgfedcba", "new-new-new-new-new"].map(|token| status("/v1/status", token));
    assert_eq!(now, [401, 200, 200]);
    assert_eq!(status("/metrics", ""), 401, "a token that is no token is told so");
    assert_eq!(request(TcpStream::connect(address).unwrap(), "GET", "/metrics", "", "").status, 200);
    // Nobody may read without a token here because somebody may elsewhere.
    assert!(reload("api: {listen: [\"127.0.0.1:0\", \"[::1]:0\"]}\n", "reloaded"));
    assert_eq!(["", "new-new-new-new-new"].map(|token| status("/v1/status", token)), [401, 200]);
}

#[test]
fn names_that_judge_a_region_in_ways_of_their_own_count_its_endpoints_and_its_changes_once() {
    let folder = folder("api-once", "");
    folder.write("regions.yaml", &REGIONS.replacen("web: 192.0.2.1", "web: [192.0.2.1, 192.0.2.3]", 1));
    let others = "  half: {steer: {service: web, min_healthy: 50%}}\n  both: {steer: {service: web, min_healthy: 2}}\n";
    folder.write("z.zone.yaml", &format!("{ZONE}{others}"));
    let server = Server::start(&folder.join("meridian.yaml"));
    let forced = |selector: &str, state: &str| {
        let wish = json!({ "selector": selector, "state": state, "reason": "disk", "author": "kim" });
        by_socket(&folder, "POST", "/v1/overrides", &wish).json()["endpoints"].as_u64()
    };
    assert_eq!([forced("a/web/192.0.2.3", "up"), forced("a", "down"), forced("*", "up")], [Some(1), Some(2), Some(3)]);
    assert_eq!(by_socket(&folder, "DELETE", "/v1/overrides?selector=*", &Value::Null).status, 200);
    let told = by_socket(&folder, "POST", "/v1/health", &json!({ "of": "a", "state": "down", "author": "probe", "expires_s": 60 }));
    assert_eq!(told.json()["endpoints"], 2);
    assert_eq!(by_socket(&folder, "DELETE", "/v1/health?of=a", &Value::Null).status, 200);
    let changes = get(&folder, "/v1/changes?region=a").json();
    let changes: Vec<[&str; 2]> =
        changes["changes"].as_array().unwrap().iter().map(|row| ["to", "evidence"].map(|key| row[key].as_str().unwrap())).collect();
    let expected = [
        ["available", "what probe told was taken back"],
        ["down", "told by probe"],
        ["available", "overrides cleared by hand"],
        ["forced down", "forced by kim: disk"],
    ];
    // Of two overrides the stricter holds; to force the others up changes nothing.
    assert_eq!(changes, expected);
    let lines = server.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("a region changed") && line.contains("to=down")).count(), 1);
    let rehearsed = get(&folder, "/v1/simulate?name=www.example.com&down=a").json();
    assert_eq!(rehearsed["endpoints"], 2);
}

#[test]
fn what_happened_is_told_newest_first_with_its_evidence() {
    let folder = folder("api-changes", "");
    let path = folder.join("meridian.yaml");
    let server = Server::start(&path);
    assert_eq!(meridian(&path, &["ctl", "drain", "a", "--reason", "disk"]).0, Some(0));
    assert_eq!(meridian(&path, &["ctl", "clear", "a"]).0, Some(0));
    let changes = get(&folder, "/v1/changes").json();
    let told: Vec<[&str; 3]> =
        changes["changes"].as_array().unwrap().iter().map(|row| ["kind", "name", "to"].map(|key| row[key].as_str().unwrap())).collect();
    let expected = [["region", "a/web IPv4", "available"], ["override", "a", "cleared"], ["region", "a/web IPv4", "forced down"]];
    assert_eq!((&told[..3], told[3]), (&expected[..], ["override", "a", "drain"]));
    let (code, shown, _) = meridian(&path, &["ctl", "history", "--region", "a"]);
    assert!(code == Some(0) && shown.contains("forced down") && !shown.contains("  override  "), "{shown}");
    for (path, expected) in
        [("/v1/changes?region=b", 0), ("/v1/changes?service=web", 2), ("/v1/changes?target=192", 0), ("/v1/changes?limit=1", 1)]
    {
        assert_eq!(get(&folder, path).json()["changes"].as_array().unwrap().len(), expected, "{path}");
    }
    for _ in 0..5 {
        udp(server.address(), &query("www.example.com.", "A"));
    }
    let (code, shown, failed) = meridian(&path, &["ctl", "top", "--count", "1", "--every", "200ms"]);
    assert!(code == Some(0) && shown.contains("queries/s") && shown.contains("www.example.com."), "{shown}{failed}");
    for region in ["a", "b"] {
        let is_listed = shown.lines().any(|line| line.starts_with("web") && line.split_whitespace().nth(1) == Some(region));
        assert!(is_listed, "also one that nobody was sent to: {shown}");
    }
}

#[test]
fn zones_names_and_what_is_asked_for_are_told() {
    let folder = folder("api-zones", "");
    let server = Server::start(&folder.join("meridian.yaml"));
    udp(server.address(), &query("www.example.com.", "A"));
    assert_eq!(get(&folder, "/v1/zones/EXAMPLE.com").json()["name"], "example.com.");
    let names = get(&folder, "/v1/names").json();
    assert_eq!(
        names["names"][0],
        json!({
            "name": "www.example.com.", "service": "web", "ttl_s": 60, "balance": "round-robin", "types": ["A"], "regions": ["a", "b"],
        })
    );
    assert_eq!(get(&folder, "/v1/names?from=1").json()["names"], json!([]));
    let statistics = get(&folder, "/v1/statistics?limit=1").json();
    assert_eq!((&statistics["queries"], &statistics["names"]), (&json!(1), &json!([{ "name": "www.example.com.", "answers": 1 }])));
    assert_eq!(["/v1/zones/nowhere", "/v1/zones/a..b", "/v1/names?limit=0"].map(|path| get(&folder, path).status), [404, 400, 400]);
}

#[test]
fn a_load_is_taken_for_a_region_that_is_told_its_load_and_refused_for_others() {
    let regions = REGIONS.replacen(
        "{latitude: 1, longitude: 10}\n",
        "{latitude: 1, longitude: 10}\n    capacity: {soft: 100, hard: 200, load: pushed}\n",
        1,
    );
    let folder = folder("api-loads", "");
    folder.write("regions.yaml", &regions);
    let path = folder.join("meridian.yaml");
    let server = Server::start(&path);
    let tell = |body: Value| by_socket(&folder, "POST", "/v1/loads", &body);
    for _ in 0..3 {
        assert_eq!(tell(json!({ "of": "a", "load": 42.5, "expires_s": 30 })).status, 202);
    }
    let told = get(&folder, "/v1/loads").json();
    assert_eq!((&told["capacities"][0]["region"], &told["capacities"][0]["load"]), (&json!("a"), &json!(42.5)), "{told}");
    assert!(get(&folder, "/metrics").body.contains("meridian_capacity_load{capacity=\"a\"} 42.5"));
    for (body, status) in [
        (json!({ "of": "b", "load": 1 }), 409),
        (json!({ "of": "a", "load": -1 }), 409),
        (json!({ "of": "a", "load": 1, "expires_s": 0 }), 400),
        (json!({ "of": "a" }), 422),
    ] {
        let reply = tell(body);
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    assert_eq!(meridian(&path, &["ctl", "load", "a", "7"]).0, Some(0));
    let audited: Vec<_> = server.lines().into_iter().filter(|line| line.contains("tell load")).collect();
    let expected = ["taken", "`b` has no `capacity`", "taken"];
    assert!(
        audited.len() == expected.len() && audited.iter().zip(expected).all(|(line, text)| line.contains(text)),
        "only news, and the first of what was refused: {audited:?}"
    );
}

/// Whatever a document says that may be asked is answered, and never by an error of the server.
#[test]
fn the_document_is_kept_by_the_server() {
    let Some(program) = common::daemon::find("schemathesis") else {
        // It comes from PyPI, which not every machine reaches.
        eprintln!("skipped: `schemathesis` is not installed");
        return;
    };
    let folder = folder("api-document", "api: {listen: \"127.0.0.1:0\", tokens: tokens}\n");
    folder.write("tokens", "ops write ponmlkjihgfedcba\n");
    let server = Server::start(&folder.join("meridian.yaml"));
    let document = format!("http://{}/openapi.json", api_address(&server));
    let output = std::process::Command::new(program)
        .args(["run", &document, "-H", "Authorization: Bearer ponmlkjihgfedcba", "--checks", "all", "--max-examples", "20", "--seed", "1"])
        // What a name or a client is, no pattern can say.
        .args(["--exclude-checks", "positive_data_acceptance", "--no-color"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// A certificate of an authority of our own, as PEM: the authority, the certificate, its key.
fn certificate() -> [String; 3] {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    [authority, certificate.pem(), key.serialize_pem()]
}

/// What a client is answered that trusts this authority only, and shows a certificate or none.
fn ask(address: SocketAddr, authority: &str, shown: Option<(&str, &str)>) -> Result<u16, String> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    let mut connection = rustls::ClientConnection::new(std::sync::Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    tls.write_all(b"DELETE /v1/overrides?selector=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut head = [0; 12];
    tls.read_exact(&mut head).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&head[9..]).parse().unwrap())
}

#[test]
fn a_certificate_of_the_authority_opens_all_doors_and_no_certificate_none() {
    let more = "api: {listen: \"127.0.0.1:0\", tls: {certificate: cert.pem, key: key.pem, clients: clients.pem}, tokens: tokens}\n";
    let folder = folder("api-tls", more);
    let ([authority, cert, key], [clients, own, own_key], [_, strange, strange_key]) = (certificate(), certificate(), certificate());
    for (name, text) in [("cert.pem", &cert), ("key.pem", &key), ("clients.pem", &clients)] {
        folder.write(name, text);
    }
    folder.write("tokens", "graphs read abcdefghijklmnop\n");
    // With tokens for those who have no certificate, and without.
    for more in [more.to_owned(), more.replace(", tokens: tokens", "")] {
        folder.write("meridian.yaml", &format!("{SERVER}{more}"));
        let server = Server::start(&folder.join("meridian.yaml"));
        let address = api_address(&server);
        // Nothing is forced, so whoever may clear is told that.
        assert_eq!(ask(address, &authority, Some((&own, &own_key))), Ok(404));
        // The library that makes it names it so.
        server.wait_for_all(0, &["asked by the API", "clear", "certificate rcgen self signed cert"]);
        assert_eq!(ask(address, &authority, None), Ok(401));
        assert!(ask(address, &authority, Some((&strange, &strange_key))).is_err());
    }
}

#[test]
fn certificates_of_the_api_follow_a_reload_and_a_bad_one_changes_nothing() {
    let folder =
        folder("api-renewal", "api: {listen: \"127.0.0.1:0\", tls: {certificate: cert.pem, key: key.pem, clients: clients.pem}}\n");
    let ([authority, cert, key], [new_authority, new_cert, new_key], [clients, own, own_key]) =
        (certificate(), certificate(), certificate());
    for (name, text) in [("cert.pem", &cert), ("key.pem", &key), ("clients.pem", &authority)] {
        folder.write(name, text);
    }
    let server = Server::start(&folder.join("meridian.yaml"));
    let address = api_address(&server);
    let own = Some((own.as_str(), own_key.as_str()));
    assert!(ask(address, &authority, own).is_err(), "it is of an authority that is not asked for yet");
    let reload = |expected: &str| {
        let mark = server.mark();
        server.signal("HUP");
        server.wait_for(mark, expected);
    };
    folder.write("cert.pem", &new_cert);
    reload("this key does not belong to the certificate");
    folder.write("key.pem", &new_key);
    folder.write("clients.pem", "no certificate");
    reload("must be a file with certificates of an authority in PEM");
    assert_eq!(ask(address, &authority, None), Ok(401), "what was refused changes nothing");
    folder.write("clients.pem", &clients);
    let mark = server.mark();
    reload("reloaded");
    assert!(!server.lines()[mark..].iter().any(|line| line.contains("takes a restart")));
    assert!(ask(address, &authority, None).is_err());
    assert_eq!(ask(address, &new_authority, own), Ok(404));
    assert!(get(&folder, "/metrics").body.contains("meridian_certificate_days{file="));
}
