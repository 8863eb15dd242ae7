//! LOC (RFC 1876): degrees, metres and their text.
//! A location never steers anything; it is only a record that operators publish.

use std::fmt::Write;

use crate::number;

/// The equator and the prime meridian: 2^31 thousandths of a second of arc.
const ZERO: u32 = 1 << 31;

/// Altitude is counted from 100 km below the reference spheroid, in centimetres.
const BELOW_CM: i64 = 10_000_000;

/// Thousandths of a second of arc in a degree.
const DEGREE: u32 = 3_600_000;

/// Size, horizontal and vertical precision when none are given: 1 m, 10 km, 10 m (RFC 1876 3).
const DEFAULT_PRECISIONS_CM: [u64; 3] = [100, 1_000_000, 1_000];

/// Largest precision: 9e9 centimetres.
const MAX_PRECISION_CM: u64 = 9_000_000_000;

/// Reads the fields of a location: the octets and the number of fields taken, or the index of the field at fault and what is wrong.
pub(super) fn read(fields: &[&str]) -> Result<([u8; 16], usize), (usize, String)> {
    let mut at = 0;
    let latitude = angle(fields, &mut at, 90, ["N", "S"])?;
    let longitude = angle(fields, &mut at, 180, ["E", "W"])?;
    let Some(altitude) = fields.get(at) else { return Err((at, "the altitude is missing".into())) };
    let altitude = centimetres(altitude).and_then(|cm| u32::try_from(cm.checked_add(BELOW_CM)?).ok());
    let altitude = altitude.ok_or_else(|| (at, format!("`{}` is not an altitude (-100000.00m to 42849672.95m)", fields[at])))?;
    at += 1;
    let mut precisions = DEFAULT_PRECISIONS_CM.map(precision);
    for octet in &mut precisions {
        let Some(field) = fields.get(at) else { break };
        let cm = centimetres(field).and_then(|cm| u64::try_from(cm).ok()).filter(|cm| *cm <= MAX_PRECISION_CM);
        *octet = precision(cm.ok_or_else(|| (at, format!("`{field}` is not a size or precision (0m to 90000000.00m)")))?);
        at += 1;
    }
    let mut octets = [0; 16];
    octets[1..4].copy_from_slice(&precisions);
    octets[4..8].copy_from_slice(&latitude.to_be_bytes());
    octets[8..12].copy_from_slice(&longitude.to_be_bytes());
    octets[12..].copy_from_slice(&altitude.to_be_bytes());
    Ok((octets, at))
}

/// The text of a location; `None` if it is of another version or out of range.
pub(super) fn write(octets: &[u8; 16]) -> Option<String> {
    let [version, precisions @ ..] = octets.first_chunk::<4>()?;
    let word = |at: usize| octets[at..].first_chunk::<4>().map(|word| u32::from_be_bytes(*word));
    if *version != 0 {
        return None;
    }
    let mut text = String::new();
    write_angle(word(4)?, 90, ["N", "S"], &mut text)?;
    write_angle(word(8)?, 180, ["E", "W"], &mut text)?;
    write_metres(i64::from(word(12)?) - BELOW_CM, &mut text);
    for precision in precisions {
        let (mantissa, exponent) = (precision >> 4, precision & 0x0f);
        if mantissa > 9 || exponent > 9 {
            return None;
        }
        text.push(' ');
        write_metres(i64::from(mantissa) * 10_i64.pow(exponent.into()), &mut text);
    }
    Some(text)
}

/// Whether the text gives these octets again: of several ways to write a precision of 0, it gives one.
pub(super) fn is_canonical(octets: &[u8]) -> bool {
    octets.get(1..4).is_some_and(|precisions| precisions.iter().all(|precision| *precision == 0 || precision >> 4 != 0))
}

/// Degrees, then minutes and seconds if given, then the hemisphere, in thousandths of a second from 2^31.
fn angle(fields: &[&str], at: &mut usize, most: u32, signs: [&str; 2]) -> Result<u32, (usize, String)> {
    let missing = || format!("there is no `{}` or `{}`", signs[0], signs[1]);
    let mut total = 0;
    for (unit, limit) in [(DEGREE, most), (60_000, 59), (1_000, 59)] {
        let Some(field) = fields.get(*at) else { return Err((*at, missing())) };
        if total_is_signed(field, signs).is_some() && unit != DEGREE {
            break;
        }
        let value = if unit == 1_000 { thousandths(field) } else { number::digits::<u32>(field).and_then(|n| n.checked_mul(unit)) };
        let value = value.filter(|value| *value < (limit + 1) * unit).ok_or_else(|| (*at, format!("`{field}` is out of place")))?;
        total += value;
        *at += 1;
    }
    let sign = fields.get(*at).and_then(|field| total_is_signed(field, signs));
    match sign {
        Some(_) if total > most * DEGREE => Err((*at - 1, format!("more than {most} degrees"))),
        Some(positive) => {
            *at += 1;
            Ok(if positive { ZERO + total } else { ZERO - total })
        }
        None => Err((*at, missing())),
    }
}

