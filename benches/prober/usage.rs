//! What this process uses, as the kernel counts it (`/proc`).
//! It reads and never sets anything; where the kernel does not tell, it is 0.

use std::fs;

/// Resident memory in KiB.
pub(crate) fn resident_kib() -> u64 {
    field("/proc/self/status", "VmRSS:")
}

/// Open descriptors.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// IPv4 sockets of the whole machine that linger in TIME-WAIT.
pub(crate) fn time_waits() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let mut words = line.split_whitespace().skip_while(|word| *word != "tw");
    words.nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Seconds of processor time, user and kernel together.
pub(crate) fn cpu_s() -> f64 {
    /// Ticks a second in `/proc` (USER_HZ), the same on every Linux.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: utime and stime are the fields 14 and 15 (proc(5)).
    let fields: Vec<f64> = text.rsplit(')').next().unwrap_or_default().split_whitespace().map(|word| word.parse().unwrap_or(0.0)).collect();
    fields.iter().skip(11).take(2).sum::<f64>() / TICKS
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
