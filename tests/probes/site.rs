//! Two regions and a server that steers between them: each monitor under test has a name of its own, which moves when the monitor fails.
//! It expects nothing of the monitors.

use std::path::Path;

use serde_json::Value;

use crate::common::client::Udp;
use crate::common::folder::Folder;
use crate::common::message::query;
use crate::common::server::{self, Server};
use crate::common::wait_until;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nstate_dir: state\nregions: regions.yaml\nzones: \"*.zone.yaml\"\n";

/// The region whose endpoints are probed; its places are preferred.
const HOME: &str = "192.0.2.1";
/// The other one, of which nothing is probed.
const REFUGE: &str = "192.0.2.2";

/// Changes are found fast, and a busy machine still answers in time.
pub(crate) const BRISK: &str = "address: 127.0.0.1, interval: 1s, timeout: 900ms, recheck: 100ms, fall: 2, rise: 2";

/// A running server with a name for each monitor.
pub(crate) struct Site {
    server: Server,
    folder: Folder,
    client: Udp,
}

impl Site {
    /// For each service its settings, of which `monitor:` is one. `files` are what monitors read besides.
    pub(crate) fn start(services: &[(&str, &str)], files: &[(&str, &str)]) -> Site {
        Site::start_trusting(services, files, None)
    }

    /// The same on a machine whose trust store is this file of the folder.
    pub(crate) fn start_trusting(services: &[(&str, &str)], files: &[(&str, &str)], store: Option<&str>) -> Site {
        let folder = Folder::with("probes", files);
        let region = |name: &str, address: &str, of: &dyn Fn(&str) -> String| {
            let offers: String = services.iter().map(|(service, settings)| format!("      {service}: {}\n", of(settings))).collect();
            format!("  {name}:\n    location: {{latitude: 0, longitude: 0}}\n    services:\n{offers}").replace("@ADDRESS@", address)
        };
        let home = region("home", HOME, &|settings| format!("{{endpoints: [@ADDRESS@], {settings}}}"));
        let refuge = region("refuge", REFUGE, &|_| "[@ADDRESS@]".to_owned());
        let name = |(service, _): &(&str, &str)| format!("  {service}: {{steer: {{service: {service}, order: priority}}}}\n");
        let names: String = services.iter().map(name).collect();
        folder.write("meridian.yaml", SERVER);
        folder.write("regions.yaml", &format!("regions:\n{home}{refuge}"));
        folder.write("example.com.zone.yaml", &format!("zone: example.com\nns: [ns.example.net.]\nrecords:\n{names}"));
        let store = store.map(|file| folder.join(file));
        let environment: Vec<(&str, &Path)> = store.iter().map(|path| ("SSL_CERT_FILE", path.as_path())).collect();
        let server = Server::launch_with(&folder.join("meridian.yaml"), &environment);
        server.wait_for(0, "ready");
        let client = Udp::to(server.address());
        Site { server, folder, client }
    }

    /// Whether the name of a service is answered from home. Every answer is one address of the one region or the other.
    pub(crate) fn is_home(&self, service: &str) -> bool {
        self.is_home_for(service, "17.0.0.0/24")
    }

    /// How many of a hundred client networks are answered from home.
    pub(crate) fn percent_home(&self, service: &str) -> usize {
        (0..100).filter(|n| self.is_home_for(service, &format!("17.{n}.0.0/24"))).count()
    }

    fn is_home_for(&self, service: &str, client: &str) -> bool {
        let reply = self.client.ask(&query(&format!("{service}.example.com"), "A").subnet(client));
        match reply.addresses().iter().map(ToString::to_string).collect::<Vec<_>>()[..] {
            [ref address] if address == HOME => true,
            [ref address] if address == REFUGE => false,
            ref other => panic!("{service} is answered with {other:?}"),
        }
    }

    /// Waits until a name is answered from home, or from the other region.
    pub(crate) fn wait_for(&self, service: &str, home: bool) {
        wait_until(|| self.is_home(service) == home, || format!("{service}\n{}", self.server.lines().join("\n")));
    }

    /// `status --format json`.
    pub(crate) fn status(&self) -> Value {
        let path = self.folder.join("meridian.yaml");
        let output = server::run(&["status", "--format", "json", "--config", path.to_str().unwrap()]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What was found last at the only target whose text ends so: its state and its evidence.
    pub(crate) fn target(&self, end: &str) -> (String, String) {
        let status = self.status();
        let rows = status["targets"].as_array().unwrap();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let named: Vec<&Value> = rows.iter().filter(|row| text(row, "target").ends_with(end)).collect();
        assert_eq!(named.len(), 1, "{end} in {status:#}");
        (text(named[0], "state"), text(named[0], "evidence"))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }
}
