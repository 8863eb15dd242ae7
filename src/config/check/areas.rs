//! Which clients are meant: `when:` of a rule, and the `areas:` of the server file that rules name.
//! It resolves words, numbers and codes; clients are compared with them when plans are compiled.

use std::collections::HashMap;

use super::networks::{asn, continent, country, subdivision, warn_if_embedded};
use super::{is_word, prefix, reference_hint};
use crate::config::files;
use crate::config::spec::{Field, Fields, Key, Node, shortened};
use crate::diag::Diagnostics;
use crate::geo::source::builtin;
use crate::geo::{self, Code, GeoFile, Override, Prefix};
use crate::steer::rule::{Area, When};

/// Areas of one configuration: each is compared with every kind of place that a rule looks at.
const MAX_AREAS: usize = 1024;

/// Alternatives of one area or one `not`.
const MAX_ALTERNATIVES: usize = 64;

/// Values of one key: every kind of place is compared with each of them at load.
const MAX_VALUES: usize = 4096;

/// Keys of `when`, of `not` and of an area.
const KEYS: [&str; 7] = ["network", "asn", "country", "continent", "subdivision", "area", "not"];

/// What `when` and its like look like.
const WANTED: &str = "a map such as `{country: [DE, FR]}`";

/// The areas that rules may name.
#[derive(Debug, Default)]
pub(in crate::config) struct Areas {
    /// Keys of `when` that no source of geo data says anything about.
    unsaid: Vec<&'static str>,
    by_name: HashMap<String, Area>,
    /// In the order of the file.
    names: Vec<String>,
}

/// `areas:` of the server file: a map, or a file with the key `areas`.
///
/// `geo` is what the places of clients come from.
pub(in crate::config) fn areas(server: &Fields<'_>, geo: (&[GeoFile], &[Override]), out: &mut Diagnostics) -> Areas {
    let mut areas = Areas { unsaid: unsaid(geo), ..Areas::default() };
    let Some(field) = server.get("areas") else { return areas };
    let Some(text) = field.scalar() else {
        areas.read(&field, out);
        return areas;
    };
    if let Some(node) = files::read_yaml(&files::resolve(text, &field.node.mark), &field.node.mark, out) {
        let root = Field { key: "the file of areas", node: &node };
        let fields = root.fields("a map with the key `areas`", &["areas"], out);
        let inner = fields.and_then(|fields| fields.need("areas", "{dach: {country: [DE, AT, CH]}}", out));
        inner.iter().for_each(|field| areas.read(field, out));
    }
    areas
}

/// What no client is known by: a database may say anything, the built-in table knows continents only.
fn unsaid((files, networks): (&[GeoFile], &[Override])) -> Vec<&'static str> {
    let says = |has: fn(&geo::Fields) -> bool| !files.is_empty() || networks.iter().any(|network| has(&network.fields));
    let keys = [
        ("country", says(|fields| fields.country.is_some())),
        ("subdivision", says(|fields| fields.subdivision.is_some())),
        ("asn", says(|fields| fields.asn.is_some())),
    ];
    keys.into_iter().filter(|(_, is_said)| !is_said).map(|(key, _)| key).collect()
}

impl Areas {
    fn read(&mut self, field: &Field<'_>, out: &mut Diagnostics) {
        let entries = field.map("a map of areas by name, or a file with one", out).unwrap_or_default();
        if entries.len() > MAX_AREAS {
            out.error(field.mark(), format!("there are {} areas, at most {MAX_AREAS} are allowed", entries.len()));
            return;
        }
        entries.iter().for_each(|(key, node)| self.add(key, node, out));
    }

    /// An area is known to those below it only, so that none can lead to itself.
    fn add(&mut self, key: &Key, node: &Node, out: &mut Diagnostics) {
        if !is_word(&key.text) {
            let hint = "use 1 to 63 letters, digits, `-`, `_` and `.`";
            out.error_hint(key.mark.clone(), format!("`{}` cannot be the name of an area", shortened(&key.text)), hint);
        }
        let alternatives = self.alternatives(&Field { key: &key.text, node }, out);
        self.names.push(key.text.to_string());
        self.by_name.insert(key.text.to_string(), Area { name: (&*key.text).into(), alternatives: alternatives.into() });
    }

