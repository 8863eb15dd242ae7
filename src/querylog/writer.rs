//! The writer of the query log: empties the rings, resolves what numbers mean, and writes to a file or a collector.
//! What cannot be written is dropped and counted; it never waits for long.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rtrb::Consumer;
use socket2::{Domain, SockAddr, Socket, Type};

use super::record::{Record, address_of};
use super::{Inner, RING_RECORDS, dnstap, json, stream};
use crate::clock::Clock;
use crate::config::model::QueryLogTo;
use crate::snapshot::{Catalog, Shared};

/// Between two looks into the rings: they hold what some 20,000 sampled answers a second leave there meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// A collector that does not take octets for so long has hung.
const SOCKET_PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks whether the file was rotated, and two attempts to reach a collector.
const RETRY_MS: u64 = 1_000;

/// Who made a dnstap message.
const VERSION: &str = concat!("meridian ", env!("CARGO_PKG_VERSION"));

/// The thread's own things.
pub(super) struct Writer {
    inner: Arc<Inner>,
    world: Shared,
    clock: Clock,
    /// Milliseconds since 1970 when the clock was at zero.
    epoch_ms: u64,
    rings: Vec<Consumer<Record>>,
    catalog: Arc<Catalog>,
    sink: Sink,
    looked_ms: u64,
    /// Samples that wait in the buffer of the sink.
    buffered: u64,
}

enum Sink {
    /// A stream in a file that begins with its first sample: a process that never comes to serve leaves that of another alone.
    Later {
        path: PathBuf,
        may_try: bool,
    },
    File {
        path: PathBuf,
        file: BufWriter<File>,
        inode: u64,
        is_dnstap: bool,
    },
    Collector {
        path: PathBuf,
        stream: Option<BufWriter<UnixStream>>,
    },
}

impl Writer {
    pub(super) fn open(inner: &Arc<Inner>, world: Shared, clock: Clock) -> io::Result<Writer> {
        let sink = match &inner.settings.to {
            QueryLogTo::Json(path) => Sink::file(path, false)?,
            QueryLogTo::Dnstap(path) => {
                stream::check(path)?;
                Sink::Later { path: path.clone(), may_try: true }
            }
            QueryLogTo::DnstapSocket(path) => Sink::Collector { path: path.clone(), stream: None },
        };
        let catalog = Arc::clone(&world.load().catalog);
        Ok(Writer { inner: Arc::clone(inner), world, epoch_ms: 0, clock, rings: Vec::new(), catalog, sink, looked_ms: 0, buffered: 0 })
    }

    pub(super) fn run(&mut self) {
        loop {
            let is_last = self.inner.stop.load(Relaxed);
            self.turn();
            if is_last {
                break;
            }
            std::thread::park_timeout(PAUSE);
        }
        self.sink.end();
    }

    /// Empties all rings once.
    fn turn(&mut self) {
        self.rings.append(&mut self.inner.new.lock().unwrap_or_else(PoisonError::into_inner));
        let now_ms = self.clock.now_ms();
        // The wall clock may be set at any time.
        self.epoch_ms = self.clock.wall_ms().saturating_sub(now_ms);
        if now_ms >= self.looked_ms + RETRY_MS {
            self.looked_ms = now_ms;
            self.sink.renew();
        }
        // Samples of the world before may still wait; they are told by its names.
        let newest = Arc::clone(&self.world.load().catalog);
        let worlds = [Arc::clone(&newest), std::mem::replace(&mut self.catalog, newest)];
        let mut rings = std::mem::take(&mut self.rings);
        // No more than a ring holds, or a busy thread would keep us from the other rings.
        for record in rings.iter_mut().flat_map(|ring| std::iter::from_fn(|| ring.pop().ok()).take(RING_RECORDS)) {
            let catalog = worlds.iter().find(|world| address_of(world) == record.catalog).map(|world| &**world);
            self.write(&record, catalog);
        }
        // A thread that has ended has left nothing behind.
        rings.retain(|ring| !ring.is_abandoned() || !ring.is_empty());
        self.rings = rings;
        let is_written = self.sink.flush();
        self.settle(is_written);
    }

    fn write(&mut self, record: &Record, catalog: Option<&Catalog>) {
        let zones = &self.inner.settings.zones;
        if !zones.is_empty() {
            let zone = record.outcome.zone.and_then(|zone| catalog?.zones.zones().get(zone.0 as usize));
            if zone.is_none_or(|zone| !zones.contains(&zone.apex)) {
                return;
            }
        }
        let at_ms = self.epoch_ms + record.now_ms;
        let octets = match &self.inner.settings.to {
            QueryLogTo::Json(_) => json::line(record, catalog, at_ms).into_bytes().into_iter().chain([b'\n']).collect(),
            QueryLogTo::Dnstap(_) | QueryLogTo::DnstapSocket(_) => {
                dnstap::frame(record, &self.inner.settings.identity, VERSION.as_bytes(), at_ms)
            }
        };
        if self.sink.write(&octets) {
            self.buffered += 1;
        } else {
            self.settle(false);
            self.inner.dropped.fetch_add(1, Relaxed);
        }
    }

