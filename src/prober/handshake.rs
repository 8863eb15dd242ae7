//! Runs a `tls` probe: connects, shakes hands, and counts the days that the presented certificates last.
//! It sends nothing inside the tunnel and trusts no more than its policy says.

use std::net::SocketAddr;
use std::time::Duration;

use super::connect::Tunnel;
use super::steps::{Phase, Steps};
use super::tls::Configs;
use super::{Finding, fault};
use crate::certificate::{DAY_S, not_after_s};
use crate::clock::Clock;
use crate::health::monitor::handshake::Handshake;
use crate::health::report::{Evidence, Outcome};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FakeClock;
    use crate::health::monitor::tls::Tls;

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
