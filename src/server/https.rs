//! DNS over HTTPS: HTTP/2, and HTTP/1.1 for clients that ask for it, on a connection inside TLS.
//! What a request means, `doh` knows; here are the limits of a connection: its streams, heads, bodies and time.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::doh::{self, Asked, Refusal};
use super::hall::Hall;
use super::intake::Turn;
use super::stream::Guest;
use crate::answer::Transport;
use crate::metrics::Metric;
use crate::wire::MAX_MESSAGE_OCTETS;

/// Requests of one connection under way at a time. Of messages they hold 192 KiB at most, as long ones come in one after the other.
const MAX_STREAMS: u32 = 32;

/// Largest head of a request: the longest address that is taken, and what browsers add.
const MAX_HEAD_OCTETS: usize = 16 << 10;

/// What a client may send ahead of what was read, by request and in all: all requests may be full at once, so that long messages that wait for
/// their turn leave room for the one that has it, and for short ones.
const STREAM_WINDOW_OCTETS: u32 = 4 << 10;
const CONNECTION_WINDOW_OCTETS: u32 = MAX_STREAMS * STREAM_WINDOW_OCTETS;

/// Replies that wait to be taken, by request: the longest one.
const SEND_OCTETS: usize = MAX_MESSAGE_OCTETS + 1;

/// Serves a connection until the peer or a time limit ends it.
pub(super) async fn serve(stream: TlsStream<TcpStream>, path: Arc<str>, guest: Guest, hall: Rc<Hall>) {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let visit = Rc::new(Visit { deadline: Cell::new(Instant::now() + hall.timeouts.first_message), path, guest, hall, turn: Turn::new() });
    let answering = Rc::clone(&visit);
    let service = service_fn(move |request| {
        let visit = Rc::clone(&answering);
        async move { Ok::<_, Infallible>(visit.respond(request).await.map(Full::new)) }
    });
    if is_http2 {
        let mut http = http2::Builder::new(OnThisThread);
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_OCTETS as u32)
            .initial_stream_window_size(STREAM_WINDOW_OCTETS)
            .initial_connection_window_size(CONNECTION_WINDOW_OCTETS)
            .max_send_buf_size(SEND_OCTETS);
        visit.attend(http.serve_connection(TokioIo::new(stream), service), true, |connection| connection.graceful_shutdown()).await;
    } else {
        let mut http = http1::Builder::new();
        // Heads have the time that the visit has: a second clock would only disagree with it.
        http.header_read_timeout(None).max_buf_size(MAX_HEAD_OCTETS);
        visit.attend(http.serve_connection(TokioIo::new(stream), service), false, |connection| connection.graceful_shutdown()).await;
    }
}

/// One connection.
struct Visit {
    /// It ends then, unless a request comes.
    deadline: Cell<Instant>,
    path: Arc<str>,
    guest: Guest,
    hall: Rc<Hall>,
    turn: Turn,
}

impl Visit {
    async fn respond(&self, request: Request<Incoming>) -> Response<Bytes> {
        // Whole heads and their replies prolong the visit; frames without a request do not.
        self.prolong(self.hall.timeouts.idle);
        let (method, version) = (request.method().clone(), request.version());
        let asked = match has_host(version, request.headers()) {
            true => doh::ask(&method, request.uri(), request.headers(), &self.path),
            false => Err(Refusal::NO_HOST),
        };
        let message = match asked {
            Ok(Asked::Message(message)) => Ok(message),
            Ok(Asked::Body) => self.body(request.into_body()).await,
            Err(refusal) => {
                // What the client still sends is taken first, within the same limits: some clients overlook a reply that comes before.
                _ = self.body(request.into_body()).await;
                Err(refusal)
            }
        };
        let mut response = match message {
            Ok(message) => doh::response(&method, self.hall.answer(&message, self.guest.peer, self.guest.local, Transport::Https)),
            Err(refusal) => refusal.response(&method),
        };
        if self.hall.is_closing() && version != Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // It has its whole time to be taken, however long the question took to come.
        self.prolong(self.hall.timeouts.idle.max(self.hall.timeouts.write));
        response
    }

    fn prolong(&self, by: Duration) {
        self.deadline.set(self.deadline.get().max(Instant::now() + by));
    }

    async fn body(&self, mut body: Incoming) -> Result<Vec<u8>, Refusal> {
        let taking = async {
            let mut intake = self.turn.intake(MAX_MESSAGE_OCTETS);
            while let Some(frame) = body.frame().await {
                if let Some(part) = frame.map_err(|_| Refusal::BROKEN)?.data_ref() {
                    intake.take(part).await.map_err(|_| Refusal::LONG)?;
                }
            }
            Ok(intake.whole())
        };
        timeout(self.hall.timeouts.first_message, taking).await.unwrap_or(Err(Refusal::SLOW))
    }

    /// Runs a connection to its end; `wind_down` has it take no more requests. After the stop a client of HTTP/2 is told at once that no more are
    /// taken, and those that it had sent by then are answered. HTTP/1.1 can say so only with a reply: until the next one, or until it has been
    /// idle for its time, the connection stays.
    async fn attend<C: Future>(&self, connection: C, can_wind_down: bool, mut wind_down: impl FnMut(Pin<&mut C>)) {
        let mut connection = pin!(connection);
        let mut is_told = false;
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = self.hall.closing(), if can_wind_down && !is_told => {
                    is_told = true;
                    wind_down(connection.as_mut());
                }
                () = self.hall.drained() => break,
                () = sleep_until(self.deadline.get()) => if Instant::now() >= self.deadline.get() {
                    self.hall.count(Metric::ConnectionsTimedOut);
                    // Nobody has asked in time, and all replies had theirs: what is left is to say so.
                    break;
                },
            }
        }
        wind_down(connection.as_mut());
        let _ = timeout(self.hall.timeouts.drain, connection).await;
    }
}

/// Whether it is said which host is asked, as HTTP/1 demands it (RFC 9112 3.2); which one does not matter here. Later versions have a field of
/// their own for it.
fn has_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (version, hosts.next(), hosts.next()) {
        (Version::HTTP_2, ..) | (Version::HTTP_10, None, _) => true,
        // A name that is empty is one; users have no place in it.
        (_, Some(host), None) => host.is_empty() || !host.as_bytes().contains(&b'@') && Authority::try_from(host.as_bytes()).is_ok(),
        _ => false,
    }
}

/// Streams of HTTP/2 run on the thread of their connection, like all that shares its answering place.
#[derive(Clone)]
struct OnThisThread;

impl<F: Future + 'static> Executor<F> for OnThisThread {
    fn execute(&self, work: F) {
        tokio::task::spawn_local(async move { drop(work.await) });
    }
}
