//! QUIC: DNS over QUIC (RFC 9250), and the connections of HTTP/3 on the same socket, told apart by ALPN.
//! Each handshake is a task of its own, and nobody takes a place before it has proved its address; 0-RTT, which could be replayed, is not offered.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    AsyncUdpSocket, Connection, Endpoint, EndpointConfig, Incoming, RecvStream, Runtime, SendStream, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::deaf::Deafening;
use super::hall::{Hall, IDLE_TIMEOUT, LAST_WORDS};
use super::intake::{TooLong, Turn};
use super::limit::{Permit, Refusal};
use super::stream::Guest;
use super::tls::{self, Certificate};
use super::{doq, http3};
use crate::answer::Transport;
use crate::metrics::Metric;

/// The protocols of ALPN.
pub(super) const DOQ: &[u8] = b"doq";
pub(super) const HTTP3: &[u8] = b"h3";

/// Queries of one connection under way at a time.
pub(super) const MAX_STREAMS: u32 = 32;

/// Streams that a client of HTTP/3 opens for itself: control, and two of QPACK (RFC 9114 6.2). DNS over QUIC has none.
const MAX_UNI_STREAMS: u32 = 3;

/// What a client may send ahead of what was read, by stream and in all: all streams may be full at once, so that long messages that wait for
/// their turn leave room for the one that has it, and for short ones. The longest message takes some round trips more.
const STREAM_WINDOW_OCTETS: u32 = 4 << 10;
const WINDOW_OCTETS: u32 = MAX_STREAMS * STREAM_WINDOW_OCTETS;

/// What a connection keeps until the client has confirmed it: two of the longest replies.
const SEND_WINDOW_OCTETS: u64 = 128 << 10;

/// Handshakes under way on a thread with peers that have not proved their address; each holds some ten kilobytes. With as many newcomers must
/// prove it first, by a Retry (RFC 9000 8.1.2), which costs them a round trip and us no memory.
const RETRY_FROM: usize = 32;

/// Packets of newcomers that wait for us: in number, by newcomer, and in all.
const MAX_INCOMING: usize = 1_024;
const INCOMING_OCTETS: u64 = 16 << 10;
const ALL_INCOMING_OCTETS: u64 = 4 << 20;

/// A Retry is answered within this time.
const RETRY_LIFETIME: Duration = Duration::from_secs(5);

/// Codes of RFC 9250 4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

/// A socket that is served by QUIC.
pub(super) struct Quic {
    endpoint: Endpoint,
    socket: Arc<Deafening>,
    local: SocketAddr,
    path: Arc<str>,
}

/// What a socket negotiates; all threads share one, so that a Retry of one is good at each.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn config(certificate: &Arc<Certificate>, protocols: &[&[u8]]) -> Result<ServerConfig, rustls::Error> {
    let crypto =
        QuicServerConfig::try_from(tls::of_quic(certificate, protocols)?).map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .max_concurrent_uni_streams(if protocols.contains(&HTTP3) { MAX_UNI_STREAMS } else { 0 }.into())
        .stream_receive_window(STREAM_WINDOW_OCTETS.into())
        .receive_window(WINDOW_OCTETS.into())
        .send_window(SEND_WINDOW_OCTETS)
        .max_idle_timeout(IDLE_TIMEOUT.try_into().ok())
        .datagram_receive_buffer_size(None);
    // A client that moves would land on the socket of another thread.
    config
        .transport_config(Arc::new(transport))
        .migration(false)
        .retry_token_lifetime(RETRY_LIFETIME)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_OCTETS)
        .incoming_buffer_size_total(ALL_INCOMING_OCTETS);
    Ok(config)
}

impl Quic {
    /// Takes over a bound socket; needs the runtime that will serve it.
    pub(super) fn new(socket: UdpSocket, config: ServerConfig, path: Arc<str>) -> std::io::Result<Quic> {
        let local = socket.local_addr()?;
        let socket = Arc::new(Deafening::new(TokioRuntime.wrap_udp_socket(socket)?));
        let shared: Arc<dyn AsyncUdpSocket> = Arc::<Deafening>::clone(&socket);
        let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), Some(config), shared, Arc::new(TokioRuntime))?;
        Ok(Quic { endpoint, socket, local, path })
    }

    /// Takes on newcomers until the stop, and stays until those that came have gone; `presence` is held meanwhile.
    pub(super) async fn accept_all(self, hall: Rc<Hall>, _presence: mpsc::Sender<()>) {
        // Every connection holds a sender; the channel closes when the last has ended.
        let (here, mut all_gone) = mpsc::channel(1);
        let mut stop = hall.stop.clone();
        // Held once more by each handshake whose peer may be anyone.
        let unproved = Rc::new(());
        loop {
            let incoming = tokio::select! {
                biased;
                _ = stop.wait_for(Option::is_some) => break,
                incoming = self.endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            let newcomer = if incoming.remote_address_validated() {
                // Its place is taken before the handshake, so that no network has more of those than it may have connections.
                match hall.gate.admit(incoming.remote_address().ip()) {
                    Ok(permit) => Newcomer::Proved(permit),
                    Err(_) => {
                        hall.count(Metric::ConnectionsRefused);
                        incoming.refuse();
                        continue;
                    }
                }
            } else if Rc::strong_count(&unproved) > RETRY_FROM {
                // It can only fail for those that have proved their address.
                let _ = incoming.retry();
                continue;
            } else {
                Newcomer::Unproved { _counted: Rc::clone(&unproved) }
            };
            let (hall, path) = (Rc::clone(&hall), Arc::clone(&self.path));
            tokio::task::spawn_local(welcome(incoming, newcomer, self.local, path, hall, here.clone()));
        }
        // From here on newcomers are for another process, if there is one: read here they would be refused.
        self.socket.deafen();
        drop(here);
        // Connections end by themselves, with the code of their protocol; this is for those that are not there yet.
        hall.silenced().await;
        let _ = timeout(LAST_WORDS, all_gone.recv()).await;
        self.endpoint.close(NO_ERROR, b"");
        // Clients are told, as far as there is time.
        let _ = timeout(hall.timeouts.drain, self.endpoint.wait_idle()).await;
    }
}

