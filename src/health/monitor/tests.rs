//! Monitors as an operator writes them: every short form, every default, and the words of every refusal.
//! Nothing here opens a socket.

use super::http::{Method, StatusRanges};
use super::tls::Tls;
use super::*;

const CA: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn check(yaml: &str) -> Result<Monitor, Vec<Problem>> {
    let spec: MonitorSpec = serde_saphyr::from_str(yaml).unwrap();
    spec.check(&mut |path| if path == "ca.pem" { Ok(CA.to_vec()) } else { Err("there is no such file".to_owned()) })
}

/// The only problem of `yaml` as `line:column what`.
fn problem(yaml: &str) -> String {
    let problems = check(yaml).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let place = problems[0].place.map_or("-".to_owned(), |(line, column)| format!("{line}:{column}"));
    format!("{place} {}", problems[0].what)
}

fn http(monitor: &Monitor) -> &HttpRequest {
    match &monitor.request {
        Request::Http(request) => request,
        _ => panic!("not http"),
    }
}

#[test]
fn an_empty_http_monitor_gets_every_default() {
    let monitor = check("http: {}").unwrap();
    assert_eq!((monitor.port, monitor.interval_ms, monitor.timeout_ms, monitor.fall, monitor.rise), (80, 5000, 2000, 3, 5));
    let request = http(&monitor);
    assert_eq!((request.method, &*request.path, &request.host, &request.tls), (Method::Get, "/", &None, &None));
    assert_eq!(request.status, StatusRanges::success_or_redirect());
    assert!(request.status.contains(200) && request.status.contains(302) && !request.status.contains(404));
}

#[test]
fn the_monitor_of_the_sample_is_read_with_all_its_keys() {
    let yaml = "{http: {path: /health, port: 8080}, interval: 5s, timeout: 2s, fall: 3, rise: 5, address: 10.0.0.1}";
    let monitor = check(yaml).unwrap();
    assert_eq!((monitor.port, &*http(&monitor).path, monitor.address), (8080, "/health", Some([10, 0, 0, 1].into())));
}

#[test]
fn https_takes_its_sni_from_the_host_unless_told() {
    let tls = |yaml: &str| http(&check(yaml).unwrap()).tls.clone().unwrap();
    assert_eq!(tls("https: {}"), Tls::verified(None));
    assert_eq!(tls("https: {host: 'WWW.example.com:8443'}").sni.as_deref(), Some("www.example.com"));
    assert_eq!(tls("https: {host: '192.0.2.1:8443'}").sni, None);
    assert_eq!(
        tls("https: {host: a.example, sni: b.example, verify: false}"),
        Tls { verify: false, ..Tls::verified(Some("b.example".into())) }
    );
    assert_eq!(check("https: {}").unwrap().port, 443);
}

#[test]
fn short_forms_are_a_path_and_a_port() {
    assert_eq!(&*http(&check("http: /ready").unwrap()).path, "/ready");
    assert_eq!(check("tcp: 25").unwrap().port, 25);
    assert_eq!(check("{tcp: {}, port: 25}").unwrap().port, 25);
    assert_eq!(check("tcp: {port: 25}").unwrap().request, Request::Tcp);
}

#[test]
fn statuses_are_numbers_ranges_and_lists() {
    let status = |yaml: &str| http(&check(&format!("http: {{status: {yaml}}}")).unwrap()).status.clone();
    assert!(status("204").contains(204) && !status("204").contains(200));
    assert!(status("200-299").contains(250) && !status("200-299").contains(300));
    assert!(status("[200, '401-403']").contains(402) && !status("[200, '401-403']").contains(404));
    for bad in ["99", "600", "300-200", "ok", "[]", "-5"] {
        assert!(check(&format!("http: {{status: {bad}}}")).is_err(), "{bad}");
    }
}

