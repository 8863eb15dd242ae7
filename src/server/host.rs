//! What threads and the process ask of the system: descriptors, a processor of their own, to come last.
//! Where a system has no such thing, nothing happens and nothing fails but what was asked for by name.

use std::io;

/// How far a thread stands back: to a tenth of the time of one that does not, where both want all of a core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Raises the process's soft limit of open descriptors to its hard one, as connections and probes need more than the usual 1,024; returns
/// the limit in force, none where there is none or it is not known.
///
/// # Errors
/// What the system says.
pub fn raise_descriptor_limit() -> io::Result<Option<u64>> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
        Ok(maximum)
    }
    #[cfg(not(target_os = "linux"))]
    Ok(None)
}

/// Lets the calling thread, and those that it starts from now on, run only when answering threads leave it the time; where the system
/// cannot do that they run as they are.
///
/// # Errors
/// What the system says.
pub fn stand_back() -> io::Result<()> {
    // On Linux that is the thread, not the process (setpriority(2), "C library/kernel differences").
    #[cfg(target_os = "linux")]
    rustix::process::setpriority_process(None, NICE)?;
    Ok(())
}

/// Keeps the calling thread on one processor, counted from 0.
///
/// # Errors
/// What the system says: there is no such processor, the process may not use it, or threads cannot be kept anywhere.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "there is no way to ask for it"))]
pub(super) fn pin(cpu: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_setaffinity};
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut set = CpuSet::new();
        set.set(cpu);
        Ok(sched_setaffinity(None, &set)?)
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}
