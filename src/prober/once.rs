//! One run of each of some probes, step by step, for whoever asks by hand: exactly the probes that the schedule runs.
//! It reports to nobody else: what an operator tries out changes no verdict.

use std::io;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::sync::Semaphore;

use super::probe::Setup;
use super::steps::{Record, Steps};
use crate::clock::Clock;
use crate::health::monitor::TargetKey;
use crate::health::report::{Evidence, Outcome, Report};

/// So many run at once: a hundred dead targets are told of soon, and times are not those of a crowd.
const MAX_AT_ONCE: usize = 16;

/// What one run found, and how it came to that.
#[derive(Debug)]
pub struct Run {
    /// Outcome, evidence and time, as a scheduled run would report them.
    pub report: Report,
    /// The steps on the way.
    pub record: Record,
}

/// Runs the probe of each target once, for at most its timeout, and waits for all; the runs are in the order of the targets.
/// Errors: the system gives no runtime.
pub fn run_once(targets: &[TargetKey], clock: &Clock) -> io::Result<Vec<Run>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let turns = Arc::new(Semaphore::new(MAX_AT_ONCE));
    let mut setup = Setup::new(clock);
    runtime.block_on(async {
        let start = |(number, target): (u16, &TargetKey)| {
            let (probe, target, clock, turns) = (setup.probe(target), target.clone(), clock.clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                // Never closed; without a turn it would run all the same.
                let _turn = turns.acquire().await;
                let mut steps = Steps::kept(&clock);
                let report = probe.report(&target.monitor, &clock, number, &mut steps).await;
                Run { report, record: steps.into_record() }
            })
        };
        // The numbers of packets may repeat after 65,536 targets: no two of those run at once.
        let tasks: Vec<_> = (0..=u16::MAX).cycle().zip(targets).map(start).collect();
        let mut runs = Vec::with_capacity(tasks.len());
        for task in tasks {
            runs.push(task.await.unwrap_or_else(|error| broken(&error.to_string())));
        }
        Ok(runs)
    })
}

/// A probe that panicked: ours to mend, and no word about the target.
fn broken(why: &str) -> Run {
    let report = Report { outcome: Outcome::ProberFault, evidence: Evidence::Other(Evidence::text(why)), took_ms: 0, active: None };
    Run { report, record: Record::default() }
}
