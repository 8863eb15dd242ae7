//! nginx and haproxy as front ends of a region, over back ends that die, hang and come back: the region goes when its front end says so.
//! The front ends are configured as docs/health.md advises.

use crate::common::backend::Backend;
use crate::common::daemon::{Daemon, Recipe};
use crate::site::{BRISK, Site};

/// Checks its two back ends ten times a second; `/alive` says whether any is left, everything else goes through to one.
const HAPROXY: &str = "
global
    maxconn 100
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend front
    bind @ADDRESS@:@PORT@
    monitor-uri /alive
    monitor fail if { nbsrv(app) lt 1 }
    default_backend app
backend app
    option httpchk GET /health
    default-server inter 100ms fall 1 rise 1
    server one 127.0.0.1:@ONE@ check
    server two 127.0.0.1:@TWO@ check
";

/// In the foreground, with nothing outside its folder.
const NGINX: &str = "
error_log stderr notice;
pid nginx.pid;
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path db/body;
    proxy_temp_path db/proxy;
    fastcgi_temp_path db/fastcgi;
    uwsgi_temp_path db/uwsgi;
    scgi_temp_path db/scgi;
    @SERVERS@
}
";

/// Hands everything through to one back end, which has half a second.
const THROUGH: &str = "server {
        listen @ADDRESS@:@PORT@;
        location / {
            proxy_pass http://127.0.0.1:@ONE@;
            proxy_read_timeout 500ms;
        }
    }";

/// nginx with these `server` blocks; none where it is not installed.
pub(crate) fn nginx(servers: &str, files: &[(&str, &str)]) -> Option<Daemon> {
    let arguments = &["-e", "stderr", "-g", "daemon off;", "-p", "@FOLDER@", "-c", "@CONFIG@"];
    let config = NGINX.replace("@SERVERS@", servers);
    Daemon::start(&Recipe { program: "nginx", arguments, config: &config, files, ready: "start worker process " })
}

#[test]
fn a_region_behind_haproxy_goes_with_its_last_back_end_and_returns_with_the_first() {
    let mut backends = [Backend::start(), Backend::start()];
    let config = HAPROXY.replace("@ONE@", &backends[0].port().to_string()).replace("@TWO@", &backends[1].port().to_string());
    let arguments = &["-W", "-db", "-f", "@CONFIG@"];
    let recipe = Recipe { program: "haproxy", arguments, config: &config, files: &[], ready: "Loading success" };
    let Some(haproxy) = Daemon::start(&recipe) else { return };
    let port = haproxy.address().port();
    let monitor = |path: &str| format!("monitor: {{http: {{path: {path}, port: {port}}}, {BRISK}}}");
    let site = Site::start(&[("alive", &monitor("/alive")), ("through", &monitor("/health"))], &[]);
    let names = ["alive", "through"];
    assert!(names.iter().all(|name| site.is_home(name)), "{}", site.status());

    backends[0].stop();
    // Until haproxy knows, it may send a probe to the dead one; a single failure turns nothing.
    let before = backends[1].requests();
    crate::common::wait_until(|| backends[1].requests() >= before + 20, || "the other back end is not asked".to_owned());
    assert!(names.iter().all(|name| site.is_home(name)), "one of two back ends is enough: {}", site.status());

    backends[1].set_status(500);
    names.iter().for_each(|name| site.wait_for(name, false));
    site.server().wait_for_all(0, &["a target changed", "/alive", "to=down", "HTTP 503"]);
    site.server().wait_for_all(0, &["a region changed", "service=\"through\"", "region=\"home\"", "to=down"]);
    backends[0].start_again();
    names.iter().for_each(|name| site.wait_for(name, true));

    drop(haproxy);
    names.iter().for_each(|name| site.wait_for(name, false));
    assert!(site.target("/alive").1.starts_with("connection refused"), "{}", site.status());
}

#[test]
fn a_region_behind_nginx_goes_when_its_back_end_is_dead_or_hangs() {
    let mut backend = Backend::start();
    let Some(nginx) = nginx(&THROUGH.replace("@ONE@", &backend.port().to_string()), &[]) else { return };
    let monitor = format!("monitor: {{http: {{path: /health, port: {}}}, {BRISK}}}", nginx.address().port());
    let site = Site::start(&[("web", &monitor)], &[]);
    assert!(site.is_home("web"), "{}", site.status());
    backend.stop();
    site.wait_for("web", false);
    site.server().wait_for_all(0, &["a target changed", "to=down", "HTTP 502"]);
    let mark = site.server().mark();
    backend.start_again();
    site.wait_for("web", true);
    // Connections are taken and nothing comes back: nginx gives up before the probe does.
    backend.hang();
    site.wait_for("web", false);
    site.server().wait_for_all(mark, &["a target changed", "to=down", "HTTP 504"]);
}

#[test]
fn an_application_whose_data_base_is_gone_loses_its_clients_and_a_busy_one_keeps_some() {
    let backend = Backend::start();
    let json = "json: {/database_connected: true, /cpu_usage: {degraded: 80, fail: 95}}";
    let monitor = format!("monitor: {{http: {{path: /status, port: {}, {json}}}, {BRISK}}}, degraded_admit: 30%", backend.port());
    let say = |connected: bool, cpu: u8| backend.set_body(&format!("{{\"database_connected\": {connected}, \"cpu_usage\": {cpu}}}"));
    say(true, 20);
    let site = Site::start(&[("app", &monitor)], &[]);
    assert!(site.is_home("app"), "{}", site.status());
    for (connected, cpu, state, evidence) in [
        (false, 20, "down", "/database_connected is false"),
        (true, 20, "up", "HTTP 200"),
        (true, 85, "degraded", "/cpu_usage is 85, limit 80"),
        (true, 97, "down", "/cpu_usage is 97, limit 95"),
    ] {
        let mark = site.server().mark();
        say(connected, cpu);
        site.server().wait_for_all(mark, &["a target changed", &format!("to={state}"), evidence]);
        let expected = if state == "up" {
            100..=100
        } else if state == "down" {
            0..=0
        } else {
            20..=40
        };
        crate::common::wait_until(|| expected.contains(&site.percent_home("app")), || format!("{state}: {}", site.percent_home("app")));
    }
}
