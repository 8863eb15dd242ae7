//! Runs a `tcp` probe: connects, and that is all.
//! It never sends a byte; the connection is closed by a reset, so that no port of this machine lingers in TIME-WAIT.

use std::net::SocketAddr;
use std::time::Duration;

use super::steps::Steps;
use super::{Finding, connect, fault};
use crate::health::report::{Evidence, Outcome};

/// Connects to `socket` within `timeout`.
pub(super) async fn run(socket: SocketAddr, timeout: Duration, steps: &mut Steps) -> Finding {
    match tokio::time::timeout(timeout, connect::tcp(socket, steps)).await {
        Ok(Ok(_stream)) => {
            steps.finish();
            (Outcome::Success, Evidence::Connected)
        }
        Ok(Err(error)) => fault::of_io(&error, socket),
        Err(_elapsed) => (Outcome::Failure, Evidence::Timeout),
    }
}
