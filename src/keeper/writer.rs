//! Writes what outlives the process on a thread of its own: a slow disk delays no publication.
//! It never decides when to save; while one save is under way the next waits, and only the newest is worth writing.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::memory::Memory;
use crate::health::hosts::HostName;
use crate::health::overrides::Overrides;
use crate::health::told::AllTold;
use crate::health::{TargetKey, Verdict};

/// What is to be saved, as it was at one moment; cheap to make, so that the keeper is not held up.
#[derive(Debug)]
pub(super) struct Save {
    pub(super) saved_s: u64,
    pub(super) overrides: Overrides,
    pub(super) told: AllTold,
    pub(super) verdicts: Vec<(TargetKey, Verdict)>,
    pub(super) hosts: Vec<(HostName, Vec<std::net::IpAddr>)>,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    saves: SyncSender<(Save, Option<SyncSender<()>>)>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// A writer of the file in `folder`. Errors: the system gives no thread.
    pub(super) fn start(folder: PathBuf) -> io::Result<Writer> {
        let (saves, inbox) = sync_channel(1);
        let thread = Builder::new().name("saver".into()).spawn(move || write_all(&inbox, &folder))?;
        Ok(Writer { saves, thread: Some(thread) })
    }

    /// Writes soon; false if the one before is still on its way, so that it has to be tried again.
    pub(super) fn offer(&self, save: Save) -> bool {
        !matches!(self.saves.try_send((save, None)), Err(TrySendError::Full(_)))
    }

    /// Writes now and returns when it is on the disk, or was complained about.
    pub(super) fn write(&self, save: Save) {
        let (done, wait) = sync_channel(1);
        if self.saves.send((save, Some(done))).is_ok() {
            // An error says that the thread is gone; it was logged.
            let _gone = wait.recv();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends with its last job when nobody can send any more.
        drop(std::mem::replace(&mut self.saves, sync_channel(0).0));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that saves health state ended in a panic");
        }
    }
}

fn write_all(inbox: &Receiver<(Save, Option<SyncSender<()>>)>, folder: &std::path::Path) {
    for (save, done) in inbox {
        if let Err(error) = Memory::of(save).write(folder) {
            tracing::error!(folder = %folder.display(), %error, "health state cannot be saved; overrides are in force but will not survive a restart");
        }
        done.iter().for_each(|done| _ = done.send(()));
    }
}
