//! What names promise: text and wire round trips, limits, case, order, hash.
//! Only tests of `name` stand here; no other room uses them.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

fn name(text: &str) -> Name {
    Name::parse(text, None).unwrap()
}

/// Any valid name: labels of any octets, cut to what fits.
fn any_name() -> impl Strategy<Value = Name> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=MAX_LABEL_OCTETS), 0..12)
        .prop_map(|labels| labels.iter().fold(Name::root(), |name, label| name.prepend(label).unwrap_or(name)))
}

fn hash_of(name: &Name) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn text_without_final_dot_is_relative_to_the_origin() {
    let origin = name("example.com.");
    assert_eq!(Name::parse("www", Some(&origin)).unwrap().to_string(), "www.example.com.");
    assert_eq!(Name::parse("www.", Some(&origin)).unwrap().to_string(), "www.");
    assert_eq!(Name::parse("@", Some(&origin)).unwrap(), origin);
    assert_eq!(Name::parse(".", Some(&origin)).unwrap(), Name::root());
    assert_eq!(Name::parse("www.example", None).unwrap().to_string(), "www.example.");
    assert_eq!(Name::parse("a", Some(&Name::root())).unwrap().to_string(), "a.");
    assert_eq!(Name::parse("@", None), Err(NameError::NoOrigin));
}

#[test]
fn escapes_are_read_and_written() {
    let odd = name(r"a\.b\\c\032\255\@.x");
    assert_eq!(odd.as_wire(), b"\x08a.b\\c \xff@\x01x\x00");
    assert_eq!(odd.to_string(), r"a\.b\\c\032\255\@.x.");
    assert_eq!(name(r"foo\.").to_string(), r"foo\..", "an escaped dot at the end does not make the name absolute");
    for bad in [r"a\", r"a\25", r"a\256", r"a\2x5", r"a\é"] {
        assert_eq!(Name::parse(bad, None), Err(NameError::BadEscape), "{bad}");
    }
}

#[test]
fn bad_text_is_refused_with_its_reason() {
    let cases = [
        ("", NameError::Empty),
        ("..", NameError::EmptyLabel),
        (".a", NameError::EmptyLabel),
        ("a..b", NameError::EmptyLabel),
        ("a b", NameError::BadCharacter(' ')),
        ("a;b", NameError::BadCharacter(';')),
        ("bücher", NameError::BadCharacter('ü')),
    ];
    for (text, reason) in cases {
        assert_eq!(Name::parse(text, None), Err(reason), "{text}");
    }
    assert_eq!(Name::parse(&"a".repeat(64), None), Err(NameError::LabelTooLong));
    assert!(Name::parse(&"a".repeat(63), None).is_ok());
}

#[test]
fn names_are_limited_to_255_octets() {
    let longest = format!("{}{}", "a.".repeat(126), "b");
    assert_eq!(name(&longest).as_wire().len(), MAX_NAME_OCTETS);
    assert_eq!(name(&longest).label_count(), MAX_LABELS);
    assert_eq!(Name::parse(&format!("a.{longest}"), None), Err(NameError::NameTooLong));
    assert_eq!(Name::parse("a", Some(&name(&longest))), Err(NameError::NameTooLong));
    assert_eq!(name(&longest).prepend(b"a"), Err(NameError::NameTooLong));
    assert_eq!(Name::root().prepend(b""), Err(NameError::EmptyLabel));
    assert_eq!(Name::root().prepend(&[b'a'; 64]), Err(NameError::LabelTooLong));
    let wire = [b"\x01a".repeat(127), vec![0]].concat();
    assert_eq!(Name::from_wire(&wire).unwrap().as_wire(), wire);
    assert_eq!(Name::from_wire(&[b"\x01a".to_vec(), wire].concat()), Err(NameError::NameTooLong));
}

#[test]
fn wire_form_must_be_one_whole_uncompressed_name() {
    assert_eq!(Name::from_wire(b""), Err(NameError::Truncated));
    assert_eq!(Name::from_wire(b"\x03ab"), Err(NameError::Truncated));
    assert_eq!(Name::from_wire(b"\x01a"), Err(NameError::Truncated));
    assert_eq!(Name::from_wire(b"\x01a\x00\x00"), Err(NameError::TrailingOctets));
    assert_eq!(Name::from_wire(b"\x01a\xc0\x00"), Err(NameError::BadLabelType));
    assert_eq!(Name::from_wire(b"\x40"), Err(NameError::BadLabelType));
    assert_eq!(Name::from_wire(b"\x00").unwrap(), Name::root());
}

#[test]
fn labels_run_from_left_to_right_and_back() {
    let www = name("www.example.com");
    let forth: Vec<_> = www.labels().collect();
    assert_eq!(forth, [b"www".as_slice(), b"example", b"com"]);
    let back: Vec<_> = www.labels().rev().collect();
    assert_eq!(back, [b"com".as_slice(), b"example", b"www"]);
    assert_eq!(Name::root().labels().len(), 0);
}

#[test]
fn parents_lead_to_the_root() {
    let www = name("www.example");
    assert_eq!(www.parent(), Some(name("example")));
    assert_eq!(www.parent().and_then(|n| n.parent()), Some(Name::root()));
    assert_eq!(Name::root().parent(), None);
}

