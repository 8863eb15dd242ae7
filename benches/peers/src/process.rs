//! Servers as processes: started on a core of their own, waited for until they answer everything, and ended.
//! Only what was started here is ended, by its number; what a server says goes to a file beside its configuration.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cpu;
use crate::files;
use crate::question::{self, Pool};
use crate::servers::{Place, Server};
use crate::sys;

/// How long a server may take to load: the largest tables take some of them minutes.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// How long a server may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A question of whether a server is ready is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Between looks at a process: no server tells in a way that all share that it is ready, or has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The core of the server, and the one of the sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) sender: usize,
}

impl Cores {
    /// The sender takes the first core that the server does not have.
    pub(crate) fn new(server: usize) -> Cores {
        Cores { server, sender: usize::from(server == 0) }
    }
}

/// A server that answers. It is ended when this is dropped.
pub(crate) struct Running {
    child: Child,
    /// Seconds from its start to the last of its first answers.
    pub(crate) ready_s: f64,
    /// Memory when it was ready.
    pub(crate) memory_mib: f64,
}

impl Running {
    /// Starts a server, and waits until it answers every question of `samples`.
    pub(crate) fn start(server: &dyn Server, program: &Path, place: &Place, cores: Cores, samples: &Pool) -> Result<Running> {
        is_free(place.address)?;
        // What an earlier run has left would only be read again.
        files::remove_folder(&place.own.join("run"))?;
        files::make_folder(&place.own.join("run/state"))?;
        let log = log(place);
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(program);
        server.arguments(&mut command, place);
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let began = Instant::now();
        // A process inherits the cores of the thread that starts it.
        sys::hold_to(cores.server).with_context(|| format!("core {}", cores.server))?;
        let child = command.spawn().with_context(|| program.display().to_string());
        sys::hold_to(cores.sender).with_context(|| format!("core {}", cores.sender))?;
        let mut running = Running { child: child?, ready_s: 0.0, memory_mib: 0.0 };
        running.wait(place.address, samples).with_context(|| format!("see {}", log.display()))?;
        running.ready_s = began.elapsed().as_secs_f64();
        running.memory_mib = cpu::memory_mib(running.process());
        Ok(running)
    }

    /// The number of its first process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until every question of `samples` has its right answer, one after the other.
    pub(crate) fn wait(&mut self, server: SocketAddr, samples: &Pool) -> Result<()> {
        let limit = Instant::now() + LOAD_LIMIT;
        let socket = UdpSocket::bind((server.ip(), 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(ASK_AGAIN))?;
        let mut at = 0;
        while at < samples.len() {
            if is_answered(&socket, samples, at) {
                at += 1;
                continue;
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended ({status})");
            }
            if Instant::now() > limit {
                bail!("question {at} of {} has no right answer after {} s", samples.len(), LOAD_LIMIT.as_secs());
            }
            sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once its end has been seen, its number may be another's.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let family = cpu::tree(self.child.id()).into_iter().filter_map(cpu::Identity::of).collect::<Vec<_>>();
        // Nothing better can be done about what takes no signal.
        let _ = sys::signal(self.child.id(), libc::SIGTERM);
        let limit = Instant::now() + END_LIMIT;
        let mut is_over = || matches!(self.child.try_wait(), Ok(Some(_))) && !family.iter().any(cpu::Identity::is_alive);
        while !is_over() {
            if Instant::now() > limit {
                for process in family.iter().filter(|process| process.is_alive()) {
                    let _ = sys::signal(process.number, libc::SIGKILL);
                }
                let _ = self.child.wait();
                return;
            }
            sleep(LOOK_AGAIN);
        }
    }
}

/// Where what a server says is kept.
pub(crate) fn log(place: &Place) -> PathBuf {
    place.own.join("run/log")
}

fn is_free(address: SocketAddr) -> Result<()> {
    UdpSocket::bind(address)
        .and_then(|_| TcpListener::bind(address))
        .with_context(|| format!("{address} is taken (generate with another --port)"))?;
    Ok(())
}

/// Whether a question has its right answer now. What comes late for an earlier one is read over.
fn is_answered(socket: &UdpSocket, samples: &Pool, at: usize) -> bool {
    let identifier = (at as u16).to_be_bytes();
    let mut query = samples.query(at).to_vec();
    query[..2].copy_from_slice(&identifier);
    let mut reply = [0; 1232];
    if socket.send(&query).is_err() {
        return false;
    }
    while let Ok(length) = socket.recv(&mut reply) {
        if reply[..length].starts_with(&identifier) {
            return question::is_right(&reply[..length], samples.expected(at));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = is_free(socket.local_addr().unwrap()).unwrap_err();
        assert!(error.to_string().contains("is taken"), "{error}");
    }

    #[test]
    fn the_sender_is_never_on_the_core_of_the_server() {
        assert_eq!((Cores::new(0).sender, Cores::new(1).sender, Cores::new(5).sender), (1, 0, 0));
    }
}