    /// What waited in a buffer was written, or is lost with it.
    fn settle(&mut self, is_written: bool) {
        let counter = if is_written { &self.inner.written } else { &self.inner.dropped };
        counter.fetch_add(std::mem::take(&mut self.buffered), Relaxed);
    }
}

impl Sink {
    /// Lines follow those that are there, also those of another process: each write is whole lines, and none is between two octets of another.
    /// A file of frames holds one stream, which begins once and has one writer.
    fn file(path: &Path, is_dnstap: bool) -> io::Result<Sink> {
        let file = if is_dnstap { stream::begin(path)? } else { OpenOptions::new().append(true).create(true).open(path)? };
        let inode = file.metadata()?.ino();
        Ok(Sink::File { path: path.to_owned(), file: BufWriter::new(file), inode, is_dnstap })
    }

    /// Begins the stream that waits for its first sample; where it cannot, whatever comes until the next attempt is dropped.
    fn begin(&mut self) {
        let Sink::Later { path, may_try } = self else { return };
        if std::mem::take(may_try) {
            match Sink::file(path, true) {
                Ok(new) => *self = new,
                Err(error) => tracing::warn!(path = %path.display(), %error, "the query log cannot be opened; samples are dropped"),
            }
        }
    }

    /// False if it could not be written.
    fn write(&mut self, octets: &[u8]) -> bool {
        self.begin();
        match self {
            Sink::Later { .. } => false,
            Sink::File { file, .. } => file.write_all(octets).is_ok(),
            Sink::Collector { stream, .. } => {
                let is_written = stream.as_mut().is_some_and(|stream| stream.write_all(octets).is_ok());
                if !is_written {
                    hang_up(stream);
                }
                is_written
            }
        }
    }

    /// False if what waits could not be written.
    fn flush(&mut self) -> bool {
        match self {
            Sink::Later { .. } => true,
            Sink::File { file, .. } => file.flush().is_ok(),
            Sink::Collector { stream, .. } => {
                let is_written = stream.as_mut().is_none_or(|stream| stream.flush().is_ok());
                if !is_written {
                    hang_up(stream);
                }
                is_written
            }
        }
    }

    /// Follows a file that was renamed (log rotation) and a collector that was restarted.
    fn renew(&mut self) {
        match self {
            Sink::Later { may_try, .. } => *may_try = true,
            Sink::File { path, inode, is_dnstap, .. } => {
                let is_there = std::fs::metadata(&*path).is_ok_and(|there| there.ino() == *inode);
                // What is there instead may be the stream of a process that takes over from us.
                let is_anothers = !is_there && *is_dnstap && stream::is_locked(path);
                if !is_there && !is_anothers {
                    match Sink::file(path, *is_dnstap) {
                        Ok(new) => {
                            self.end();
                            *self = new;
                        }
                        // That process is about to begin its own.
                        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                        Err(error) => tracing::warn!(path = %path.display(), %error, "the query log cannot be opened anew"),
                    }
                }
            }
            Sink::Collector { path, stream } if stream.is_none() => match connect(path) {
                Ok(connected) => {
                    tracing::info!(path = %path.display(), "the query log has a collector");
                    *stream = Some(BufWriter::new(connected));
                }
                Err(error) => tracing::debug!(path = %path.display(), %error, "the query log has no collector"),
            },
            Sink::Collector { .. } => {}
        }
    }

    fn end(&mut self) {
        // Whoever reads it takes what is there, whether it ends well or not.
        match self {
            Sink::File { file, is_dnstap: true, .. } => _ = dnstap::stop(file),
            Sink::Collector { stream: Some(stream), .. } => _ = dnstap::stop(stream),
            _ => {}
        }
        _ = self.flush();
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A plain connect would wait for ever where nobody takes connections on.
    socket.connect_timeout(&SockAddr::unix(path)?, SOCKET_PATIENCE)?;
    let mut stream = UnixStream::from(OwnedFd::from(socket));
    stream.set_read_timeout(Some(SOCKET_PATIENCE))?;
    stream.set_write_timeout(Some(SOCKET_PATIENCE))?;
    dnstap::shake(&mut stream)?;
    Ok(stream)
}

/// Lets a broken connection go without writing what waits.
fn hang_up(stream: &mut Option<BufWriter<UnixStream>>) {
    if let Some(stream) = stream.take() {
        tracing::warn!("the collector of the query log went away");
        drop(stream.into_parts());
    }
}
