//! What outlives the process: overrides, measured verdicts and the addresses of host names, in one small file of lines with a checksum.
//! It is written whole beside its place and then moved there; a file that cannot be believed is set aside, never overwritten in silence.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::writer::Save;
use crate::health::hosts::HostName;
use crate::health::overrides::{Forced, Overrides, Selector};
use crate::health::told::{AllTold, State, Told};
use crate::health::{Override, TargetKey, Verdict};

/// Name of the file in `state_dir`.
const FILE: &str = "health.state";

/// The files that may be in `state_dir`.
pub const FILES: [&str; 2] = [FILE, "health.state.broken"];

/// First line; another version is not read.
const HEAD: &str = "meridian health state 1";

/// Largest file that is read: overrides and a line for each of some hundred thousand targets.
const MAX_OCTETS: u64 = 16 << 20;

/// Measured verdicts that are older than this say nothing about now, in seconds.
const FRESH_S: u64 = 120;

/// What was read, or what is to be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Memory {
    pub(super) saved_s: u64,
    pub(super) overrides: Overrides,
    pub(super) told: AllTold,
    /// Verdicts by [`key`].
    pub(super) verdicts: Vec<(u64, Verdict)>,
    /// The last good addresses of host names.
    pub(super) hosts: Vec<(HostName, Vec<IpAddr>)>,
}

impl Memory {
    /// The verdicts, if they are fresh; a clock that was set back makes them old too.
    pub(super) fn fresh(&self, now_s: u64) -> &[(u64, Verdict)] {
        if (self.saved_s..=self.saved_s + FRESH_S).contains(&now_s) { &self.verdicts } else { &[] }
    }

    /// Reads the file of a folder. A broken one is set aside as `health.state.broken` and the error says so; none is no error.
    pub(super) fn read(folder: &Path) -> Result<Memory, String> {
        let path = folder.join(FILE);
        let text = match fs::metadata(&path)
            .and_then(|data| if data.len() > MAX_OCTETS { Err(io::Error::other("too large")) } else { fs::read_to_string(&path) })
        {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
            Err(error) => return Err(set_aside(&path, &error.to_string())),
        };
        parse(&text).map_err(|what| set_aside(&path, what))
    }

    /// What another process has told; its error says what is wrong with it.
    pub(super) fn told(text: &str) -> Result<Memory, String> {
        parse(text).map_err(|what| format!("the health state of the process that ran before cannot be read: {what}"))
    }

    /// What is to be saved, with keys for targets: hashes over whole monitors, so not worked out where anybody waits.
    pub(super) fn of(save: Save) -> Memory {
        let Save { saved_s, overrides, told, verdicts, hosts } = save;
        let verdicts = verdicts.iter().map(|(target, verdict)| (key(target), *verdict)).collect();
        Memory { saved_s, overrides, told, verdicts, hosts }
    }

    /// Writes the file of a folder, which is made where it is missing.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let (path, beside) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
        let mut file = File::create(&beside)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        // The name too shall survive a crash.
        File::open(folder)?.sync_all()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{HEAD}\nsaved {}\n", self.saved_s);
        for forced in self.overrides.iter() {
            let until = forced.until_s.map_or("-".to_owned(), |until_s| until_s.to_string());
            let (state, selector) = (forced.state, forced.selector.as_str());
            let (author, reason) = (flat(&forced.author), flat(&forced.reason));
            text.push_str(&format!("force\t{state}\t{selector}\t{}\t{until}\t{author}\t{reason}\n", forced.since_s));
        }
        for told in self.told.iter() {
            let (state, selector, since_s, until_s) = (told.state.name(), told.selector.as_str(), told.since_s, told.until_s);
            let (author, reason) = (flat(&told.author), flat(&told.reason));
            text.push_str(&format!("told\t{state}\t{selector}\t{since_s}\t{until_s}\t{author}\t{reason}\n"));
        }
        self.verdicts.iter().for_each(|(key, verdict)| text.push_str(&format!("target {key:016x} {verdict}\n")));
        for (host, addresses) in &self.hosts {
            let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            text.push_str(&format!("host {host} {}\n", addresses.join(" ")));
        }
        text.push_str(&format!("sum {:016x}\n", hash(text.as_bytes())));
        text
    }
}

/// By what a target is known again: a hash of everything that makes it one. Another release may hash otherwise, and then forgets.
pub(super) fn key(target: &TargetKey) -> u64 {
    hash(format!("{:?}", **target).as_bytes())
}

fn set_aside(path: &Path, what: &str) -> String {
    let aside: PathBuf = path.with_extension("state.broken");
    match fs::rename(path, &aside) {
        Ok(()) => format!("`{}` is broken ({what}); it was set aside as `{}`", path.display(), aside.display()),
        Err(error) => format!("`{}` is broken ({what}) and cannot be set aside: {error}", path.display()),
    }
}

fn parse(text: &str) -> Result<Memory, &'static str> {
    let body = text.trim_end_matches('\n');
    let (body, sum) = body.rsplit_once("\nsum ").ok_or("it has no checksum")?;
    if u64::from_str_radix(sum, 16).ok() != Some(hash(format!("{body}\n").as_bytes())) {
        return Err("its checksum is wrong");
    }
    let mut lines = body.lines();
    if lines.next() != Some(HEAD) {
        return Err("it is of another version");
    }
    let mut memory = Memory::default();
    for line in lines {
        take_line(&mut memory, line).ok_or("a line cannot be read")?;
    }
    Ok(memory)
}

