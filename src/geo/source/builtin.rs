//! The geo data that the binary carries: a world table as coarse as the registries, and one point per country.
//! It knows nothing of single networks; a client that it places may be a continent away from where it stands.

use std::path::Path;
use std::sync::LazyLock;

use super::{Rows, csv};
use crate::diag::Diagnostics;
use crate::geo::place::{Code, Point};
use crate::geo::special::RESERVED;

/// One row per registry block: a point for the service region of its registry. Sources and licence are in its first lines.
const WORLD_CSV: &str = include_str!("../../../geodb/world.csv");

/// One row per country: code, name, continent, point.
const COUNTRIES_CSV: &str = include_str!("../../../geodb/countries.csv");

/// How diagnostics and `geo lookup` name the world table.
pub const WORLD_NAME: &str = "built-in world table";

/// What the built-in table knows of a country.
#[derive(Debug, Clone, PartialEq)]
pub struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: Code,
    /// English short name.
    pub name: &'static str,
    /// Continent.
    pub continent: Code,
    /// Its principal city, or for large countries the centre of its population.
    pub point: Point,
}

/// The world table as rows; reserved blocks inside the registries' blocks are left out, so that they stay reserved (E6).
/// An error would be a fault in the binary itself.
pub fn world() -> Result<Rows, Diagnostics> {
    let mut rows = csv::read(Path::new(WORLD_NAME), WORLD_CSV.as_bytes())?;
    rows.punch_holes(RESERVED.iter().map(|row| row.prefix));
    rows.built_in = true;
    Ok(rows)
}

/// The country of a code; none for codes that are not in the table.
pub fn country(code: Code) -> Option<&'static Country> {
    let countries = countries();
    countries.binary_search_by_key(&code, |country| country.code).ok().map(|index| &countries[index])
}

/// All countries, by code.
pub fn countries() -> &'static [Country] {
    static COUNTRIES: LazyLock<Vec<Country>> = LazyLock::new(|| {
        let mut countries: Vec<Country> = csv::content_lines(COUNTRIES_CSV).filter_map(|(_, line)| parse_country(line)).collect();
        countries.sort_by_key(|country| country.code);
        countries
    });
    &COUNTRIES
}

/// A row `code,name,continent,latitude,longitude`; the header is none. A test reads every line.
fn parse_country(line: &'static str) -> Option<Country> {
    let cells: Vec<&'static str> = line.split(',').collect();
    let [code, name, continent, latitude, longitude] = cells[..] else { return None };
    let point = Point::new(latitude.parse().ok()?, longitude.parse().ok()?).ok()?;
    Some(Country { code: Code::parse(code)?, name, continent: Code::continent(continent)?, point })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::prefix::Family;

    #[test]
    fn the_world_table_is_sound_and_has_both_families() {
        let rows = world().unwrap();
        assert!(rows.count(Family::V4) > 220 && rows.count(Family::V6) > 30);
        assert!(rows.warnings().is_empty());
        assert!(rows.records.iter().all(|record| record.is_empty() || (record.point.is_some() && record.continent.is_some())));
    }

    #[test]
    fn every_line_of_the_country_table_is_a_country_and_none_is_there_twice() {
        let lines = csv::content_lines(COUNTRIES_CSV).count();
        assert_eq!(countries().len(), lines - 1);
        assert!(countries().windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn country_points_are_where_people_live() {
        let point = |code: &str| country(Code::parse(code).unwrap()).unwrap().point;
        let near = |code: &str, latitude: f64, longitude: f64| {
            crate::geo::distance_m(point(code), Point::new(latitude, longitude).unwrap()) < 700_000
        };
        assert!(near("US", 38.0, -92.0) && near("CA", 45.0, -80.0) && near("RU", 55.0, 47.0) && near("CN", 32.5, 113.0));
        assert!(country(Code::parse("ZZ").unwrap()).is_none());
    }
}
