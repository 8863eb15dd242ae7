//! `meridian status` and `meridian ctl`: what the running server thinks of its regions, and a hand on them; `ctl/live.rs` has `top` and `history`.
//! Both speak HTTP over the control socket; nothing is decided here.

mod live;
mod told;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::Format;
use super::{ConfigArg, Failure};
use crate::api::client::{self, Question};
use crate::clock::Clock;
use crate::config::load_server;
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
        let server = load_server(&self.config.path()?).map_err(|found| Failure::Config(found.to_string()))?;
        let none = "the server file has neither `control` nor `state_dir`, so that the server has no control socket\n\
            hint: add `state_dir: FOLDER` to it, or name the socket of another server with `--socket`";
        server.control_path().ok_or_else(|| Failure::Failed(none.to_owned()))
    }
}

impl SocketArg {
    /// Asks the running server.
    fn json(&self, question: &Question<'_>) -> Result<Value, Failure> {
        client::ask(&self.path()?, question)?.json().map_err(Failure::Failed)
    }
}

/// What the server tells, and how it is printed.
#[derive(Debug, Args)]
struct Show {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    socket: SocketArg,
}

impl Show {
    /// Asks, and prints the answer as it came, or by `print`.
    fn run<W: Write>(
        &self,
        question: &Question<'_>,
        out: &mut W,
        print: impl FnOnce(&Value, &mut W) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let told = self.socket.json(question)?;
        match self.format {
            Format::Json => Ok(writeln!(out, "{told}")?),
            Format::Text => print(&told, out),
        }
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
    /// Tell whether endpoints are well, as a monitor elsewhere sees it, for some time
    Tell(told::Tell),
    /// End overrides, and let regions that wait (`failback: manual`) take clients again
    Clear(Clear),
    /// Say what changed last, when and why
    History(live::History),
    /// Show query rate, regions and their shares, and changes, again and again
    Top(live::Top),
    /// Say who would go where if more were down than is now
    Simulate(told::Simulate),
    /// List steered names, or show one with its candidates and plans
    Names(told::List),
    /// List zones
    Zones(told::List),
    /// List the plans that names were compiled to
    Plans(told::Told),
    /// Say what was asked for most since the start
    Statistics(told::Told),
    /// Show every setting in force, and where it comes from
    Config(told::Config),
    /// Read the configuration anew, all or nothing, and say what became of it
    Reload(SocketArg),
    /// Exit code 0 if queries are answered from health that is not stale, else 1; for check scripts
    Ready(SocketArg),
}

#[derive(Debug, Args)]
pub(super) struct Force {
    /// Whom: REGION, REGION/SERVICE or REGION/SERVICE/ADDRESS, with `*` in any part
    selector: String,
    /// Why; shown in status and log
    #[arg(long, default_value = "", hide_default_value = true)]
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
    /// Whom: REGION, REGION/SERVICE or REGION/SERVICE/ADDRESS, with `*` in any part
    selector: String,
    #[command(flatten)]
    socket: SocketArg,
}

impl Ctl {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Ctl::Drain(force) => force.run("drain", out),
            Ctl::Down(force) => force.run("down", out),
            Ctl::Up(force) => force.run("up", out),
            Ctl::Load(load) => load.run(out),
            Ctl::Clear(clear) => clear.run(out),
            Ctl::History(history) => history.run(out),
            Ctl::Top(top) => top.run(out),
            Ctl::Tell(tell) => tell.run(out),
            Ctl::Simulate(simulate) => simulate.run(out),
            Ctl::Names(list) => list.names(out),
            Ctl::Zones(list) => list.zones(out),
            Ctl::Plans(told) => told.plans(out),
            Ctl::Statistics(told) => told.statistics(out),
            Ctl::Config(config) => config.run(out),
            Ctl::Reload(socket) => {
                let reply = client::ask(&socket.path()?, &Question::post("/v1/reload", &Value::Null));
                // That the server is away or busy says nothing about the files.
                let reply = reply.map_err(|refusal| if refusal.is_of_content { Failure::Config(refusal.text) } else { refusal.into() });
                let reply = reply?.json().map_err(Failure::Failed)?;
                write!(out, "{}", reply["warnings"].as_str().unwrap_or_default())?;
                Ok(writeln!(out, "generation {}", reply["generation"])?)
            }
            Ctl::Ready(socket) => {
                let reply = client::ask(&socket.path()?, &Question::get("/readyz", &[]))?;
                Ok(writeln!(out, "{}", reply.text.trim_end())?)
            }
        }
    }
}

