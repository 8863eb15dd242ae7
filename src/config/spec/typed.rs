//! A serde deserializer over the tree, for the specs that policies and monitors keep in their own files: one policy more is no change here.
//! It never loses a place: every fault carries the mark of the key or value that caused it.

use std::fmt;

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Key, Node, Value};
use crate::diag::{Diagnostics, Mark, nearest};

/// The name by which `serde_saphyr::Spanned` asks a deserializer for a place, and the first key of what it then wants to see.
/// Both are private to that crate; a test here fails when they change.
const SPANNED_NAME: &str = "__yaml_spanned";
const SPANNED_MARKER: &str = "__serde_saphyr_private_spanned";

/// Why a node is not what a spec wants.
#[derive(Debug)]
pub(in crate::config) struct Fault {
    mark: Option<Mark>,
    key: Option<Box<str>>,
    text: String,
    hint: Option<String>,
}

impl Fault {
    fn new(text: impl Into<String>, hint: Option<String>) -> Fault {
        Fault { mark: None, key: None, text: text.into(), hint }
    }

    /// The innermost place and key win.
    fn at(mut self, mark: &Mark) -> Fault {
        self.mark.get_or_insert_with(|| mark.clone());
        self
    }

    fn under(mut self, key: &str) -> Fault {
        self.key.get_or_insert_with(|| key.into());
        self
    }

    /// Reports it; `key` and `mark` are those of the whole spec, for faults that know none of their own.
    pub(super) fn report(self, key: &str, mark: &Mark, out: &mut Diagnostics) {
        let text =
            if self.text.starts_with("must ") { format!("`{}` {}", self.key.as_deref().unwrap_or(key), self.text) } else { self.text };
        let mark = self.mark.unwrap_or_else(|| mark.clone());
        match self.hint {
            Some(hint) => out.error_hint(mark, text, hint),
            None => out.error(mark, text),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Fault {
        Fault::new(text.to_string(), None)
    }

    fn invalid_type(_: Unexpected<'_>, wanted: &dyn Expected) -> Fault {
        Fault::new(format!("must be {wanted}"), None)
    }

    fn invalid_value(_: Unexpected<'_>, wanted: &dyn Expected) -> Fault {
        Fault::new(format!("must be {wanted}"), None)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Fault {
        let slip = nearest(word, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        Fault::new(format!("must be {}, not `{word}`", either(known)), slip)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Fault {
        Fault::new(format!("unknown key `{key}`"), Some(key_hint(key, known)))
    }

    fn missing_field(key: &'static str) -> Fault {
        Fault::new(format!("the key `{key}` is missing"), None)
    }
}

/// `did you mean`, also where a key was shortened; else what there is.
pub(super) fn key_hint(key: &str, known: &[&str]) -> String {
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
        return "decimals are written with a point, not with a comma".to_owned();
    }
    let shortened = || known.iter().copied().find(|known| key.len() >= 2 && known.starts_with(key));
    match nearest(key, known.iter().copied()).or_else(shortened) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known keys here: {}", known.join(", ")),
    }
}

/// "`a`, `b` or `c`".
fn either(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

impl Node {
    fn fault(&self, wanted: &str) -> Fault {
        Fault::new(format!("must be {wanted}, not {}", self.shown()), None).at(&self.mark)
    }

    fn scalar(&self, wanted: &str) -> Result<&str, Fault> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Ok(text),
            _ => Err(self.fault(wanted)),
        }
    }

    /// What a visitor says of a wrong value gets the value and its place.
    fn judged<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|mut fault| {
            if fault.mark.is_none() && fault.text.starts_with("must be ") && !fault.text.contains(", not ") {
                fault.text = format!("{}, not {}", fault.text, self.shown());
            }
            fault.at(&self.mark)
        })
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $kind:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = self.scalar("a whole number")?.parse::<$kind>().map_err(|_| self.fault("a whole number"))?;
            self.judged(visitor.$visit(number))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    /// Unquoted numbers and `true` and `false` are that; any other scalar is text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::List(items) => self.judged(visitor.visit_seq(Items(items.iter()))),
            Value::Map(entries) => self.judged(visitor.visit_map(Entries { left: entries.iter(), value: None })),
            Value::Scalar { .. } if self.is_null() => self.judged(visitor.visit_unit()),
            Value::Scalar { text, plain } => self.judged(match &**text {
                "true" if *plain => visitor.visit_bool(true),
                "false" if *plain => visitor.visit_bool(false),
                text if *plain => match (text.parse(), text.parse(), text.parse()) {
                    (Ok(number), _, _) => visitor.visit_u64(number),
                    (_, Ok(number), _) => visitor.visit_i64(number),
                    (_, _, Ok(number)) if f64::is_finite(number) => visitor.visit_f64(number),
                    _ => visitor.visit_str(text),
                },
                text => visitor.visit_str(text),
            }),
        }
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8; deserialize_i16 visit_i16 i16; deserialize_i32 visit_i32 i32; deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8; deserialize_u16 visit_u16 u16; deserialize_u32 visit_u32 u32; deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let number = self.scalar("a number")?.parse::<f64>().ok().filter(|number| number.is_finite());
        self.judged(visitor.visit_f64(number.ok_or_else(|| self.fault("a number"))?))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.scalar("`true` or `false`")? {
            "true" => self.judged(visitor.visit_bool(true)),
            "false" => self.judged(visitor.visit_bool(false)),
            _ => Err(self.fault("`true` or `false`")),
        }
    }

    /// The text as typed, whether it looks like a number or not.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.judged(visitor.visit_str(self.scalar("a text")?))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.is_null() { self.judged(visitor.visit_none()) } else { self.judged(visitor.visit_some(self)) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name == SPANNED_NAME { visitor.visit_newtype_struct(Placed(self)) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => Err(self.fault("a map")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => Err(self.fault("a list")),
        }
    }

    /// A word, or a map of one key: the externally tagged form.
    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => self.judged(visitor.visit_enum(StrDeserializer::<Fault>::new(text))),
            Value::Map(entries) if entries.len() == 1 => self.judged(visitor.visit_enum(Variant(&entries[0]))),
            _ => Err(self.fault("one word, or a map of one key")),
        }
    }

    forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

