//! What a process and all that it started have used: CPU time and memory, as the kernel counts them in /proc.
//! It only reads; a process that has ended meanwhile counts as nothing.

use std::fs;

/// Fields of /proc/PID/stat behind the name, counted from 0 (proc(5)): parent, user time, kernel time, when it was started.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const KERNEL_TICKS: usize = 12;
const STARTED: usize = 19;

/// CPU time between two readings, in microseconds. The whole is exact; what of it is user and what kernel is told by the
/// ticks of the clock, which needs about a second of work to mean something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) whole_us: f64,
    pub(crate) user_us: f64,
    pub(crate) kernel_us: f64,
}

/// Reads the CPU time of a tree of processes.
pub(crate) struct Meter {
    processes: Vec<u32>,
    began: Reading,
}

impl Meter {
    /// Begins to count for a process and those that descend from it now.
    pub(crate) fn begin(root: u32) -> Meter {
        let processes = tree(root);
        let began = Reading::of(&processes);
        Meter { processes, began }
    }

    /// What they used since the beginning.
    pub(crate) fn used(&self) -> Used {
        let now = Reading::of(&self.processes);
        // A thread that has ended takes its time along.
        let whole_us = now.busy_ns.saturating_sub(self.began.busy_ns) as f64 / 1000.0;
        let user = now.user_ticks.saturating_sub(self.began.user_ticks) as f64;
        let kernel = now.kernel_ticks.saturating_sub(self.began.kernel_ticks) as f64;
        let user_share = if user + kernel > 0.0 { user / (user + kernel) } else { 0.0 };
        Used { whole_us, user_us: whole_us * user_share, kernel_us: whole_us * (1.0 - user_share) }
    }
}

#[derive(Default)]
struct Reading {
    busy_ns: u64,
    user_ticks: u64,
    kernel_ticks: u64,
}

impl Reading {
    fn of(processes: &[u32]) -> Reading {
        let mut sum = Reading::default();
        for process in processes {
            sum.busy_ns += busy_ns(*process);
            let stat = stat(*process).unwrap_or_default();
            sum.user_ticks += field(&stat, USER_TICKS).unwrap_or(0);
            sum.kernel_ticks += field(&stat, KERNEL_TICKS).unwrap_or(0);
        }
        sum
    }
}

/// Time on a processor of all threads of a process: the first number of `schedstat`.
fn busy_ns(process: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let of = |text: String| text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok().and_then(of)).sum()
}

/// A number of a line of /proc/PID/stat, counted from behind the name, which may hold anything, brackets too.
fn field(stat: &str, index: usize) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.parse().ok()
}

/// A process and all that descend from it, parents before their children.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == u64::from(parent)).map(|(process, _)| *process));
        at += 1;
    }
    tree
}

/// All processes of the machine, each with its parent.
fn parents() -> Vec<(u32, u64)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    processes.filter_map(|process| parent(process).map(|parent| (process, parent))).collect()
}

fn parent(process: u32) -> Option<u64> {
    field(&stat(process)?, PARENT)
}

/// A process that is never taken for a later one of the same number.
pub(crate) struct Identity {
    pub(crate) number: u32,
    started: u64,
}

impl Identity {
    pub(crate) fn of(process: u32) -> Option<Identity> {
        Some(Identity { number: process, started: field(&stat(process)?, STARTED)? })
    }

    /// Whether it runs. One that has ended and that nobody has asked after does not.
    pub(crate) fn is_alive(&self) -> bool {
        let runs = |stat: &str| field(stat, STARTED) == Some(self.started) && !stat.contains(") Z ");
        stat(self.number).is_some_and(|stat| runs(&stat))
    }
}

fn stat(process: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/stat")).ok()
}

/// Memory of a process and all that descend from it in MiB; of pages that several share, each has its part.
pub(crate) fn memory_mib(root: u32) -> f64 {
    let of = |process: u32| pss_kib(&fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?);
    tree(root).into_iter().filter_map(of).sum::<f64>() / 1024.0
}

fn pss_kib(rollup: &str) -> Option<f64> {
    rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_no_field() {
        let stat = "12 (a) b (c) S 7 12 12 0 -1 4194560 100 0 0 0 31 42 0 0";
        assert_eq!((field(stat, PARENT), field(stat, USER_TICKS), field(stat, KERNEL_TICKS)), (Some(7), Some(31), Some(42)));
        assert_eq!((field("", PARENT), field("1 (a) S", PARENT)), (None, None));
    }

    #[test]
    fn memory_is_the_proportional_part() {
        let rollup = "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:    2048 kB\nPss:     1024 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(pss_kib(rollup), Some(1024.0));
    }

    #[test]
    fn this_process_is_seen() {
        let own = std::process::id();
        assert!(tree(own).contains(&own));
        assert!(memory_mib(own) > 0.0);
        let meter = Meter::begin(own);
        let until = std::time::Instant::now() + std::time::Duration::from_millis(20);
        while std::time::Instant::now() < until {}
        assert!(meter.used().whole_us > 0.0);
    }
}
