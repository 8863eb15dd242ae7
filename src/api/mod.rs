//! The admin API: HTTP on the control socket and, where configured, on addresses: for `meridian status`, `ctl` and `explain --live`, for monitoring and scripts.
//! It has the narrow handles of health and of loads and reads the world: nothing is answered to clients of DNS here.

mod access;
mod app;
mod changes;
pub mod client;
mod configuration;
mod doors;
mod explain;
mod journal;
mod loads;
mod metrics;
mod overrides;
mod plans;
mod probes;
mod problem;
mod process;
mod reload;
mod routes;
mod simulate;
mod statistics;
mod status;
mod takeover;
mod tls;
mod told;
mod zones;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use access::{Caller, Guard};
pub use app::{App, Phase};
pub use doors::bind_network;
pub use explain::{Told, told};
pub use journal::{InForce, Journal, LoadOutcome};
pub use loads::Tellers;
pub use reload::{Refused, Reload, Reloads, Waiting, reloads};
pub use routes::{Access, openapi};
pub use simulate::Simulations;
pub use takeover::{Claim, Claims, claims};

use crate::config::model::{Api as NetworkApi, Identity};
use crate::handover::Sockets;

/// Threads for requests that wait for others: the keeper, a reload. More requests than this wait for each other.
const WAITING_THREADS: usize = 8;

/// Where the API is served.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// The control socket: whoever may open it may do everything.
    pub socket: Option<PathBuf>,
    /// Addresses and who may come in there.
    pub network: NetworkApi,
}

/// The API while it is served, on a thread and a runtime of its own, so that no request delays a probe.
#[derive(Debug)]
pub struct Api {
    /// The file of the control socket, which goes with us.
    socket: Option<PathBuf>,
    /// The same sockets once more, for a process that takes over.
    held: Sockets,
    addresses: Vec<std::net::SocketAddr>,
    tls: Option<tls::Shown>,
    guard: Arc<Guard>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    /// Opens the doors and serves; sockets that were left for them are taken out of `left` instead. A socket file that nobody listens on
    /// any more is replaced.
    ///
    /// # Errors
    /// What the system says of a socket or an address, or what is wrong with a certificate.
    pub fn start(doors: &Doors, app: Arc<App>, left: &mut Sockets) -> io::Result<Api> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WAITING_THREADS).build()?;
        let bound = {
            let _inside = runtime.enter();
            doors::bind(doors, left)?
        };
        let (held, is_ours) = bound.hold(doors)?;
        let (addresses, tls) = (bound.addresses()?, bound.tls());
        let guard = Arc::clone(&app.guard);
        let (stop, stopped) = watch::channel(false);
        let serve = move || {
            runtime.block_on(doors::serve(bound, app, stopped));
            // What still waits for a reload goes with the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("api".into()).spawn(serve)?;
        let socket = doors.socket.clone().filter(|_| is_ours);
        Ok(Api { socket, held, addresses, tls, guard, stop, thread: Some(thread) })
    }

    /// The addresses that it serves, with real ports.
    pub fn addresses(&self) -> &[std::net::SocketAddr] {
        &self.addresses
    }

    /// Requests from now on go by these tokens, and handshakes by these certificates. Where others listen, or TLS begins or ends, or it begins or
    /// ceases to ask clients for certificates, that takes a restart.
    ///
    /// # Errors
    /// The library of TLS does not take the certificates; those before stay.
    pub fn follow(&self, network: &NetworkApi) -> io::Result<()> {
        self.guard.replace(network);
        match (&self.tls, &network.tls) {
            (Some(shown), Some(tls)) => shown.replace(tls),
            _ => Ok(()),
        }
    }

    /// The certificate that is shown; none where the API has no TLS.
    pub fn identity(&self) -> Option<Identity> {
        self.tls.as_ref().map(tls::Shown::identity)
    }

    /// All listeners, as another process can be given them.
    pub fn sockets(&self) -> &Sockets {
        &self.held
    }

    /// Ends here, and leaves the file of the control socket to the process that has taken over.
    pub fn leave(mut self) {
        self.socket = None;
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.held = Sockets::default();
        _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic in there was logged; the end goes on.
            _ = thread.join();
        }
        if let Some(path) = &self.socket {
            _ = std::fs::remove_file(path);
        }
    }
}
