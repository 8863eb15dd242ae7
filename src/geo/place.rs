//! Places: what the geo data and the overrides say of a network, checked and in one spelling.
//! A place never guesses: what no source says is absent, and absent is never (0, 0).

use std::fmt;
use std::hash::{Hash, Hasher};

use super::prefix::Prefix;

/// Index of a region in the order of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(pub u16);

/// Index of a place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(pub u32);

/// A point on the globe, in degrees: latitude -90 to 90, longitude -180 to 180; valid by construction, never NaN.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    latitude: f64,
    longitude: f64,
}

impl Point {
    /// A point; errors: NaN, infinite, or out of range (G2).
    pub fn new(latitude: f64, longitude: f64) -> Result<Point, PointError> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(PointError::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(PointError::Longitude(longitude));
        }
        // Adding 0.0 turns -0.0 into 0.0, so that equal points have equal bits.
        Ok(Point { latitude: latitude + 0.0, longitude: longitude + 0.0 })
    }

    /// Degrees north.
    pub fn latitude(&self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    pub fn longitude(&self) -> f64 {
        self.longitude
    }

    fn key(&self) -> (u64, u64) {
        (self.latitude.to_bits(), self.longitude.to_bits())
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Point) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Point {}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.latitude, self.longitude)
    }
}

/// Why two numbers are no point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointError {
    /// The latitude is NaN or not within 90 degrees.
    Latitude(f64),
    /// The longitude is NaN or not within 180 degrees.
    Longitude(f64),
}

impl fmt::Display for PointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PointError::Latitude(value) => write!(f, "latitude `{value}` must be a number from -90 to 90"),
            PointError::Longitude(value) => write!(f, "longitude `{value}` must be a number from -180 to 180"),
        }
    }
}

impl std::error::Error for PointError {}

/// Two capital letters: a country (ISO 3166-1 alpha-2) or a continent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code([u8; 2]);

/// The continents that geo databases know: Africa, Antarctica, Asia, Europe, North America, Oceania, South America.
pub const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

impl Code {
    /// Two ASCII letters in any case; `None` for everything else.
    pub fn parse(text: &str) -> Option<Code> {
        match text.as_bytes() {
            &[a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => Some(Code([a.to_ascii_uppercase(), b.to_ascii_uppercase()])),
            _ => None,
        }
    }

    /// One of [`CONTINENTS`] in any case.
    pub fn continent(text: &str) -> Option<Code> {
        Code::parse(text).filter(|code| CONTINENTS.contains(&code.as_str()))
    }

    /// The two letters, as octets.
    pub(crate) fn letters(self) -> [u8; 2] {
        self.0
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Letters by construction, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one source or one override says of a network; every field may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Fields {
    /// Coordinates, both or none.
    pub point: Option<Point>,
    /// Continent, one of [`CONTINENTS`].
    pub continent: Option<Code>,
    /// Country, ISO 3166-1 alpha-2. Where the network is used, not where it is registered.
    pub country: Option<Code>,
    /// Subdivision: the part of ISO 3166-2 behind the hyphen, in capitals (`CA`, `IDF`).
    pub subdivision: Option<Box<str>>,
    /// City, in English.
    pub city: Option<Box<str>>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
}

impl Fields {
    /// True if nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Fields::default()
    }

    /// Takes from `other` each field that is still missing; true if any was taken.
    pub fn fill_from(&mut self, other: &Fields) -> bool {
        fill(&mut self.point, &other.point)
            | fill(&mut self.continent, &other.continent)
            | fill(&mut self.country, &other.country)
            | fill(&mut self.subdivision, &other.subdivision)
            | fill(&mut self.city, &other.city)
            | fill(&mut self.asn, &other.asn)
    }
}

fn fill<T: Clone>(mine: &mut Option<T>, theirs: &Option<T>) -> bool {
    let taken = mine.is_none() && theirs.is_some();
    if taken {
        mine.clone_from(theirs);
    }
    taken
}

/// How far a place can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It has coordinates.
    Located,
    /// No coordinates: regions come in the listed order (G1). It may still have a country, a continent or an ASN for rules.
    Unknown,
    /// A reserved or private address of which no override and no geo data speaks: the peer takes the client's place (E6).
    UsePeer,
}

/// Who said where a place is: the source of its point or, without one, of its first field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceId {
    /// An entry of `networks:`.
    Override,
    /// The geo file of this index, in the order of `geodb:`.
    File(u16),
    /// The built-in world table.
    BuiltIn,
    /// A v6 block that holds IPv4 addresses, asked with a prefix too short to see them (S8).
    Embedded,
    /// Nobody.
    None,
}