/// Whose handshake begins.
enum Newcomer {
    /// It has shown that it gets what is sent to its address, and has its place.
    Proved(Permit),
    /// Anyone: one of the few handshakes of such peers, for as long as it lasts.
    Unproved { _counted: Rc<()> },
}

impl Newcomer {
    /// The place of a peer whose handshake is done, which proves its address too.
    fn settle(self, peer: IpAddr, hall: &Hall) -> Result<Permit, Refusal> {
        match self {
            Newcomer::Proved(permit) => Ok(permit),
            Newcomer::Unproved { .. } => hall.gate.admit(peer),
        }
    }
}

async fn welcome(
    incoming: Incoming,
    newcomer: Newcomer,
    mut local: SocketAddr,
    path: Arc<str>,
    hall: Rc<Hall>,
    presence: mpsc::Sender<()>,
) {
    let Ok(connecting) = incoming.accept() else { return hall.count(Metric::HandshakeFailures) };
    let Ok(Ok(connection)) = timeout(hall.timeouts.handshake, connecting).await else { return hall.count(Metric::HandshakeFailures) };
    let peer = connection.remote_address();
    let Ok(permit) = newcomer.settle(peer.ip(), &hall) else {
        connection.close(EXCESSIVE_LOAD, b"");
        return hall.count(Metric::ConnectionsRefused);
    };
    local.set_ip(connection.local_ip().unwrap_or(local.ip()));
    let guest = Guest { peer, local, _permit: permit, _presence: presence };
    let protocol = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok()).and_then(|data| data.protocol);
    if protocol.as_deref() == Some(HTTP3) {
        http3::serve(connection, path, Rc::new(guest), hall).await;
    } else {
        serve_queries(connection, Rc::new(guest), hall).await;
    }
}

/// DNS over QUIC: one query a stream, as many streams as the client likes within [`MAX_STREAMS`].
async fn serve_queries(connection: Connection, guest: Rc<Guest>, hall: Rc<Hall>) {
    let turn = Rc::new(Turn::new());
    let mut silenced = pin!(hall.silenced());
    loop {
        tokio::select! {
            stream = connection.accept_bi() => {
                // The connection is over, by the client or by its idle time.
                let Ok((send, receive)) = stream else { return };
                tokio::task::spawn_local(exchange(connection.clone(), send, receive, (Rc::clone(&guest), Rc::clone(&hall), Rc::clone(&turn))));
            }
            // Such streams have no meaning (RFC 9250 4.2).
            stream = connection.accept_uni() => {
                if stream.is_ok() {
                    connection.close(PROTOCOL_ERROR, b"a stream in one direction");
                }
                return;
            }
            () = &mut silenced => return connection.close(NO_ERROR, b"the server ends"),
            // Packets that only keep the connection do not prolong it.
            () = sleep(hall.timeouts.idle) => {
                hall.count(Metric::ConnectionsTimedOut);
                return connection.close(NO_ERROR, b"nothing was asked");
            }
        }
    }
}

/// All that comes on a stream.
async fn whole(receive: &mut RecvStream, turn: &Turn) -> Result<Result<Vec<u8>, TooLong>, quinn::ReadError> {
    let mut intake = turn.intake(doq::LONGEST_OCTETS);
    while let Some(part) = receive.read_chunk(STREAM_WINDOW_OCTETS as usize, true).await? {
        if intake.take(&part.bytes).await.is_err() {
            return Ok(Err(TooLong));
        }
    }
    Ok(Ok(intake.whole()))
}

/// One query and its reply.
async fn exchange(
    connection: Connection,
    mut send: SendStream,
    mut receive: RecvStream,
    (guest, hall, turn): (Rc<Guest>, Rc<Hall>, Rc<Turn>),
) {
    let octets = match timeout(hall.timeouts.first_message, whole(&mut receive, &turn)).await {
        Ok(Ok(Ok(octets))) => octets,
        Ok(Ok(Err(TooLong))) => return connection.close(PROTOCOL_ERROR, b"more than one message"),
        // Cancelled, or the connection is gone: left alone our side would end in order, as an empty reply (RFC 9250 4.3.3).
        Ok(Err(_)) => {
            let _ = send.reset(REQUEST_CANCELLED);
            return;
        }
        Err(_elapsed) => {
            hall.count(Metric::ConnectionsTimedOut);
            return connection.close(EXCESSIVE_LOAD, b"the query did not come in time");
        }
    };
    let message = match doq::message(&octets) {
        Ok(message) => message,
        Err(fault) => return connection.close(PROTOCOL_ERROR, fault.as_bytes()),
    };
    let Some(reply) = hall.answer(message, guest.peer, guest.local, Transport::Quic) else {
        let _ = send.reset(INTERNAL_ERROR);
        return;
    };
    let framed = [&u16::try_from(reply.len()).unwrap_or(u16::MAX).to_be_bytes()[..], &reply].concat();
    match timeout(hall.timeouts.write, send.write_all(&framed)).await {
        // A client that has gone needs no end of the stream.
        Ok(_) => _ = send.finish(),
        Err(_elapsed) => {
            hall.count(Metric::ConnectionsTimedOut);
            connection.close(EXCESSIVE_LOAD, b"the reply was not taken in time");
        }
    }
}
