//! The encrypted transports and the PROXY protocol, as the clients and proxies of other people see them: kdig, curl, dnsdist and haproxy.
//! Where one of them is not installed, its test says so and ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use common::client::{tcp, udp};
use common::daemon::{Daemon, Recipe, find};
use common::folder::Folder;
use common::message::query;
use common::secure::{self, certificate};
use common::server::Server;
use common::skip_without;
use meridian::answer::Transport;

const REGIONS: &str = "
regions:
  here:
    location: {latitude: 1, longitude: 1}
    services: {web: 192.0.2.10}
  there:
    location: {latitude: 50, longitude: 1}
    services: {web: 192.0.2.20}
";

const ZONE: &str = "
zone: example.test
ns: ns.example.net.
records:
  www: {steer: {service: web, ttl: 30}}
  text: {TXT: plain}
";

/// Placed by the peer alone, so that answers tell for whom they are.
const NETWORKS: &str = "
networks:
  127.0.0.0/8: {region: here}
  127.9.0.0/16: {region: there}
  ::1/128: {region: there}
";

struct Site {
    folder: Folder,
    server: Server,
}

impl Site {
    fn start(name: &str, more: &str) -> Site {
        let folder = Folder::with(name, &[("regions.yaml", REGIONS), ("example.test.zone.yaml", ZONE)]);
        let (pem, key) = certificate(60);
        folder.write("dns.pem", &pem);
        folder.write("dns.key", &key);
        let any = "\"127.0.0.1:0\"";
        let text = format!(
            "version: 1\nlisten: {any}\nworkers: 2\nregions: regions.yaml\nzones: \"*.zone.yaml\"\nstate_dir: state\nencrypted: {{certificate: dns.pem, \
             key: dns.key, tls: {any}, https: {any}, quic: {any}, http3: {any}}}\n{more}{NETWORKS}"
        );
        folder.write("meridian.yaml", &text);
        let server = Server::start(&folder.join("meridian.yaml"));
        Site { folder, server }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        secure::address(&self.server, transport)
    }

    /// What a program prints; nothing, with the reason on standard error, where it is not installed.
    fn run(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let Some(path) = find(program) else {
            skip_without(program);
            return None;
        };
        let output = Command::new(path).args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap();
        Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }

    fn reload(&self, expected: &str) {
        let mark = self.server.mark();
        self.server.signal("HUP");
        self.server.wait_for(mark, expected);
    }
}

#[test]
fn kdig_is_answered_over_tls_and_https_with_padding() {
    let site = Site::start("kdig", "");
    for (transport, how) in [(Transport::Tls, "+tls"), (Transport::Https, "+https"), (Transport::Https, "+https-get")] {
        let port = site.address(transport).port().to_string();
        let trusted =
            ["@127.0.0.1", "-p", &port, how, "+tls-ca=dns.pem", "+tls-hostname=dns.test", "+padding=128", "www.example.test", "A"];
        let Some(text) = site.run("kdig", &trusted) else { return };
        assert!(text.contains("NOERROR") && text.contains("192.0.2.10"), "{how}\n{text}");
        assert!(text.contains("PADDING") && text.contains("468 B"), "{how}\n{text}");
    }
    let port = site.address(Transport::Tls).port().to_string();
    let several =
        site.run("kdig", &["@127.0.0.1", "-p", &port, "+tls", "+keepopen", "www.example.test", "text.example.test", "TXT"]).unwrap();
    assert!(several.contains("192.0.2.10") && several.contains("plain"), "{several}");
}

#[test]
fn curl_is_answered_by_both_versions_of_http() {
    let site = Site::start("curl", "");
    let base = format!("https://{}", site.address(Transport::Https));
    // www.example.test A, and a name that does not exist.
    let asked = "AAAAAAABAAAAAAAAA3d3dwdleGFtcGxlBHRlc3QAAAEAAQ";
    let show = ["-s", "-i", "--cacert", "dns.pem", "-o", "-", "--output-dir", "."];
    for version in ["--http2", "--http1.1"] {
        for (more, expected) in [
            (vec![format!("{base}/dns-query?dns={asked}")], "200"),
            (vec!["-I".to_owned(), format!("{base}/dns-query?dns={asked}")], "200"),
            (vec![format!("{base}/?dns={asked}")], "404"),
            (vec![format!("{base}/dns-query?dns={asked}=")], "400"),
            (vec!["-X".to_owned(), "PUT".to_owned(), format!("{base}/dns-query")], "405"),
            (vec!["-d".to_owned(), "x".to_owned(), format!("{base}/dns-query")], "415"),
            (vec![format!("{base}/dns-query?dns={}", "A".repeat(9_000))], "414"),
        ] {
            let arguments: Vec<&str> = [version].into_iter().chain(show).chain(more.iter().map(String::as_str)).collect();
            let Some(text) = site.run("curl", &arguments) else { return };
            let number = if version == "--http2" { "HTTP/2 " } else { "HTTP/1.1 " };
            assert!(text.starts_with(&format!("{number}{expected}")), "{arguments:?}\n{text}");
            if expected == "200" {
                let headers = ["application/dns-message", "private, max-age=30", "content-length: 50"];
                headers.iter().for_each(|header| assert!(text.contains(header), "{header}\n{text}"));
            }
        }
    }
}