impl Force {
    fn run(&self, state: &str, out: &mut impl Write) -> Result<(), Failure> {
        let expires_s = self.expires.as_deref().map(duration_ms).transpose()?.map(|ms| ms / 1000);
        let author = author();
        let body = json!({ "selector": self.selector, "state": state, "reason": self.reason, "author": author, "expires_s": expires_s });
        let reply = self.socket.json(&Question::post("/v1/overrides", &body))?;
        Ok(writeln!(out, "{}", counted(&reply["endpoints"], "endpoint"))?)
    }
}

impl Clear {
    fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let reply = self.socket.json(&Question::delete("/v1/overrides", &[("selector", &self.selector)]))?;
        let (overrides, regions) = (&reply["overrides"], &reply["regions"]);
        let regions = if regions == 1 { "1 region takes".to_owned() } else { format!("{regions} regions take") };
        Ok(writeln!(out, "{} cleared, {regions} clients again", counted(overrides, "override"))?)
    }
}

impl Load {
    fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let body = json!({ "of": self.region, "load": self.load, "expires_s": duration_ms(&self.expires)?.div_ceil(1000) });
        self.socket.json(&Question::post("/v1/loads", &body))?;
        Ok(writeln!(out, "taken")?)
    }
}

/// How many regions lack a service or a family that they are to have, and how many there are.
fn missing(status: &Value) -> (usize, usize) {
    let regions = rows(status, "regions");
    let is_missing = |row: &&Value| row["state"] != "available" && row["state"] != "no address";
    let distinct = |rows: &mut dyn Iterator<Item = &Value>| rows.map(|row| text(row, "region")).collect::<BTreeSet<_>>().len();
    (distinct(&mut regions.iter().filter(is_missing)), distinct(&mut regions.iter()))
}

/// So many of a thing.
fn counted(number: &Value, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Who is at the terminal, or `ctl` where no variable says it, as in a job: never nobody, so that what is told can be taken back by the same.
fn author() -> String {
    let name = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(name);
    named.unwrap_or_else(|| "ctl".to_owned())
}

fn duration_ms(text: &str) -> Result<u64, Failure> {
    number::duration_ms(text).ok_or_else(|| Failure::Usage(format!("`{text}` is no time; write `30m` or `2h`")))
}

impl Status {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let status = self.socket.json(&Question::get("/v1/status", &[]))?;
        if self.format == Format::Json {
            writeln!(out, "{status}")?;
        } else {
            print(&status, out)?;
        }
        // A region without an address of a family is none that failed; a name without any address is.
        let homeless = rows(&status, "hosts").iter().filter(|row| row["addresses"].as_array().is_none_or(Vec::is_empty)).count();
        if homeless > 0 {
            return Err(Failure::Failed(format!("{homeless} host names have no address")));
        }
        let (missing, all) = missing(&status);
        if missing > 0 { Err(Failure::Failed(format!("{missing} of {all} regions are not available for all they do"))) } else { Ok(()) }
    }
}

fn rows<'v>(status: &'v Value, key: &str) -> &'v [Value] {
    status[key].as_array().map_or(&[], Vec::as_slice)
}

