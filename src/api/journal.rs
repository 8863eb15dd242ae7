//! What became of loads: how many, when, how long, and what the last one said. The daemon writes it, requests read it.
//! It loads nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::compile::GeoSource;
use crate::config::model::Identity;
use crate::config::settings::Settings;

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadOutcome {
    /// It is in force.
    Done,
    /// The configuration was refused, and the one before stays.
    Refused,
    /// The machine failed it, and the one before stays.
    Failed,
}

impl LoadOutcome {
    /// All, in the order of their numbers.
    pub const ALL: [LoadOutcome; 3] = [LoadOutcome::Done, LoadOutcome::Refused, LoadOutcome::Failed];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            LoadOutcome::Done => "done",
            LoadOutcome::Refused => "refused",
            LoadOutcome::Failed => "failed",
        }
    }
}

/// All that is told of loads.
#[derive(Debug, Clone, Default)]
pub struct Loads {
    /// Loads since the start, the first included, by outcome.
    pub counts: [u64; LoadOutcome::ALL.len()],
    /// The last one, and when it ended, in seconds since 1970.
    pub last: Option<(LoadOutcome, u64)>,
    /// The same of those loads that a change of a watched file has asked for.
    pub watched_counts: [u64; LoadOutcome::ALL.len()],
    /// The last one of them.
    pub watched: Option<(LoadOutcome, u64)>,
    /// When the configuration in force was loaded, in seconds since 1970.
    pub loaded_s: u64,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// The geo files that it was made of.
    pub geo: Vec<GeoSource>,
    /// The certificates that are shown, and when each ends, in seconds since 1970.
    pub certificates: Vec<(PathBuf, i64)>,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// Warnings of the configuration in force, and why the last load was refused, for people.
    pub text: String,
    /// When the process started, in seconds since 1970.
    pub started_s: u64,
}

/// What is told of the configuration in force.
#[derive(Debug)]
pub struct InForce {
    /// The geo files that it was made of.
    pub geo: Vec<GeoSource>,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// Its warnings, for people.
    pub warnings: String,
}

/// Where the daemon writes what became of loads.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Loads>);

impl Journal {
    /// A process that started then.
    pub fn new(started_s: u64) -> Journal {
        Journal(Mutex::new(Loads { started_s, ..Loads::default() }))
    }

    /// A load is in force.
    pub fn done(&self, now_s: u64, took_ms: u64, in_force: InForce) {
        let InForce { geo, settings, warnings } = in_force;
        let mut loads = self.lock();
        loads.note(LoadOutcome::Done, now_s, warnings);
        (loads.loaded_s, loads.took_ms, loads.geo, loads.settings) = (now_s, took_ms, geo, settings);
    }

    /// The certificates that are shown from now on.
    pub fn shows<'i>(&self, identities: impl Iterator<Item = &'i Identity>) {
        let mut shown: Vec<_> = identities.map(|identity| (identity.path.clone(), identity.not_after_s)).collect();
        // The same file may serve both, and is one series.
        shown.dedup_by(|one, other| one.0 == other.0);
        self.lock().certificates = shown;
    }

    /// A load came to nothing.
    pub fn came_to_nothing(&self, outcome: LoadOutcome, now_s: u64, why: String) {
        self.lock().note(outcome, now_s, why);
    }

    /// The load that was noted last was one that a change of a watched file has asked for.
    pub fn was_watched(&self) {
        let mut loads = self.lock();
        loads.watched = loads.last;
        if let Some((outcome, _)) = loads.last {
            loads.watched_counts[outcome as usize] += 1;
        }
    }

    /// What was written.
    pub fn read(&self) -> Loads {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Loads> {
        // Nothing panics half-way through a change here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loads {
    fn note(&mut self, outcome: LoadOutcome, now_s: u64, text: String) {
        self.counts[outcome as usize] += 1;
        (self.last, self.text) = (Some((outcome, now_s)), text);
    }
}
