//! Resolves the host names of endpoints again and again, each when its answer has lived out its TTL, and tells what came.
//! It never judges what an address is worth, and a failure takes none away: who keeps the addresses keeps the last good ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::health::hosts::{HostName, Hosts, Resolution};
use crate::health::report::Evidence;

/// An answer is believed for at least so long: a TTL of 0 is no reason to ask without end.
const MIN_TTL_S: u32 = 5;

/// And for at most so long: whoever publishes a TTL of a day may still move a load balancer today.
const MAX_TTL_S: u32 = 300;

/// After a failure it is tried again this soon.
const RETRY_S: u32 = 5;

/// One question to one resolver takes at most this long, and is asked at most twice.
const TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 2;

/// The first round is waited for at most this long, before the first probes (H1).
pub(super) const MAX_FIRST_RESOLUTION_MS: u64 = 3_000;

/// So many names are resolved at once.
const MAX_AT_ONCE: usize = 64;

/// Hears of every resolution; must not block.
type Tell = Arc<dyn Fn(&HostName, Resolution) + Send + Sync>;

/// Resolves a set of hosts until it is dropped.
pub struct Resolver {
    runtime: Handle,
    servers: Vec<SocketAddr>,
    stub: Stub,
    turns: Arc<Semaphore>,
    tell: Tell,
    tasks: BTreeMap<HostName, AbortHandle>,
    /// Closes when every host of the start was asked for once.
    first_round: mpsc::Receiver<()>,
}

/// The library's resolver, or why there is none.
type Stub = Result<TokioResolver, Box<str>>;

impl Resolver {
    /// Resolves `hosts` on `runtime` by `servers`, or as the system is configured where there are none.
    pub fn start(
        runtime: &Handle,
        servers: &[SocketAddr],
        hosts: impl IntoIterator<Item = HostName>,
        tell: impl Fn(&HostName, Resolution) + Send + Sync + 'static,
    ) -> Resolver {
        // Nothing is ever sent: the channel is there to be closed by its last sender.
        let (first, first_round) = mpsc::channel(1);
        let hosts: BTreeSet<HostName> = hosts.into_iter().collect();
        let mut resolver = Resolver {
            runtime: runtime.clone(),
            servers: servers.to_vec(),
            // Where no name is to be resolved the system need not say how.
            stub: if hosts.is_empty() { Err("not set up".into()) } else { stub(runtime, servers) },
            turns: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            tell: Arc::new(tell),
            tasks: BTreeMap::new(),
            first_round,
        };
        resolver.add(hosts, Some(&first));
        resolver
    }

    /// Waits until every host of the start was asked for once, for at most three seconds. True if all were.
    pub async fn first_round(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(MAX_FIRST_RESOLUTION_MS), self.first_round.recv()).await.is_ok()
    }

    /// Resolves these hosts from now on: those that were resolved already go on undisturbed, unless other resolvers are to be asked.
    pub fn set(&mut self, servers: &[SocketAddr], hosts: impl IntoIterator<Item = HostName>) {
        let hosts: BTreeSet<HostName> = hosts.into_iter().collect();
        let is_new = self.servers != servers || self.stub.is_err();
        if is_new && !hosts.is_empty() {
            self.servers = servers.to_vec();
            self.stub = stub(&self.runtime, servers);
        }
        self.tasks.retain(|host, task| {
            let stays = hosts.contains(host) && !is_new;
            if !stays {
                task.abort();
            }
            stays
        });
        self.add(hosts, None);
    }

    fn add(&mut self, hosts: BTreeSet<HostName>, first: Option<&mpsc::Sender<()>>) {
        for host in hosts {
            if self.tasks.contains_key(&host) {
                continue;
            }
            let watch = watch(Arc::clone(&host), self.stub.clone(), Arc::clone(&self.turns), Arc::clone(&self.tell), first.cloned());
            let task = self.runtime.spawn(watch).abort_handle();
            self.tasks.insert(host, task);
        }
    }
}

/// Resolves these hosts once, for at most three seconds. Errors: the system gives no runtime.
pub fn resolve_once(servers: &[SocketAddr], hosts: impl IntoIterator<Item = HostName>) -> io::Result<Hosts> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (to, told) = std::sync::mpsc::channel();
    let mut resolver = Resolver::start(runtime.handle(), servers, hosts, move |host, found| drop(to.send((Arc::clone(host), found))));
    runtime.block_on(resolver.first_round());
    drop(resolver);
    let mut found = Hosts::default();
    told.try_iter().for_each(|(host, resolution)| _ = found.take(&host, resolution, 0));
    Ok(found)
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

