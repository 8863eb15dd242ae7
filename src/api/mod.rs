//! The control socket: a Unix socket by which `meridian status`, `meridian ctl` and `meridian explain --live` speak to the running server.
//! It has the narrow handle of health and reads the world: it cannot touch what is configured, and it is never reachable over a network.

mod explain;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::answer::explain::{Asked, Explanation, explain};
use crate::clock::Clock;
use crate::geo::{Family, Prefix};
use crate::health::overrides::{Forced, MAX_TEXT, Selector};
use crate::health::{CapacityKey, Override};
use crate::keeper::{HealthHandle, Status, ToldLoad};
use crate::name::Name;
use crate::snapshot::Shared;

/// Longest request: one line with a selector and two texts.
const MAX_REQUEST: u64 = 4096;

/// A client that does not finish its line in this time is let go: it holds up the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// The socket while it is served; its file goes with it.
#[derive(Debug)]
pub struct Control(PathBuf);

/// Serves the socket at `path` on a thread of its own. A socket file that nobody listens on any more is replaced.
pub fn listen(path: &Path, health: HealthHandle, world: Shared, clock: Clock) -> io::Result<Control> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there"));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let serve = move || {
        for stream in listener.incoming() {
            // One client at a time: they are few, and each is done in milliseconds.
            let served = stream.and_then(|stream| serve_one(&stream, &health, &world, &clock));
            if let Err(error) = served {
                tracing::debug!(%error, "a client of the control socket went away");
            }
        }
    };
    std::thread::Builder::new().name("control".into()).spawn(serve)?;
    Ok(Control(path.to_owned()))
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Asks the server at `path`; gives back its answer, or why it refused. For the command line.
pub fn ask(path: &Path, fields: &[&str]) -> Result<String, String> {
    let unreachable = |error: io::Error| format!("cannot reach the server at `{}`: {error}", path.display());
    let mut stream = UnixStream::connect(path).map_err(unreachable)?;
    let line: Vec<String> = fields.iter().map(|field| field.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()).collect();
    stream.write_all(format!("{}\n", line.join("\t")).as_bytes()).map_err(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    match answer.split_once('\n') {
        Some(("ok", rest)) => Ok(rest.to_owned()),
        Some(("error", rest)) => Err(rest.trim_end().to_owned()),
        _ => Err("the server's answer cannot be read".to_owned()),
    }
}

fn serve_one(stream: &UnixStream, health: &HealthHandle, world: &Shared, clock: &Clock) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    let line = String::from_utf8_lossy(&line);
    let fields: Vec<&str> = line.split('\t').collect();
    let (word, text) = match answer(&fields, health, world, clock) {
        Ok(text) => ("ok", text),
        Err(text) => ("error", text),
    };
    let mut stream = stream;
    stream.write_all(format!("{word}\n{text}\n").as_bytes())
}

