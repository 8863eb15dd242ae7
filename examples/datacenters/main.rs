//! Five pretend data centres on this machine: small HTTP back ends that the sample's monitors probe, to be stopped and started by hand.
//! It is a toy for watching a failover with dig; it knows nothing of DNS and must never face a real network.
//!
//! ```text
//! cargo run --release --example datacenters [-- --base-port 8101 --down eu-west]
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// One data centre on each of five continents, as in the sample's regions.yaml: the first on the base port, each next one port higher.
const NAMES: [&str; 5] = ["us-east", "eu-west", "ap-southeast", "sa-east", "af-south"];
const DEFAULT_BASE_PORT: u16 = 8101;

/// A client that sends nothing for this long is hung up on.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request head longer than this is not read further.
const MAX_REQUEST: u64 = 8 * 1024;
/// After a failed accept (no descriptors left, say) this long a pause, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const USAGE: &str = "usage: datacenters [--base-port N] [--down NAME]...";
const COMMANDS: &str = "commands: stop NAME | start NAME | list | help | quit";

fn main() -> ExitCode {
    let (base_port, down) = match parse_args(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut centres: Vec<DataCentre> = (base_port..).zip(NAMES).map(|(port, name)| DataCentre { name, port, running: None }).collect();
    for centre in centres.iter_mut().filter(|centre| !down.iter().any(|name| name == centre.name)) {
        if let Err(error) = centre.start() {
            eprintln!("{}: cannot listen on 127.0.0.1:{}: {error}", centre.name, centre.port);
            return ExitCode::FAILURE;
        }
    }
    list(&centres);
    println!("{COMMANDS}");
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            ["quit" | "exit"] => return ExitCode::SUCCESS,
            ["list"] => list(&centres),
            ["help"] => println!("{COMMANDS}"),
            ["stop", name] => with(&mut centres, name, stop),
            ["start", name] => with(&mut centres, name, start),
            _ => println!("unknown command `{}`; {COMMANDS}", line.trim()),
        }
    }
    // Standard input is closed (as under a service manager or with `< /dev/null`): go on serving until killed.
    loop {
        thread::park();
    }
}

/// The base port, and the names that shall not be started.
fn parse_args(mut args: impl Iterator<Item = String>) -> Result<(u16, Vec<String>), String> {
    let highest_base = u16::MAX - (NAMES.len() as u16 - 1);
    let (mut base_port, mut down) = (DEFAULT_BASE_PORT, Vec::new());
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("`{arg}` is not understood, or needs a value"))?;
        match arg.as_str() {
            "--base-port" => {
                let port = value.parse().ok().filter(|port| (1..=highest_base).contains(port));
                base_port = port.ok_or_else(|| format!("`{value}` is not a port from 1 to {highest_base}"))?;
            }
            "--down" if NAMES.contains(&value.as_str()) => down.push(value),
            "--down" => return Err(format!("unknown data centre `{value}`; there are {}", NAMES.join(", "))),
            _ => return Err(format!("unknown argument `{arg}`")),
        }
    }
    Ok((base_port, down))
}

fn list(centres: &[DataCentre]) {
    for centre in centres {
        let state = if centre.running.is_some() { "up" } else { "stopped" };
        println!("{:<13} http://127.0.0.1:{}/health  {state}", centre.name, centre.port);
    }
}

fn with(centres: &mut [DataCentre], name: &str, command: fn(&mut DataCentre)) {
    match centres.iter_mut().find(|centre| centre.name == name) {
        Some(centre) => command(centre),
        None => println!("unknown data centre `{name}`; there are {}", NAMES.join(", ")),
    }
}

fn start(centre: &mut DataCentre) {
    match centre.start() {
        Ok(true) => println!("{} is up again on 127.0.0.1:{}", centre.name, centre.port),
        Ok(false) => println!("{} is up already", centre.name),
        Err(error) => println!("{}: cannot listen on 127.0.0.1:{}: {error}", centre.name, centre.port),
    }
}

fn stop(centre: &mut DataCentre) {
    if centre.stop() {
        println!("{} is stopped: 127.0.0.1:{} refuses connections", centre.name, centre.port);
    } else {
        println!("{} is stopped already", centre.name);
    }
}

/// A pretend data centre: a name, a port, and while it runs the thread that holds its listener.
struct DataCentre {
    name: &'static str,
    port: u16,
    running: Option<Running>,
}

struct Running {
    stopping: Arc<AtomicBool>,
    listener_thread: JoinHandle<()>,
}

impl DataCentre {
    fn socket(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Opens the listener; false if it is open.
    fn start(&mut self) -> io::Result<bool> {
        if self.running.is_some() {
            return Ok(false);
        }
        let listener = TcpListener::bind(self.socket())?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (name, seen) = (self.name, Arc::clone(&stopping));
        let listener_thread = thread::spawn(move || serve(name, &listener, &seen));
        self.running = Some(Running { stopping, listener_thread });
        Ok(true)
    }

    /// Closes the listener, so that connections are refused from now on; false if it is closed.
    fn stop(&mut self) -> bool {
        let Some(Running { stopping, listener_thread }) = self.running.take() else { return false };
        stopping.store(true, Ordering::Relaxed);
        // accept() sleeps: a connection of our own wakes it, so that it sees the flag and drops the listener.
        let _ = TcpStream::connect(self.socket());
        let _ = listener_thread.join();
        true
    }
}

/// Takes connections until told to stop, each on a thread of its own.
fn serve(name: &'static str, listener: &TcpListener, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Relaxed) {
        match listener.accept() {
            // A client that hangs up early is its own affair.
            Ok((stream, _)) => drop(thread::spawn(move || answer(name, stream))),
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

/// Reads one request, answers it and hangs up.
fn answer(name: &str, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    let mut request = BufReader::new((&stream).take(MAX_REQUEST));
    let mut first_line = String::new();
    request.read_line(&mut first_line)?;
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first_line.split(' ').nth(1).unwrap_or_default();
    let (status, kind, body) = match path {
        "/health" => ("200 OK", "application/json", format!("{{\"status\":\"ok\",\"datacenter\":\"{name}\"}}\n")),
        "/" => ("200 OK", "text/plain", format!("hello from {name}\n")),
        _ => ("404 Not Found", "text/plain", "try / or /health\n".to_owned()),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
