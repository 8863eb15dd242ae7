//! `meridian ctl tell`, `simulate`, `names`, `zones`, `plans`, `config` and `statistics`: what the API takes and tells, as tables or as JSON.
//! Nothing is worked out here.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Show, SocketArg, age, author, counted, duration_ms, print_table, rows, text};
use crate::api::client::{self, Question};
use crate::cli::Failure;
use crate::cli::args::QType;
use crate::clock::Clock;

#[derive(Debug, Args)]
pub(in crate::cli) struct Tell {
    /// Whom: REGION, REGION/SERVICE or REGION/SERVICE/ADDRESS, with `*` in any part
    of: String,
    /// What is told; `nothing` takes back what was told
    #[arg(value_enum)]
    state: Said,
    /// Who tells it [default: the user, `ctl` where there is none]
    #[arg(long)]
    author: Option<String>,
    /// Why; shown in status and log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// For how long it holds; tell it again before that
    #[arg(long, value_name = "TIME", default_value = "1m")]
    expires: String,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Said {
    Up,
    Down,
    Nothing,
}

impl Tell {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let author = self.author.clone().unwrap_or_else(author);
        let state = match self.state {
            Said::Up => "up",
            Said::Down => "down",
            Said::Nothing => {
                let reply = self.socket.json(&Question::delete("/v1/health", &[("of", &self.of), ("author", &author)]))?;
                return Ok(writeln!(out, "{} taken back", counted(&reply["reports"], "report"))?);
            }
        };
        let expires_s = duration_ms(&self.expires)?.div_ceil(1000);
        let body = json!({ "of": self.of, "state": state, "author": author, "reason": self.reason, "expires_s": expires_s });
        let reply = self.socket.json(&Question::post("/v1/health", &body))?;
        Ok(writeln!(out, "{}", counted(&reply["endpoints"], "endpoint"))?)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Simulate {
    /// The steered name
    name: String,
    /// What is taken to be down besides what is: REGION, REGION/SERVICE or REGION/SERVICE/ADDRESS, with `*` in any part
    #[arg(long, required = true, value_delimiter = ',')]
    down: Vec<String>,
    /// The type that is asked for
    #[arg(long = "type", value_enum, default_value = "a", ignore_case = true)]
    qtype: QType,
    #[command(flatten)]
    show: Show,
}

impl Simulate {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let down = self.down.join(",");
        let rtype = if matches!(self.qtype, QType::A) { "A" } else { "AAAA" };
        let query = [("name", self.name.as_str()), ("down", &down), ("type", rtype)];
        self.show.run(&Question::get("/v1/simulate", &query), out, |told, out| self.print(told, out))
    }

    fn print(&self, told: &Value, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "down      {} ({} endpoints), besides what is down now", self.down.join(", "), told["endpoints"])?;
        writeln!(out, "clients   {}", text(told, "clients"))?;
        let regions = rows(told, "regions").iter();
        let regions = regions.map(|row| vec![text(row, "source"), percent(row, "before_percent"), percent(row, "after_percent")]);
        print_table(&["REGION", "NOW", "THEN"], regions, out)?;
        let moves = rows(told, "moves").iter();
        print_table(
            &["FROM", "TO", "CLIENTS", "FURTHER"],
            moves.map(|row| vec![text(row, "from"), text(row, "to"), percent(row, "percent"), km(row)]),
            out,
        )?;
        let countries = rows(told, "countries").iter().take(MAX_COUNTRIES);
        print_table(&["COUNTRY", "MOVES"], countries.map(|row| vec![text(row, "country"), percent(row, "percent")]), out)?;
        writeln!(out, "\nmoved {}, without an answer {}", percent(told, "moved_percent"), percent(told, "lost_percent"))?;
        Ok(())
    }
}

/// Countries that are printed: a screen has other things to show.
const MAX_COUNTRIES: usize = 10;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only this one, with details
    name: Option<String>,
    /// How many to leave out
    #[arg(long, default_value_t = 0)]
    from: u32,
    #[command(flatten)]
    show: Show,
}

