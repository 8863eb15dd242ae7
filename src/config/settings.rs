//! Every setting in force with where it comes from: the place in a file where it was typed, or the default that stands where nothing was.
//! It decides nothing: what was typed it takes from the trees of the files, what stands otherwise from the checked model.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::{LogFormat, Model, Offer, Steer};
use super::spec::{Node, Value};
use crate::health::view::ADMIT_ALL;
use crate::health::{Combine, MinHealthy, Monitor};
use crate::name::Name;
use crate::steer::{Families, OnAllDown, ShareSpec};

/// Settings that are kept, some 200 octets each: those of the server, of a few hundred regions and of a thousand names. Of more it is said how many there are.
const MAX_SETTINGS: usize = 20_000;

/// Of these so many may be typed, so that a large zone leaves room for the defaults of what comes before it.
const MAX_TYPED: usize = MAX_SETTINGS / 2;

/// What stands there is a secret, or may hold one: it is not shown.
const SECRET_KEYS: [&str; 1] = ["headers"];

/// What is shown of a secret.
const NOT_SHOWN: &str = "(not shown)";

/// What stands for a setting that is off or absent by default.
const NONE: &str = "none";

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its way from the top: `server/listen`, `regions/eu-west/services/web/monitor/interval`, `names/www.example.com/ttl`.
    pub key: String,
    /// As typed, lists in brackets; or the default.
    pub value: String,
    /// The file and line in which it was typed; none: it is the default.
    pub origin: Option<(Arc<Path>, u32)>,
}

/// All of them, by their keys in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// As many as are kept.
    pub list: Vec<Setting>,
    /// How many are not kept, at least: what nobody keeps is not worked out.
    pub not_kept: usize,
}

/// The settings while files are read.
#[derive(Debug, Default)]
pub(super) struct Typed {
    settings: Settings,
    /// Every way that leads to something typed, so that no default is told beside it.
    known: HashSet<String>,
    file: Option<Arc<Path>>,
}

impl Typed {
    /// Takes the server file.
    pub(super) fn add_server(&mut self, root: &Node) {
        self.each(root, |typed, key, node| typed.walk(format!("server/{key}"), node));
    }

    /// Takes a region file.
    pub(super) fn add_regions(&mut self, root: &Node) {
        self.each(root, |typed, key, node| typed.walk(key.to_owned(), node));
    }

    /// Takes a zone file: settings of the zone and of its steered names; records are no settings.
    pub(super) fn add_zone(&mut self, root: &Node) {
        let Value::Map(entries) = &root.value else { return };
        let apex = entries.iter().find(|(key, _)| &*key.text == "zone").and_then(|(_, node)| scalar(node));
        let Some(apex) = apex.and_then(|text| Name::parse(text, Some(&Name::root())).ok()) else { return };
        let zone = format!("zones/{}", plain(&apex));
        self.each(root, |typed, key, node| match key {
            "records" => typed.each(node, |typed, owner, node| {
                let Ok(owner) = Name::parse(owner, Some(&apex)) else { return };
                let Value::Map(entries) = &node.value else { return };
                if let Some((_, steer)) = entries.iter().find(|(key, _)| &*key.text == "steer") {
                    let name = format!("names/{}", plain(&owner));
                    let name = if scalar(steer).is_some() { format!("{name}/service") } else { name };
                    typed.walk(name, steer);
                }
            }),
            _ => typed.walk(format!("{zone}/{key}"), node),
        });
    }

    /// Fills in the defaults of the model and gives all settings in order.
    pub(super) fn finish(mut self, model: &Model) -> Settings {
        self.server(model);
        for region in &model.regions {
            let region_key = format!("regions/{}", region.name);
            self.default(&region_key, "weight", region.weight);
            self.default(&region_key, "state", NONE);
            self.default(&region_key, "capacity", NONE);
            for offer in &region.offers {
                let service = model.services.get(usize::from(offer.service.0)).map_or("?", String::as_str);
                self.offer(&format!("{region_key}/services/{service}"), offer);
            }
        }
        for steer in &model.steerings {
            self.steer(&format!("names/{}", plain(&steer.owner)), steer, model);
        }
        self.settings.list.sort_by(|one, other| one.key.cmp(&other.key));
        self.settings
    }

