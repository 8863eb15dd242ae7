//! Distance on the globe: the one function that the compiler of plans, `explain` and all tools share.
//! It never knows regions or weights; it takes two points and gives whole metres, so that ties are ties on every machine.

use super::place::Point;

/// Mean radius of the Earth in metres (6371.0 km), the same as in the usual haversine tables.
pub const EARTH_RADIUS_M: f64 = 6_371_000.0;

/// Great-circle distance in whole metres by the haversine formula; at most 20,015,087 (half the circumference).
///
/// Rounding to whole metres makes two regions at the same coordinates, or mirrored ones, exactly equal (G3).
pub fn distance_m(a: Point, b: Point) -> u32 {
    let (from, to) = (a.latitude().to_radians(), b.latitude().to_radians());
    let half_north = ((b.latitude() - a.latitude()).to_radians() / 2.0).sin();
    let half_east = ((b.longitude() - a.longitude()).to_radians() / 2.0).sin();
    let chord = half_north * half_north + from.cos() * to.cos() * half_east * half_east;
    // Rounding can carry antipodes a hair over 1, where asin is NaN.
    let angle = 2.0 * chord.min(1.0).sqrt().asin();
    (EARTH_RADIUS_M * angle).round() as u32
}

/// Points on the unit sphere, for estimates: each coordinate by itself, so that the compiler takes several points in one step.
#[derive(Debug, Clone, Default)]
pub struct Vectors {
    x: Vec<f64>,
    y: Vec<f64>,
    z: Vec<f64>,
}

/// [`Vectors::estimates_m`] are never further from [`distance_m`] than this: a quarter of a metre of their own, half of one for rounding, and
/// what both lose near antipodes, twice over.
pub const ESTIMATE_ERROR_M: f64 = 2.0;

impl Vectors {
    /// Those of some points.
    pub fn of(points: impl IntoIterator<Item = Point>) -> Vectors {
        let mut vectors = Vectors::default();
        for [x, y, z] in points.into_iter().map(vector) {
            vectors.x.push(x);
            vectors.y.push(y);
            vectors.z.push(z);
        }
        vectors
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// The square of the straight line from a point to each of these, in radii of the Earth: whoever is nearer has the smaller one.
    pub fn squared_chords(&self, from: Point) -> impl Iterator<Item = f64> {
        let [from_x, from_y, from_z] = vector(from);
        self.x.iter().zip(&self.y).zip(&self.z).map(move |((x, y), z)| {
            let (x, y, z) = (x - from_x, y - from_y, z - from_z);
            x * x + y * y + z * z
        })
    }

    /// Metres from a point to each of these, within [`ESTIMATE_ERROR_M`] of [`distance_m`] and more than an order of magnitude cheaper: good
    /// for passing over what is far, never for a ranking.
    pub fn estimates_m(&self, from: Point) -> impl Iterator<Item = f64> {
        self.squared_chords(from).map(|square| {
            let half_chord = 0.5 * square.sqrt();
            // Never NaN; `min` of the library would look for it.
            2.0 * EARTH_RADIUS_M * arcsine(if half_chord < 1.0 { half_chord } else { 1.0 })
        })
    }
}

/// The metres of a squared chord, within [`ESTIMATE_ERROR_M`] of [`distance_m`]; those around the world where it is longer than any.
pub fn metres_of(squared_chord: f64) -> f64 {
    2.0 * EARTH_RADIUS_M * (0.5 * squared_chord.sqrt()).min(1.0).asin()
}

/// The squared chord of so many metres; the longest where there is none so long.
pub fn squared_chord_of(metres: f64) -> f64 {
    let half_angle = (metres / (2.0 * EARTH_RADIUS_M)).min(std::f64::consts::FRAC_PI_2);
    if half_angle < std::f64::consts::FRAC_PI_2 { (2.0 * half_angle.sin()).powi(2) } else { f64::INFINITY }
}

/// The unit vector to a point.
fn vector(point: Point) -> [f64; 3] {
    let (north_sin, north_cos) = point.latitude().to_radians().sin_cos();
    let (east_sin, east_cos) = point.longitude().to_radians().sin_cos();
    [north_cos * east_cos, north_cos * east_sin, north_sin]
}

/// asin(x) for x from 0 to 1, within 2e-8 (Abramowitz and Stegun, 4.4.46).
#[inline]
fn arcsine(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        -0.001_262_491_1,
        0.006_670_090_1,
        -0.017_088_125_6,
        0.030_891_881_0,
        -0.050_174_304_6,
        0.088_978_987_4,
        -0.214_598_801_6,
        1.570_796_305_0,
    ];
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| sum * x + coefficient);
    std::f64::consts::FRAC_PI_2 - (1.0 - x).sqrt() * polynomial
}

#[cfg(test)]
mod tests {
    use super::*;
    use geo::{Distance, HaversineMeasure};
    use proptest::prelude::*;

