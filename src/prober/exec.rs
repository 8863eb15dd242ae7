//! Runs an `exec` probe: a program of the operator, without a shell, with an empty environment, bounded in time and output.
//! Its exit code decides: 0 good, 1 degraded, anything else failed; a program that cannot be started is the prober's own fault.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::Finding;
use super::steps::{Phase, Steps};
use crate::health::report::{Evidence, Outcome};

/// At most this much of what it prints is read; its first line is the evidence.
const MAX_OUTPUT: u64 = 4096;

/// Runs `command` for the target at `socket` for at most `timeout`; it is killed when the time is over.
pub(super) async fn run(socket: SocketAddr, command: &[Box<str>], timeout: Duration, steps: &mut Steps) -> Finding {
    let Some((program, arguments)) = command.split_first() else {
        return (Outcome::ProberFault, Evidence::Other("no command".into()));
    };
    let mut process = Command::new(&**program);
    process.args(arguments.iter().map(|word| &**word)).env_clear().kill_on_drop(true);
    process.env("MERIDIAN_ADDRESS", socket.ip().to_string()).env("MERIDIAN_PORT", socket.port().to_string());
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    steps.enter(Phase::Run);
    match tokio::time::timeout(timeout, finish(process)).await {
        Ok(Ok(finding)) => {
            steps.finish();
            finding
        }
        Ok(Err(error)) => (Outcome::ProberFault, Evidence::Other(Evidence::text(&format!("cannot run `{program}`: {error}")))),
        Err(_elapsed) => (Outcome::Failure, Evidence::Other("did not end in time".into())),
    }
}

async fn finish(mut process: Command) -> std::io::Result<Finding> {
    let mut child = process.spawn()?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // What a program prints beyond the bound breaks its pipe, which is its own affair.
        stdout.take(MAX_OUTPUT).read_to_end(&mut output).await?;
    }
    let status = child.wait().await?;
    let outcome = match status.code() {
        Some(0) => Outcome::Success,
        Some(1) => Outcome::Degraded,
        _ => Outcome::Failure,
    };
    let first = String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned();
    let text = if first.is_empty() { status.to_string() } else { format!("{status}: {first}") };
    Ok((outcome, Evidence::Other(Evidence::text(&text))))
}