    fn server(&mut self, model: &Model) {
        let server = &model.server;
        let path = |path: &Option<PathBuf>| path.as_ref().map_or_else(|| NONE.to_owned(), |path| path.display().to_string());
        let defaults: [(&str, String); 20] = [
            ("geodb", "the built-in world table".to_owned()),
            ("workers", server.workers.to_string()),
            ("udp_size", server.udp_size.to_string()),
            ("ecs/enabled", server.ecs.enabled.to_string()),
            ("ecs/from", "all".to_owned()),
            ("explain_from", "[127.0.0.0/8, ::1/128]".to_owned()),
            ("hash/v4", server.hash.v4.to_string()),
            ("hash/v6", server.hash.v6.to_string()),
            ("nsid", NONE.to_owned()),
            ("version_text", server.version_text.clone().unwrap_or_else(|| NONE.to_owned())),
            ("state_dir", NONE.to_owned()),
            ("control", path(&server.control_path())),
            ("api/listen", NONE.to_owned()),
            ("api/open_metrics", server.api.open_metrics.to_string()),
            ("log/format", if server.log.format == LogFormat::Json { "json" } else { "text" }.to_owned()),
            ("log/level", server.log.level.clone().unwrap_or_else(|| "info".to_owned())),
            ("query_log", NONE.to_owned()),
            ("resolvers", "as the system is configured".to_owned()),
            ("hold_max", ms(server.hold_max_ms)),
            ("exec_probes", server.exec_probes.to_string()),
        ];
        defaults.into_iter().for_each(|(key, value)| self.default("server", key, value));
        self.default("server", "guard", NONE);
        if let Some(guard) = server.guard {
            self.default("server", "guard/window", ms(u64::from(guard.window_ms)));
        }
    }

    fn offer(&mut self, key: &str, offer: &Offer) {
        self.default(
            key,
            "combine",
            match offer.combine {
                Combine::All => "all".to_owned(),
                Combine::Any => "any".to_owned(),
                Combine::AtLeast(count) => count.to_string(),
            },
        );
        self.default(key, "failback", if offer.recovery.manual { "manual" } else { "auto" });
        self.default(key, "ramp", ms(u64::from(offer.recovery.ramp_ms)));
        self.default(key, "degraded_admit", format!("{}%", u32::from(offer.degraded_admit) * 100 / u32::from(ADMIT_ALL)));
        self.default(key, "capacity", NONE);
        if offer.monitors.is_empty() {
            self.default(key, "monitor", "none: always up");
        }
        let is_list = self.known.contains(&format!("{key}/monitor/0"));
        for (at, monitor) in offer.monitors.iter().enumerate() {
            let key = if is_list { format!("{key}/monitor/{at}") } else { format!("{key}/monitor") };
            self.monitor(&key, monitor);
        }
    }

    fn monitor(&mut self, key: &str, monitor: &Monitor) {
        self.default(key, "port", monitor.port);
        self.default(key, "interval", ms(u64::from(monitor.interval_ms)));
        self.default(key, "timeout", ms(u64::from(monitor.timeout_ms)));
        self.default(key, "fall", monitor.fall);
        self.default(key, "rise", monitor.rise);
        self.default(key, "recheck", ms(u64::from(monitor.recheck_ms)));
        self.default(key, "min_up", ms(u64::from(monitor.damping.min_up_ms)));
        self.default(key, "min_down", ms(u64::from(monitor.damping.min_down_ms)));
        self.default(key, "flap", NONE);
        self.default(key, "slow_ms", NONE);
        self.default(key, "invert", monitor.invert);
        self.default(key, "observe_only", monitor.observe_only);
    }

    fn steer(&mut self, key: &str, steer: &Steer, model: &Model) {
        if self.settings.list.len() >= MAX_SETTINGS {
            self.settings.not_kept += 1;
            return;
        }
        let regions = steer.regions.iter().filter_map(|id| model.regions.get(usize::from(id.0))).map(|region| region.name.as_str());
        self.default(key, "regions", format!("[{}]", regions.collect::<Vec<_>>().join(", ")));
        self.default(key, "rules", NONE);
        self.default(key, "order", steer.order.policy().name());
        self.default(key, "spread", format!("{}km", f64::from(steer.spread_m) / 1000.0));
        self.default(
            key,
            "share",
            match steer.share {
                ShareSpec::Hash => "hash",
                ShareSpec::Random => "random",
            },
        );
        self.default(key, "trickle", format!("{}%", f64::from(steer.trickle) * 100.0 / 4_294_967_296.0));
        self.default(key, "balance", steer.balance.policy().name());
        self.default(key, "answers", steer.answers);
        self.default(key, "ttl", steer.ttl_s);
        self.default(key, "ttl_min", steer.ttl_min_s);
        self.default(key, "fail_open_ttl", steer.fail_open_ttl_s);
        self.default(
            key,
            "min_healthy",
            match steer.min_healthy {
                MinHealthy::Count(count) => count.to_string(),
                MinHealthy::Percent(percent) => format!("{percent}%"),
            },
        );
        self.default(
            key,
            "on_all_down",
            match steer.on_all_down {
                OnAllDown::Open => "open",
                OnAllDown::LastGood => "last-good",
                OnAllDown::Nodata => "nodata",
                OnAllDown::Servfail => "servfail",
                OnAllDown::Refuse => "refuse",
                OnAllDown::Fallback => "fallback",
            },
        );
        self.default(
            key,
            "families",
            match steer.families {
                Families::Apart => "apart",
                Families::Together => "together",
            },
        );
        self.default(key, "hints", steer.hints);
        self.default(key, "ecs", steer.ecs);
        self.default(key, "weights", "those of the regions");
    }

    /// A setting that stands unless it, or something in it, was typed.
    fn default(&mut self, under: &str, key: &str, value: impl Display) {
        let key = format!("{under}/{key}");
        // A short form (`ecs: false`, `log: json`) says what the map would say.
        let is_short = key.rsplit_once('/').is_some_and(|(short, _)| self.known.contains(&format!("{short}=")));
        if !is_short && !self.known.contains(&key) {
            self.push(Setting { key, value: value.to_string(), origin: None });
        }
    }