impl List {
    pub(super) fn names(&self, out: &mut impl Write) -> Result<(), Failure> {
        self.run("names", out, |told, out| match told["steering"].as_array() {
            Some(steering) => print_name(told, steering, out),
            None => {
                let list = |row: &Value, key: &str| {
                    row[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
                };
                let names = rows(told, "names").iter().map(|row| {
                    let ttl = row["ttl_s"].to_string();
                    vec![text(row, "name"), text(row, "service"), list(row, "types"), ttl, text(row, "balance"), list(row, "regions")]
                });
                print_table(&["NAME", "SERVICE", "TYPES", "TTL", "BALANCE", "REGIONS"], names, out)
            }
        })
    }

    pub(super) fn zones(&self, out: &mut impl Write) -> Result<(), Failure> {
        self.run("zones", out, |told, out| {
            let one = std::slice::from_ref(told);
            let zones = if told["zones"].is_array() { rows(told, "zones") } else { one }.iter().map(|row| {
                let serial = if row["serial_is_written"] == true { "written" } else { "by content" };
                vec![text(row, "name"), row["serial"].to_string(), serial.to_owned(), row["names"].to_string()]
            });
            print_table(&["ZONE", "SERIAL", "WHICH IS", "NAMES"], zones, out)
        })
    }

    fn run<W: Write>(&self, what: &str, out: &mut W, print: impl Fn(&Value, &mut W) -> Result<(), Failure>) -> Result<(), Failure> {
        let from = self.from.to_string();
        let question = match &self.name {
            Some(name) => Question::get(&format!("/v1/{what}/{}", client::escape(name)), &[]),
            None => Question::get(&format!("/v1/{what}"), &[("from", &from)]),
        };
        self.show.run(&question, out, print)
    }
}

fn print_name(told: &Value, steering: &[Value], out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "{}  service {}, balance {}, {} s", text(told, "name"), text(told, "service"), text(told, "balance"), told["ttl_s"])?;
    for of in steering {
        let plan = &of["plan"];
        writeln!(out, "\n{}: {} rankings, {} octets", text(of, "type"), plan["rankings"], plan["memory_bytes"])?;
        let candidates = rows(of, "candidates").iter().map(|row| {
            let endpoints = rows(row, "endpoints").iter().map(|endpoint| text(endpoint, "address")).collect::<Vec<_>>();
            let share = if row["standby"] == true { "standby".to_owned() } else { row["share"].to_string() };
            vec![text(row, "region"), share, endpoints.join(" ")]
        });
        print_table(&["REGION", "SHARE", "ENDPOINTS"], candidates, out)?;
    }
    Ok(())
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Told {
    #[command(flatten)]
    show: Show,
}

impl Told {
    pub(super) fn plans(&self, out: &mut impl Write) -> Result<(), Failure> {
        self.show.run(&Question::get("/v1/plans", &[]), out, print_plans)
    }

    pub(super) fn statistics(&self, out: &mut impl Write) -> Result<(), Failure> {
        self.show.run(&Question::get("/v1/statistics", &[]), out, print_statistics)
    }
}

fn print_plans(told: &Value, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "{} plans, {} octets; {} places, {} ranges", told["total"], told["memory_bytes"], told["places"], told["ranges"])?;
    let plans = rows(told, "plans").iter().map(|row| {
        let name = row["names"][0].as_str().unwrap_or_default().to_owned();
        let scope = if row["ranks_by_place"] == true { "by place" } else { "for all alike" };
        let numbers = ["shared_by", "candidates", "rankings", "memory_bytes"].map(|key| row[key].to_string());
        [vec![name], numbers.to_vec(), vec![scope.to_owned()]].concat()
    });
    print_table(&["FOR", "SHARED BY", "REGIONS", "RANKINGS", "OCTETS", "RANKED"], plans, out)
}

fn print_statistics(told: &Value, out: &mut impl Write) -> Result<(), Failure> {
    let since = Clock::system().wall_s().saturating_sub(told["since"].as_u64().unwrap_or(0));
    writeln!(out, "{} queries in {}", told["queries"], age(since))?;
    for (list, key) in [("names", "name"), ("zones", "zone")] {
        let counted = rows(told, list).iter().map(|row| vec![text(row, key), row["answers"].to_string()]);
        print_table(&[&key.to_uppercase(), "ANSWERS"], counted, out)?;
    }
    let countries = rows(told, "countries").iter();
    let countries = countries.map(|row| vec![text(row, "country"), percent(row, "percent")]);
    print_table(&["COUNTRY", "OF THE SAMPLE"], countries, out)?;
    let regions = rows(told, "regions").iter();
    print_table(
        &["SERVICE", "REGION", "ANSWERS"],
        regions.map(|row| ["service", "region", "answers"].map(|key| text(row, key)).to_vec()),
        out,
    )
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Config {
    /// Only what stands under this key, such as `server`, `regions/eu-west` or `names/www.example.com`
    #[arg(default_value = "", hide_default_value = true)]
    under: String,
    /// How many to leave out
    #[arg(long, default_value_t = 0)]
    from: u32,
    #[command(flatten)]
    show: Show,
}

impl Config {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let from = self.from.to_string();
        let question = Question::get("/v1/configuration", &[("under", &self.under), ("from", &from)]);
        self.show.run(&question, out, |told, out| self.print(told, out))
    }

    fn print(&self, told: &Value, out: &mut impl Write) -> Result<(), Failure> {
        let origin = |row: &Value| row["file"].as_str().map_or_else(|| "default".to_owned(), |file| format!("{file}:{}", row["line"]));
        let settings = rows(told, "settings").iter().map(|row| vec![text(row, "key"), text(row, "value"), origin(row)]);
        print_table(&["SETTING", "VALUE", "FROM"], settings, out)?;
        let shown = rows(told, "settings").len() as u64 + u64::from(self.from);
        let more = told["total"].as_u64().unwrap_or(0).saturating_sub(shown);
        if more > 0 {
            writeln!(out, "\n{more} more: `--from {shown}`, or name a key")?;
        }
        Ok(())
    }
}

fn percent(row: &Value, key: &str) -> String {
    format!("{:.2} %", row[key].as_f64().unwrap_or(0.0))
}

fn km(row: &Value) -> String {
    row["mean_extra_km"].as_f64().map_or_else(|| "-".to_owned(), |km| format!("{km:+.0} km"))
}
