//! Runs a `tcp` probe: connects, and that is all.
//! It never sends a byte; the connection is closed by a reset, so that no port of this machine lingers in TIME-WAIT.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Finding, fault};
use crate::health::report::{Evidence, Outcome};

/// Connects to `socket` within `timeout`.
pub(super) async fn run(socket: SocketAddr, timeout: Duration) -> Finding {
    match tokio::time::timeout(timeout, TcpStream::connect(socket)).await {
        Ok(Ok(stream)) => {
            // Only how the connection ends is at stake, not the finding.
            let _ = stream.set_zero_linger();
            (Outcome::Success, Evidence::Connected)
        }
        Ok(Err(error)) => fault::of_io(&error, socket),
        Err(_elapsed) => (Outcome::Failure, Evidence::Timeout),
    }
}
