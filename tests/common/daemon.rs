//! Other people's servers as child processes: on a free port of loopback, from a folder of their own, ended with the test.
//! What is asked of them, and what they must answer, is for the tests.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::{PATIENCE, signal, skip_without};

/// How long a server may take to end when it was asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// Another process may take the free port before the server does.
const ATTEMPTS: usize = 5;

/// Folders of system programs that the path of a plain user lacks.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// What to start, and how to see that it serves.
pub(crate) struct Recipe<'a> {
    /// The program, as its package installs it.
    pub(crate) program: &'a str,
    /// Its arguments; `@CONFIG@` is the path of the configuration, `@FOLDER@` that of the folder.
    pub(crate) arguments: &'a [&'a str],
    /// Its configuration, with `@ADDRESS@`, `@PORT@` and `@FOLDER@`, in which there is an empty folder `db`.
    pub(crate) config: &'a str,
    /// Other files that it reads from its folder, with the same.
    pub(crate) files: &'a [(&'a str, &'a str)],
    /// What its log says when it serves.
    pub(crate) ready: &'a str,
}

/// A server at work; ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    address: SocketAddr,
    log: Receiver<String>,
    _folder: Folder,
}

impl Daemon {
    /// Starts it and returns when it serves; `None`, with the reason on standard error, where it is not installed and need not be.
    pub(crate) fn start(recipe: &Recipe<'_>) -> Option<Daemon> {
        let Some(program) = find(recipe.program) else {
            skip_without(recipe.program);
            return None;
        };
        let mut log = Vec::new();
        for _ in 0..ATTEMPTS {
            match Daemon::launch(&program, recipe) {
                Ok(daemon) => return Some(daemon),
                Err(lines) => log = lines,
            }
        }
        panic!("`{}` does not start:\n{}", recipe.program, log.join("\n"))
    }

    /// Where it serves UDP and TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a signal; `STOP` makes it hang with all its connections open, `CONT` wakes it again.
    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(self.child.id(), name), "cannot send SIG{name}");
    }

    /// What it has logged since the last call.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// `Err` with its log, if it ended by itself.
    fn launch(program: &Path, recipe: &Recipe<'_>) -> Result<Daemon, Vec<String>> {
        let folder = Folder::new(recipe.program);
        std::fs::create_dir(folder.join("db")).unwrap();
        let address = free_address();
        let path = folder.path().to_str().unwrap();
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        for (file, text) in recipe.files.iter().chain([&("server.conf", recipe.config)]) {
            folder.write(file, &text.replace("@ADDRESS@", &ip).replace("@PORT@", &port).replace("@FOLDER@", path));
        }
        let config_path = folder.join("server.conf");
        let config_path = config_path.to_str().unwrap();
        let arguments = recipe.arguments.iter().map(|argument| argument.replace("@CONFIG@", config_path).replace("@FOLDER@", path));
        let mut command = Command::new(program);
        // Some servers log on standard output.
        let (output, input) = std::io::pipe().unwrap();
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(input.try_clone().unwrap()).stderr(input);
        let child = command.spawn().unwrap();
        // With it go our own ends of the pipe.
        drop(command);
        let (to, log) = channel();
        let lines = BufReader::new(output).lines();
        // It ends when the server does, as nobody else holds the other end.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| _ = to.send(line)));
        let daemon = Daemon { child, address, log, _folder: folder };
        daemon.wait_for(recipe.ready).map(|()| daemon)
    }

    fn wait_for(&self, text: &str) -> Result<(), Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = Vec::new();
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return Ok(()),
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return Err(lines),
                Err(RecvTimeoutError::Timeout) => panic!("no line with `{text}` in\n{}", lines.join("\n")),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked first: servers with several processes end their own children then.
        signal(self.child.id(), "TERM");
        let deadline = Instant::now() + FAREWELL;
        while self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The path of a program, none where it is not installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// An address whose port nobody has, neither for UDP nor for TCP.
fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
