//! The DNS server on sockets: binds every listed address, then answers UDP and TCP on threads of its own until stopped.
//! What the answer is, it leaves to `answer`; it never reads a file and never writes the world.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;

use crate::answer::Transport;
use crate::clock::Clock;
use crate::config::model::{Encrypted, Identity};
use crate::handover::{Sockets, kind};
use crate::metrics::Registry;
use crate::querylog::Taps;
use crate::snapshot::Shared;

pub mod bind;
mod capped;
mod deaf;
#[cfg(target_os = "linux")]
mod departure;
pub mod doh;
pub mod doq;
mod encrypted;
mod hall;
mod host;
mod http3;
mod https;
mod intake;
pub mod limit;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;
mod proxy;
mod quic;
mod stream;
#[cfg(target_os = "linux")]
mod sys;
pub mod tcp;
mod tls;
pub mod udp;
pub mod worker;

#[cfg(test)]
mod tests;

pub use bind::{BindError, BindFault};
use encrypted::Fronts;
pub use hall::Timeouts;
pub use host::{raise_descriptor_limit, stand_back};
pub use limit::{Caps, Notes, Shares};
use tls::Certificate;
pub use udp::Reading;
pub use worker::{NowMs, Worker};

#[cfg(not(target_os = "linux"))]
use portable::Single as Path;
#[cfg(target_os = "linux")]
use sys::Batch as Path;

/// What the server needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on, UDP and TCP each; port 0 = any free one.
    pub listen: Vec<SocketAddr>,
    /// Threads per address and transport; as many as cores serves best.
    pub workers: usize,
    /// The most TCP connections.
    pub connections: Caps,
    /// Time limits of TCP connections.
    pub timeouts: Timeouts,
    /// The query log, where there is one.
    pub taps: Option<Taps>,
    /// The time of day, by which cookies are dated.
    pub clock: Clock,
    /// The encrypted transports; none = none.
    pub encrypted: Option<Encrypted>,
    /// Processors for the workers of each address and transport, the first for the first one, and around; none = as the system sees fit.
    pub cpus: Vec<usize>,
    /// How UDP workers read their sockets.
    pub reading: Reading,
}

impl Config {
    /// The usual limits.
    pub fn new(listen: Vec<SocketAddr>, workers: usize) -> Config {
        Config {
            listen,
            workers,
            connections: Caps::default(),
            timeouts: Timeouts::default(),
            taps: None,
            clock: Clock::system(),
            encrypted: None,
            cpus: Vec::new(),
            reading: Reading::default(),
        }
    }
}

/// Bound sockets that nobody serves yet: queries wait in them.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    endpoints: Vec<bind::Endpoint>,
    fronts: Option<Fronts>,
}

/// Binds all addresses of the configuration; sockets that were left for them are taken out of `left` instead.
///
/// # Errors
/// [`BindError`], with every address that was refused; nothing stays bound then.
pub fn bind(config: Config, left: &mut Sockets) -> Result<Bound, BindError> {
    let endpoints = bind::bind(&config.listen, config.workers, left)?;
    let fronts = config.encrypted.as_ref().map(|encrypted| Fronts::bind(encrypted, config.workers, left));
    let fronts = fronts.transpose().map_err(BindError::Addresses)?;
    Ok(Bound { config, endpoints, fronts })
}

/// Binds and serves: [`bind()`] and [`Bound::run`] in one.
///
/// # Errors
/// [`StartError`].
pub fn start(config: Config, shared: &Shared, registry: &Arc<Registry>, now: &NowMs) -> Result<Running, StartError> {
    bind(config, &mut Sockets::default()).map_err(StartError::Bind)?.run(shared, registry, now).map_err(StartError::Threads)
}

/// Why the server could not start.
#[derive(Debug)]
pub enum StartError {
    /// Addresses that could not be bound.
    Bind(BindError),
    /// No thread or descriptor is left.
    Threads(io::Error),
}

impl std::error::Error for StartError {}

impl std::fmt::Display for StartError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Bind(error) => error.fmt(to),
            StartError::Threads(error) => write!(to, "cannot start the answering threads: {error}"),
        }
    }
}