fn answer(fields: &[&str], health: &HealthHandle, world: &Shared, clock: &Clock) -> Result<String, String> {
    match fields {
        ["explain", format, qtype, name, client] => {
            let name = Name::parse(name, None).map_err(|error| error.to_string())?;
            let client: Prefix = client.parse().map_err(|error| format!("{error}"))?;
            let family = if *qtype == "AAAA" { Family::V6 } else { Family::V4 };
            let asked = Asked { name, family, subnet: Some(client), peer: client.network() };
            let world = world.load();
            told(
                &explain(&world, asked, clock.now_ms()),
                *format == "json",
                &format!("as the server has it, generation {}", world.generation),
            )
        }
        ["status"] => Ok(status_json(&health.status()?)),
        ["force", state, selector, until, author, reason] => {
            let state = [Override::Up, Override::Down, Override::Drain].into_iter().find(|known| known.to_string() == *state);
            let for_s = if *until == "-" { None } else { Some(until.parse::<u64>().map_err(|_| "the time is no number".to_owned())?) };
            let now_s = clock.wall_s();
            let text = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
            let concerned = health.force(Forced {
                selector: Selector::parse(selector)?,
                state: state.ok_or("the state is not up, down or drain")?,
                reason: text(reason),
                author: text(author),
                since_s: now_s,
                until_s: for_s.map(|for_s| now_s.saturating_add(for_s)),
            })?;
            Ok(format!("{concerned} endpoints"))
        }
        ["load", key, load, holds_ms] => {
            let (region, service) = key.split_once('/').map_or((*key, None), |(region, service)| (region, Some(service)));
            let key = CapacityKey { region: region.into(), service: service.map(Into::into) };
            let load = load.parse().map_err(|_| format!("`{load}` is no load"))?;
            let holds_ms = holds_ms.parse().map_err(|_| "the time is no number".to_owned())?;
            health.load(ToldLoad { key, load, holds_ms })?;
            Ok("taken".to_owned())
        }
        ["clear", selector] => match health.clear(Selector::parse(selector)?)? {
            (0, 0) => Err(format!("nothing is forced or waits at `{selector}`")),
            (overrides, regions) => Ok(format!("{overrides} overrides cleared, {regions} regions take clients again")),
        },
        _ => Err("the request is unknown".to_owned()),
    }
}

/// What kind of answer it is on the first line, then the explanation. `health` says where the health is from.
pub fn told(explanation: &Explanation<'_>, as_json: bool, health: &str) -> Result<String, String> {
    let text = if as_json { explain::json(explanation, health)?.to_string() } else { explain::text(explanation, health)? };
    Ok(format!("{}\n{text}", explanation.outcome.class.name()))
}

fn status_json(status: &Status) -> String {
    let pools = status.pools.iter().map(|pool| {
        json!({
            "service": pool.service, "region": pool.region, "family": pool.family, "state": pool.state, "since_s": pool.since_s,
            "endpoints_up": pool.up, "endpoints": pool.endpoints, "admit_percent": pool.admit_percent, "waits": pool.waits,
        })
    });
    let targets = status.targets.iter().map(|target| {
        json!({
            "target": target.target, "state": target.state, "since_s": target.since_s, "flag": target.flag,
            "evidence": target.evidence, "evidence_age_s": target.evidence_age_s, "next_probe_ms": target.next_probe_ms,
            "prober_faults": target.prober_faults,
        })
    });
    let hosts = status.hosts.iter().map(
        |host| json!({ "host": host.host, "addresses": host.addresses, "age_s": host.age_s, "next_s": host.next_s, "error": host.error }),
    );
    let capacities = status.capacities.iter().map(|row| {
        json!({
            "region": row.region, "load": row.load.map(|(load, _)| load), "load_age_s": row.load.map(|(_, age_s)| age_s),
            "soft": row.soft, "hard": row.hard, "limit": row.limit, "shed_percent": row.shed_percent,
        })
    });
    let tally = &status.tally;
    let since_start = json!({
        "target_changes": tally.target_changes, "region_changes": tally.region_changes, "holds": tally.holds,
        "suppressions": tally.suppressions, "shed_changes": tally.shed_changes, "forced": tally.forced,
    });
    let overrides = status.overrides.iter().map(|forced| {
        json!({
            "selector": forced.selector.as_str(), "state": forced.state.to_string(), "reason": forced.reason, "author": forced.author,
            "since": forced.since_s, "until": forced.until_s,
        })
    });
    let (pools, targets) = (pools.collect::<Vec<_>>(), targets.collect::<Vec<_>>());
    let (capacities, hosts, overrides) = (capacities.collect::<Vec<_>>(), hosts.collect::<Vec<_>>(), overrides.collect::<Vec<_>>());
    json!({
        "generation": status.generation, "regions": pools, "capacities": capacities, "targets": targets, "hosts": hosts, "overrides": overrides,
        "since_start": since_start,
    })
    .to_string()
}