#[test]
fn a_suffix_counts_only_at_a_label_boundary() {
    let www = name("www.example.com");
    assert!(www.ends_with(&name("EXAMPLE.com")));
    assert!(www.ends_with(&www));
    assert!(www.ends_with(&Name::root()));
    assert!(!www.ends_with(&name("ample.com")));
    assert!(!name("com").ends_with(&www));
    // The octets of the suffix, length octet included, stand inside a label.
    assert!(!name(r"a\001b").ends_with(&name("b")));
}

#[test]
fn wildcards_have_an_asterisk_as_their_whole_first_label() {
    assert!(name("*.example").is_wildcard());
    assert!(!name("*a.example").is_wildcard());
    assert!(!name("a.*.example").is_wildcard());
}

#[test]
fn canonical_order_is_that_of_rfc_4034() {
    // The example of RFC 4034 6.1.
    let sorted = [
        "example",
        "a.example",
        "yljkjljk.a.example",
        "Z.a.example",
        "zABC.a.EXAMPLE",
        "z.example",
        r"\001.z.example",
        "*.z.example",
        r"\200.z.example",
    ];
    let mut names: Vec<Name> = sorted.iter().rev().map(|text| name(text)).collect();
    names.sort();
    let expected: Vec<Name> = sorted.iter().map(|text| name(text)).collect();
    assert_eq!(names, expected);
}

#[test]
fn hash_of_a_name_is_that_of_its_label_and_a_step_of_its_parent() {
    assert_eq!(Name::root().hash64(), ROOT_HASH);
    let below = |label: &[u8], parent: u64| label_hash(ROOT_HASH, label).wrapping_add(parent.wrapping_mul(HASH_STEP));
    let com = below(b"\x03com", ROOT_HASH);
    assert_eq!(name("COM").hash64(), com);
    assert_eq!(name("Example.com").hash64(), below(b"\x07example", com));
    assert_eq!(HASH_STEP.wrapping_mul(HASH_STEP_BACK), 1);
}

#[test]
fn hashes_spread_over_low_and_high_bits() {
    // 64 Ki names in 64 Ki buckets: a good hash leaves 1/e of them empty, for the low and for the high bits, short and long labels.
    for form in
        ["h{}", "some-long-host-name-{}", "{}.a.very.deep.place", "a.very.deep.place.{}", "{low}.{high}.in-addr.arpa", "{high}.{low}"]
    {
        let filled_in =
            |i: u32| form.replace("{}", &i.to_string()).replace("{low}", &(i % 256).to_string()).replace("{high}", &(i / 256).to_string());
        let hashes: Vec<u64> = (0..65_536u32).map(|i| name(&filled_in(i)).hash64()).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        for shift in [0, 24, 48] {
            let filled = hashes.iter().map(|hash| (hash >> shift) as u16).collect::<HashSet<_>>().len();
            assert!((40_600..42_300).contains(&filled), "{form} at bit {shift}: {filled}");
        }
    }
}

#[test]
fn every_octet_of_a_label_counts_in_its_hash() {
    for length in 1..=MAX_LABEL_OCTETS {
        let mut label = vec![b'a'; length + 1];
        label[0] = length as u8;
        let hash = label_hash(ROOT_HASH, &label);
        for at in 1..=length {
            label[at] = b'b';
            assert_ne!(label_hash(ROOT_HASH, &label), hash, "octet {at} of {length}");
            label[at] = b'a';
        }
    }
}

proptest! {
    #[test]
    fn text_and_wire_round_trip(name in any_name()) {
        let text = name.to_string();
        let parsed = Name::parse(&text, Some(&Name::parse("other.origin", None).unwrap())).unwrap();
        prop_assert_eq!(parsed.as_wire(), name.as_wire());
        let wire = Name::from_wire(name.as_wire()).unwrap();
        prop_assert_eq!(wire.as_wire(), name.as_wire());
    }

    #[test]
    fn letter_case_never_matters(name in any_name()) {
        let (lower, upper) = (name.to_lowercase(), Name::from_wire(&name.as_wire().to_ascii_uppercase()).unwrap());
        prop_assert_eq!(&lower, &upper);
        prop_assert_eq!(lower.cmp(&upper), Ordering::Equal);
        prop_assert_eq!(lower.hash64(), upper.hash64());
        prop_assert_eq!(hash_of(&lower), hash_of(&upper));
    }

    #[test]
    fn order_agrees_with_equality(a in any_name(), b in any_name()) {
        prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    }

    #[test]
    fn a_name_is_below_all_its_ancestors(name in any_name()) {
        let mut count = name.label_count();
        let mut ancestor = name.clone();
        while let Some(parent) = ancestor.parent() {
            count -= 1;
            prop_assert!(name.ends_with(&parent) && parent < name && parent.label_count() == count);
            ancestor = parent;
        }
        prop_assert_eq!(count, 0);
    }

    #[test]
    fn random_text_and_octets_never_panic(text in ".{0,300}", wire in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Name::parse(&text, None);
        let _ = Name::from_wire(&wire);
    }
}
