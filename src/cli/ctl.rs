//! `meridian status` and `meridian ctl`: what the running server thinks of its regions, and a hand on them.
//! Both speak to the control socket; nothing is decided here.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::args::Format;
use super::{ConfigArg, Failure};
use crate::api;
use crate::config::load;
use crate::health::age_text as age;
use crate::number;

#[derive(Debug, Args)]
pub(super) struct SocketArg {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The control socket [default: `control` of the server file, else `control.sock` in its `state_dir`]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl SocketArg {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let loaded = load(&self.config.path()?);
        let model = loaded.model.ok_or_else(|| Failure::Config(loaded.diagnostics.to_string()))?;
        let none = "the server file has neither `control` nor `state_dir`, so that the server has no control socket";
        model.server.control_path().ok_or_else(|| Failure::Failed(none.to_owned()))
    }
}

/// Show what is up, since when and why; exit code 1 where a region is not available
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    socket: SocketArg,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Force regions, services or endpoints by hand: REGION, REGION/SERVICE or REGION/SERVICE/ADDRESS, with `*` in any part
#[derive(Debug, Subcommand)]
pub(super) enum Ctl {
    /// Take out on purpose: no new answers, no alarm
    Drain(Force),
    /// Force down
    Down(Force),
    /// Force up, whatever the probes say
    Up(Force),
    /// Tell the load of a region or REGION/SERVICE with `capacity: {load: pushed}`
    Load(Load),
    /// End overrides, and let regions that wait (`failback: manual`) take clients again
    Clear(Clear),
}

#[derive(Debug, Args)]
pub(super) struct Force {
    /// Whom
    selector: String,
    /// Why; shown in status and log
    #[arg(long, default_value = "")]
    reason: String,
    /// Ends by itself after so long, such as `30m` or `2h`
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct Load {
    /// REGION, or REGION/SERVICE where the service has a capacity of its own
    region: String,
    /// In the unit of the capacity
    load: f64,
    /// For how long it holds; tell it again before that
    #[arg(long, value_name = "TIME", default_value = "1m")]
    expires: String,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct Clear {
    /// Whom
    selector: String,
    #[command(flatten)]
    socket: SocketArg,
}

impl Ctl {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let done = match self {
            Ctl::Drain(force) => force.run("drain")?,
            Ctl::Down(force) => force.run("down")?,
            Ctl::Up(force) => force.run("up")?,
            Ctl::Load(load) => load.run()?,
            Ctl::Clear(clear) => api::ask(&clear.socket.path()?, &["clear", &clear.selector]).map_err(Failure::Failed)?,
        };
        Ok(writeln!(out, "{}", done.trim_end())?)
    }
}

impl Force {
    fn run(&self, state: &str) -> Result<String, Failure> {
        let expires_ms = self.expires.as_deref().map(duration_ms).transpose()?;
        let expires = expires_ms.map_or_else(|| "-".to_owned(), |ms| (ms / 1000).to_string());
        let author = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
        api::ask(&self.socket.path()?, &["force", state, &self.selector, &expires, &author, &self.reason]).map_err(Failure::Failed)
    }
}

impl Load {
    fn run(&self) -> Result<String, Failure> {
        let (load, holds_ms) = (self.load.to_string(), duration_ms(&self.expires)?.to_string());
        api::ask(&self.socket.path()?, &["load", &self.region, &load, &holds_ms]).map_err(Failure::Failed)
    }
}

fn duration_ms(text: &str) -> Result<u64, Failure> {
    number::duration_ms(text).ok_or_else(|| Failure::Usage(format!("`{text}` is no time; write `30m` or `2h`")))
}

impl Status {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let text = api::ask(&self.socket.path()?, &["status"]).map_err(Failure::Failed)?;
        let status: Value = serde_json::from_str(&text).map_err(|error| Failure::Failed(error.to_string()))?;
        if self.format == Format::Json {
            writeln!(out, "{}", text.trim_end())?;
        } else {
            print(&status, out)?;
        }
        let regions = rows(&status, "regions");
        // A region without an address of a family is none that failed; a name without any address is.
        let missing = regions.iter().filter(|row| row["state"] != "available" && row["state"] != "no address").count();
        let homeless = rows(&status, "hosts").iter().filter(|row| row["addresses"].as_array().is_none_or(Vec::is_empty)).count();
        if homeless > 0 {
            return Err(Failure::Failed(format!("{homeless} host names have no address")));
        }
        match missing {
            0 => Ok(()),
            missing => Err(Failure::Failed(format!("{missing} of {} regions are not available", regions.len()))),
        }
    }
}

