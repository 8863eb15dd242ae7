//! HTTP back ends for monitors to probe: on a free port of loopback, to be stopped, started and made to fail.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use super::PATIENCE;

/// A back end; it answers 200 until told otherwise.
pub(crate) struct Backend {
    port: u16,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    status: AtomicU16,
    requests: AtomicU32,
}

impl Backend {
    /// On a free port.
    pub(crate) fn start() -> Backend {
        let shared = Arc::new(Shared { status: AtomicU16::new(200), ..Shared::default() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut backend = Backend { port: listener.local_addr().unwrap().port(), shared, running: None };
        backend.serve(listener);
        backend
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Requests that were answered.
    pub(crate) fn requests(&self) -> u32 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Answers with another status from now on.
    pub(crate) fn set_status(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Closes the port: connections are refused when this returns.
    pub(crate) fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        self.shared.stopping.store(true, Ordering::SeqCst);
        // accept() sleeps: a connection of our own wakes it. It may also be refused, if a probe has woken it already.
        _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        running.join().unwrap();
    }

    /// Opens the same port again.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.serve(TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        self.shared.stopping.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        self.running = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopping.load(Ordering::SeqCst) {
                    return;
                }
                // A prober that hangs up early is its own affair.
                if let Ok(stream) = stream {
                    _ = answer(stream, &shared);
                }
            }
        }));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One request, one answer, and the end of the connection.
fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let status = shared.status.load(Ordering::SeqCst);
    write!(stream, "HTTP/1.1 {status} As told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