    /// One condition, or a list of which any will do.
    fn alternatives(&self, field: &Field<'_>, out: &mut Diagnostics) -> Vec<When> {
        let list = field.filled_list("one or more conditions", out);
        if list.len() > MAX_ALTERNATIVES {
            let text = format!("`{}` has {} alternatives, at most {MAX_ALTERNATIVES} are allowed", shortened(field.key), list.len());
            out.error(field.mark(), text);
            return Vec::new();
        }
        list.iter().filter_map(|item| self.when(item, out)).collect()
    }

    /// A condition. `None` when it is no map at all; whatever else is wrong has been reported and left out.
    pub(super) fn when(&self, field: &Field<'_>, out: &mut Diagnostics) -> Option<When> {
        let fields = field.fields(WANTED, &KEYS, out)?;
        if fields.is_empty() {
            out.error_hint(
                field.mark(),
                format!("`{}` is empty", shortened(field.key)),
                format!("give one or more of: {}", KEYS.join(", ")),
            );
        }
        for key in self.unsaid.iter().filter(|key| fields.get(key).is_some()) {
            let hint = "name a database under `geodb`: the built-in world table, which is used without, knows continents only";
            out.warning_hint(fields.key_mark(key), format!("no client is known by its `{key}` here"), hint);
        }
        Some(When {
            networks: values(&fields, "network", out, network),
            asns: values(&fields, "asn", out, asn),
            countries: values(&fields, "country", out, known_country),
            continents: values(&fields, "continent", out, continent),
            subdivisions: values(&fields, "subdivision", out, subdivision),
            areas: values(&fields, "area", out, |item, out| self.named(item, out)),
            not: fields.get("not").map(|field| self.alternatives(&field, out)).unwrap_or_default(),
        })
    }

    fn named(&self, item: &Field<'_>, out: &mut Diagnostics) -> Option<Area> {
        let name = item.text("the name of an area", out)?;
        let area = self.by_name.get(name).cloned();
        if area.is_none() {
            let hint = match self.names.is_empty() {
                true => "areas are defined under `areas:` of the server file, each above those that name it".to_owned(),
                false => reference_hint(name, self.names.iter().map(String::as_str), "areas"),
            };
            out.error_hint(item.mark(), format!("unknown area `{}`", shortened(name)), hint);
        }
        area
    }
}

fn network(field: &Field<'_>, out: &mut Diagnostics) -> Option<Prefix> {
    let prefix = prefix(field, out)?;
    warn_if_embedded(&prefix, &field.node.mark, out);
    Some(prefix)
}

/// A country that exists: what no geo data says, no client is ever in.
fn known_country(field: &Field<'_>, out: &mut Diagnostics) -> Option<Code> {
    let code = country(field, out)?;
    if builtin::country(code).is_none() {
        let hint = match field.scalar().map(str::to_ascii_uppercase).as_deref() {
            Some("UK") => "the United Kingdom is `GB`",
            Some("EL") => "Greece is `GR`",
            Some("EU") => "the continent is `continent: EU`",
            _ => "countries have the two letters of ISO 3166-1, such as `DE` or `US`",
        };
        out.warning_hint(field.mark(), format!("`{code}` is no country, so that no client is ever in it"), hint);
    }
    Some(code)
}

/// One value or a list of them; an empty list is an error, as it would match everybody.
fn values<T>(fields: &Fields<'_>, key: &str, out: &mut Diagnostics, read: impl Fn(&Field<'_>, &mut Diagnostics) -> Option<T>) -> Vec<T> {
    let list = fields.get(key).map(|field| field.filled_list("one or more values", out)).unwrap_or_default();
    if list.len() > MAX_VALUES {
        out.error(fields.key_mark(key), format!("`{key}` has {} values, at most {MAX_VALUES} are allowed", list.len()));
        return Vec::new();
    }
    list.iter().filter_map(|item| read(item, out)).collect()
}