fn rows<'v>(status: &'v Value, key: &str) -> &'v [Value] {
    status[key].as_array().map_or(&[], Vec::as_slice)
}

fn print(status: &Value, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "generation {}", status["generation"])?;
    let table = |head: &[&str], rows: Vec<Vec<String>>, out: &mut dyn Write| -> Result<(), Failure> {
        let widths: Vec<usize> =
            (0..head.len()).map(|at| rows.iter().map(|row| row[at].len()).chain([head[at].len()]).max().unwrap_or(0)).collect();
        let line = |cells: Vec<&str>| {
            let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        };
        writeln!(out, "\n{}", line(head.to_vec()))?;
        rows.iter().try_for_each(|row| writeln!(out, "{}", line(row.iter().map(String::as_str).collect())))?;
        Ok(())
    };
    let text = |row: &Value, key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
    let since = |row: &Value| age(row["since_s"].as_u64().unwrap_or(0));
    let regions = rows(status, "regions").iter().map(|row| {
        let state = if row["waits"] == true { "waits for ctl clear".to_owned() } else { text(row, "state") };
        let up = format!("{}/{}", row["endpoints_up"], row["endpoints"]);
        vec![text(row, "service"), text(row, "region"), text(row, "family"), state, since(row), up, format!("{}%", row["admit_percent"])]
    });
    table(&["SERVICE", "REGION", "FAMILY", "STATE", "SINCE", "UP", "ADMIT"], regions.collect(), out)?;
    if !rows(status, "capacities").is_empty() {
        let number = |row: &Value, key: &str| row[key].as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"));
        let capacities = rows(status, "capacities").iter().map(|row| {
            let seen = row["load_age_s"].as_u64().map_or_else(|| "unknown".to_owned(), |age_s| format!("{} ago", age(age_s)));
            let limits = ["load", "soft", "hard", "limit"].map(|key| number(row, key));
            [text(row, "region")].into_iter().chain(limits).chain([format!("{}%", number(row, "shed_percent")), seen]).collect()
        });
        table(&["CAPACITY", "LOAD", "SOFT", "HARD", "LIMIT", "SHED", "MEASURED"], capacities.collect(), out)?;
    }
    let targets = rows(status, "targets").iter().map(|row| {
        let seen = match text(row, "evidence") {
            evidence if evidence.is_empty() => "not probed yet".to_owned(),
            evidence => format!("{evidence}, {} ago", age(row["evidence_age_s"].as_u64().unwrap_or(0))),
        };
        let next = row["next_probe_ms"].as_u64().map_or_else(String::new, |next_ms| format!("{:.1}s", next_ms as f64 / 1000.0));
        vec![text(row, "target"), text(row, "state"), since(row), seen, next, text(row, "flag")]
    });
    table(&["TARGET", "STATE", "SINCE", "LAST SEEN", "NEXT", "NOTE"], targets.collect(), out)?;
    if !rows(status, "hosts").is_empty() {
        let hosts = rows(status, "hosts").iter().map(|row| {
            let addresses: Vec<&str> = row["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let asked = row["age_s"].as_u64().map_or_else(|| "not yet".to_owned(), |age_s| format!("{} ago", age(age_s)));
            let next = row["next_s"].as_u64().map_or_else(String::new, age);
            vec![text(row, "host"), addresses.join(" "), asked, next, text(row, "error")]
        });
        table(&["HOST", "ADDRESSES", "ASKED", "NEXT", "NOTE"], hosts.collect(), out)?;
    }
    if !rows(status, "overrides").is_empty() {
        let forced = rows(status, "overrides").iter();
        let forced = forced.map(|row| vec![text(row, "selector"), text(row, "state"), text(row, "author"), text(row, "reason")]);
        table(&["FORCED", "STATE", "BY", "REASON"], forced.collect(), out)?;
    }
    Ok(())
}
