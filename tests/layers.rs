//! The house rules that a compiler does not keep: who may import whom (DESIGN.md section 4), where `unsafe`, serde and tokio may stand,
//! how long a file may be. It reads the sources as tokens and runs nothing of them; `#[cfg(test)]` items may import anything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

#[path = "common/tokens.rs"]
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tokens::{Token, tokens};

/// Who may import whom: a room may import the rooms of every layer above its own line, and none of its own line.
const LAYERS: [&[&str]; 9] = [
    &["name", "number", "random", "diag", "progress", "certificate", "clock"],
    &["wire", "geo", "health"],
    &["zone", "steer"],
    &["snapshot", "answer"],
    &["config", "metrics"],
    &["keeper", "querylog", "rehearsal", "handover"],
    &["server", "prober", "api", "cluster"],
    &["daemon", "cli"],
    &["main"],
];

/// Imports within a layer, each with its reason; all others are refused.
const SIDEWAYS: [(&str, &str, Sideways); 3] = [
    // The ids of names and zones live in zone; steering may read them and nothing else.
    ("steer", "zone", Sideways::Only(&["SteeringId", "ZoneId"])),
    // The corridor answers from one world.
    ("answer", "snapshot", Sideways::All),
    // `serve` and `check` run what the daemon runs.
    ("cli", "daemon", Sideways::All),
];

enum Sideways {
    All,
    Only(&'static [&'static str]),
}

/// From this layer on time, sockets and runtimes are allowed; below it time and seeds come in as arguments.
const FIRST_LAYER_WITH_TIME: usize = 5;

/// Crates (by the name that `use` has) and the files or folders that may name them; what is not listed may stand anywhere.
const CRATES: [(&str, &[&str]); 32] = [
    ("axum", &["api/"]),
    ("tokio_rustls", &["api/", "prober/", "server/"]),
    ("arc_swap", &["snapshot.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/shell.rs"]),
    ("clap_mangen", &["cli/shell.rs"]),
    ("data_encoding", &["server/doh.rs"]),
    ("fastrand", &[]),
    ("h3", &["server/http3.rs", "server/capped.rs", "server/tests/http3.rs"]),
    ("h3_quinn", &["server/http3.rs", "server/tests/http3.rs"]),
    ("quinn", &["server/"]),
    ("getrandom", &[]),
    ("hickory_proto", &["api/explain.rs", "prober/dns.rs"]),
    ("landlock", &["daemon/confine.rs"]),
    ("libc", &["server/", "prober/"]),
    ("listenfd", &["handover/activation.rs"]),
    ("maxminddb", &["geo/source/mmdb.rs"]),
    ("rand", &[]),
    ("regex", &["health/monitor/", "prober/"]),
    ("hickory_resolver", &["prober/resolve.rs"]),
    ("hyper", &["api/", "prober/", "server/"]),
    ("hyper_util", &["api/", "prober/", "server/"]),
    ("http_body_util", &["api/", "prober/", "server/"]),
    ("nix", &["daemon/rights.rs"]),
    ("rustix", &["handover/", "server/host.rs"]),
    ("rtrb", &["querylog.rs", "querylog/", "server/limit/"]),
    ("rustls", &["api/", "config/check/certificate.rs", "config/model/encrypted.rs", "prober/", "server/"]),
    ("siphasher", &["wire/cookie.rs"]),
    ("serde", &["config/", "steer/mod.rs", "steer/order/", "steer/balance/", "health/monitor/", "api/", "cluster/"]),
    ("serde_json", &["health/monitor/", "api/", "cluster/", "cli/", "querylog/json.rs"]),
    ("serde_saphyr", &["config/", "health/monitor/"]),
    ("tokio", &["server/", "prober/", "api/", "cluster/", "daemon.rs", "daemon/"]),
];

/// Words that ask the time, and the files that may.
const TIME_WORDS: [&str; 2] = ["Instant", "SystemTime"];
const TIME_FILES: [&str; 4] = [
    "clock.rs",
    // Deadlines of connections are timers of the runtime.
    "server/hall.rs",
    "server/https.rs",
    "server/stream.rs",
];