fn take_line(memory: &mut Memory, line: &str) -> Option<()> {
    if let Some(saved) = line.strip_prefix("saved ") {
        memory.saved_s = saved.parse().ok()?;
    } else if let Some(target) = line.strip_prefix("target ") {
        let (key, verdict) = target.split_once(' ')?;
        let verdict = [Verdict::Down, Verdict::Suppressed, Verdict::Degraded, Verdict::Unknown, Verdict::Up]
            .into_iter()
            .find(|known| known.to_string() == verdict)?;
        memory.verdicts.push((u64::from_str_radix(key, 16).ok()?, verdict));
    } else if let Some(host) = line.strip_prefix("host ") {
        let mut words = host.split_whitespace();
        let name = HostName::from(words.next()?);
        memory.hosts.push((name, words.map(|word| word.parse().ok()).collect::<Option<_>>()?));
    } else if let Some(told) = line.strip_prefix("told\t") {
        let fields: Vec<&str> = told.splitn(6, '\t').collect();
        let [state, selector, since, until, author, reason] = fields[..] else { return None };
        let state = State::ALL.into_iter().find(|known| known.name() == state)?;
        let selector = Selector::parse(selector).ok()?;
        let (author, reason) = (author.to_owned(), reason.to_owned());
        memory.told.take(Told { selector, state, reason, author, since_s: since.parse().ok()?, until_s: until.parse().ok()? }).ok()?;
    } else {
        let fields: Vec<&str> = line.strip_prefix("force\t")?.splitn(6, '\t').collect();
        let [state, selector, since, until, author, reason] = fields[..] else { return None };
        let state = [Override::Up, Override::Down, Override::Drain].into_iter().find(|known| known.to_string() == state)?;
        let until_s = if until == "-" { None } else { Some(until.parse().ok()?) };
        let selector = Selector::parse(selector).ok()?;
        let (author, reason) = (author.to_owned(), reason.to_owned());
        memory.overrides.force(Forced { selector, state, reason, author, since_s: since.parse().ok()?, until_s }).ok()?;
    }
    Some(())
}

/// One line, one field.
fn flat(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// FNV-1a, 64 bits: against torn and edited files, not against attackers.
fn hash(octets: &[u8]) -> u64 {
    octets.iter().fold(0xCBF2_9CE4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("meridian-memory-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn memory() -> Memory {
        let mut memory = Memory { saved_s: 1000, verdicts: vec![(7, Verdict::Down), (u64::MAX, Verdict::Degraded)], ..Memory::default() };
        let forced = |selector: &str, until_s| Forced {
            selector: Selector::parse(selector).unwrap(),
            state: Override::Drain,
            reason: "disk change\tin rack 7".into(),
            author: "ana".into(),
            since_s: 900,
            until_s,
        };
        memory.overrides.force(forced("eu-*/web", Some(5000))).unwrap();
        memory.overrides.force(forced("us-east", None)).unwrap();
        let selector = Selector::parse("eu-west").unwrap();
        let (reason, author) = ("three of five\tsay so".to_owned(), "nagios".to_owned());
        memory.told.take(Told { selector, state: State::Down, reason, author, since_s: 950, until_s: 1050 }).unwrap();
        memory.hosts.push(("lb.example.net".into(), vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()]));
        memory.hosts.push(("unknown.example.net".into(), vec![]));
        memory
    }

    #[test]
    fn h4_what_was_written_is_read_again() {
        let folder = folder("round");
        assert_eq!(Memory::read(&folder), Ok(Memory::default()), "none is no error");
        memory().write(&folder).unwrap();
        memory().write(&folder).unwrap();
        let read = Memory::read(&folder).unwrap();
        assert_eq!((&read.verdicts, &read.hosts), (&memory().verdicts, &memory().hosts));
        let told: Vec<(&str, &str, u64)> = read.told.iter().map(|told| (&*told.author, &*told.reason, told.until_s)).collect();
        assert_eq!(told, [("nagios", "three of five say so", 1050)]);
        let reasons: Vec<&str> = read.overrides.iter().map(|forced| forced.reason.as_str()).collect();
        assert_eq!(reasons, ["disk change in rack 7"; 2]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn h4_a_broken_file_is_set_aside_wherever_it_is_cut_or_changed() {
        let folder = folder("broken");
        memory().write(&folder).unwrap();
        let good = fs::read(folder.join(FILE)).unwrap();
        let cut = (0..good.len() - 1).map(|len| good[..len].to_vec());
        let changed =
            (0..good.len() - 1).map(|at| good.iter().enumerate().map(|(n, octet)| if n == at { octet ^ 1 } else { *octet }).collect());
        for octets in cut.chain(changed) {
            fs::write(folder.join(FILE), &octets).unwrap();
            let error = Memory::read(&folder).unwrap_err();
            assert!(error.contains("was set aside"), "{error}");
            assert!(!folder.join(FILE).exists() && folder.join("health.state.broken").exists());
        }
    }

    #[test]
    fn only_fresh_verdicts_count() {
        let memory = memory();
        let counts = [999, 1000, 1120, 1121].map(|now_s| memory.fresh(now_s).len());
        assert_eq!(counts, [0, 2, 2, 0]);
    }
}
