//! `meridian ctl history` and `meridian ctl top`: what happened, and what happens just now. Both read what the API tells and work out rates only.

use std::io::{IsTerminal, Write};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Show, SocketArg, age, missing, print_table, rows, text};
use crate::api::client::Question;
use crate::cli::Failure;
use crate::clock::Clock;
use crate::number;

/// Shortest time between two looks: a look costs the server some milliseconds where there are thousands of targets.
const MIN_EVERY_MS: u64 = 200;

/// Rows of names and of changes in `top`, so that all of it fits a screen.
const MAX_ROWS: usize = 10;

/// Rows of regions: all of most networks.
const MAX_REGIONS: usize = 30;

#[derive(Debug, Args)]
pub(in crate::cli) struct History {
    /// Only of this region
    #[arg(long)]
    region: Option<String>,
    /// Only of this service
    #[arg(long)]
    service: Option<String>,
    /// Only of targets whose text holds this, such as an address
    #[arg(long)]
    target: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    show: Show,
}

impl History {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let limit = self.limit.to_string();
        let given = [("region", &self.region), ("service", &self.service), ("target", &self.target)];
        let given = given.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let query: Vec<_> = given.chain([("limit", limit.as_str())]).collect();
        self.show.run(&Question::get("/v1/changes", &query), out, |told, out| print_changes(told, usize::MAX, out))
    }
}

fn print_changes(told: &Value, limit: usize, out: &mut impl Write) -> Result<(), Failure> {
    let now_s = Clock::system().wall_s();
    let row = |row: &Value| {
        let when = format!("{} ago", age(now_s.saturating_sub(row["at"].as_u64().unwrap_or(0))));
        vec![when, text(row, "kind"), text(row, "name"), text(row, "from"), text(row, "to"), text(row, "evidence")]
    };
    let changes = rows(told, "changes").iter().take(limit).map(row);
    print_table(&["WHEN", "WHAT", "WHO", "FROM", "TO", "WHY"], changes, out)
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Top {
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_every)]
    every: u64,
    /// End after so many looks
    #[arg(long)]
    count: Option<u64>,
    #[command(flatten)]
    socket: SocketArg,
}

fn parse_every(text: &str) -> Result<u64, String> {
    match number::duration_ms(text) {
        Some(ms) if ms >= MIN_EVERY_MS => Ok(ms),
        _ => Err(format!("write a time of at least {MIN_EVERY_MS} ms, such as `2s`")),
    }
}

impl Top {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut before = self.socket.json(&Question::get("/v1/statistics", &[("limit", "1000")]))?;
        let mut looks = 0;
        while self.count.is_none_or(|count| looks < count) {
            // Rates need two looks with a time between them.
            sleep(Duration::from_millis(self.every));
            let now = self.socket.json(&Question::get("/v1/statistics", &[("limit", "1000")]))?;
            let status = self.socket.json(&Question::get("/v1/status", &[]))?;
            let changes = self.socket.json(&Question::get("/v1/changes", &[("limit", "10")]))?;
            if std::io::stdout().is_terminal() {
                write!(out, "\x1b[H\x1b[2J")?;
            }
            Look { before: &before, now: &now }.print(&status, &changes, out)?;
            out.flush()?;
            before = now;
            looks += 1;
        }
        Ok(())
    }
}

/// Two statistics, one after the other.
struct Look<'v> {
    before: &'v Value,
    now: &'v Value,
}

impl Look<'_> {
    fn print(&self, status: &Value, changes: &Value, out: &mut impl Write) -> Result<(), Failure> {
        let (down, all) = missing(status);
        let overrides = rows(status, "overrides").len();
        writeln!(
            out,
            "{:.0} queries/s   generation {}   {down} of {all} regions not available   {overrides} overrides",
            self.rate(&self.before["queries"], &self.now["queries"]),
            status["generation"],
        )?;
        let mut answered = self.rates("regions", &["service", "region"]);
        // Those that nobody was sent to are what one looks for, too.
        for row in rows(status, "regions") {
            let keys = vec![text(row, "service"), text(row, "region")];
            if !answered.iter().any(|(known, _)| *known == keys) {
                answered.push((keys, 0.0));
            }
        }
        let more = answered.len().saturating_sub(MAX_REGIONS);
        let total: f64 = answered.iter().map(|(_, rate)| rate).sum();
        let share = |rate: f64| if total > 0.0 { rate * 100.0 / total } else { 0.0 };
        let state = |keys: &[String]| {
            let of = rows(status, "regions").iter().filter(|row| keys == [text(row, "service"), text(row, "region")]);
            of.map(|row| format!("{} {}", text(row, "family"), text(row, "state"))).collect::<Vec<_>>().join(", ")
        };
        let regions = answered.into_iter().map(|(keys, rate)| {
            let state = state(&keys);
            [keys, vec![format!("{rate:.0}/s"), format!("{:.1} %", share(rate)), state]].concat()
        });
        print_table(&["SERVICE", "REGION", "ANSWERS", "SHARE", "STATE"], regions.take(MAX_REGIONS), out)?;
        if more > 0 {
            writeln!(out, "... and {more} more, which `meridian status` lists")?;
        }
        let names = self.rates("names", &["name"]).into_iter().map(|(keys, rate)| [keys, vec![format!("{rate:.0}/s")]].concat());
        print_table(&["NAME", "ANSWERS"], names.take(MAX_ROWS), out)?;
        print_changes(changes, MAX_ROWS, out)
    }

    /// What a list counts, by its keys, as rates, the highest first.
    fn rates(&self, list: &str, keys: &[&str]) -> Vec<(Vec<String>, f64)> {
        let keyed = |row: &Value| keys.iter().map(|key| text(row, key)).collect::<Vec<_>>();
        let earlier = |key: &Vec<String>| rows(self.before, list).iter().find(|row| keyed(row) == *key).map(|row| &row["answers"]);
        let rate = |row: &Value| {
            let key = keyed(row);
            let rate = self.rate(earlier(&key).unwrap_or(&Value::Null), &row["answers"]);
            (key, rate)
        };
        let mut rates: Vec<_> = rows(self.now, list).iter().map(rate).collect();
        rates.sort_by(|one, other| other.1.total_cmp(&one.1));
        rates
    }

    fn rate(&self, before: &Value, now: &Value) -> f64 {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let passed_ms = number(&self.now["now_ms"]).saturating_sub(number(&self.before["now_ms"]));
        number(now).saturating_sub(number(before)) as f64 * 1000.0 / passed_ms.max(1) as f64
    }
}