/// The values of a list.
struct Items<'n>(std::slice::Iter<'n, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

/// The entries of a map; faults in a value learn its key.
struct Entries<'n> {
    left: std::slice::Iter<'n, (Key, Node)>,
    value: Option<&'n (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.value = self.left.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        seed.deserialize(StrDeserializer::<Fault>::new(&key.text)).map(Some).map_err(|fault| fault.at(&key.mark))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some((key, node)) = self.value.take() else { return Err(Fault::custom("a value was asked for before its key")) };
        seed.deserialize(node).map_err(|fault| fault.at(&node.mark).under(&key.text))
    }
}

/// `word: value`.
struct Variant<'n>(&'n (Key, Node));

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Variant<'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Variant<'de>), Fault> {
        let (key, _) = self.0;
        let word = seed.deserialize(StrDeserializer::<Fault>::new(&key.text)).map_err(|fault| fault.at(&key.mark))?;
        Ok((word, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        let (key, node) = self.0;
        if node.is_null() { Ok(()) } else { Err(Fault::new(format!("`{}` takes no value", key.text), None).at(&node.mark)) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let (key, node) = self.0;
        seed.deserialize(node).map_err(|fault| fault.at(&node.mark).under(&key.text))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.0.1.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.0.1.deserialize_map(visitor)
    }
}

/// What `Spanned` wants to see: the marker, the value, and its place twice.
struct Placed<'n>(&'n Node);

impl<'de> Deserializer<'de> for Placed<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(PlacedParts { node: self.0, keys: [SPANNED_MARKER, "value", "referenced", "defined"].iter() })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct PlacedParts<'n> {
    node: &'n Node,
    keys: std::slice::Iter<'static, &'static str>,
}

impl<'de> MapAccess<'de> for PlacedParts<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let next = self.keys.as_slice().first();
        next.map(|key| seed.deserialize(StrDeserializer::<Fault>::new(key))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        match self.keys.next() {
            Some(&"value") => seed.deserialize(self.node),
            Some(&SPANNED_MARKER) => seed.deserialize(true.into_deserializer()),
            _ => {
                let place = [("line", self.node.mark.line), ("column", self.node.mark.column)];
                seed.deserialize(MapDeserializer::new(place.into_iter()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_saphyr::Spanned;

    use super::*;
    use crate::diag::Source;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: Option<Spanned<String>>,
        port: Option<Spanned<i64>>,
        #[serde(default)]
        verify: bool,
        order: Option<Order>,
        #[serde(default)]
        headers: BTreeMap<String, Spanned<String>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Order {
        RoundRobin,
        Table { size: u8 },
    }

    fn read(text: &str) -> Result<Sample, String> {
        let mut out = Diagnostics::new();
        let node = super::super::parse(&Source::new("t.yaml", text), &mut out).unwrap();
        Sample::deserialize(&node).map_err(|fault| {
            fault.report("sample", &node.mark, &mut out);
            out.to_string()
        })
    }

    #[test]
    fn spanned_values_know_their_place() {
        let sample = read("name: 080\nport:   7\norder: round-robin\nheaders: {a: b}\n").unwrap();
        let port = sample.port.unwrap();
        assert_eq!((port.value, port.referenced.line(), port.referenced.column()), (7, 2, 9));
        assert_eq!(sample.name.unwrap().value, "080", "text stays as typed");
        assert_eq!(sample.order, Some(Order::RoundRobin));
        assert_eq!(sample.headers["a"].referenced.column(), 14);
        assert!(!sample.verify);
        assert_eq!(read("order: {table: {size: 3}}").unwrap().order, Some(Order::Table { size: 3 }));
    }

    #[test]
    fn faults_name_key_place_and_remedy() {
        let cases = [
            ("prot: 7", "t.yaml:1:1: error: unknown key `prot`", "did you mean `port`?"),
            ("verify: true\nport: x", "t.yaml:2:7: error: `port` must be a whole number, not `x`", "port: x"),
            ("verify: yes", "t.yaml:1:9: error: `verify` must be `true` or `false`, not `yes`", "verify"),
            (
                "order: round-robbin",
                "t.yaml:1:8: error: `order` must be `round-robin` or `table`, not `round-robbin`",
                "did you mean `round-robin`?",
            ),
            ("order: {table: {size: 900}}", "t.yaml:1:23: error: `size` must be a whole number, not `900`", "size"),
            ("name: [a]", "t.yaml:1:7: error: `name` must be a text, not a list", "name"),
            ("[a]", "t.yaml:1:1: error: `sample` must be a map, not a list", "[a]"),
        ];
        for (text, start, part) in cases {
            let shown = read(text).unwrap_err();
            assert!(shown.starts_with(start) && shown.contains(part), "{text}: {shown}");
        }
    }
}