#[test]
fn problems_name_line_column_and_value() {
    for (yaml, expected) in [
        ("http: {}\ninterval: 5", "2:11 `interval` `5` is not a duration"),
        ("http: {}\ninterval: 50ms", "2:11 `interval` `50ms` must be from 100ms to 1h"),
        ("http: {}\ninterval: 2h", "2:11 `interval` `2h` must be from 100ms to 1h"),
        ("http: {}\ninterval: 2s", "2:11 `timeout` (2000 ms) must be under `interval` (2000 ms)"),
        ("http: {}\ntimeout: 5s", "2:10 `timeout` (5000 ms) must be under `interval` (5000 ms)"),
        ("http: {}\nfall: 0", "2:7 `fall` `0` must be from 1 to 100"),
        ("http: {}\nrise: 101", "2:7 `rise` `101` must be from 1 to 100"),
        ("http: {}\nport: 0", "2:7 `port` `0` must be from 1 to 65535"),
        ("http: {port: 65536}", "1:14 `port` `65536` must be from 1 to 65535"),
        ("http: {port: 80}\nport: 80", "2:7 `port` is given twice, inside the kind and beside it"),
        ("http: {path: health}", "1:14 `path` must start with `/`, not `health`"),
        ("http: {path: '/a b'}", "1:14 `path` holds the character ` `"),
        ("http: {method: BREW}", "1:16 unknown `method` `BREW`"),
        ("http: {host: 'a b'}", "1:14 `host` `a b` is not a host name"),
        ("http: {verify: false}", "1:16 `verify` in an `http` monitor"),
        ("http: {sni: a.example}", "1:13 `sni` in an `http` monitor"),
        ("https: {sni: 192.0.2.1}", "1:14 `sni` `192.0.2.1` is not a host name"),
        ("https: {sni: host.1}", "1:14 `sni` `host.1` is not a host name"),
        ("http: {headers: {Host: a}}", "1:24 `Host` among `headers`"),
        ("http: {headers: {Connection: a}}", "1:30 the header `Connection` is written by the prober itself"),
        ("http: {}\naddress: www.example.com", "2:10 `address` `www.example.com` is not an IP address"),
        ("http: {}\nslow_ms: 2000", "2:10 `slow_ms` `2000` must be at least 1 and under `timeout` (2000 ms)"),
        ("http: {body: {}}", "- `body` must be a text, or a map with one of `contains` and `regex`"),
        ("http: {body: {regex: '('}}", "1:22 `regex` cannot be used: unclosed group"),
        ("http: {json: {a.b: 1}}", "1:20 `a.b` is not a JSON pointer"),
        ("http: {json: {/a: {}}}", "1:19 no limit is given"),
        ("http: {json: {/a: {degraded: 9, fail: 8}}}", "1:19 `degraded` can never be reached"),
        ("http: {method: HEAD, body: ok}", "- `body`, `json` and `active` need a body, which HEAD has not"),
        ("http: {ca: ca.pem}", "1:12 `ca` in an `http` monitor"),
        ("https: {ca: no.pem}", "1:13 `ca`: cannot read `no.pem`: there is no such file"),
        ("https: {ca: ca.pem, verify: false}", "1:13 `ca` beside `verify: false`"),
        ("https: {client_cert: ca.pem}", "1:22 `client_cert` and `client_key` go together"),
        ("https: {client_cert: ca.pem, client_key: ca.pem}", "1:42 `client_key`: `ca.pem` holds no `BEGIN PRIVATE KEY`"),
        ("tls: {days_left: {degraded: 7, fail: 7}}", "1:29 `degraded` can never be reached"),
        ("tls: {days_left: {fail: -1}}", "1:25 `days_left` `-1` must be from 0 to 3650"),
        ("dns: {}", "- a `dns` monitor needs a question"),
        ("dns: {query: a..b}", "1:14 `query` `a..b` is not a domain name"),
        ("dns: {query: a, type: AXFR}", "1:23 unknown `type` `AXFR`"),
        ("dns: {query: a, rcode: BAD}", "1:24 unknown `rcode` `BAD`"),
        ("grpc: {port: 1, sni: a.example}", "1:22 `sni` in a plain `grpc` monitor"),
        ("exec: {}", "- an `exec` monitor needs a command"),
        ("exec: {command: [check]}", "1:17 `command` must begin with the absolute path of a program"),
        ("icmp: {}\nport: 5", "2:7 `port` in an `icmp` monitor"),
        ("tcp: {}", "- a `tcp` or `grpc` monitor needs a port"),
        ("interval: 5s", "- the monitor has no kind"),
        ("http: {}\ntcp: 25", "- the monitor has more than one kind"),
    ] {
        assert_eq!(problem(yaml), expected, "{yaml}");
    }
}

