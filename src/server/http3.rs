//! DNS over HTTP/3 (RFC 8484, RFC 9114) on a connection of QUIC.
//! What a request means, `doh` knows, and how much a stream may bring, `capped`; here are the times of a connection and of its requests.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::{Buf, Bytes};
use quinn::{Connection, VarInt};
use tokio::time::timeout;

use super::capped::{Bounded, Capped};
use super::doh::{self, Asked, Refusal};
use super::hall::Hall;
use super::intake::Turn;
use super::quic::MAX_STREAMS;
use super::stream::Guest;
use crate::answer::Transport;
use crate::metrics::Metric;
use crate::wire::MAX_MESSAGE_OCTETS;

/// Largest head of a request.
const MAX_HEAD_OCTETS: u64 = 16 << 10;

/// H3_NO_ERROR (RFC 9114 8.1).
const HTTP_NO_ERROR: VarInt = VarInt::from_u32(0x100);

type Http = h3::server::Connection<Bounded<h3_quinn::Connection>, Bytes>;
type HttpStream = h3::server::RequestStream<Capped<h3_quinn::BidiStream<Bytes>>, Bytes>;
type HttpRequest = h3::server::RequestResolver<Bounded<h3_quinn::Connection>, Bytes>;

/// Serves a connection until the peer or a time limit ends it: one request a stream.
pub(super) async fn serve(connection: Connection, path: Arc<str>, guest: Rc<Guest>, hall: Rc<Hall>) {
    let streams = Bounded(h3_quinn::Connection::new(connection.clone()));
    let mut builder = h3::server::builder();
    builder.max_field_section_size(MAX_HEAD_OCTETS);
    // A client that lets us open no stream would have us wait for it.
    let built: Result<Result<Http, _>, _> = timeout(hall.timeouts.handshake, builder.build(streams)).await;
    let Ok(Ok(mut http)) = built else {
        hall.count(Metric::HandshakeFailures);
        return connection.close(HTTP_NO_ERROR, b"");
    };
    let turn = Rc::new(Turn::new());
    let mut silenced = pin!(hall.silenced());
    let mut is_told = false;
    loop {
        let request = tokio::select! {
            // What has come is taken before the end is told: the word names the last request that is answered.
            biased;
            request = timeout(hall.timeouts.idle, http.accept()) => request,
            _ = hall.closing(), if !is_told => {
                is_told = true;
                // The word that no more is taken (RFC 9114 5.2); what is on its way is answered before the connection is closed.
                let _ = http.shutdown(MAX_STREAMS as usize).await;
                continue;
            }
            () = &mut silenced => break,
        };
        let Ok(Ok(Some(request))) = request else {
            if is_told && matches!(request, Ok(Ok(None))) {
                // The client has heard it and asks no more; its last replies may be on their way still.
                silenced.await;
            }
            break;
        };
        let (path, guest, hall, turn) = (Arc::clone(&path), Rc::clone(&guest), Rc::clone(&hall), Rc::clone(&turn));
        tokio::task::spawn_local(async move {
            // Head, body and reply within their times, whatever the client does.
            let limit = hall.timeouts.first_message + hall.timeouts.write;
            if timeout(limit, respond(request, &path, &guest, &hall, &turn)).await.is_err() {
                hall.count(Metric::ConnectionsTimedOut);
            }
        });
    }
    connection.close(HTTP_NO_ERROR, b"");
}

/// Errors are those of a stream that the client has broken off: nobody waits for more.
async fn respond(request: HttpRequest, path: &str, guest: &Guest, hall: &Hall, turn: &Turn) -> Result<(), h3::error::StreamError> {
    let Ok(resolved) = timeout(hall.timeouts.first_message, request.resolve_request()).await else {
        hall.count(Metric::ConnectionsTimedOut);
        // Without a head there is nobody to be told.
        return Ok(());
    };
    let (request, mut stream) = resolved?;
    let message = match doh::ask(request.method(), request.uri(), request.headers(), path) {
        Ok(Asked::Message(message)) => Ok(message),
        Ok(Asked::Body) => match timeout(hall.timeouts.first_message, body(&mut stream, turn)).await {
            Ok(body) => body?,
            Err(_elapsed) => Err(Refusal::SLOW),
        },
        Err(refusal) => Err(refusal),
    };
    let response = match message {
        Ok(message) => doh::response(request.method(), hall.answer(&message, guest.peer, guest.local, Transport::Http3)),
        Err(refusal) => refusal.response(request.method()),
    };
    let (head, body) = response.into_parts();
    stream.send_response(hyper::Response::from_parts(head, ())).await?;
    if !body.is_empty() {
        stream.send_data(body).await?;
    }
    stream.finish().await
}

async fn body(stream: &mut HttpStream, turn: &Turn) -> Result<Result<Vec<u8>, Refusal>, h3::error::StreamError> {
    let mut intake = turn.intake(MAX_MESSAGE_OCTETS);
    while let Some(mut part) = stream.recv_data().await? {
        if intake.take(&part.copy_to_bytes(part.remaining())).await.is_err() {
            return Ok(Err(Refusal::LONG));
        }
    }
    Ok(Ok(intake.whole()))
}
