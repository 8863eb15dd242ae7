//! Root for no longer than it takes to bind: opens what only root may, becomes the configured user, and keeps nothing of what root may.
//! It reads the server file and no other as root; it never comes back.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, geteuid, getuid, initgroups, setgid, setuid};

use super::DaemonError;
use super::succession::Estate;
use crate::api;
use crate::config::model::{RunAs, Server};
use crate::keeper;
use crate::server;

/// Who the server is to be.
struct Someone {
    name: String,
    user: Uid,
    group: Gid,
}

/// Becomes the user that the configuration names, with the sockets bound that the configuration lists; whoever takes over gets its sockets from the process
/// that runs, and binds none as root. Without a user, and for a process that is not root, everything stays as it is. To be called while there is
/// one thread.
pub(super) fn settle(server: &Server, takeover: bool, estate: &mut Estate) -> Result<(), DaemonError> {
    let Some(run_as) = &server.user else {
        if geteuid().is_root() {
            tracing::warn!("serves as root; name a user with `user`, and root is only needed to bind");
        }
        return Ok(());
    };
    let someone = find(run_as).map_err(DaemonError::System)?;
    if !geteuid().is_root() {
        let is_it = geteuid() == someone.user;
        let text = || format!("only root can become `{}`; this process is of user {}\nhint: leave `user` out", someone.name, geteuid());
        return if is_it { Ok(()) } else { Err(DaemonError::System(text())) };
    }
    if !takeover {
        bind(server, estate)?;
    }
    for (folder, files) in folders(server) {
        give(&folder, files, &someone)
            .map_err(|error| DaemonError::System(format!("cannot give `{}` to `{}`: {error}", folder.display(), someone.name)))?;
    }
    become_it(&someone).map_err(|error| DaemonError::System(format!("cannot become `{}`: {error}", someone.name)))?;
    tracing::info!(user = someone.name, "root is given up");
    Ok(())
}

/// Everything that only root may bind; queries wait in the sockets until they are served.
fn bind(server: &Server, estate: &mut Estate) -> Result<(), DaemonError> {
    let config = server::Config { encrypted: server.encrypted.clone(), ..server::Config::new(server.listen.clone(), server.workers) };
    let bound = server::bind(config, &mut estate.sockets).map_err(|error| DaemonError::System(error.to_string()))?;
    let mut sockets = bound.into_sockets().map_err(super::system("keep the sockets"))?;
    let rest = std::mem::take(&mut estate.sockets);
    sockets.extend(rest);
    api::bind_network(&server.api.listen, &mut sockets).map_err(super::system("bind the API"))?;
    estate.sockets = sockets;
    Ok(())
}

fn find(run_as: &RunAs) -> Result<Someone, String> {
    let unknown = |what: &str, name: &str| format!("there is no {what} `{name}` on this machine\nhint: see `user` of the server file");
    let user = User::from_name(&run_as.user).map_err(|error| error.to_string())?.ok_or_else(|| unknown("user", &run_as.user))?;
    let group = match &run_as.group {
        None => user.gid,
        Some(name) => Group::from_name(name).map_err(|error| error.to_string())?.ok_or_else(|| unknown("group", name))?.gid,
    };
    if user.uid.is_root() {
        return Err(format!("`{}` is root\nhint: make a user for the server: `useradd --system --no-create-home meridian`", user.name));
    }
    Ok(Someone { name: user.name, user: user.uid, group })
}

/// What the server writes, and the files in it that an earlier run as root may have left.
fn folders(server: &Server) -> Vec<(PathBuf, &'static [&'static str])> {
    let state = server.state_dir.clone().map(|folder| (folder, &keeper::FILES[..]));
    let control = server.control.as_deref().and_then(Path::parent).map(|folder| (folder.to_owned(), &[][..]));
    state.into_iter().chain(control.filter(|(folder, _)| !folder.exists())).collect()
}

fn give(folder: &Path, files: &[&str], to: &Someone) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let (user, group) = (Some(to.user.as_raw()), Some(to.group.as_raw()));
    chown(folder, user, group)?;
    for path in files.iter().map(|file| folder.join(file)) {
        // Not through a link, and not what is someone else's: what root gives away here is the server's own.
        let is_own = fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && file.nlink() == 1 && file.uid() == 0);
        if is_own {
            chown(&path, user, group)?;
        }
    }
    Ok(())
}

/// Groups first: whoever is not root any more cannot leave them. All threads of the process change, not only this one.
fn become_it(someone: &Someone) -> io::Result<()> {
    let name = std::ffi::CString::new(someone.name.as_str()).map_err(io::Error::other)?;
    initgroups(&name, someone.group)?;
    setgid(someone.group)?;
    setuid(someone.user)?;
    // With the user all capabilities are gone; to be sure, the way back is tried.
    if setuid(Uid::from_raw(0)).is_ok() || geteuid() != someone.user || getuid() != someone.user {
        return Err(io::Error::other("the rights of root are still there"));
    }
    Ok(())
}
