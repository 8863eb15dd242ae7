//! Geography: where a client's network is, as one table of places over all addresses, and how far two points are apart.
//! This room never chooses a region, never reads the configuration and never asks the time; it is told prefixes and gives places.
//!
//! Reading order: [`prefix`], [`place`], [`distance`], [`special`] (addresses with a meaning of their own), [`source`] (files to rows),
//! [`mod@build`] (rows to a table), [`table`] (the look-up).

mod access;
pub mod build;
pub mod distance;
pub(crate) mod intern;
mod loom;
#[cfg(test)]
mod oracle;
pub mod place;
mod places;
pub mod prefix;
mod ranges;
pub mod source;
pub mod special;
mod sweep;
pub mod table;

pub use access::{Access, Admission};
pub use build::{BuildError, Inputs, Override, build, conflicting_overrides};
pub use distance::distance_m;
pub use place::{Code, Fields, Kind, Place, PlaceId, Point, RegionId, SourceId};
pub use prefix::{Family, Prefix, PrefixError};
pub use source::{GeoFile, Rows, read_file};
pub use table::{Leaf, PlaceTable, RangeId};