/// The only file with `unsafe`.
const UNSAFE_FILE: &str = "server/sys.rs";

/// Longer files are read badly; tests at the bottom count.
const MAX_LINES: usize = 500;

/// Files that are longer, each with its reason; one that has become shorter must leave the list.
const LONG_FILES: [(&str, &str); 0] = [];

#[test]
fn the_sources_keep_the_house_rules() {
    let files = sources("src");
    assert!(files.len() > 60, "only {} files under src: is this the right folder?", files.len());
    let mut findings = check(&files);
    let is_long = |path: &str| files.get(path).is_some_and(|text| text.lines().count() > MAX_LINES);
    findings
        .extend(LONG_FILES.iter().filter(|(path, _)| !is_long(path)).map(|(path, _)| format!("{path}: not long, take it off the list")));
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn every_room_has_its_layer() {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let rooms: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(rooms.len() > 15, "{rooms:?}");
    let unknown: Vec<&&str> = rooms.iter().filter(|room| layer(room).is_none()).collect();
    assert!(unknown.is_empty(), "no layer for {unknown:?}");
    // The tour has no code of its own.
    let other = lib.lines().filter(|line| !line.is_empty() && !line.starts_with("//!") && !line.starts_with("pub mod "));
    assert_eq!(other.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn no_test_is_ignored() {
    for (path, text) in sources("src").into_iter().chain(sources("tests")).chain(sources("examples")) {
        let tokens = tokens(&text);
        let ignored = tokens.windows(3).find(|three| three[0].is("#") && three[1].is("[") && three[2].is("ignore"));
        assert!(ignored.is_none(), "{path}:{}: a test is ignored", ignored.map_or(0, |three| three[0].line));
    }
}

/// Each violation, planted into a file that keeps the rules otherwise, must be found: else this file proves nothing.
#[test]
fn planted_violations_are_found() {
    let planted = [
        ("wire/query.rs", "use crate::zone::Node;", "wire (layer 1) imports zone (layer 2)"),
        ("wire/query.rs", "use crate::{name::Name, zone::{Node, lookup}};", "wire (layer 1) imports zone (layer 2)"),
        ("wire/query.rs", "pub(crate) use crate::{\n    self as root,\n    geo,\n};", "wire (layer 1) imports geo (layer 1)"),
        ("wire/query.rs", "fn f() -> crate::steer::Weight { todo() }", "wire (layer 1) imports steer (layer 2)"),
        ("wire/query.rs", "use super::super::zone::Node;", "wire (layer 1) imports zone (layer 2)"),
        ("wire/edns.rs", "fn f() { super::super::geo::f() }", "wire (layer 1) imports geo (layer 1)"),
        ("name.rs", "use super::diag::Mark;", "name (layer 0) imports diag (layer 0)"),
        ("name.rs", "use crate::*;", "a glob import of the whole crate"),
        ("health/book.rs", "use crate::clock::Clock;", "health (layer 1) asks the time"),
        ("geo/table.rs", "use std::time::Instant;", "only clock.rs asks the time"),
        ("keeper/mod.rs", "fn f() { std::time::SystemTime::now(); }", "only clock.rs asks the time"),
        ("zone/build.rs", "use crate::steer::Weight;", "zone (layer 2) imports steer (layer 2)"),
        ("steer/plan.rs", "use crate::zone::lookup::Zones;", "steer may read only SteeringId, ZoneId of zone"),
        ("steer/plan.rs", "use crate::zone::{SteeringId, Zone};", "steer may read only SteeringId, ZoneId of zone"),
        ("snapshot.rs", "use crate::answer::Ask;", "snapshot (layer 3) imports answer (layer 3)"),
        ("config/load.rs", "use crate::keeper::Keeper;", "config (layer 4) imports keeper (layer 5)"),
        ("prober/mod.rs", "use crate::server::Running;", "prober (layer 6) imports server (layer 6)"),
        ("server/udp.rs", "use crate::prober::Prober;", "server (layer 6) imports prober (layer 6)"),
        ("daemon.rs", "use crate::cli::run;", "daemon (layer 7) imports cli (layer 7)"),
        ("main.rs", "use meridian::config::load; fn f() { meridian::cli::run(); } use crate::unheard_of::X;", "`unheard_of` has no layer"),
        ("unheard_of.rs", "", "`unheard_of` has no layer"),
        ("metrics.rs", "use tokio::sync::Mutex;", "`tokio` does not belong here"),
        ("wire/mod.rs", "use serde::Deserialize;", "`serde` does not belong here"),
        ("geo/place.rs", "#[derive(serde::Deserialize)] struct S;", "`serde` does not belong here"),
        ("answer.rs", "fn f() -> u8 { rand::random() }", "`rand` does not belong here"),
        ("answer.rs", "use hickory_proto::op::Message;", "`hickory_proto` does not belong here"),
        ("server/udp.rs", "fn f(p: *const u8) -> u8 { unsafe { *p } }", "`unsafe` outside server/sys.rs"),
        ("server/udp.rs", "#![allow(unsafe_code)]", "`unsafe_code` outside server/sys.rs"),
        ("answer.rs", &"\n".repeat(MAX_LINES), "lines, at most 500"),
    ];
    for (path, code, expected) in planted {
        let found = check(&[(path.to_owned(), format!("//! A room.\n{code}\n"))].into());
        assert!(found.iter().any(|finding| finding.contains(expected)), "{path}: {code:.60}\nexpected: {expected}\nfound: {found:?}");
    }
    let bare = check(&[("answer.rs".to_owned(), "use std::fmt;\n".to_owned())].into());
    assert!(bare.iter().any(|finding| finding.contains("does not begin with `//!`")), "{bare:?}");
}

/// What only looks like a violation is none.
#[test]
fn innocent_sources_pass() {
    let innocent = [
        ("wire/query.rs", "// use crate::zone::Node;\n/* crate::zone /* nested */ crate::steer */ fn f() {}"),
        ("wire/query.rs", "const S: &str = \"crate::zone\"; const R: &str = r#\"crate::zone \" unsafe\"#; const C: char = '\"';"),
        (
            "wire/query.rs",
            "fn f<'a>(x: &'a str) -> &'a str { x } use crate::name::Name; use crate::wire::Rcode; use super::super::name::Name as N;",
        ),
        ("wire/query.rs", "#[cfg(test)]\nmod tests { use crate::zone::Node; fn f() { tokio::spawn(); } }"),
        ("wire/query.rs", "#[cfg(test)]\n#[allow(x)]\nmod tests {\n mod deep { use crate::zone::Node; } }\nfn after() {}"),
        ("wire/query.rs", "mod inner { use super::super::edns; use super::super::super::name; }"),
        ("steer/plan.rs", "use crate::zone::SteeringId; use crate::zone::{ZoneId, SteeringId as Id};"),
        ("steer/order/mod.rs", "use serde::Deserialize;"),
        ("server/sys.rs", "#![allow(unsafe_code)] fn f(p: *const u8) -> u8 { unsafe { *p } }"),
        ("daemon.rs", "use crate::{server, prober::Prober}; use tokio::signal;"),
    ];
    for (path, code) in innocent {
        let found = check(&[(path.to_owned(), format!("//! A room.\n{code}\n"))].into());
        assert!(found.is_empty(), "{path}: {code}\nfound: {found:?}");
    }
    // The file of a test module may import anything too, and so may what lies below it.
    let tests = "//! Tests.\nuse crate::daemon; use tokio::spawn;\n".to_owned();
    let files = [
        ("wire/mod.rs".to_owned(), "//! A room.\n#[cfg(test)]\nmod tests;\n".to_owned()),
        ("wire/tests.rs".to_owned(), tests.clone()),
        ("wire/tests/deep.rs".to_owned(), tests.clone()),
    ];
    assert_eq!(check(&files.clone().into()), Vec::<String>::new());
    let without_its_parent = files.into_iter().skip(1).collect();
    assert_eq!(check(&without_its_parent).len(), 2 * 2, "a module that is not under cfg(test) has no such freedom");
}

/// All findings over some files (paths below `src`), as `path:line: text`.
fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    let of_tests = test_files(files);
    let mut findings = Vec::new();
    for (path, text) in files {
        if !text.starts_with("//! ") {
            findings.push(format!("{path}:1: the file does not begin with `//!`: what the room does, what it never does"));
        }
        check_length(path, text, &mut findings);
        if !of_tests.contains(path.as_str()) {
            check_tokens(path, &without_tests(&tokens(text)), &mut findings);
        }
    }
    findings
}

fn check_length(path: &str, text: &str, findings: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > MAX_LINES && !LONG_FILES.iter().any(|(long, _)| *long == path) {
        findings.push(format!("{path}: {lines} lines, at most {MAX_LINES} without a stated reason"));
    }
}

fn check_tokens(path: &str, tokens: &[Token], findings: &mut Vec<String>) {
    let room = room(path);
    if room == "lib" {
        return;
    }
    if layer(room).is_none() {
        findings.push(format!("{path}:1: `{room}` has no layer"));
        return;
    }
    for import in imports(path, tokens) {
        if let Some(text) = refusal(room, &import) {
            findings.push(format!("{path}:{}: {text}", import.line));
        }
    }
    for (index, token) in tokens.iter().enumerate() {
        if let Some(text) = word_refusal(path, tokens, index) {
            findings.push(format!("{path}:{}: {text}", token.line));
        }
    }
}

/// Why a word must not stand in a file.
fn word_refusal(path: &str, tokens: &[Token], index: usize) -> Option<String> {
    let word = tokens[index].text.as_str();
    if matches!(word, "unsafe" | "unsafe_code") && path != UNSAFE_FILE {
        return Some(format!("`{word}` outside {UNSAFE_FILE}"));
    }
    if TIME_WORDS.contains(&word) && !TIME_FILES.contains(&path) {
        return Some(format!("`{word}`: only clock.rs asks the time"));
    }
    let is_path_start = tokens.get(index + 1).is_some_and(|next| next.is("::")) && !(index > 0 && tokens[index - 1].is("::"));
    let (_, places) = CRATES.iter().find(|(name, _)| *name == word && is_path_start)?;
    let fits = places.iter().any(|place| path == *place || place.ends_with('/') && path.starts_with(place));
    (!fits).then(|| format!("`{word}` does not belong here"))
}

/// Why a room must not import another; `None` if it may.
fn refusal(room: &str, import: &Import) -> Option<String> {
    let to = import.room.as_str();
    if to == room || to == "self" {
        return None;
    }
    if to == "*" {
        return Some("a glob import of the whole crate hides who imports whom".into());
    }
    let Some(to_layer) = layer(to) else { return Some(format!("`{to}` has no layer")) };
    let from_layer = layer(room)?;
    if to == "clock" && from_layer < FIRST_LAYER_WITH_TIME {
        return Some(format!("{room} (layer {from_layer}) asks the time; below layer {FIRST_LAYER_WITH_TIME} it comes in as an argument"));
    }
    if to_layer < from_layer {
        return None;
    }
    match SIDEWAYS.iter().find(|(from, into, _)| *from == room && *into == to) {
        Some((_, _, Sideways::All)) => None,
        Some((_, _, Sideways::Only(words))) if import.next.as_deref().is_some_and(|next| words.contains(&next)) => None,
        Some((_, _, Sideways::Only(words))) => Some(format!("{room} may read only {} of {to}", words.join(", "))),
        None => Some(format!("{room} (layer {from_layer}) imports {to} (layer {to_layer})")),
    }
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// The room that a file belongs to: the first part of its path.
fn room(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The modules from the root of the crate to a file: `a/b.rs` and `a/b/mod.rs` are `[a, b]`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|part| !matches!(*part, "lib" | "main")).map(str::to_owned).collect()
}

/// A path into the crate.
struct Import {
    line: usize,
    /// The room, `*` or `self`.
    room: String,
    /// The word after the room.
    next: Option<String>,
}

/// All paths into the crate: `crate::...`, the crate's own name, and `super::...` as far as it leaves the room; trees are opened.
fn imports(path: &str, tokens: &[Token]) -> Vec<Import> {
    let mut found = Vec::new();
    let mut inline_modules: Vec<usize> = Vec::new();
    let mut depth = 0;
    let here = module_of(path).len();
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        match token.text.as_str() {
            "{" => {
                depth += 1;
                if index >= 2 && tokens[index - 2].is("mod") {
                    inline_modules.push(depth);
                }
            }
            "}" => {
                if inline_modules.last() == Some(&depth) {
                    inline_modules.pop();
                }
                depth -= 1;
            }
            "crate" | "meridian" if tokens.get(index + 1).is_some_and(|next| next.is("::")) => open_tree(&tokens[index + 2..], &mut found),
            "super" if !(index > 0 && tokens[index - 1].is("::")) => {
                let mut supers = 1;
                while tokens.get(index + 2 * supers).is_some_and(|token| token.is("super")) {
                    supers += 1;
                }
                if supers == here + inline_modules.len() {
                    open_tree(&tokens[(index + 2 * supers).min(tokens.len())..], &mut found);
                }
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// The rooms that a path or a tree of paths names, from the root of the crate on.
fn open_tree(tokens: &[Token], found: &mut Vec<Import>) {
    match tokens.first() {
        Some(open) if open.is("{") => {
            for branch in branches(tokens) {
                open_tree(branch, found);
            }
        }
        Some(first) => {
            let after = tokens.get(1).filter(|token| token.is("::")).map(|_| &tokens[2..]);
            let import = |next: Option<String>| Import { line: first.line, room: first.text.clone(), next };
            match after {
                Some(tree) if tree.first().is_some_and(|token| token.is("{")) => {
                    found.extend(branches(tree).into_iter().map(|branch| import(branch.first().map(|token| token.text.clone()))));
                }
                Some(rest) => found.push(import(rest.first().map(|token| token.text.clone()))),
                None => found.push(import(None)),
            }
        }
        None => {}
    }
}

/// The branches of `{a, b::{c, d}}`, split at the commas of its own level.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut depth, mut start, mut branches) = (0, 1, Vec::new());
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => {
                branches.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
        if depth == 0 {
            branches.push(&tokens[start..index]);
            break;
        }
    }
    branches.retain(|branch| !branch.is_empty());
    branches
}

/// Files of modules that exist only under `#[cfg(test)]`, and all below them.
fn test_files(files: &BTreeMap<String, String>) -> BTreeSet<&str> {
    let mut roots = Vec::new();
    for (path, text) in files {
        let module = module_of(path).join("/");
        let tokens = tokens(text);
        for index in test_attributes(&tokens) {
            let item = &tokens[index..];
            if let Some(at) = item.iter().position(|token| token.is("mod"))
                && item.get(at + 2).is_some_and(|token| token.is(";"))
                && item[..at].iter().all(|token| !token.is(";") && !token.is("{"))
            {
                roots.push(format!("{module}/{}", item[at + 1].text));
            }
        }
    }
    let below = |path: &str| roots.iter().any(|root| path == format!("{root}.rs") || path.starts_with(&format!("{root}/")));
    files.keys().map(String::as_str).filter(|path| below(path)).collect()
}

/// Where `#[cfg(test)]` begins.
fn test_attributes(tokens: &[Token]) -> Vec<usize> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_here = |window: &[Token]| window.iter().zip(ATTRIBUTE).all(|(token, text)| token.is(text));
    tokens.windows(ATTRIBUTE.len()).enumerate().filter(|(_, window)| is_here(window)).map(|(index, _)| index).collect()
}

/// The tokens without the items that stand under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let starts = test_attributes(tokens);
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if starts.contains(&index) {
            index = end_of_item(tokens, index);
        } else {
            kept.push(tokens[index].clone());
            index += 1;
        }
    }
    kept
}

/// The index after the item that begins at `start`: after its `;`, or after the block that closes it.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token.is(";") || token.is("}")) {
            return index + 1;
        }
    }
    tokens.len()
}

/// All Rust files below a folder, by their path in it.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    collect(Path::new(folder), Path::new(folder), &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}