fn print(status: &Value, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "generation {}", status["generation"])?;
    let since = |row: &Value| age(row["since_s"].as_u64().unwrap_or(0));
    let regions = rows(status, "regions").iter().map(|row| {
        let state = if row["waits"] == true { "waits for ctl clear".to_owned() } else { text(row, "state") };
        let up = format!("{}/{}", row["endpoints_up"], row["endpoints"]);
        vec![text(row, "service"), text(row, "region"), text(row, "family"), state, since(row), up, format!("{}%", row["admit_percent"])]
    });
    print_table(&["SERVICE", "REGION", "FAMILY", "STATE", "SINCE", "UP", "ADMIT"], regions, out)?;
    if !rows(status, "capacities").is_empty() {
        let number = |row: &Value, key: &str| row[key].as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"));
        let capacities = rows(status, "capacities").iter().map(|row| {
            let seen = row["load_age_s"].as_u64().map_or_else(|| "unknown".to_owned(), |age_s| format!("{} ago", age(age_s)));
            let limits = ["load", "soft", "hard", "limit"].map(|key| number(row, key));
            [text(row, "region")].into_iter().chain(limits).chain([format!("{}%", number(row, "shed_percent")), seen]).collect()
        });
        print_table(&["CAPACITY", "LOAD", "SOFT", "HARD", "LIMIT", "SHED", "MEASURED"], capacities, out)?;
    }
    let targets = rows(status, "targets").iter().map(|row| {
        let seen = match text(row, "evidence") {
            evidence if evidence.is_empty() => "not probed yet".to_owned(),
            evidence => format!("{evidence}, {} ago", age(row["evidence_age_s"].as_u64().unwrap_or(0))),
        };
        let next = row["next_probe_ms"].as_u64().map_or_else(String::new, |next_ms| format!("{:.1}s", next_ms as f64 / 1000.0));
        let faults = row["prober_faults"].as_u64().filter(|faults| *faults > 0);
        let note: Vec<String> = [text(row, "flag")].into_iter().chain(faults.map(|faults| format!("{faults} prober faults"))).collect();
        vec![text(row, "target"), text(row, "state"), since(row), seen, next, note.join(" ").trim().to_owned()]
    });
    print_table(&["TARGET", "STATE", "SINCE", "LAST SEEN", "NEXT", "NOTE"], targets, out)?;
    if !rows(status, "hosts").is_empty() {
        let hosts = rows(status, "hosts").iter().map(|row| {
            let addresses: Vec<&str> = row["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let asked = row["age_s"].as_u64().map_or_else(|| "not yet".to_owned(), |age_s| format!("{} ago", age(age_s)));
            let next = row["next_s"].as_u64().map_or_else(String::new, age);
            vec![text(row, "host"), addresses.join(" "), asked, next, text(row, "error")]
        });
        print_table(&["HOST", "ADDRESSES", "ASKED", "NEXT", "NOTE"], hosts, out)?;
    }
    if !rows(status, "overrides").is_empty() {
        let forced = rows(status, "overrides").iter();
        let forced =
            forced.map(|row| vec![text(row, "selector"), text(row, "state"), text(row, "author"), text(row, "reason"), until(row)]);
        print_table(&["FORCED", "STATE", "BY", "REASON", "EXPIRES IN"], forced, out)?;
    }
    if !rows(status, "told").is_empty() {
        let told = rows(status, "told").iter();
        let told = told.map(|row| vec![text(row, "of"), text(row, "state"), text(row, "author"), text(row, "reason"), until(row)]);
        print_table(&["TOLD OF", "STATE", "BY", "REASON", "EXPIRES IN"], told, out)?;
    }
    Ok(())
}

/// How long something holds, from its `until`.
fn until(row: &Value) -> String {
    let left = |until_s: u64| age(until_s.saturating_sub(Clock::system().wall_s()));
    row["until"].as_u64().map_or_else(|| "never".to_owned(), left)
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned)
}

fn print_table(head: &[&str], rows: impl Iterator<Item = Vec<String>>, out: &mut impl Write) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = rows.collect();
    let widths: Vec<usize> =
        (0..head.len()).map(|at| rows.iter().map(|row| row[at].len()).chain([head[at].len()]).max().unwrap_or(0)).collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    writeln!(out, "\n{}", line(head.to_vec()))?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", line(row.iter().map(String::as_str).collect())))?;
    Ok(())
}
