//! docs/conformance.md names a test for every behaviour; here it is made sure that those tests exist.
//! It reads the page and the sources as text.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The page.
const PAGE: &str = "docs/conformance.md";

/// Rows of its tables that a reader may rely on; fewer mean that the page is not read as it should be.
const LEAST_TESTS: usize = 60;

#[test]
fn every_test_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    collect(&root.join("src"), &mut tests);
    collect(&root.join("tests"), &mut tests);
    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(|word| is_test_name(word)).collect();
    assert!(named.len() >= LEAST_TESTS, "only {} tests are named in {PAGE}", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "{PAGE} names tests that do not exist: {missing:#?}");
}

/// Names of tests are whole sentences, so nothing else in the page looks like one.
fn is_test_name(word: &str) -> bool {
    word.matches('_').count() >= 2 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The names of all test functions below a folder.
fn collect(folder: &Path, tests: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let after_attribute = text.split("#[test]").skip(1);
            tests.extend(after_attribute.filter_map(|rest| Some(rest.split_once("fn ")?.1.split_once('(')?.0.to_owned())));
        }
    }
}
