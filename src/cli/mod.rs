//! The command line: one file per subcommand. It prints; what it prints is worked out by the rooms that `serve` uses.
//! Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration refused.

mod args;
mod check;
mod ctl;
mod diff;
mod explain;
mod geo;
mod init;
mod probe;
mod progress;
mod rehearsed;
mod serve;
mod shell;
mod simulate;
mod zone;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::compile::Earlier;
use crate::config::default_path;
use crate::daemon::{self, DaemonError, Prepared};
use crate::diag::Diagnostics;
use crate::progress::Progress;

#[derive(Debug, Parser)]
#[command(name = "meridian", version, about = "Authoritative DNS server for GeoDNS and global server load balancing")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM; SIGHUP reloads, all or nothing
    Serve(serve::Serve),
    /// Write a starting configuration with comments
    Init(init::Init),
    /// Load everything as `serve` does, short of binding, and say what was found
    Check(check::Check),
    /// Say step by step what a client would be answered, and why
    Explain(explain::Explain),
    /// Say who goes where when something is down; exit code 1 where clients are lost or a capacity is exceeded
    Simulate(simulate::Simulate),
    /// Say how many clients another configuration would move, from where to where
    Diff(diff::Diff),
    /// Show what is up, since when and why; exit code 1 where a region is not available
    Status(ctl::Status),
    /// Force regions, services or endpoints up, down or to drain by hand
    #[command(subcommand)]
    Ctl(ctl::Ctl),
    /// Probe a service or an endpoint once and show every step; exit code 1 where a probe fails
    Probe(probe::Probe),
    /// Ask the geo data
    #[command(subcommand)]
    Geo(geo::Geo),
    /// Work on zone files
    #[command(subcommand)]
    Zone(zone::Zone),
    /// Print what a shell needs to complete commands and options
    Completions(shell::Completions),
    /// Write the manual pages
    Man(shell::Man),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArg {
    /// The server file [default: meridian.yaml, zones/meridian.yaml or /etc/meridian/meridian.yaml]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArg {
    fn path(&self) -> Result<PathBuf, Failure> {
        let none = || Failure::Config("no configuration found\nhint: name the server file with `--config FILE`\n".into());
        self.config.clone().or_else(default_path).ok_or_else(none)
    }

    /// Loads and compiles; warnings go to standard error.
    fn prepare(&self) -> Result<Prepared, Failure> {
        self.loaded(daemon::prepare_telling)
    }

    /// The same, and asks the tests of the configuration.
    fn rehearse(&self) -> Result<Prepared, Failure> {
        self.loaded(daemon::rehearse)
    }

    fn loaded(&self, load: impl Fn(&Path, Option<&Earlier>, &Progress) -> Result<Prepared, Diagnostics>) -> Result<Prepared, Failure> {
        let prepared = load(&self.path()?, None, &progress::on_terminal()).map_err(|found| Failure::Config(found.to_string()))?;
        eprint!("{}", prepared.warnings);
        Ok(prepared)
    }
}

/// Why a subcommand did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// The configuration was refused; the text ends in a line break.
    Config(String),
    /// The arguments do not fit the configuration (an unknown region, a name outside the zones).
    Usage(String),
    /// Anything else.
    Failed(String),
    /// Nobody reads any more what is printed (`| head`), which is no failure of ours.
    Unread,
}

impl From<crate::api::client::Refusal> for Failure {
    fn from(refusal: crate::api::client::Refusal) -> Failure {
        Failure::Failed(refusal.text)
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Failure {
        match error {
            DaemonError::Config(diagnostics) => Failure::Config(diagnostics.to_string()),
            DaemonError::System(text) => Failure::Failed(text),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::Failed(error.to_string()),
        }
    }
}

/// Reads the arguments, does what they ask, and gives the exit code.
pub fn run() -> ExitCode {
    let mut out = io::stdout().lock();
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Init(init) => init.run(&mut out),
        Command::Check(check) => check.run(&mut out),
        Command::Explain(explain) => explain.run(&mut out),
        Command::Simulate(simulate) => simulate.run(&mut out),
        Command::Diff(diff) => diff.run(&mut out),
        Command::Status(status) => status.run(&mut out),
        Command::Ctl(ctl) => ctl.run(&mut out),
        Command::Probe(probe) => probe.run(&mut out),
        Command::Geo(geo) => geo.run(&mut out),
        Command::Zone(zone) => zone.run(&mut out),
        Command::Completions(completions) => completions.run(&mut out),
        Command::Man(man) => man.run(&mut out),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) | Err(Failure::Unread) => ExitCode::SUCCESS,
        Err(Failure::Config(text)) => fail(3, text.trim_end()),
        Err(Failure::Usage(text)) => fail(2, &format!("error: {text}")),
        Err(Failure::Failed(text)) => fail(1, &format!("error: {text}")),
    }
}

fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}
