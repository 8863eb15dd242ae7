//! Sockets that outlive a process: what a running server leaves to the next one, or a service manager to its service.
//! It knows descriptors by what they are for and where they listen; it opens none, serves none, and decides nothing about them.

pub mod activation;
pub mod line;

use std::os::fd::OwnedFd;

pub use activation::inherit;
pub use line::{HandoverError, Heir, Legacy, PATH, PROTOCOL, Word, claim};

/// What sockets are for. Another kind of listener is another word here; everything else takes any.
pub mod kind {
    /// Datagrams of DNS.
    pub const UDP: &str = "udp";
    /// Listeners of DNS over TCP.
    pub const TCP: &str = "tcp";
    /// Listeners of DNS over TLS.
    pub const TLS: &str = "tls";
    /// Listeners of DNS over HTTPS.
    pub const HTTPS: &str = "https";
    /// Datagrams of DNS over QUIC, and of HTTP/3.
    pub const QUIC: &str = "quic";
    /// The control socket.
    pub const CONTROL: &str = "control";
    /// The control socket, where its file is a service manager's to remove.
    pub const CONTROL_KEPT: &str = "control-kept";
    /// Listeners of the admin API.
    pub const API: &str = "api";
}

/// Whether a process of this user may have what ours has: it could take it anyway.
pub fn may_inherit(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Sockets for one purpose at one place.
#[derive(Debug)]
struct Entry {
    kind: String,
    place: String,
    descriptors: Vec<OwnedFd>,
}

/// Open sockets by what they are for ([`kind`]) and where they listen: an address as the configuration lists it, or a path.
#[derive(Debug, Default)]
pub struct Sockets {
    entries: Vec<Entry>,
    options_are_set: bool,
}

impl Sockets {
    /// Sockets of a process of ours, which have all their options.
    pub fn of_ours() -> Sockets {
        Sockets { entries: Vec::new(), options_are_set: true }
    }

    /// Whether the options of these sockets are as this server sets them; a service manager knows nothing of them.
    pub fn options_are_set(&self) -> bool {
        self.options_are_set
    }

    /// Adds the sockets of one place. The same place may be added again: port 0 may be listed twice.
    pub fn add(&mut self, kind: &str, place: &str, descriptors: Vec<OwnedFd>) {
        self.entries.push(Entry { kind: kind.to_owned(), place: place.to_owned(), descriptors });
    }

    /// Takes those of the first such place out; empty if there are none.
    pub fn take(&mut self, kind: &str, place: &str) -> Vec<OwnedFd> {
        let at = self.entries.iter().position(|entry| entry.kind == kind && entry.place == place);
        at.map(|at| self.entries.remove(at).descriptors).unwrap_or_default()
    }

    /// Takes those of the first place of this kind out, wherever it is.
    pub fn take_any(&mut self, kind: &str) -> Vec<OwnedFd> {
        let at = self.entries.iter().position(|entry| entry.kind == kind);
        at.map(|at| self.entries.remove(at).descriptors).unwrap_or_default()
    }

    /// Takes in all that another has.
    pub fn extend(&mut self, other: Sockets) {
        self.entries.extend(other.entries);
    }

    /// Kind and place of all that nobody has taken.
    pub fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.kind.as_str(), entry.place.as_str()))
    }

    /// True if nothing is there to be taken.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests;