/// The addresses of one family and the seconds that they live, or what went wrong.
type Answer = Result<(Vec<IpAddr>, u32), Box<str>>;

/// Resolves one host for ever.
async fn watch(host: HostName, stub: Stub, turns: Arc<Semaphore>, tell: Tell, mut first: Option<mpsc::Sender<()>>) {
    loop {
        // Never closed; if it were, names would be resolved without a turn rather than not at all.
        let turn = turns.acquire().await.ok();
        let resolution = resolve(&host, &stub).await;
        drop(turn);
        let next_s = resolution.next_s;
        tell(&host, resolution);
        drop(first.take());
        // The records' own TTL, or the pause before another try.
        tokio::time::sleep(Duration::from_secs(u64::from(next_s))).await;
    }
}

/// Asks once for both families.
async fn resolve(host: &str, stub: &Stub) -> Resolution {
    let stub = match stub {
        Ok(stub) => stub,
        Err(why) => return Resolution { next_s: RETRY_S, error: Some(why.clone()), ..Resolution::default() },
    };
    // With the final dot, so that no search list makes another name of it.
    let name = format!("{host}.");
    let (v4, v6) = tokio::join!(stub.lookup(name.as_str(), RecordType::A), stub.lookup(name.as_str(), RecordType::AAAA));
    let found = [v4, v6].map(|answer| match answer {
        Ok(lookup) => Ok(addresses(lookup.answers().iter().map(|record| (record.data.ip_addr(), record.ttl)))),
        Err(error) => nothing(&error),
    });
    judge(found)
}

/// The addresses of an answer, and how long all of it lives.
fn addresses(records: impl Iterator<Item = (Option<IpAddr>, u32)>) -> (Vec<IpAddr>, u32) {
    let mut ttl_s = MAX_TTL_S;
    // Aliases on the way to the addresses count too.
    let addresses = records.filter_map(|(address, of_record_s)| {
        ttl_s = ttl_s.min(of_record_s);
        address
    });
    (addresses.collect(), ttl_s)
}

/// "There is none of this type" is an answer; everything else is a failure.
fn nothing(error: &NetError) -> Answer {
    match error {
        error if error.is_nx_domain() => Err("the name does not exist".into()),
        error if error.is_no_records_found() => Ok((Vec::new(), MAX_TTL_S)),
        error => Err(Evidence::text(&error.to_string())),
    }
}

/// What both answers come to. A name without any address is more likely a slip of its owner than the end of a service: as with a
/// failure, the last addresses stay and the probes decide.
fn judge(found: [Answer; 2]) -> Resolution {
    let is_empty = found.iter().all(|answer| answer.as_ref().is_ok_and(|(addresses, _)| addresses.is_empty()));
    if is_empty {
        return Resolution { next_s: RETRY_S, error: Some("the name has no address".into()), ..Resolution::default() };
    }
    let ttl_s = found.iter().filter_map(|answer| answer.as_ref().ok()).map(|(_, ttl_s)| *ttl_s).min();
    let error = found.iter().find_map(|answer| answer.as_ref().err().cloned());
    let next_s = if error.is_some() { RETRY_S } else { ttl_s.unwrap_or(RETRY_S).clamp(MIN_TTL_S, MAX_TTL_S) };
    Resolution { addresses: found.map(|answer| answer.ok().map(|(addresses, _)| addresses)), next_s, error }
}

fn stub(runtime: &Handle, servers: &[SocketAddr]) -> Stub {
    // The library asks for the runtime that it will run on.
    let _guard = runtime.enter();
    let builder = if servers.is_empty() {
        let refused = |error: NetError| Evidence::text(&format!("the resolver configuration of this system cannot be used: {error}"));
        TokioResolver::builder_tokio().map_err(refused)?
    } else {
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(name_server).collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut builder = builder;
    let options = builder.options_mut();
    // Nothing is cached twice: an answer is asked for again when it has lived out its TTL.
    (options.timeout, options.attempts, options.cache_size) = (TIMEOUT, ATTEMPTS, 0);
    // Aliases are part of the answer, for their TTLs.
    options.preserve_intermediates = true;
    builder.build().map_err(|error| Evidence::text(&error.to_string()))
}

fn name_server(server: &SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    config.connections = config.connections.into_iter().map(at_port).collect();
    config
}

#[cfg(test)]
mod tests;
