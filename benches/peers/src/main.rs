//! `peers`: Meridian beside other DNS servers, on one machine, on the same table.
//! It writes a configuration for each, runs them in turn, and prints what an answer costs; it never speaks to anything but loopback.

mod compare;
mod cpu;
mod disturb;
mod files;
mod histogram;
mod load;
/// The writer that the geo bench has as well.
#[path = "../../geo/mmdb.rs"]
mod mmdb;
mod process;
mod question;
/// The generator of the server's own crate: building all of it for these few lines would take minutes.
#[path = "../../../src/random.rs"]
#[allow(unreachable_pub, unfulfilled_lint_expectations, reason = "there it is public")]
mod random;
mod report;
mod servers;
mod sys;
mod table;
mod tcp;
mod udp;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use process::Cores;
use servers::{Kind, Programs};
use table::{Size, Table, Workload};

/// Longest measurement of one kind of question.
const MAX_SECONDS: f64 = 3600.0;

/// Most queries a second that can be asked for.
const MAX_RATE: f64 = 1e7;

/// Meridian beside gdnsd, Knot DNS, NSD, PowerDNS and hickory-server.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes one table as a configuration for each server.
    Generate {
        /// Where to; what an earlier run wrote there for the servers is removed.
        dir: PathBuf,
        #[command(flatten)]
        size: Size,
    },
    /// Runs the servers in turn and prints CPU time a query, latency, time to load and memory.
    Run {
        #[command(flatten)]
        common: Common,
        /// Who takes part; those that are not there are left out with a word.
        #[arg(long, value_delimiter = ',', default_value = "gdnsd,knot,nsd,pdns,hickory,meridian")]
        servers: Vec<Kind>,
        /// What is asked.
        #[arg(long, value_delimiter = ',', default_value = "ecs,static")]
        workload: Vec<Workload>,
        #[arg(long, default_value_t = 5, value_parser = rounds())]
        rounds: u16,
        /// How long each server is asked each kind of question in a round.
        #[arg(long, default_value = "3", value_parser = seconds)]
        seconds: Duration,
        /// Queries a second at random moments (UDP); 0 asks as fast as the server answers.
        #[arg(long, default_value = "0", value_parser = rate)]
        rate: f64,
        /// Ports that UDP queries come from: few as from a forwarder, many as from all the world
        #[arg(long, default_value_t = load::DEFAULT_PORTS as u8, value_parser = clap::value_parser!(u8).range(1..=load::WINDOW as i64))]
        ports: u8,
    },
    /// Asks Meridian at a moderate rate: quiet, while health flaps, while geo data is reloaded, while metrics are read.
    Disturb {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value_t = 3, value_parser = rounds())]
        rounds: u16,
        /// How long it is asked under each disturbance in a round.
        #[arg(long, default_value = "10", value_parser = seconds)]
        seconds: Duration,
        /// Percent of what it answers at most that it is asked.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..=90))]
        load: u8,
    },
}

#[derive(Args)]
struct Common {
    /// What `peers generate` wrote.
    dir: PathBuf,
    /// The program of Meridian.
    #[arg(long, value_name = "PATH")]
    meridian: Option<PathBuf>,
    /// The core that servers are held to; the sender has another one to itself.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..1024))]
    core: u16,
}

fn rounds() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=1000)
}

fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 0.1, MAX_SECONDS).map(Duration::from_secs_f64)
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.0, MAX_RATE)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let found = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    found.ok_or_else(|| format!("not a number from {least} to {most}"))
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Generate { dir, size } => generate(&dir, size),
        Command::Run { common, servers, workload, rounds, seconds, rate, ports } => {
            let (folder, table, cores) = common.open()?;
            for workload in &workload {
                table.check(*workload).unwrap_or_else(|error| usage(&error.to_string()));
            }
            let plan =
                compare::Plan { servers, workloads: workload, rounds: rounds.into(), time: seconds, rate, ports: ports.into(), cores };
            compare::run(&folder, &table, &plan, &Programs { meridian: common.meridian })
        }
        Command::Disturb { common, rounds, seconds, load } => {
            let (folder, table, cores) = common.open()?;
            let program = common.meridian.unwrap_or_else(|| usage("say where Meridian is with --meridian"));
            let plan = disturb::Plan { rounds: rounds.into(), time: seconds, load_percent: load, cores };
            disturb::run(&folder, &table, &plan, &program)
        }
    }
}

impl Common {
    /// The folder with its table, and the cores, of which the sender's is taken.
    fn open(&self) -> Result<(PathBuf, Table, Cores)> {
        let folder = self.dir.canonicalize().with_context(|| self.dir.display().to_string())?;
        let table = Table::new(Size::load(&folder)?);
        let cores = Cores::new(self.core.into());
        if sys::hold_to(cores.server).and_then(|()| sys::hold_to(cores.sender)).is_err() {
            usage(&format!("cores {} and {} are not both there", cores.server, cores.sender));
        }
        Ok((folder, table, cores))
    }
}

/// Ends as clap does where arguments cannot be right.
fn usage(message: &str) -> ! {
    Cli::command().error(ErrorKind::ValueValidation, message).exit()
}

fn generate(dir: &Path, size: Size) -> Result<()> {
    files::make_folder(dir)?;
    let folder = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let is_empty = folder.read_dir().with_context(|| dir.display().to_string())?.next().is_none();
    ensure!(is_empty || Size::load(&folder).is_ok(), "{} holds what this program has not written: name an empty folder", folder.display());
    let table = Table::new(size);
    for kind in Kind::value_variants() {
        let place = kind.place(&folder, &size);
        files::remove_folder(&place.own)?;
        match kind.server().refuses(&size) {
            None => kind.server().write(&table, &place)?,
            Some(reason) => eprintln!("{} is left out: {reason}", kind.name()),
        }
    }
    let zones = Kind::Nsd.place(&folder, &size).zones;
    files::remove_folder(&zones)?;
    servers::master::write(&table, &zones)?;
    size.save(&folder)?;
    println!(
        "{} networks in {} regions, {} names and {} zones in {}",
        size.networks,
        size.regions,
        size.names,
        size.zones,
        folder.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_as_they_are_documented() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["peers", "run", "DIR", "--servers", "nsd,meridian", "--workload", "ecs,tcp", "--seconds", "0.5"]);
        assert!(matches!(cli.map(|cli| cli.command), Ok(Command::Run { rounds: 5, .. })));
    }

    #[test]
    fn wrong_arguments_are_usage_errors() {
        for arguments in [
            &["run", "DIR", "--servers", "bind"][..],
            &["run", "DIR", "--seconds", "0"],
            &["run", "DIR", "--rate", "NaN"],
            &["run", "DIR", "--ports", "0"],
            &["run", "DIR", "--ports", "193"],
            &["run", "DIR", "--rounds", "0"],
            &["generate", "DIR", "--networks", "0"],
            &["generate", "DIR", "--regions", "many"],
            &["disturb", "DIR", "--load", "100"],
        ] {
            let error = Cli::try_parse_from(["peers"].iter().chain(arguments)).map(|_| ()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
