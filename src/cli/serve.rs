//! `meridian serve`: the server, with its log on standard error.

use std::io::IsTerminal;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::args::Format;
use super::progress::on_terminal;
use super::{ConfigArg, Failure};
use crate::config::load_server;
use crate::config::model::LogFormat;
use crate::daemon;

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArg,
    /// How the log is written [default: `log` of the server file, else text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<Format>,
    /// Take over from the server that runs: get its sockets and health, serve in its place once ready; if there is none, start as usual
    #[arg(long)]
    takeover: bool,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Format {
        match format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        }
    }
}

impl Serve {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let path = self.config.path()?;
        // A configuration that cannot be read is told of in words, by whoever reads it next.
        let log = load_server(&path).map(|server| server.log).unwrap_or_default();
        // The environment variable MERIDIAN_LOG takes a level or a filter (`debug`, `meridian::prober=debug`).
        let level = log.level.as_deref().unwrap_or("info");
        let filter = EnvFilter::try_from_env("MERIDIAN_LOG").unwrap_or_else(|_| EnvFilter::new(level));
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format.unwrap_or(log.format.into()) {
            Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
            Format::Json => builder.json().flatten_event(true).init(),
        }
        daemon::serve(&path, self.takeover, &on_terminal())?;
        Ok(())
    }
}
