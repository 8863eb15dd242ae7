//! Numbers as operators write them, in configuration, master files, geo files and commands alike: digits, times with units, AS numbers.
//! This room knows no file format and no limits: what reads a number says what is too much.

use std::str::FromStr;

/// Units of time in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000), ("w", 7 * 24 * 3_600_000)];

/// Decimal digits only: no sign, no blank, no underscore.
pub fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Seconds, as master files have them (RFC 1035 5.1, and BIND): `300`, or whole numbers with units as in `1h30m`, in any letter case.
///
/// `None` if the text is not that, or over 32 bits.
pub fn seconds(text: &str) -> Option<u32> {
    if let Some(number) = digits(text) {
        return Some(number);
    }
    let ms = duration_ms(text).filter(|ms| ms % 1_000 == 0)?;
    u32::try_from(ms / 1_000).ok()
}

/// A time in milliseconds: whole numbers, each with its unit, as in `500ms`, `5s` or `1h30m`, in any letter case.
///
/// A number without a unit could be seconds as well as milliseconds, so that it is `None`.
pub fn duration_ms(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        total = total.checked_add(digits::<u64>(number)?.checked_mul(*unit_ms)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// The number of an autonomous system, with or without `AS` in front (RFC 5396 2: asplain).
pub fn asn(text: &str) -> Option<u32> {
    let prefix = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("AS"));
    digits(&text[prefix.map_or(0, str::len)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_decimals() {
        assert_eq!(
            ["0", "007", "12", "-1", "+1", "1e3", "0x10", "1_000", "", "256"].map(digits::<u8>),
            [Some(0), Some(7), Some(12), None, None, None, None, None, None, None]
        );
    }

    #[test]
    fn seconds_take_units_as_bind_does() {
        let cases = [
            ("0", 0),
            ("300", 300),
            ("30s", 30),
            ("1H", 3_600),
            ("1h30m", 5_400),
            ("1W2d", 777_600),
            ("1s1S", 2),
            ("4294967295", u32::MAX),
        ];
        cases.iter().for_each(|(text, expected)| assert_eq!(seconds(text), Some(*expected), "{text}"));
        let bad = [
            "",
            "s",
            "h",
            "1h30",
            "-1",
            "1.5h",
            "5 m",
            "4294967296",
            "7102w",
            "1y",
            "500ms",
            "99999999999999999999",
            "99999999999999999999w",
        ];
        bad.iter().for_each(|text| assert_eq!(seconds(text), None, "{text}"));
        assert_eq!(seconds("1000ms"), Some(1));
    }

    #[test]
    fn durations_are_whole_numbers_with_units() {
        for (text, ms) in [("500ms", 500), ("5s", 5_000), ("1m", 60_000), ("1h30m", 5_400_000), ("1m500MS", 60_500), ("2d", 172_800_000)] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in ["", "5", "s", "5 s", "1.5s", "-1s", "1h30", "5é", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn systems_have_a_number_with_or_without_letters() {
        assert_eq!(
            ["AS13335", "13335", "as1", "As2", "AS", "-1", "4294967296", "é1"].map(asn),
            [Some(13_335), Some(13_335), Some(1), Some(2), None, None, None, None]
        );
    }
}
