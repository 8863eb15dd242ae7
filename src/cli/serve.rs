//! `meridian serve`: the server, with its log on standard error.

use std::io::IsTerminal;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{ConfigArg, Failure};
use crate::daemon;

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArg,
}

impl Serve {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let path = self.config.path()?;
        // The environment variable MERIDIAN_LOG takes a level or a filter (`debug`, `meridian::prober=debug`).
        let filter = EnvFilter::try_from_env("MERIDIAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init();
        daemon::serve(&path)?;
        Ok(())
    }
}
