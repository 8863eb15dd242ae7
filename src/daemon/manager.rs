//! Tells the service manager how far the server is (sd_notify(3)): ready, reloading, stopping, and from time to time that it is alive.
//! Where nobody asked to be told it says nothing; it never waits, and a manager that does not listen stops nobody.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval};

use crate::keeper::WorldHandle;

/// Where the manager listens: a path, or after `@` a name that is in no file system.
const SOCKET: &str = "NOTIFY_SOCKET";

/// After so many microseconds of silence the manager takes the server for dead, if it watches at all.
const WATCHDOG_US: &str = "WATCHDOG_USEC";

/// Whose silence that is.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// A sign of life comes so often in the time that the manager waits, as sd_watchdog_enabled(3) recommends.
const SIGNS_OF_LIFE: u32 = 2;

/// The service manager, if there is one.
#[derive(Debug, Clone)]
pub(super) struct Manager(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Manager {
    /// As the environment names it.
    pub(super) fn of_environment() -> Manager {
        let Some(name) = std::env::var_os(SOCKET).filter(|name| !name.is_empty()) else { return Manager(None) };
        let opened = address(&name).and_then(|address| Ok((unbound()?, address)));
        match opened {
            Ok(opened) => Manager(Some(opened.into())),
            Err(error) => {
                tracing::warn!(%error, "the service manager at `{}` cannot be told anything", name.display());
                Manager(None)
            }
        }
    }

    /// Queries are answered, from the configuration that was asked for last if it is a good one.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving");
    }

    /// A reload begins; [`Manager::ready`] ends it.
    pub(super) fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reloading");
    }

    /// Another process is the service now. It is believed because we say so, and we were.
    pub(super) fn follow(&self, process: u32) {
        self.tell(&format!("MAINPID={process}\nSTATUS=handing over to process {process}"));
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// From now on gives signs of life, if the manager waits for them: each says that the runtime runs and that the keeper answers.
    pub(super) fn watch(&self, runtime: &Runtime, keeper: WorldHandle) {
        let Some(period) = watchdog() else { return };
        let manager = self.clone();
        runtime.spawn(async move {
            let mut ticks = interval(period / SIGNS_OF_LIFE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let keeper = keeper.clone();
                let answered = tokio::task::spawn_blocking(move || keeper.settle().is_ok()).await;
                if answered.unwrap_or(false) {
                    manager.tell("WATCHDOG=1");
                }
            }
        });
    }

    fn tell(&self, text: &str) {
        let Some((socket, address)) = self.0.as_deref() else { return };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            tracing::debug!(%error, "the service manager does not hear `{}`", text.lines().next().unwrap_or_default());
        }
    }
}

fn unbound() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn address(name: &OsString) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => in_no_file_system(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(target_os = "linux")]
fn in_no_file_system(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn in_no_file_system(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How long the manager waits for a sign of life; none if it does not, or waits for another process.
fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
    number(WATCHDOG_US).filter(|us| *us >= u64::from(SIGNS_OF_LIFE) && is_ours).map(Duration::from_micros)
}
