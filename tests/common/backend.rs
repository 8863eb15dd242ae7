//! HTTP back ends for monitors to probe: on a free port of loopback, to be stopped, started and made to fail.
//! They know nothing of regions or names; what is made of their answers is for the tests.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use socket2::SockRef;

use super::PATIENCE;

/// A back end; it answers 200 and an empty body until told otherwise.
pub(crate) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<(TcpListener, JoinHandle<()>)>,
}

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    body: Mutex<String>,
    requests: AtomicU32,
    hangs: AtomicBool,
}

impl Backend {
    /// On a free port of loopback.
    pub(crate) fn start() -> Backend {
        Backend::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// On a free port of this address.
    pub(crate) fn start_at(address: IpAddr) -> Backend {
        let shared = Arc::new(Shared { status: AtomicU16::new(200), ..Shared::default() });
        let listener = TcpListener::bind((address, 0)).unwrap();
        let mut backend = Backend { address: listener.local_addr().unwrap(), shared, running: None };
        backend.serve(listener);
        backend
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Requests that were answered.
    pub(crate) fn requests(&self) -> u32 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Answers with another status from now on.
    pub(crate) fn set_status(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Answers with another body from now on.
    pub(crate) fn set_body(&self, body: &str) {
        body.clone_into(&mut self.shared.body.lock().unwrap());
    }

    /// Takes connections from now on and never answers them.
    pub(crate) fn hang(&self) {
        self.shared.hangs.store(true, Ordering::SeqCst);
    }

    /// Closes the port: connections are refused when this returns.
    pub(crate) fn stop(&mut self) {
        let Some((listener, running)) = self.running.take() else { return };
        // On Linux this wakes accept(), which sleeps in the other thread, and refuses who knocks from now on.
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        running.join().unwrap();
    }

    /// Opens the same port again.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.serve(TcpListener::bind(self.address).unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let ours = listener.try_clone().unwrap();
        let running = thread::spawn(move || {
            let mut hanging = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if shared.hangs.load(Ordering::SeqCst) {
                    hanging.push(stream);
                } else {
                    // A prober that hangs up early is its own affair.
                    _ = answer(stream, &shared);
                }
            }
        });
        self.running = Some((ours, running));
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
    let body = shared.body.lock().unwrap().clone();
    write!(stream, "HTTP/1.1 {status} As told\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
