//! What a reload cannot change, because it is bound, opened or given up at the start only.
//! It changes nothing; whoever reloads is told.

use crate::config::model::Server;

/// What is new in a server file beside the one that the process was started with, and not in force until the next start.
pub(super) fn warnings(old: &Server, new: &Server) -> Vec<String> {
    let changes = [
        ("listen", new.listen != old.listen),
        ("workers", new.workers != old.workers),
        ("cpus", new.cpus != old.cpus),
        ("batch", new.batch != old.batch),
        ("timestamps", new.timestamps != old.timestamps),
        ("log", new.log != old.log),
        ("query_log", new.query_log != old.query_log),
        ("tcp", new.connections != old.connections),
        ("api", !new.api.has_doors_of(&old.api)),
        ("encrypted", !is_bound_alike(old, new)),
        ("control", new.control_path() != old.control_path()),
        ("state_dir", new.state_dir != old.state_dir),
        ("sandbox", new.sandbox != old.sandbox),
        // Programs are given up for good.
        ("exec_probes", new.exec_probes != old.exec_probes && old.sandbox),
        ("user", new.user != old.user),
    ];
    changes.iter().filter(|(_, changed)| *changed).map(|(key, _)| format!("a change of `{key}` takes a restart")).collect()
}

/// Whether two configurations have the same sockets for encrypted transports; their certificates follow a reload.
fn is_bound_alike(old: &Server, new: &Server) -> bool {
    match (&old.encrypted, &new.encrypted) {
        (Some(old), Some(new)) => old.is_bound_as(new),
        (old, new) => old.is_none() && new.is_none(),
    }
}