    fn each(&mut self, node: &Node, mut take: impl FnMut(&mut Typed, &str, &Node)) {
        let Value::Map(entries) = &node.value else { return };
        for (key, node) in entries {
            take(self, &key.text, node);
        }
    }

    /// Takes what stands at a way and below.
    fn walk(&mut self, key: String, node: &Node) {
        if self.settings.list.len() >= MAX_TYPED {
            self.settings.not_kept += 1;
            return;
        }
        self.known.insert(key.clone());
        match &node.value {
            Value::Map(entries) => {
                for (below, node) in entries {
                    let hidden = SECRET_KEYS.contains(&&*below.text);
                    let key = format!("{key}/{}", below.text);
                    if hidden { self.typed(key, NOT_SHOWN.to_owned(), node) } else { self.walk(key, node) }
                }
            }
            Value::List(items) => match items.iter().map(|item| scalar(item).map(str::to_owned)).collect::<Option<Vec<String>>>() {
                Some(items) => self.typed(key, format!("[{}]", items.join(", ")), node),
                None => items.iter().enumerate().for_each(|(at, item)| self.walk(format!("{key}/{at}"), item)),
            },
            Value::Scalar { text, .. } => {
                self.known.insert(format!("{key}="));
                self.typed(key, text.to_string(), node);
            }
        }
    }

    fn typed(&mut self, key: String, value: String, node: &Node) {
        self.known.insert(key.clone());
        let path = node.mark.source.path.as_path();
        let file = self.file.take().filter(|file| **file == *path).unwrap_or_else(|| path.into());
        self.file = Some(Arc::clone(&file));
        self.push(Setting { key, value, origin: Some((file, node.mark.line)) });
    }

    fn push(&mut self, setting: Setting) {
        if self.settings.list.len() < MAX_SETTINGS {
            self.settings.list.push(setting);
        } else {
            self.settings.not_kept += 1;
        }
    }
}

fn scalar(node: &Node) -> Option<&str> {
    if let Value::Scalar { text, .. } = &node.value { Some(text) } else { None }
}

/// A name as a part of a key.
fn plain(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}

/// `5s`, `250ms`.
fn ms(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests {
    use super::super::load;

    /// `value (origin)` of a setting, with the line and no path; the sample's files.
    fn told(settings: &super::Settings, key: &str) -> String {
        let setting = settings.list.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("no setting {key}"));
        let origin = setting.origin.as_ref().map_or("default".to_owned(), |(file, line)| {
            let text = std::fs::read_to_string(file).unwrap();
            text.lines().nth(*line as usize - 1).unwrap().trim().to_owned()
        });
        format!("{} <- {origin}", setting.value)
    }

    #[test]
    fn each_setting_is_told_once_with_its_line_or_as_the_default() {
        let folder = std::env::temp_dir().join(format!("meridian-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("meridian.yaml", "version: 1\nlisten: \"127.0.0.1:0\"\necs: false\nlog:\n  level: warn\nregions: r.yaml\nzones: z.yaml\n"),
            (
                "r.yaml",
                "regions:\n  a:\n    location: {latitude: 1, longitude: 2}\n    services:\n      web:\n        endpoints: [192.0.2.1]\n        \
                 monitor:\n          http: {path: /, headers: {Authorization: secret}}\n          interval: 7s\n",
            ),
            (
                "z.yaml",
                "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www:\n    steer:\n      service: web\n      ttl: 20\n  \"@\": {steer: web}\n",
            ),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let loaded = load(&folder.join("meridian.yaml"));
        let settings = loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics)).settings;
        for (key, expected) in [
            ("server/listen", "127.0.0.1:0 <- listen: \"127.0.0.1:0\""),
            ("server/ecs", "false <- ecs: false"),
            ("server/log/level", "warn <- level: warn"),
            ("server/log/format", "text <- default"),
            ("server/udp_size", "1232 <- default"),
            ("regions/a/weight", "1 <- default"),
            ("regions/a/services/web/monitor/interval", "7s <- interval: 7s"),
            ("regions/a/services/web/monitor/timeout", "2s <- default"),
            ("regions/a/services/web/monitor/http/headers", "(not shown) <- http: {path: /, headers: {Authorization: secret}}"),
            ("zones/example.com/ns", "[ns1] <- ns: [ns1]"),
            ("names/www.example.com/ttl", "20 <- ttl: 20"),
            ("names/www.example.com/order", "nearest <- default"),
            ("names/example.com/service", "web <- \"@\": {steer: web}"),
            ("names/example.com/ttl", "60 <- default"),
        ] {
            assert_eq!(told(&settings, key), expected, "{key}");
        }
        let keys: Vec<&str> = settings.list.iter().map(|setting| setting.key.as_str()).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "in order, each once: {keys:#?}");
        assert!(!keys.iter().any(|key| key.starts_with("server/ecs/")), "the short form says it all");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