fn total_is_signed(field: &str, [positive, negative]: [&str; 2]) -> Option<bool> {
    if field.eq_ignore_ascii_case(positive) {
        return Some(true);
    }
    field.eq_ignore_ascii_case(negative).then_some(false)
}

fn write_angle(value: u32, most: u32, signs: [&str; 2], out: &mut String) -> Option<()> {
    let (total, sign) = if value >= ZERO { (value - ZERO, signs[0]) } else { (ZERO - value, signs[1]) };
    if total > most * DEGREE {
        return None;
    }
    let (degrees, minutes, rest) = (total / DEGREE, total / 60_000 % 60, total % 60_000);
    write!(out, "{degrees} {minutes} {}.{:03} {sign} ", rest / 1_000, rest % 1_000).ok()
}

fn write_metres(cm: i64, out: &mut String) {
    let sign = if cm < 0 { "-" } else { "" };
    let cm = cm.unsigned_abs();
    _ = write!(out, "{sign}{}.{:02}m", cm / 100, cm % 100);
}

/// Seconds with at most three decimals.
fn thousandths(text: &str) -> Option<u32> {
    u32::try_from(decimal(text, 3)?).ok()
}

/// Metres with at most two decimals, `m` behind them or not.
fn centimetres(text: &str) -> Option<i64> {
    let text = text.strip_suffix(['m', 'M']).unwrap_or(text);
    match text.strip_prefix('-') {
        Some(text) => i64::try_from(decimal(text, 2)?).ok()?.checked_neg(),
        None => i64::try_from(decimal(text, 2)?).ok(),
    }
}

/// Digits, and at most so many decimals, as a whole number of the last decimal's unit.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.len() > places || whole.is_empty() {
        return None;
    }
    let unit = 10_u64.pow(places as u32);
    let fraction = number::digits::<u64>(fraction)? * 10_u64.pow((places - fraction.len()) as u32);
    number::digits::<u64>(whole)?.checked_mul(unit)?.checked_add(fraction)
}

/// The first digit and the power of ten (RFC 1876 2); what stands behind the first digit cannot be expressed.
fn precision(cm: u64) -> u8 {
    let exponent = cm.checked_ilog10().unwrap_or(0);
    ((cm / 10_u64.pow(exponent)) as u8) << 4 | exponent as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(text: &str) -> String {
        let fields: Vec<&str> = text.split(' ').collect();
        match read(&fields) {
            Ok((octets, taken)) if taken == fields.len() => write(&octets).unwrap(),
            Ok((_, taken)) => format!("{taken} taken"),
            Err((at, text)) => format!("{at}: {text}"),
        }
    }

    #[test]
    fn the_samples_of_rfc_1876_are_read() {
        assert_eq!(both("42 21 54 N 71 06 18 W -24m 30m"), "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m");
        assert_eq!(both("42 21 43.952 N 71 5 6.344 W -24m 1m 200m"), "42 21 43.952 N 71 5 6.344 W -24.00m 1.00m 200.00m 10.00m");
        assert_eq!(both("52 14 05 N 00 08 50 E 10m"), "52 14 5.000 N 0 8 50.000 E 10.00m 1.00m 10000.00m 10.00m");
        assert_eq!(both("32 7 19 S 116 2 25 E 10m"), "32 7 19.000 S 116 2 25.000 E 10.00m 1.00m 10000.00m 10.00m");
        assert_eq!(both("90 n 180 w -100000.00 0 90000000m 0.01"), "90 0 0.000 N 180 0 0.000 W -100000.00m 0.00m 90000000.00m 0.01m");
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (text, expected) in [
            ("90 0 0.001 N 1 E 0m", "2: more than 90 degrees"),
            ("91 N 1 E 0m", "0: `91` is out of place"),
            ("52 60 N 1 E 0m", "1: `60` is out of place"),
            ("52 1 2.0001 N 1 E 0m", "2: `2.0001` is out of place"),
            ("52 1 2 3 N 1 E 0m", "3: there is no `N` or `S`"),
            ("52 N 1 E", "4: the altitude is missing"),
            ("52 N 1 E 42849672.96m", "4: `42849672.96m` is not an altitude"),
            ("52 N 1 E 0 1e3", "5: `1e3` is not a size"),
            ("52 N", "2: there is no `E` or `W`"),
            ("52 N 1 E 0 1 2 3 4", "8 taken"),
            ("N 1 E 0", "0: `N` is out of place"),
        ] {
            assert!(both(text).starts_with(expected), "{text}: {}", both(text));
        }
    }
}