    /// Names, latitude and longitude of each, kilometres.
    type CityPair = (&'static str, (f64, f64), (f64, f64), f64);

    /// Coordinates, and kilometres computed apart: angle between the two vectors, 50-digit arithmetic, R = 6371.0 km.
    const CITY_PAIRS: [CityPair; 10] = [
        ("Paris - London", (48.8566, 2.3522), (51.5074, -0.1278), 343.55606),
        ("New York - Los Angeles", (40.7128, -74.0060), (34.0522, -118.2437), 3935.7463),
        ("Tokyo - San Francisco", (35.6762, 139.6503), (37.7749, -122.4194), 8274.615),
        ("Sydney - Santiago", (-33.8688, 151.2093), (-33.4489, -70.6693), 11346.715),
        ("Auckland - Honolulu", (-36.8485, 174.7633), (21.3069, -157.8583), 7075.7331),
        ("Frankfurt - Singapore", (50.1109, 8.6821), (1.3521, 103.8198), 10258.035),
        ("Sao Paulo - Johannesburg", (-23.5505, -46.6333), (-26.2041, 28.0473), 7429.2523),
        ("Moscow - Anchorage", (55.7558, 37.6173), (61.2181, -149.9003), 6991.5237),
        ("Suva - Apia", (-18.1248, 178.4501), (-13.8507, -171.7514), 1149.8176),
        ("Madrid - Wellington", (40.4168, -3.7038), (-41.2866, 174.7756), 19854.743),
    ];

    fn point(latitude: f64, longitude: f64) -> Point {
        Point::new(latitude, longitude).unwrap()
    }

    fn oracle_m(a: Point, b: Point) -> f64 {
        let [a, b] = [a, b].map(|p| geo::Point::new(p.longitude(), p.latitude()));
        HaversineMeasure::new(EARTH_RADIUS_M).distance(a, b)
    }

    #[test]
    fn g2_ten_city_pairs_to_a_tenth_of_a_kilometre() {
        for (name, a, b, expected_km) in CITY_PAIRS {
            let km = f64::from(distance_m(point(a.0, a.1), point(b.0, b.1))) / 1000.0;
            assert!((km - expected_km).abs() < 0.1, "{name}: {km} km instead of {expected_km} km");
        }
    }

    #[test]
    fn g2_the_antimeridian_is_no_wall() {
        assert_eq!(distance_m(point(0.0, 179.5), point(0.0, -179.5)), 111_195);
        assert_eq!(distance_m(point(-17.0, 180.0), point(-17.0, -180.0)), 0);
    }

    #[test]
    fn g2_poles_antipodes_and_equal_points() {
        assert_eq!(distance_m(point(90.0, 0.0), point(90.0, 123.0)), 0);
        assert_eq!(distance_m(point(90.0, 0.0), point(-90.0, 77.0)), 20_015_087);
        assert_eq!(distance_m(point(48.85, 2.35), point(-48.85, -177.65)), 20_015_087);
        assert_eq!(distance_m(point(48.85, 2.35), point(48.85, 2.35)), 0);
    }

    fn assert_estimate(a: Point, b: Point) {
        let (exact, estimate) = (f64::from(distance_m(a, b)), Vectors::of([b]).estimates_m(a).sum::<f64>());
        // Half of what is promised, so that there is room for other machines.
        assert!((exact - estimate).abs() <= ESTIMATE_ERROR_M / 2.0, "{a} {b}: {exact} {estimate}");
        let chord = Vectors::of([b]).squared_chords(a).sum::<f64>();
        assert!((exact - metres_of(chord)).abs() <= ESTIMATE_ERROR_M / 2.0, "{a} {b}: {exact} {chord}");
        assert!(chord <= squared_chord_of(exact + ESTIMATE_ERROR_M), "{a} {b}: {exact} {chord}");
        assert!(exact < 2.0 * ESTIMATE_ERROR_M || squared_chord_of(exact - ESTIMATE_ERROR_M) <= chord, "{a} {b}: {exact} {chord}");
    }

    #[test]
    fn an_estimate_is_near_at_every_distance() {
        for step in 0..=180_000 {
            assert_estimate(point(0.0, 0.0), point(0.0, f64::from(step) / 1000.0));
            assert_estimate(point(-90.0, 11.0), point(f64::from(step) / 1000.0 - 90.0, 0.0));
            assert_estimate(point(33.3, 44.4), point(33.3 + f64::from(step) / 1e8, 44.4 - f64::from(step) / 1e7));
            assert_estimate(point(33.3, 44.4), point(-33.3 + f64::from(step) / 1e8, 44.4 - 180.0 + f64::from(step) / 1e7));
        }
    }

    proptest! {
        #[test]
        fn an_estimate_is_near_everywhere(a in (-90.0..=90.0, -180.0..=180.0), b in (-90.0..=90.0, -180.0..=180.0)) {
            assert_estimate(point(a.0, a.1), point(b.0, b.1));
        }

        #[test]
        fn agrees_with_the_geo_crate(a in (-90.0..=90.0, -180.0..=180.0), b in (-90.0..=90.0, -180.0..=180.0)) {
            let (a, b) = (point(a.0, a.1), point(b.0, b.1));
            let oracle = oracle_m(a, b);
            // Near antipodes the formula itself loses digits (and the oracle may be NaN): half a metre of rounding otherwise.
            prop_assume!(oracle < 20_015_000.0);
            prop_assert!((f64::from(distance_m(a, b)) - oracle).abs() <= 0.501);
        }

        #[test]
        fn is_the_same_both_ways(a in (-90.0..=90.0, -180.0..=180.0), b in (-90.0..=90.0, -180.0..=180.0)) {
            let (a, b) = (point(a.0, a.1), point(b.0, b.1));
            prop_assert_eq!(distance_m(a, b), distance_m(b, a));
        }
    }
}