#[test]
fn a_certificate_follows_a_reload_and_a_bad_one_changes_nothing() {
    let site = Site::start("renewal", "");
    let port = site.address(Transport::Tls).port().to_string();
    let ask = || {
        let arguments = ["@127.0.0.1", "-p", &port, "+tls", "+tls-ca=dns.pem", "+tls-hostname=dns.test", "text.example.test", "TXT"];
        site.run("kdig", &arguments).map(|text| text.contains("plain"))
    };
    let Some(before) = ask() else { return };
    assert!(before);
    let (pem, key) = certificate(3);
    site.folder.write("dns.pem", &pem);
    site.reload("this key does not belong to the certificate");
    assert_eq!(ask(), Some(false), "the old one is shown, which the new file does not vouch for");
    site.folder.write("dns.key", &key);
    let mark = site.server.mark();
    site.reload("reloaded");
    assert_eq!(ask(), Some(true));
    assert!(site.server.lines()[mark..].iter().any(|line| line.contains("the certificate expires in 3 days")));
}

/// From 127.9.0.1, through a proxy that listens at `proxy`.
fn through(proxy: SocketAddr, over_tcp: bool) -> Option<String> {
    let path = find("dig")?;
    let (port, how) = (proxy.port().to_string(), if over_tcp { "+tcp" } else { "+notcp" });
    let arguments = ["@127.0.0.1", "-p", &port, "-b", "127.9.0.1", how, "+short", "+tries=3", "www.example.test", "A"];
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn haproxy_and_dnsdist_tell_for_whom_they_ask() {
    let site = Site::start("proxies", "proxy_from: 127.0.0.1\n");
    let (plain, encrypted) = (site.server.address(), site.address(Transport::Tls));
    // From elsewhere on this machine nobody needs a header.
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\nfrontend dns\n  bind @ADDRESS@:@PORT@\n  \
         default_backend meridian\nbackend meridian\n  server one {plain} send-proxy-v2\n"
    );
    let haproxy = Daemon::start(&Recipe {
        program: "haproxy",
        arguments: &["-W", "-db", "-f", "@CONFIG@"],
        config: &config,
        files: &[],
        ready: "Loading success",
    });
    if let Some(haproxy) = haproxy {
        assert_eq!(through(haproxy.address(), true).as_deref().unwrap_or("192.0.2.20"), "192.0.2.20");
        assert_eq!(tcp(haproxy.address(), &query("www.example.test", "A")).addresses()[0].to_string(), "192.0.2.10");
    }
    let config = format!(
        "setLocal('@ADDRESS@:@PORT@')\nnewServer({{address='{plain}', useProxyProtocol=true, healthCheckMode='up'}})\nsetSecurityPollSuffix('')\n"
    );
    // It logs to standard output, and only standard error is read here.
    let arguments = ["-c", "exec dnsdist --supervised --disable-syslog -C \"$0\" 1>&2", "@CONFIG@"];
    if find("dnsdist").is_none() {
        skip_without("dnsdist");
    } else if let Some(dnsdist) =
        Daemon::start(&Recipe { program: "sh", arguments: &arguments, config: &config, files: &[], ready: "Listening on" })
    {
        for over_tcp in [false, true] {
            assert_eq!(through(dnsdist.address(), over_tcp).as_deref().unwrap_or("192.0.2.20"), "192.0.2.20", "TCP: {over_tcp}");
        }
        assert_eq!(udp(dnsdist.address(), &query("www.example.test", "A")).addresses()[0].to_string(), "192.0.2.10");
    }
    let port = encrypted.port().to_string();
    let Some(text) = site.run("kdig", &["@127.0.0.1", "-p", &port, "+tls", "+time=1", "+retry=0", "www.example.test"]) else { return };
    assert!(!text.contains("NOERROR"), "a proxy without a header is no client\n{text}");
}
