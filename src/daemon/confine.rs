//! Confines the process by Landlock, for good: from then on it writes below a few folders only and runs no programs, whatever a fault in it may
//! want. Reading stays free, so that a reload may name files that the start did not; nothing here decides what is written, or when.

use std::fs;
use std::path::{Path, PathBuf};

use landlock::{ABI, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus};

use crate::config::model::{QueryLogTo, Server};

/// The newest kernel whose rights are asked for; an older one gives those that it knows.
const NEWEST: ABI = ABI::V5;

/// What may be done below a folder of ours: files and sockets are made, written, renamed and removed; no devices, no links elsewhere.
const WRITE: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{
    WriteFile | Truncate | MakeReg | MakeSock | MakeDir | RemoveFile | RemoveDir
});

/// Confines the calling thread and all that it starts from now on, as the settings say, and says in the log what is in force. It must be
/// called before any other thread runs. A failure leaves the process as it is: to serve matters more.
pub(super) fn confine(server: &Server) {
    if !server.sandbox {
        tracing::info!(
            "not confined: {}",
            if server.exec_probes { "programs of `exec_probes` may do anything" } else { "`sandbox: false`" }
        );
        return;
    }
    let folders = writable(server);
    match restrict(&folders, server.exec_probes) {
        Ok(RulesetStatus::NotEnforced) => tracing::warn!("not confined: this kernel has no Landlock, or it is switched off"),
        Ok(status) => {
            let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            let (below, programs) = (folders.join(", "), if server.exec_probes { "those of monitors" } else { "none" });
            let complete = status == RulesetStatus::FullyEnforced;
            tracing::info!(writes_below = below, programs, complete, "confined by Landlock");
        }
        Err(error) => tracing::warn!("not confined: {error}"),
    }
}

/// The folders that are written to: of state and the control socket, which are made if they are missing, as what is not there cannot be
/// allowed; and of the query log.
fn writable(server: &Server) -> Vec<PathBuf> {
    let socket = server.control_path();
    let log = server.query_log.as_ref().and_then(|log| match &log.to {
        QueryLogTo::Json(path) | QueryLogTo::Dnstap(path) => Some(path),
        QueryLogTo::DnstapSocket(_) => None,
    });
    let folder_of = |path: &PathBuf| path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let ours: Vec<PathBuf> = server.state_dir.iter().cloned().chain(socket.iter().map(folder_of)).collect();
    // Whoever writes there will say why it cannot.
    ours.iter().for_each(|folder| _ = fs::create_dir_all(folder));
    let mut folders: Vec<PathBuf> = ours.into_iter().chain(log.map(folder_of)).filter(|folder| folder.is_dir()).collect();
    folders.sort();
    folders.dedup();
    folders
}

fn restrict(folders: &[PathBuf], runs_programs: bool) -> Result<RulesetStatus, RulesetError> {
    let programs = if runs_programs { BitFlags::empty() } else { AccessFs::Execute.into() };
    let mut rules = Ruleset::default().handle_access(AccessFs::from_write(NEWEST) | programs)?.create()?;
    for folder in folders {
        match PathFd::new(folder) {
            Ok(folder) => rules = rules.add_rule(PathBeneath::new(folder, WRITE))?,
            Err(error) => tracing::warn!(folder = %folder.display(), %error, "cannot be written to"),
        }
    }
    // Programs of monitors are started with their output thrown away.
    if let Ok(null) = PathFd::new("/dev/null") {
        rules = rules.add_rule(PathBeneath::new(null, AccessFs::WriteFile))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::io::ErrorKind::{CrossesDevices, PermissionDenied};
    use std::process::Command;

    use super::*;

    /// Does something on a thread of its own, which alone is confined to this folder; what the kernel has of Landlock.
    fn confined_to(folder: &Path, runs_programs: bool, then: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let confined = scope.spawn(|| match restrict(&[folder.to_owned()], runs_programs) {
                Ok(RulesetStatus::NotEnforced) => eprintln!("skipped: this kernel has no Landlock"),
                Ok(_) => then(),
                Err(error) => panic!("{error}"),
            });
            confined.join().unwrap();
        });
    }

    fn folders(name: &str) -> (PathBuf, PathBuf) {
        let home = std::env::temp_dir().join(format!("meridian-confine-{name}-{}", std::process::id()));
        let (ours, theirs) = (home.join("ours"), home.join("theirs"));
        for folder in [&ours, &theirs] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(theirs.join("there"), "as it was").unwrap();
        (ours, theirs)
    }

    #[test]
    fn a_confined_thread_writes_below_its_folders_only_and_runs_nothing() {
        let (ours, theirs) = folders("writes");
        confined_to(&ours, false, || {
            fs::write(ours.join("a"), "1").unwrap();
            fs::rename(ours.join("a"), ours.join("b")).unwrap();
            fs::write(ours.join("b"), "2").unwrap();
            fs::create_dir(ours.join("c")).unwrap();
            let socket = std::os::unix::net::UnixListener::bind(ours.join("c/socket")).unwrap();
            fs::remove_file(ours.join("c/socket")).unwrap();
            drop(socket);
            let denied =
                |outcome: io::Result<()>| assert!(outcome.is_err_and(|error| matches!(error.kind(), PermissionDenied | CrossesDevices)));
            denied(fs::write(theirs.join("new"), "1"));
            denied(fs::write(theirs.join("there"), "1"));
            denied(fs::remove_file(theirs.join("there")));
            denied(fs::rename(ours.join("b"), theirs.join("b")));
            denied(fs::create_dir(theirs.join("d")));
            denied(std::os::unix::net::UnixListener::bind(theirs.join("socket")).map(drop));
            denied(Command::new("/bin/true").status().map(drop));
            // To read stays free, for what a reload may name.
            assert_eq!(fs::read_to_string(theirs.join("there")).unwrap(), "as it was");
        });
        assert_eq!(fs::read_to_string(theirs.join("there")).unwrap(), "as it was");
        fs::remove_dir_all(ours.parent().unwrap()).unwrap();
    }

    #[test]
    fn programs_of_monitors_run_and_are_confined_as_well() {
        let (ours, theirs) = folders("programs");
        confined_to(&ours, true, || {
            let run =
                |folder: &Path| Command::new("/bin/sh").arg("-c").arg(format!("echo 1 > {}/made", folder.display())).status().unwrap();
            assert!(run(&ours).success());
            assert!(!run(&theirs).success());
        });
        fs::remove_dir_all(ours.parent().unwrap()).unwrap();
    }
}
