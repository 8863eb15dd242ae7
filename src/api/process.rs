//! What the system knows of this process: processor time, memory, descriptors. From `/proc`, hence on Linux only; elsewhere there is nothing to tell.
//! It asks no time and keeps nothing.

use std::fs;

/// Ticks of a second in `/proc/self/stat`: the kernel's interface to user space has had this value on every common architecture since 2.6.
const TICKS_PER_S: f64 = 100.0;

/// At one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    /// Processor seconds, of the process and of the system on its behalf.
    pub(super) cpu_s: f64,
    /// Octets in memory.
    pub(super) resident: u64,
    /// Octets of address space.
    pub(super) virtual_octets: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Open descriptors.
    pub(super) descriptors: u64,
    /// How many may be open.
    pub(super) max_descriptors: Option<u64>,
}

impl Process {
    /// This process now; none where the system has no `/proc`.
    pub(super) fn read() -> Option<Process> {
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let mut process = Process::parse(&fs::read_to_string("/proc/self/stat").ok()?, &fs::read_to_string("/proc/self/status").ok()?)?;
        process.descriptors = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        process.max_descriptors = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Some(process)
    }

    fn parse(stat: &str, status: &str) -> Option<Process> {
        // The name of the program stands in parentheses and may hold anything; utime and stime are fields 14 and 15 (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Process {
            cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_S,
            resident: number("VmRSS:")? * 1024,
            virtual_octets: number("VmSize:")? * 1024,
            threads: number("Threads:")?,
            ..Process::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10";
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
        let process = Process::parse(stat, status).unwrap();
        assert_eq!((process.cpu_s, process.resident, process.virtual_octets, process.threads), (3.0, 1 << 20, 2 << 20, 3));
        assert_eq!(Process::parse("", status), None);
    }
}