#[test]
fn the_application_checks_of_the_guide_are_read() {
    use super::content::{Body, JsonRule, Limits};
    let yaml = "http: {body: {regex: 'v[0-9]+'}, json: {/database_connected: true, /cpu_usage: {degraded: 80, fail: 95}, \
                /memory_usage: {fail: 90.5}, /status: ok, /build: 7}}";
    let monitor = check(yaml).unwrap();
    let content = &http(&monitor).content;
    assert_eq!(content.body, Some(Body::Matches("v[0-9]+".into())));
    let limits = |degraded, fail| JsonRule::Limits(Limits { degraded, fail, ..Limits::default() });
    let expected: [(Box<str>, JsonRule); 5] = [
        ("/build".into(), JsonRule::Number(7000)),
        ("/cpu_usage".into(), limits(Some(80_000), Some(95_000))),
        ("/database_connected".into(), JsonRule::Flag(true)),
        ("/memory_usage".into(), limits(None, Some(90_500))),
        ("/status".into(), JsonRule::Text("ok".into())),
    ];
    assert_eq!(*content.json, expected);
    assert_eq!(http(&check("http: {body: ready}").unwrap()).content.body, Some(Body::Contains("ready".into())));
    assert!(http(&check("https: {ca: ca.pem}").unwrap()).tls.as_ref().unwrap().ca.is_some());
}

#[test]
fn every_kind_has_its_defaults_and_says_what_it_probes() {
    for (yaml, shown) in [
        ("tls: {sni: a.example, days_left: {degraded: 21, fail: 7}}", "tls://192.0.2.1:443 (SNI a.example)"),
        ("dns: {query: www.Example.com}", "dns://192.0.2.1:53/www.Example.com. A"),
        ("dns: {query: a, type: aaaa, rcode: nxdomain, port: 5353}", "dns://192.0.2.1:5353/a. AAAA"),
        ("grpc: {port: 50051, service: shop.Cart}", "grpc://192.0.2.1:50051/shop.Cart"),
        ("icmp: {}", "icmp://192.0.2.1"),
        ("exec: {command: [/bin/check, -v]}", "exec:/bin/check -v for 192.0.2.1"),
    ] {
        assert_eq!(check(yaml).unwrap().target([192, 0, 2, 1].into()).to_string(), shown, "{yaml}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems = check("http: {path: x, port: 0}\nfall: 0\nrise: 0\ninterval: 1").unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn unknown_keys_are_refused_with_their_place() {
    for yaml in ["http: {pth: /}", "http: {}\nintervall: 5s", "tcp: {prt: 5}", "htp: {}"] {
        let error = serde_saphyr::from_str::<MonitorSpec>(yaml).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
        assert!(error.location().is_some(), "{yaml}");
    }
}

#[test]
fn h2_equal_requests_on_one_address_are_one_target() {
    let monitor = check("http: {path: /health, headers: {X-A: '1', X-B: '2'}}").unwrap();
    let same = check("{http: {headers: {x-b: '2', x-a: '1'}, path: /health, method: get}, port: 80, interval: 5000ms}").unwrap();
    let address = [192, 0, 2, 1].into();
    assert_eq!(monitor.target(address), same.target(address));
    assert_ne!(monitor.target(address), same.target([192, 0, 2, 2].into()));
    assert_ne!(monitor.target(address), check("http: {path: /ready}").unwrap().target(address));
    let slower = check("{http: {path: /health, headers: {X-A: '1', X-B: '2'}}, interval: 6s}").unwrap();
    assert_ne!(monitor.target(address), slower.target(address), "other timing is another target");
}

#[test]
fn h7_the_probed_address_and_port_may_differ_from_the_answered_one() {
    let monitor = check("{tcp: 8443, address: '2001:db8::9'}").unwrap();
    let (one, other) = (monitor.target([192, 0, 2, 1].into()), monitor.target([192, 0, 2, 2].into()));
    assert_eq!(one.socket, "[2001:db8::9]:8443".parse().unwrap());
    assert_eq!(one, other, "both endpoints are judged by one probe");
    assert_eq!(one.to_string(), "tcp://[2001:db8::9]:8443");
}
