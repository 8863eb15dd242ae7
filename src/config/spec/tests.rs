//! YAML as a tree: what keeps its place, what is refused, and the limits on what a file may hold.
//! What the keys mean is tested in `check`.

use proptest::prelude::*;

use super::*;
use crate::diag::Source;

fn read(text: &str) -> (Option<Node>, String) {
    let mut out = Diagnostics::new();
    let node = parse(&Source::new("t.yaml", text), &mut out);
    (node, out.to_string())
}

fn refused(text: &str) -> String {
    let (node, shown) = read(text);
    assert!(node.is_none(), "{text} was accepted");
    shown
}

fn field<'n>(node: &'n Node, key: &str) -> &'n Node {
    let Value::Map(entries) = &node.value else { panic!("not a map") };
    &entries.iter().find(|(have, _)| &*have.text == key).unwrap().1
}

#[test]
fn scalars_stay_as_typed_and_know_their_place() {
    let (node, shown) = read("a: 1.10\nb: \"1.10\"\nc: NO\nd:\ne: |\n  two\n  lines\n");
    assert_eq!(shown, "");
    let node = node.unwrap();
    for (key, expected) in [("a", "1.10"), ("b", "1.10"), ("c", "NO"), ("e", "two\nlines\n")] {
        assert!(matches!(&field(&node, key).value, Value::Scalar { text, .. } if &**text == expected), "{key}");
    }
    assert!(field(&node, "d").is_null());
    assert_eq!((field(&node, "b").mark.line, field(&node, "b").mark.column), (2, 4));
}

#[test]
fn every_key_that_stands_twice_is_reported_and_reading_goes_on() {
    let (node, shown) = read("a: 1\na: 2\nb: {c: 1, c: 2}\n");
    assert!(node.is_some());
    assert!(
        shown.contains("t.yaml:2:1: error: key `a` stands twice") && shown.contains("t.yaml:3:11: error: key `c` stands twice"),
        "{shown}"
    );
}

#[test]
fn nesting_ends_at_the_limit_also_through_aliases() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(MAX_DEPTH)).0.is_some());
    assert!(refused(&nested(MAX_DEPTH + 1)).contains("nested more than 32 deep"));
    assert!(refused(&nested(100_000)).contains("nested more than 32 deep"));
    let half = MAX_DEPTH / 2 + 1;
    let through_alias = format!("a: &a {}\nb: {}*a{}\n", nested(half), "[".repeat(half), "]".repeat(half));
    assert!(refused(&through_alias).contains("nested more than 32 deep"));
}

#[test]
fn aliases_count_as_what_they_stand_for() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    (1..10).for_each(|i| bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "))));
    assert!(refused(&bomb).contains("more than 5000000 keys and values"));
}

#[test]
fn merge_keys_give_way_to_what_the_map_itself_says() {
    let (node, shown) = read("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {b: 0, <<: [*x, *y]}\n");
    assert_eq!(shown, "");
    let node = node.unwrap();
    let Value::Map(entries) = &field(&node, "z").value else { panic!() };
    let pairs: Vec<(&str, String)> = entries.iter().map(|(key, value)| (&*key.text, value.shown())).collect();
    assert_eq!(pairs, [("b", "`0`".into()), ("a", "`1`".into()), ("c", "`4`".into())]);
    assert!(read("a: {<<: 3}\n").1.contains("`<<` takes a map or a list of maps"));
}

#[test]
fn tags_and_keys_that_are_no_text_are_refused() {
    assert!(refused("a: !!str 5\n").contains("is not used in these files"));
    assert!(refused("[a]: 5\n").contains("a key must be a text"));
    assert!(refused("? {a: b}\n: 5\n").contains("a key must be a text"));
}

#[test]
fn a_million_rows_fit() {
    const { assert!(MAX_NODES >= 4_000_000, "a row of networks is four nodes") };
    // A tenth of them, for the time it takes.
    let rows: String = (0..100_000_u32).map(|i| format!("{}: {{region: a}}\n", i << 8)).collect();
    let (node, shown) = read(&rows);
    assert_eq!(shown, "");
    assert!(matches!(node.unwrap().value, Value::Map(entries) if entries.len() == 100_000));
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "([a-z]|[-:?&*!|>'\"%@`#,\\[\\]{}]|\\n|\\t|  |: |- |<<: |&a |\\*a|é|\u{feff}){0,40}") {
        let (node, shown) = read(&text);
        prop_assert!(node.is_some() || !shown.is_empty(), "refused without a word");
    }
}
