//! How much of the address space a range is: what `stats` and `coverage` count, and in which words they say so.
//! Numbers are for people; sums are in floating point.

use crate::geo::{Family, Kind, PlaceId, PlaceTable, Prefix, SourceId};

/// What is counted.
pub(super) const COUNTED: &str =
    "addresses of IPv4, and of IPv6 networks of /48 inside 2000::/3; without reserved and private blocks that nothing speaks of";

/// IPv6 is counted in networks of this length: one site each.
const SITE_LENGTH: i32 = 48;

/// Global unicast, as assigned so far (RFC 4291 section 2.4).
const UNICAST: &str = "2000::/3";

/// Counts of IPv4 and of IPv6.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) v4: f64,
    pub(super) v6: f64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.v4 += other.v4;
        self.v6 += other.v6;
    }

    /// So much of it.
    pub(super) fn times(self, factor: f64) -> Counts {
        Counts { v4: self.v4 * factor, v6: self.v6 * factor }
    }

    /// Each as percent of a whole.
    pub(super) fn percent_of(self, whole: Counts) -> Counts {
        let percent = |part: f64, whole: f64| if whole > 0.0 { part * 100.0 / whole } else { 0.0 };
        Counts { v4: percent(self.v4, whole.v4), v6: percent(self.v6, whole.v6) }
    }
}

/// The size of every range that counts, with its place.
pub(super) fn sizes(table: &PlaceTable) -> impl Iterator<Item = (PlaceId, Counts)> + '_ {
    let unicast: Option<Prefix> = UNICAST.parse().ok();
    let size = move |prefix: &Prefix| match (prefix.family(), unicast) {
        (Family::V4, _) => Counts { v4: two_to(32 - i32::from(prefix.length())), v6: 0.0 },
        (Family::V6, Some(unicast)) if unicast.covers(prefix) => Counts { v4: 0.0, v6: two_to(SITE_LENGTH - i32::from(prefix.length())) },
        (Family::V6, Some(unicast)) if prefix.covers(&unicast) => Counts { v4: 0.0, v6: two_to(SITE_LENGTH - i32::from(unicast.length())) },
        _ => Counts::default(),
    };
    let ranges = [Family::V4, Family::V6].into_iter().flat_map(|family| table.ranges(family));
    let counts = |place: PlaceId| table.kind(place) != Kind::UsePeer && table.place(place).source != SourceId::Embedded;
    ranges.filter(move |(_, _, place)| counts(*place)).map(move |(_, prefix, place)| (place, size(&prefix)))
}

fn two_to(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Inputs, build};

    #[test]
    fn all_that_is_not_reserved_is_counted_once() {
        let table = build(Inputs::default()).unwrap_or_else(|error| panic!("{error}"));
        let mut all = Counts::default();
        sizes(&table).for_each(|(_, size)| all.add(size));
        // 0/8, 10/8, 127/8 and 224/3 are reserved as a whole; of IPv6 3ffe::/16, 2001::/23, 2001:db8::/32 and 3fff::/20, and 2002::/16 holds IPv4.
        assert!((all.v4 / two_to(24) - (256.0 - 3.0 - 32.0)).abs() < 0.5, "{all:?}");
        let sites = 8192.0 - 2.0 - 1.0 / 128.0 - 1.0 / 65536.0 - 1.0 / 16.0;
        assert!((all.v6 / two_to(32) - sites).abs() < 1e-9, "{all:?}");
    }
}
