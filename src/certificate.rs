//! When a certificate ends: read from its DER, for those that we probe and for our own.
//! It verifies nothing; that is the business of TLS.

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// `notAfter` of a certificate in seconds since 1970 (RFC 5280 4.1: the fifth field after the optional version, its second time).
pub fn not_after_s(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if let (0xA0, _, rest) = element(fields)? {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (tag, time, _) = element(element(validity)?.2)?;
    time_s(tag, std::str::from_utf8(time).ok()?)
}

/// Tag, content and what follows of one DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (len, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (octets.iter().fold(0, |len, octet| len << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// UTCTime (`YYMMDDHHMMSSZ`, 1950 to 2049) or GeneralizedTime (`YYYYMMDDHHMMSSZ`) in seconds since 1970.
fn time_s(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (0x17, 12) => {
            let year: i64 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (0x18, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[2 * at..2 * at + 2].parse::<i64>().ok();
    let (month, day) = (part(0)?, part(1)?);
    // Days from the civil calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms"): years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * DAY_S + part(2)? * 3_600 + part(3)? * 60 + part(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = include_bytes!("prober/testdata/self_signed.cert.der");

    #[test]
    fn times_of_certificates_are_read_in_both_forms() {
        for (tag, text, expected) in [
            (0x17, "700101000000Z", Some(0)),
            (0x17, "240229235959Z", Some(1_709_251_199)),
            (0x17, "491231235959Z", Some(2_524_607_999)),
            (0x17, "500101000000Z", Some(-631_152_000)),
            (0x18, "20500101000000Z", Some(2_524_608_000)),
            (0x18, "20000301000000Z", Some(951_868_800)),
            (0x18, "2050010100000Z", None),
            (0x17, "2402292359é9Z", None),
        ] {
            assert_eq!(time_s(tag, text), expected, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_found_and_no_octets_are_too_odd() {
        let end_s = not_after_s(CERTIFICATE).unwrap();
        assert!((3_000_000_000..9_000_000_000).contains(&end_s), "a hundred years: {end_s}");
        (0..CERTIFICATE.len()).for_each(|len| _ = not_after_s(&CERTIFICATE[..len]));
    }
}
