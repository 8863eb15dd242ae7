//! The real binary as a child process: started, its log read line by line, signalled, stopped; never left behind.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{PATIENCE, signal};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_meridian");

/// A running `meridian serve`.
pub(crate) struct Server {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

/// The lines of the log so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Server {
    /// Starts it and returns when it serves.
    pub(crate) fn start(server_file: &Path) -> Server {
        let server = Server::launch(server_file);
        server.wait_for(0, "ready");
        server
    }

    /// Starts it without waiting for anything.
    pub(crate) fn launch(server_file: &Path) -> Server {
        Server::launch_with(server_file, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn launch_with(server_file: &Path, environment: &[(&str, &Path)]) -> Server {
        let mut command = Command::new(BINARY);
        command.envs(environment.iter().copied()).arg("serve").arg("--config").arg(server_file);
        Server::spawn(command)
    }

    /// The same, by another program: it is given the path of the binary and its arguments, and must become it.
    pub(crate) fn launch_by(mut command: Command, server_file: &Path) -> Server {
        command.arg(BINARY).arg("serve").arg("--config").arg(server_file);
        Server::spawn(command)
    }

    /// Starts it to take over from the server that runs with the same control socket; does not wait.
    pub(crate) fn take_over(server_file: &Path) -> Server {
        let mut command = Command::new(BINARY);
        command.arg("serve").arg("--takeover").arg("--config").arg(server_file);
        Server::spawn(command)
    }

    /// As a service manager starts it, with sockets that are open: datagrams as descriptors 3 and 4, streams as 5.
    pub(crate) fn activate(server_file: &Path, names: &str, packets: OwnedFd, streams: OwnedFd) -> Server {
        let mut command = Command::new("sh");
        // The shell becomes the program, so that its number is the one that the environment names.
        let script = "LISTEN_PID=$$ LISTEN_FDS=3 exec \"$@\" 3<&0 4<&0 5>&1 0</dev/null 1>/dev/null";
        command.args(["-c", script, "sh", BINARY, "serve", "--config"]).arg(server_file).env("LISTEN_FDNAMES", names);
        Server::spawn_with(command, packets.into(), streams.into())
    }

    fn spawn(command: Command) -> Server {
        Server::spawn_with(command, Stdio::null(), Stdio::null())
    }

    fn spawn_with(mut command: Command, stdin: Stdio, stdout: Stdio) -> Server {
        command.env("MERIDIAN_LOG", "info");
        // A proxy of the environment must not matter to probes (BEHAVIOUR H3); with this one they would all fail.
        command.env("http_proxy", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9");
        let mut child = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Log::default());
        let to = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                to.lines.lock().unwrap().lines.push(line);
                to.changed.notify_all();
            }
            to.lines.lock().unwrap().ended = true;
            to.changed.notify_all();
        });
        Server { child, log, reader: Some(reader) }
    }

    /// The addresses that it serves, in the order of the configuration.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let lines = self.lines();
        let serving = lines.iter().filter(|line| line.contains(" serving "));
        serving.filter_map(|line| line.split("address=").nth(1)?.trim().parse().ok()).collect()
    }

    /// The first address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// The log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().lines.clone()
    }

    /// How many lines the log has: the place from which to wait for what comes next.
    pub(crate) fn mark(&self) -> usize {
        self.log.lines.lock().unwrap().lines.len()
    }

    /// Waits for a line that contains `text`, from line number `from` on.
    pub(crate) fn wait_for(&self, from: usize, text: &str) -> String {
        self.wait_for_all(from, &[text])
    }

    /// Waits for a line that contains all these texts.
    pub(crate) fn wait_for_all(&self, from: usize, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            let found = lines.lines.iter().skip(from).find(|line| texts.iter().all(|text| line.contains(text)));
            if let Some(line) = found {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!lines.ended && left > Duration::ZERO, "no line with {texts:?} in\n{}", lines.lines.join("\n"));
            lines = self.log.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `HUP`, `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(self.child.id(), name), "cannot send SIG{name}");
    }

    /// Waits for the end, however it comes; gives the exit status and the whole log.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        // The log ends when the process does: nobody else holds its standard error.
        while !lines.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "it does not end\n{}", lines.lines.join("\n"));
            lines = self.log.changed.wait_timeout(lines, left).unwrap().0;
        }
        let all = lines.lines.clone();
        drop(lines);
        (self.child.wait().unwrap(), all)
    }

    /// SIGTERM, and the end.
    pub(crate) fn stop(self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `wait` both do nothing.
        _ = self.child.kill();
        _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            _ = reader.join();
        }
    }
}

/// Runs the binary to its end with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// How long after `start` a line of the log was written, by its own time stamp.
pub(crate) fn logged_after(start: SystemTime, line: &str) -> Duration {
    const DAY_US: u64 = 86_400_000_000;
    // 2026-11-20T18:57:00.137484Z
    let part = |range: std::ops::Range<usize>| line[range].parse::<u64>().unwrap();
    let logged_us = (part(11..13) * 3_600 + part(14..16) * 60 + part(17..19)) * 1_000_000 + part(20..26);
    let start_us = start.duration_since(UNIX_EPOCH).unwrap().as_micros() as u64 % DAY_US;
    Duration::from_micros((logged_us + DAY_US - start_us) % DAY_US)
}
