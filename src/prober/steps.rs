//! The steps of one run of a probe, for `meridian probe`: how long each took, where it stopped, and what was asked of the answer.
//! It only listens: the bulk of all probes runs with [`Steps::off`], by the same code, and comes to the same verdict. What a target says of its
//! work is heard in both cases.

use std::fmt;

use crate::clock::Clock;
use crate::health::report::Outcome;

/// A part of a probe; the parts of one kind come in this order, and no kind has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The name of the endpoint is resolved (before the probe proper).
    Resolve,
    /// The connection is made.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The question goes out, and the answer begins to come: for HTTP its status and headers.
    FirstByte,
    /// The rest of the answer.
    Body,
    /// A program of the operator runs.
    Run,
    /// The answer is held against what the monitor asks for.
    Assertions,
}

impl fmt::Display for Phase {
    /// `resolve`, `connect`, `tls`, `first byte`, `body`, `run`, `assertions`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Resolve => "resolve",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::FirstByte => "first byte",
            Phase::Body => "body",
            Phase::Run => "run",
            Phase::Assertions => "assertions",
        })
    }
}

/// One thing that was asked of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// What: `status`, `body`, `/cpu_usage`.
    pub what: String,
    /// What it makes of the probe.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
}

/// What is known of a run so far.
#[derive(Debug, Default)]
pub struct Record {
    /// Phases that ended, in order, with their microseconds.
    pub done: Vec<(Phase, u64)>,
    /// The phase in which the run stopped, with its microseconds; none where all ended.
    pub stopped: Option<(Phase, u64)>,
    /// What was asked of the answer.
    pub assertions: Vec<Assertion>,
}

/// The listener.
pub(super) struct Steps {
    recorder: Option<Recorder>,
    active: Option<u32>,
}

struct Recorder {
    clock: Clock,
    current: Option<(Phase, u64)>,
    record: Record,
}

impl Steps {
    /// Nobody wants to know.
    pub(super) fn off() -> Steps {
        Steps { recorder: None, active: None }
    }

    /// Everything is kept.
    pub(super) fn kept(clock: &Clock) -> Steps {
        Steps { recorder: Some(Recorder { clock: clock.clone(), current: None, record: Record::default() }), active: None }
    }

    /// The phase before is done, this one begins.
    pub(super) fn enter(&mut self, phase: Phase) {
        if let Some(recorder) = &mut self.recorder {
            recorder.end();
            recorder.current = Some((phase, recorder.clock.now_us()));
        }
    }

    /// The last phase is done.
    pub(super) fn finish(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.end();
        }
    }

    /// Something was asked of the answer. The texts are made only where they are kept.
    pub(super) fn assert(&mut self, what: &str, outcome: Outcome, found: impl FnOnce() -> String) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record.assertions.push(Assertion { what: what.to_owned(), outcome, found: found() });
        }
    }

    /// The target says how much it works on.
    pub(super) fn works_on(&mut self, active: u32) {
        self.active = Some(active);
    }

    /// How much the target says it works on.
    pub(super) fn active(&self) -> Option<u32> {
        self.active
    }

    /// What was kept.
    pub(super) fn into_record(self) -> Record {
        self.recorder.map_or_else(Record::default, |recorder| {
            let stopped = recorder.current.map(|(phase, start_us)| (phase, recorder.clock.now_us().saturating_sub(start_us)));
            Record { stopped, ..recorder.record }
        })
    }
}

impl Recorder {
    fn end(&mut self) {
        if let Some((phase, start_us)) = self.current.take() {
            self.record.done.push((phase, self.clock.now_us().saturating_sub(start_us)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::FakeClock;

    #[test]
    fn phases_have_their_times_and_the_one_that_stopped_is_known() {
        let fake = FakeClock::new();
        let mut steps = Steps::kept(&fake.clock());
        steps.enter(Phase::Connect);
        fake.advance(Duration::from_millis(3));
        steps.enter(Phase::FirstByte);
        fake.advance(Duration::from_millis(2000));
        let record = steps.into_record();
        assert_eq!((record.done, record.stopped), (vec![(Phase::Connect, 3_000)], Some((Phase::FirstByte, 2_000_000))));
    }

    #[test]
    fn what_nobody_wants_to_know_is_not_written_down() {
        let mut steps = Steps::off();
        steps.enter(Phase::Connect);
        steps.assert("status", Outcome::Success, || unreachable!("no text is made"));
        steps.finish();
        assert!(steps.into_record().done.is_empty());
    }
}
