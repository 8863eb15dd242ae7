//! The load: finds the server file, reads every file that it names, and has them checked together, so that all faults show at once.
//! All or nothing: with an error anywhere there is no model, and whoever holds an older one keeps it.

use std::path::{Path, PathBuf};

use super::check::{self, Known, Regions, Zones};
use super::files;
use super::model::{GeoData, Model, Server};
use super::settings::{Settings, Typed};
use super::spec::{Field, Fields, Node};
use crate::diag::{Diagnostics, Mark};
use crate::progress::Progress;

/// Where the server file is looked for when none is named, first match.
const DEFAULT_PATHS: [&str; 3] = ["meridian.yaml", "zones/meridian.yaml", "/etc/meridian/meridian.yaml"];

/// What became of a load.
#[derive(Debug)]
pub struct Loaded {
    /// The checked configuration; none when there was an error.
    pub model: Option<Model>,
    /// Errors and warnings of all files.
    pub diagnostics: Diagnostics,
}

/// The first of the usual places that holds a server file.
pub fn default_path() -> Option<PathBuf> {
    DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Loads the configuration that begins with the server file at `path`.
pub fn load(path: &Path) -> Loaded {
    load_telling(path, &Progress::default())
}

/// The same, and tells how far it is.
pub fn load_telling(path: &Path, progress: &Progress) -> Loaded {
    let mut diagnostics = Diagnostics::new();
    let model = read(path, progress, &mut diagnostics).filter(|_| !diagnostics.has_errors());
    Loaded { model, diagnostics }
}

/// The settings of this server alone, for whoever looks for its control socket: what else is wrong with the files does not matter there.
pub fn load_server(path: &Path) -> Result<Server, Diagnostics> {
    let mut out = Diagnostics::new();
    let server =
        files::read_yaml(path, &Mark::path(path), &mut out).and_then(|node| check::server(&server_fields(&node, &mut out)?, &mut out));
    server.filter(|_| !out.has_errors()).ok_or(out)
}

fn server_fields<'n>(node: &'n Node, out: &mut Diagnostics) -> Option<Fields<'n>> {
    let root = Field { key: "the server file", node };
    root.fields("a map with keys such as `listen`, `regions` and `zones`", &check::SERVER_KEYS, out)
}

fn read(path: &Path, progress: &Progress, out: &mut Diagnostics) -> Option<Model> {
    let node = files::read_yaml(path, &Mark::path(path), out)?;
    let fields = server_fields(&node, out)?;
    let mut typed = Typed::default();
    typed.add_server(&node);
    let mut server = check::server(&fields, out);
    if let Some(server) = &mut server {
        server.encrypted = check::encrypted(&fields, &server.listen, out);
    }
    let files = check::geo_files(&fields, out);
    let mut regions = Regions::default();
    let complete = each_file(&fields, "regions", "regions.yaml", progress, out, |node, out| {
        typed.add_regions(node);
        regions.add_file(node, out);
    });
    regions.finish(complete, out);
    if server.as_ref().is_some_and(|server| !server.exec_probes) {
        regions.refuse_programs(out);
    }
    let overrides = check::networks(&fields, &regions, out);
    let tests = check::tests(&fields, &regions, out);
    let latencies = check::latencies(&fields, &regions, out);
    let areas = check::areas(&fields, (&files, &overrides), out);
    let mut zones = Zones::new(Known { regions: &regions, areas: &areas, has_latencies: fields.get("latencies").is_some() });
    each_file(&fields, "zones", "\"*.zone.yaml\"", progress, out, |node, out| {
        typed.add_zone(node);
        zones.add_file(node, out);
    });
    let (zones, steerings) = zones.finish(out);
    let (regions, services) = regions.into_parts();
    let geo = GeoData { files, overrides, latencies };
    let settings = Settings::default();
    let mut model = Model { server: server?, geo, regions: regions?, services, steerings, zones, tests, settings };
    model.settings = typed.finish(&model);
    Some(model)
}

/// Reads the files of a key that must be there, one after the other; false if any of them could not be read.
fn each_file(
    fields: &Fields<'_>,
    key: &'static str,
    example: &str,
    progress: &Progress,
    out: &mut Diagnostics,
    mut take: impl FnMut(&Node, &mut Diagnostics),
) -> bool {
    let Some(field) = fields.need(key, example, out) else { return false };
    let mut found = Diagnostics::new();
    let paths = files::expand(field, &mut found);
    let mut complete = !found.has_errors();
    out.extend(found);
    let count = paths.len();
    for (done, (path, named)) in paths.into_iter().enumerate() {
        progress.step(key, done, count);
        match files::read_yaml(&path, &named, out) {
            Some(node) => take(&node, out),
            None => complete = false,
        }
    }
    complete
}
