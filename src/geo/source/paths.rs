//! Where a database has its fields, for vendors with paths of their own: `location.lat`, `places.0.code`.
//! It reads no database; a field without a path of its own is looked for at the usual ones.

use std::path::PathBuf;

/// The fields of a place that a path may lead to, in the order of [`Paths`].
pub const FIELDS: [&str; 7] = ["latitude", "longitude", "country", "continent", "subdivision", "city", "asn"];

/// Longest path in steps: databases are nested four deep.
const MAX_STEPS: usize = 16;

/// A geo file, and where its fields are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoFile {
    /// The file.
    pub path: PathBuf,
    /// Paths that were named; for `.mmdb` only.
    pub paths: Paths,
}

impl From<PathBuf> for GeoFile {
    /// With the usual paths.
    fn from(path: PathBuf) -> GeoFile {
        GeoFile { path, paths: Paths::default() }
    }
}

/// For each of [`FIELDS`] a path, or none for the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths([Option<Way>; FIELDS.len()]);

/// The steps from a record to a value.
pub(crate) type Way = Box<[Step]>;

/// One step into a map or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(Box<str>),
    Index(usize),
}

impl Paths {
    /// Names the path of one of [`FIELDS`]: keys and places in lists (from 0) with dots between. `None` where it is no path.
    pub fn set(&mut self, field: usize, text: &str) -> Option<()> {
        let steps: Way = text.split('.').map(Step::parse).collect::<Option<_>>()?;
        let slot = self.0.get_mut(field)?;
        (steps.len() <= MAX_STEPS).then(|| *slot = Some(steps))
    }

    /// Whether no path was named.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The path of one of [`FIELDS`], where it was named.
    pub(crate) fn get(&self, field: usize) -> Option<&Way> {
        self.0.get(field)?.as_ref()
    }
}

impl Step {
    fn parse(text: &str) -> Option<Step> {
        match text.parse() {
            Ok(index) if text.bytes().all(|b| b.is_ascii_digit()) => Some(Step::Index(index)),
            _ if text.is_empty() || text.chars().any(char::is_control) => None,
            _ => Some(Step::Key(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_keys_and_places_with_dots_between() {
        let mut paths = Paths::default();
        assert!(paths.is_empty() && paths.set(2, "places.0.iso code").is_some());
        let steps = [Step::Key("places".into()), Step::Index(0), Step::Key("iso code".into())];
        assert_eq!((paths.get(2).map(|way| &**way), paths.get(1)), (Some(&steps[..]), None));
        for text in ["", ".", "a.", ".a", "a..b", "a\tb"] {
            assert!(paths.set(0, text).is_none(), "{text:?}");
        }
        assert!(paths.set(0, &"a.".repeat(MAX_STEPS)).is_none() && paths.set(FIELDS.len(), "a").is_none());
    }
}