/// One place: the fields of all sources laid over each other, as its table tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place<'t> {
    /// Coordinates; where no source has them, the country's point from the built-in table (G5).
    pub point: Option<Point>,
    /// Continent; where no source has it, that of the country.
    pub continent: Option<Code>,
    /// Country, ISO 3166-1 alpha-2.
    pub country: Option<Code>,
    /// Subdivision, the part of ISO 3166-2 behind the hyphen.
    pub subdivision: Option<&'t str>,
    /// City, in English.
    pub city: Option<&'t str>,
    /// Autonomous system; kept only where a rule or a table names it.
    pub asn: Option<u32>,
    /// The region that an override ranks first.
    pub pin: Option<RegionId>,
    /// The longest prefix named by rules or tables that contains the network.
    pub named: Option<Prefix>,
    /// Who said so.
    pub source: SourceId,
    /// How far it can be used.
    pub kind: Kind,
}

impl Default for Place<'_> {
    /// Of this place nobody says anything.
    fn default() -> Self {
        Place {
            point: None,
            continent: None,
            country: None,
            subdivision: None,
            city: None,
            asn: None,
            pin: None,
            named: None,
            source: SourceId::None,
            kind: Kind::Unknown,
        }
    }
}

impl fmt::Display for Place<'_> {
    /// One line for people: `Paris, FR-IDF, EU (48.8534, 2.3488)`, `unknown`, `reserved (the peer counts)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::UsePeer {
            return f.write_str("reserved (the peer counts)");
        }
        let country = match (self.country, self.subdivision) {
            (Some(country), Some(subdivision)) => Some(format!("{country}-{subdivision}")),
            (Some(country), None) => Some(country.to_string()),
            (None, subdivision) => subdivision.map(str::to_owned),
        };
        let city = self.city.map(str::to_owned);
        let asn = self.asn.map(|asn| format!("AS{asn}"));
        let parts: Vec<String> = [city, country, self.continent.map(|c| c.to_string()), asn].into_iter().flatten().collect();
        let text = parts.join(", ");
        match (self.point, text.is_empty()) {
            (Some(point), true) => write!(f, "{point}"),
            (Some(point), false) => write!(f, "{text} {point}"),
            (None, true) => f.write_str("unknown"),
            (None, false) => write!(f, "{text} (no coordinates)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(fields: &Fields, kind: Kind) -> Place<'_> {
        let Fields { point, continent, country, subdivision, city, asn } = fields;
        let (subdivision, city) = (subdivision.as_deref(), city.as_deref());
        Place { point: *point, continent: *continent, country: *country, subdivision, city, asn: *asn, kind, ..Place::default() }
    }

    #[test]
    fn g2_nan_and_out_of_range_are_no_points() {
        for (latitude, longitude) in [(f64::NAN, 0.0), (0.0, f64::NAN), (90.001, 0.0), (-91.0, 0.0), (0.0, 180.5), (0.0, f64::INFINITY)] {
            assert!(Point::new(latitude, longitude).is_err(), "{latitude} {longitude}");
        }
        assert!(Point::new(90.0, -180.0).is_ok());
        assert_eq!(Point::new(-0.0, 0.0).unwrap(), Point::new(0.0, -0.0).unwrap());
    }

    #[test]
    fn codes_are_two_letters_in_capitals() {
        assert_eq!(Code::parse("fr").unwrap().as_str(), "FR");
        assert!(["", "F", "FRA", "F1", "é"].iter().all(|text| Code::parse(text).is_none()));
        assert!(Code::continent("eu").is_some() && Code::continent("XX").is_none());
    }

    #[test]
    fn fields_come_from_the_first_that_has_them() {
        let mut fields = Fields { country: Code::parse("FR"), ..Fields::default() };
        assert!(fields.fill_from(&Fields { country: Code::parse("DE"), asn: Some(7), ..Fields::default() }));
        assert_eq!((fields.country, fields.asn), (Code::parse("FR"), Some(7)));
        assert!(!fields.fill_from(&Fields { asn: Some(8), ..Fields::default() }));
    }

    #[test]
    fn a_place_reads_as_one_line() {
        let paris = Fields {
            point: Point::new(48.8534, 2.3488).ok(),
            continent: Code::parse("EU"),
            country: Code::parse("FR"),
            city: Some("Paris".into()),
            ..Fields::default()
        };
        assert_eq!(place(&paris, Kind::Located).to_string(), "Paris, FR, EU (48.8534, 2.3488)");
        let subdivision = Fields { subdivision: Some("IDF".into()), asn: Some(64500), ..paris };
        assert_eq!(place(&subdivision, Kind::Located).to_string(), "Paris, FR-IDF, EU, AS64500 (48.8534, 2.3488)");
        assert_eq!(place(&Fields::default(), Kind::Unknown).to_string(), "unknown");
        assert_eq!(place(&Fields::default(), Kind::UsePeer).to_string(), "reserved (the peer counts)");
        assert_eq!(place(&Fields { continent: Code::parse("EU"), ..Fields::default() }, Kind::Unknown).to_string(), "EU (no coordinates)");
    }
}
