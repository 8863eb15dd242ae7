//! The query log: answering threads drop samples into bounded rings, and one thread writes them out, as JSON lines or as dnstap.
//! It never slows an answer: where the writer is behind, samples are dropped and counted.

mod dnstap;
mod filter;
mod json;
mod record;
mod stream;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::answer::{Ask, Outcome};
use crate::clock::Clock;
use crate::config::model::QueryLog as Settings;
use crate::snapshot::{Catalog, Shared};
use filter::Filter;
use record::Record;

/// What waits is written within this time at the end, or lost: a collector that has stopped reading must not keep the process.
const FAREWELL: Duration = Duration::from_secs(2);

/// Samples that wait for the writer, of one answering thread: some 2 kB each, and more than it answers while the writer is away.
const RING_RECORDS: usize = 1_024;

/// Where answering threads get their taps, and what is known of all of them.
#[derive(Debug, Clone)]
pub struct Taps(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Rings that the writer does not know yet.
    new: Mutex<Vec<Consumer<Record>>>,
    dropped: AtomicU64,
    written: AtomicU64,
    stop: AtomicBool,
}

impl Taps {
    /// A ring of its own for one more answering thread.
    pub fn tap(&self) -> Tap {
        let (producer, consumer) = RingBuffer::new(RING_RECORDS);
        self.0.new.lock().unwrap_or_else(PoisonError::into_inner).push(consumer);
        let settings = &self.0.settings;
        Tap { producer, every: settings.sample, left: 0, filter: Filter::new(settings), taps: Arc::clone(&self.0) }
    }

    /// Samples that were dropped because the writer was behind or could not write.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// Samples that were written.
    pub fn written(&self) -> u64 {
        self.0.written.load(Relaxed)
    }
}

/// One answering thread's end of a ring.
#[derive(Debug)]
pub struct Tap {
    producer: Producer<Record>,
    every: u32,
    left: u32,
    filter: Filter,
    taps: Arc<Inner>,
}

impl Tap {
    /// Takes a sample if it is one: a copy of what was asked and answered.
    #[inline]
    pub fn take(&mut self, catalog: &Arc<Catalog>, ask: &Ask<'_>, outcome: &Outcome, reply: &[u8]) {
        if !self.filter.wants(ask, outcome) {
            return;
        }
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        self.left = self.every - 1;
        self.copy(catalog, ask, outcome, reply);
    }

    #[cold]
    fn copy(&mut self, catalog: &Arc<Catalog>, ask: &Ask<'_>, outcome: &Outcome, reply: &[u8]) {
        if self.producer.push(Record::of(catalog, ask, outcome, reply)).is_err() {
            self.taps.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// The writer at work. Dropping it writes what waits and ends it, or lets it go where that takes longer than two seconds.
#[derive(Debug)]
pub struct QueryLog {
    taps: Taps,
    writer: Thread,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread is done.
    done: Receiver<()>,
}

impl QueryLog {
    /// Opens what is written to and starts the writer. A stream in a file begins with its first sample.
    ///
    /// # Errors
    /// What the system says of the file. A socket that nobody listens on is no error: it is tried again.
    pub fn start(settings: &Settings, world: Shared, clock: Clock) -> io::Result<QueryLog> {
        let inner = Inner {
            settings: settings.clone(),
            new: Mutex::default(),
            dropped: AtomicU64::new(0),
            written: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        };
        let taps = Taps(Arc::new(inner));
        let mut writer = writer::Writer::open(&taps.0, world, clock)?;
        let (is_done, done) = channel();
        let work = move || {
            writer.run();
            drop(is_done);
        };
        let thread = std::thread::Builder::new().name("query-log".into()).spawn(work)?;
        Ok(QueryLog { taps, writer: thread.thread().clone(), thread: Some(thread), done })
    }

    /// For answering threads and metrics.
    pub fn taps(&self) -> Taps {
        self.taps.clone()
    }
}

impl Drop for QueryLog {
    fn drop(&mut self) {
        self.taps.0.stop.store(true, Relaxed);
        self.writer.unpark();
        if self.done.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("what is left of the query log is lost: its reader takes too long");
            return;
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there was logged; the end goes on.
            _ = thread.join();
        }
    }
}
