//! What is asked of a server for a while, and what came of it: the same for UDP and TCP.
//! The beginning is not counted, so that caches and connections are as they will be.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cpu::{Meter, Used};
use crate::histogram::Histogram;
use crate::sys;

/// How long a server is asked before it is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// Whom to ask, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    /// The first process of the server.
    pub(crate) process: u32,
    /// How long is counted.
    pub(crate) time: Duration,
    /// Queries a second at random moments; 0 is the next one whenever there is room on the way.
    pub(crate) rate: f64,
    /// Ports that UDP queries come from, 1 to [`WINDOW`].
    pub(crate) ports: usize,
}

/// UDP queries on their way in a closed loop, over all ports: enough that the server always has some.
pub(crate) const WINDOW: usize = 192;

/// Ports, so that the server meets several peers.
pub(crate) const DEFAULT_PORTS: usize = 8;

/// Counts of replies and of what became of the others.
#[derive(Clone)]
pub(crate) struct Counts {
    pub(crate) replies: u64,
    pub(crate) lost: u64,
    /// Replies with an error, without an address, or with another one than is right.
    pub(crate) wrong: u64,
    pub(crate) latency: Histogram,
}

impl Counts {
    pub(crate) fn new() -> Counts {
        Counts { replies: 0, lost: 0, wrong: 0, latency: Histogram::new() }
    }
}

/// What was counted.
pub(crate) struct Measured {
    pub(crate) counts: Counts,
    pub(crate) time: Duration,
    pub(crate) server: Used,
    /// The part of its core that the sender had, from 0 to 1: it never waits, so less than all of it is the work of others.
    pub(crate) sender_share: f64,
}

/// The time since a measurement began.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    /// In nanoseconds, and at least 1.
    pub(crate) fn now_ns(self) -> u64 {
        // 64 bits of nanoseconds are 584 years.
        self.0.elapsed().as_nanos() as u64 + 1
    }
}

/// Asks by `step`, which counts, until the time is over.
pub(crate) fn measure(load: Load, mut step: impl FnMut(Clock, &mut Counts) -> Result<()>) -> Result<Measured> {
    let clock = Clock::start();
    let mut ask_for = |time: Duration| -> Result<Counts> {
        let (since, mut counts) = (Instant::now(), Counts::new());
        while since.elapsed() < time {
            step(clock, &mut counts)?;
        }
        Ok(counts)
    };
    ask_for(WARM_UP)?;
    let (meter, sender, since) = (Meter::begin(load.process), sys::own_cpu()?, Instant::now());
    let counts = ask_for(load.time)?;
    let (time, server) = (since.elapsed(), meter.used());
    ensure!(counts.replies > 0, "no replies");
    let sender_share = sys::own_cpu()?.saturating_sub(sender).as_secs_f64() / time.as_secs_f64();
    Ok(Measured { counts, time, server, sender_share })
}
