//! Runs a `tls` probe: connects, shakes hands, and counts the days that the presented certificates last.
//! It sends nothing inside the tunnel and trusts no more than its policy says.

use std::net::SocketAddr;
use std::time::Duration;

use super::connect::Tunnel;
use super::steps::{Phase, Steps};
use super::tls::Configs;
use super::{Finding, fault};
use crate::clock::Clock;
use crate::health::monitor::handshake::Handshake;
use crate::health::report::{Evidence, Outcome};

const DAY_S: i64 = 86_400;

/// One TLS probe of one target.
pub(super) struct HandshakeProbe {
    socket: SocketAddr,
    tunnel: Tunnel,
    request: Handshake,
    clock: Clock,
}

impl HandshakeProbe {
    /// The probe, or why this machine cannot run it.
    pub(super) fn new(socket: SocketAddr, request: &Handshake, configs: &mut Configs, clock: &Clock) -> Result<HandshakeProbe, Evidence> {
        let tunnel = Tunnel::new(socket, &request.tls, b"", configs)?;
        Ok(HandshakeProbe { socket, tunnel, request: request.clone(), clock: clock.clone() })
    }

    /// Connects and shakes hands within `timeout`.
    pub(super) async fn run(&self, timeout: Duration, steps: &mut Steps) -> Finding {
        match tokio::time::timeout(timeout, self.shake(steps)).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(error)) => fault::of_error(&error, self.socket),
            Err(_elapsed) => (Outcome::Failure, Evidence::Timeout),
        }
    }

    async fn shake(&self, steps: &mut Steps) -> std::io::Result<Finding> {
        let tls = self.tunnel.open(self.socket, steps).await?;
        steps.enter(Phase::Assertions);
        let ends = tls.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|certificate| not_after_s(certificate));
        let finding = match ends.min().flatten() {
            Some(end_s) => self.judge((end_s - i64::try_from(self.clock.wall_s()).unwrap_or(i64::MAX)).div_euclid(DAY_S)),
            None => (Outcome::Failure, Evidence::Tls("the certificate cannot be read".into())),
        };
        steps.assert("days left", finding.0, || finding.1.to_string());
        steps.finish();
        Ok(finding)
    }

    fn judge(&self, days: i64) -> Finding {
        let reached = |limit: Option<u32>| limit.is_some_and(|limit| days <= i64::from(limit));
        let outcome = match () {
            () if reached(self.request.fail_days) => Outcome::Failure,
            () if reached(self.request.degraded_days) => Outcome::Degraded,
            () => Outcome::Success,
        };
        (outcome, Evidence::Certificate(days))
    }
}

/// `notAfter` of a certificate in seconds since 1970 (RFC 5280 4.1: the fifth field after the optional version, its second time).
fn not_after_s(certificate: &[u8]) -> Option<i64> {
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
    use crate::clock::FakeClock;
    use crate::health::monitor::tls::Tls;

    const CERTIFICATE: &[u8] = include_bytes!("testdata/self_signed.cert.der");

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

    #[test]
    fn days_left_degrade_and_then_fail() {
        let tls = Tls { verify: false, ..Tls::verified(None) };
        let request = Handshake { tls, degraded_days: Some(21), fail_days: Some(7) };
        let socket = ([127, 0, 0, 1], 1).into();
        let probe = HandshakeProbe::new(socket, &request, &mut Configs::default(), &FakeClock::new().clock()).unwrap();
        let outcomes = [22, 21, 8, 7, 0, -3].map(|days| probe.judge(days).0);
        use Outcome::{Degraded, Failure, Success};
        assert_eq!(outcomes, [Success, Degraded, Degraded, Failure, Failure, Failure]);
    }
}
