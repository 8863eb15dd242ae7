//! Configurations through `load`, as an operator would write them: bad ones with the exact words of the answer, good ones with the Model that comes out.
//! `MERIDIAN_BLESS=1 cargo test --test config` rewrites the expected outputs; read the difference before committing it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use meridian::config::{Loaded, Model, load, model};
use meridian::geo::{Point, RegionId};
use meridian::health::{MinHealthy, Override, Request};
use meridian::name::Name;
use meridian::steer::balance::BalanceSpec;
use meridian::steer::order::OrderSpec;
use meridian::steer::rule::Action;
use meridian::steer::{Families, OnAllDown, ShareSpec, Weight};

/// Folders of bad configurations, each with the output that it must give.
const BAD: &str = "tests/cases/bad-config";

/// Fewer cases than this means that the folder was not found.
const MIN_CASES: usize = 30;

#[test]
fn bad_configurations_are_refused_in_words_that_help() {
    let bless = std::env::var_os("MERIDIAN_BLESS").is_some();
    let mut folders: Vec<PathBuf> = fs::read_dir(BAD).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= MIN_CASES, "only {} cases", folders.len());
    let mut failures = Vec::new();
    for folder in &folders {
        let Loaded { model, diagnostics } = load(&folder.join("meridian.yaml"));
        assert!(model.is_none() && diagnostics.has_errors(), "{} was accepted", folder.display());
        let shown = relative(&diagnostics.to_string(), folder);
        let golden = folder.join("expected.txt");
        if bless {
            fs::write(&golden, &shown).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != shown {
            failures.push(format!("== {}\n{shown}", folder.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_missing_server_file_is_named() {
    let Loaded { model, diagnostics } = load(Path::new("no/such/meridian.yaml"));
    assert!(model.is_none());
    assert_eq!(diagnostics.to_string(), "no/such/meridian.yaml: error: cannot read `no/such/meridian.yaml`: there is no such file\n");
}

/// Paths as seen from the folder of the case.
fn relative(text: &str, folder: &Path) -> String {
    let folder = folder.to_str().unwrap();
    text.replace(&format!("{folder}/"), "").replace(folder, ".")
}

/// Loads files from a folder of their own.
fn load_files(name: &str, files: &[(&str, &str)]) -> Loaded {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    load(&folder.join("meridian.yaml"))
}

fn model_of(loaded: Loaded) -> Model {
    loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics))
}

fn name(text: &str) -> Name {
    Name::parse(text, None).unwrap()
}

fn steered<'m>(model: &'m Model, owner: &str) -> &'m model::Steer {
    model.steerings.iter().find(|steer| steer.owner == name(owner)).unwrap()
}

fn weight(decimal: f64) -> Weight {
    Weight::from_decimal(decimal).unwrap()
}
