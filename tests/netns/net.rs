//! Two network namespaces with a wire between them: the prober's, and the world's with the addresses of all regions.
//! They are removed with the test, also when it panics; what a killed test has left is removed by the next.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::common::daemon::find;
use crate::common::skip_without;

/// Where `ip netns` keeps namespaces by name.
const NAMED: &str = "/run/netns";
const PREFIX: &str = "meridian-";

/// Regions that have an address: 10.66.1.1, 10.66.2.1 and so on.
pub(crate) const REGIONS: usize = 4;

/// The address of a region, from 0.
pub(crate) fn address(region: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 66, region as u8 + 1, 1)
}

/// One network namespace.
pub(crate) struct Namespace(String);

impl Namespace {
    /// A new one; else why there can be none.
    fn new(kind: &str) -> Result<Namespace, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}-{kind}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name])?;
        Ok(Namespace(name))
    }

    /// Does something inside, on a thread of its own: what it opens and starts there stays there.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            let file = File::open(Path::new(NAMED).join(&self.0)).unwrap();
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs `ip` on it.
    pub(crate) fn ip(&self, words: &str) {
        let words: Vec<&str> = ["-n", &self.0].into_iter().chain(words.split(' ')).collect();
        run("ip", &words).unwrap();
    }

    /// Replaces all rules for packets that come in: `rules` are lines of nft, which may count in `lost`.
    pub(crate) fn filter(&self, rules: &str) {
        self.try_filter(rules).unwrap();
    }

    fn try_filter(&self, rules: &str) -> Result<String, String> {
        // The counter goes with the table: each filter begins at 0.
        let table = format!(
            "table inet faults\ndelete table inet faults\ntable inet faults {{\ncounter lost {{}}\nchain input {{\ntype filter hook input priority 0;\n{rules}\n}}\n}}\n"
        );
        self.enter(|| run_with("nft", &["-f", "-"], &table))
    }

    /// Packets that rules have counted in `lost`.
    pub(crate) fn lost(&self) -> u64 {
        let text = self.enter(|| run("nft", &["list", "counters"])).unwrap();
        text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        _ = run("ip", &["netns", "delete", &self.0]);
    }
}

/// The prober's namespace and the world.
pub(crate) struct Net {
    pub(crate) prober: Namespace,
    pub(crate) world: Namespace,
}

impl Net {
    /// `None`, with the reason on standard error, where this machine or user cannot have one.
    pub(crate) fn new() -> Option<Net> {
        for program in ["ip", "nft"] {
            if find(program).is_none() {
                skip_without(program);
                return None;
            }
        }
        remove_left_overs();
        match Net::lay() {
            Ok(net) => Some(net),
            Err(why) => {
                eprintln!("skipped: no network namespaces with filters here: {why}");
                None
            }
        }
    }

    fn lay() -> Result<Net, String> {
        let net = Net { prober: Namespace::new("prober")?, world: Namespace::new("world")? };
        net.world.try_filter("")?;
        net.lay_wire();
        Ok(net)
    }

    fn lay_wire(&self) {
        self.prober.ip("link set lo up");
        self.world.ip("link set lo up");
        self.prober.ip(&format!("link add wire type veth peer name wire netns {}", self.world.0));
        self.world.ip("address add 10.66.0.1/24 dev wire");
        self.world.ip("link set wire up");
        (0..REGIONS).for_each(|region| self.world.ip(&format!("address add {}/32 dev lo", address(region))));
        self.prober.ip("address add 10.66.0.2/24 dev wire");
        self.connect();
    }

    /// Takes the prober's uplink down: this machine has no way out, and knows it.
    pub(crate) fn disconnect(&self) {
        self.prober.ip("link set wire down");
    }

    /// Takes it up again.
    pub(crate) fn connect(&self) {
        self.prober.ip("link set wire up");
        self.prober.ip("route add 10.66.0.0/16 via 10.66.0.1");
    }
}

/// Namespaces of tests that were killed: their process is gone.
fn remove_left_overs() {
    let names = std::fs::read_dir(NAMED).into_iter().flatten().flatten().map(|entry| entry.file_name());
    for name in names.filter_map(|name| name.into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            _ = run("ip", &["netns", "delete", &name]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    run_with(program, arguments, "")
}

/// What a program prints; else what it complains about.
fn run_with(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(find(program).unwrap());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(format!("{program} {arguments:?}: {}", text(output.stderr))) }
}