impl Bound {
    /// The bound addresses in the order of the configuration, with real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoints.iter().map(|endpoint| endpoint.address).collect()
    }

    /// The sockets, for whoever binds later.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn into_sockets(self) -> io::Result<Sockets> {
        hold(&self)
    }

    /// Serves on threads of its own.
    ///
    /// # Errors
    /// No thread or descriptor is left; nothing runs then.
    pub fn run(self, shared: &Shared, registry: &Arc<Registry>, now: &NowMs) -> io::Result<Running> {
        let mut running = Running {
            addresses: self.addresses(),
            encrypted: self.fronts.as_ref().map(Fronts::addresses).unwrap_or_default(),
            certificate: None,
            held: hold(&self)?,
            stop_packets: Arc::new(AtomicBool::new(false)),
            stop_streams: watch::Sender::new(None),
            drain: self.config.timeouts.drain,
            threads: Vec::new(),
        };
        let taps = self.config.taps;
        let (secret, clock) = (worker::new_secret(), self.config.clock);
        let worker = || Worker::new(shared, registry, now).with_tap(taps.as_ref().map(Taps::tap)).with_cookies(secret, clock.clone());
        let shares =
            Shares { of_address: self.config.workers, of_all: self.config.workers * self.endpoints.len(), notes: Notes::default() };
        running.tell_limits(shares.notes.clone(), Arc::clone(now))?;
        let gate = limit::Gate::new(self.config.connections);
        let mut listeners: Vec<Vec<_>> = (0..self.config.workers).map(|_| Vec::new()).collect();
        let cpu = |worker: usize| (!self.config.cpus.is_empty()).then(|| self.config.cpus[worker % self.config.cpus.len()]);
        for endpoint in self.endpoints {
            for (at, socket) in endpoint.udp.into_iter().enumerate() {
                let path = (socket, endpoint.address, self.config.reading);
                running.serve_packets(path, worker().with_shares(shares.clone()), cpu(at))?;
            }
            // There may be more listeners than workers: then a worker has several.
            for (at, listener) in endpoint.tcp.into_iter().enumerate() {
                listeners[at % self.config.workers].push(tcp::Door::Stream(listener, tcp::Speech::Plain));
            }
        }
        let mut streams: Vec<_> = listeners.into_iter().map(|of_worker| ("dns-tcp", of_worker)).collect();
        if let Some(fronts) = self.fronts {
            let (certificate, doors) = fronts.into_doors(self.config.workers)?;
            running.certificate = Some(certificate);
            streams.extend(doors.into_iter().map(|of_worker| ("dns-tls", of_worker)));
        }
        for (at, (name, of_worker)) in streams.into_iter().enumerate() {
            let service = tcp::Service::new(of_worker, gate.clone(), self.config.timeouts, running.stop_streams.subscribe())?;
            let (worker, cpu) = (worker(), cpu(at));
            running.spawn(name, move || {
                pin(cpu);
                service.run(worker);
            })?;
        }
        Ok(running)
    }
}

/// Keeps the calling thread on a processor, if one is named for it. Where that cannot be, it serves on any.
fn pin(cpu: Option<usize>) {
    let Some(cpu) = cpu else { return };
    if let Err(error) = host::pin(cpu) {
        tracing::warn!(cpu, %error, "an answering thread is not kept on its processor");
    }
}

/// A server at work. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    encrypted: Vec<(Transport, SocketAddr)>,
    certificate: Option<Arc<Certificate>>,
    /// The same sockets once more, for a process that takes over.
    held: Sockets,
    stop_packets: Arc<AtomicBool>,
    /// When connections must have ended.
    stop_streams: watch::Sender<Option<hall::End>>,
    drain: Duration,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// The addresses in the order of the configuration, with real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses of the encrypted transports, with real ports.
    pub fn encrypted_addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.encrypted
    }

    /// Handshakes from now on show this certificate.
    pub fn show(&self, identity: &Identity) {
        if let Some(certificate) = &self.certificate {
            certificate.replace(Arc::clone(&identity.key));
        }
    }

    /// All sockets, as another process can be given them: each stays open for as long as anyone has it.
    pub fn sockets(&self) -> &Sockets {
        &self.held
    }

    /// Stops and waits: queries that wait in UDP sockets are answered, connections get their drain time, all threads end.
    pub fn stop(mut self) {
        self.end();
    }

    /// The same where another process serves the same sockets by now: connections that are open have the time of an idle one.
    pub fn leave(mut self) {
        self.drain = self.drain.max(hall::LEAVE_TIMEOUT);
        self.end();
    }

    fn serve_packets(
        &mut self,
        (socket, local, reading): (UdpSocket, SocketAddr, Reading),
        mut worker: Worker,
        cpu: Option<usize>,
    ) -> io::Result<()> {
        let stop = Arc::clone(&self.stop_packets);
        self.spawn("dns-udp", move || {
            // First, so that the buffers lie near that processor.
            pin(cpu);
            udp::run(&mut Path::new(socket, local, reading), &mut worker, &stop);
        })
    }

    fn tell_limits(&mut self, notes: Notes, now: NowMs) -> io::Result<()> {
        let stop = Arc::clone(&self.stop_packets);
        self.spawn("dns-limits", move || notes.write(&now, &stop))
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    fn end(&mut self) {
        // While connections drain nobody shall wait at a door that is not attended any more.
        self.held = Sockets::default();
        self.stop_packets.store(true, Relaxed);
        self.stop_streams.send_replace(Some(hall::end_in(self.drain)));
        for thread in self.threads.drain(..) {
            // Some only wait for their time.
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("an answering thread had ended by a panic");
            }
        }
    }
}

fn hold(bound: &Bound) -> io::Result<Sockets> {
    let mut held = Sockets::of_ours();
    for endpoint in &bound.endpoints {
        let place = endpoint.listed.to_string();
        let udp: io::Result<Vec<OwnedFd>> = endpoint.udp.iter().map(|socket| UdpSocket::try_clone(socket).map(OwnedFd::from)).collect();
        let tcp: io::Result<Vec<OwnedFd>> = endpoint.tcp.iter().map(|socket| TcpListener::try_clone(socket).map(OwnedFd::from)).collect();
        held.add(kind::UDP, &place, udp?);
        held.add(kind::TCP, &place, tcp?);
    }
    if let (Some(fronts), Some(settings)) = (&bound.fronts, &bound.config.encrypted) {
        fronts.hold(settings, &mut held)?;
    }
    Ok(held)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
