//! What a running server uses and counts: memory, threads and descriptors as the kernel says, and its own counters over the control socket.
//! Nothing here judges a number.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Resident memory in KiB.
    pub(crate) memory_kib: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
}

impl Usage {
    /// As the kernel says, of a process of ours that lives.
    pub(crate) fn of(process: u32) -> Usage {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in\n{status}"));
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count() as u64;
        Usage { memory_kib: field("VmRSS:"), threads: field("Threads:"), descriptors }
    }
}

/// The page of metrics, by the control socket.
pub(crate) struct Page(String);

impl Page {
    /// As it is now.
    pub(crate) fn read(control: &Path) -> Page {
        let mut stream = UnixStream::connect(control).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        Page(page)
    }

    /// The value of a series, by its whole name with labels; 0 where it is not there yet.
    pub(crate) fn value(&self, series: &str) -> u64 {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
        value.unwrap_or(0.0) as u64
    }
}
