//! Runs a `grpc` probe: one call of grpc.health.v1.Health/Check over HTTP/2, written and read by hand (it has one field each way).
//! It makes a connection of its own, follows nothing and reads a bounded answer.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::http::response::Parts;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::connect::{self, Tunnel};
use super::http::{Complaint, drive};
use super::steps::{Phase, Steps};
use super::tls::Configs;
use super::{Finding, fault};
use crate::health::monitor::grpc::GrpcCheck;
use crate::health::report::{Evidence, Outcome};

/// At most this much of an answer is read: seven octets are enough.
const MAX_ANSWER: usize = 1024;

/// `ServingStatus` of grpc.health.v1.
const SERVING: u64 = 1;

/// What HTTP/2 over TLS is called in ALPN (RFC 9113 3.2).
const PROTOCOL: &[u8] = b"h2";

/// One gRPC probe of one target.
pub(super) struct GrpcProbe {
    tunnel: Option<Tunnel>,
    url: String,
    body: Bytes,
    socket: SocketAddr,
}

impl GrpcProbe {
    /// The probe, or why this machine cannot run it.
    pub(super) fn new(socket: SocketAddr, request: &GrpcCheck, configs: &mut Configs) -> Result<GrpcProbe, Evidence> {
        let tunnel = request.tls.as_ref().map(|tls| Tunnel::new(socket, tls, PROTOCOL, configs)).transpose()?;
        let (scheme, sni) = match &request.tls {
            Some(tls) => ("https", tls.sni.as_deref()),
            None => ("http", None),
        };
        let host = sni.map_or_else(|| socket.to_string(), |sni| format!("{sni}:{}", socket.port()));
        let url = format!("{scheme}://{host}/grpc.health.v1.Health/Check");
        Ok(GrpcProbe { tunnel, url, body: frame(&request.service).into(), socket })
    }

    /// Calls once, for at most `timeout`.
    pub(super) async fn run(&self, timeout: Duration, steps: &mut Steps) -> Finding {
        match tokio::time::timeout(timeout, self.call(steps)).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(error)) => fault::of_error(&*error, self.socket),
            Err(_elapsed) => (Outcome::Failure, Evidence::Timeout),
        }
    }

    async fn call(&self, steps: &mut Steps) -> Result<Finding, Complaint> {
        let stream = connect::open(self.socket, self.tunnel.as_ref(), steps).await?;
        steps.enter(Phase::FirstByte);
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
        let request = Request::post(&self.url).header("content-type", "application/grpc").header("te", "trailers");
        let request = request.body(Full::new(self.body.clone()))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            steps.enter(Phase::Body);
            let (head, body) = response.into_parts();
            let answer = read(body).await?;
            steps.enter(Phase::Assertions);
            let finding = judge(&head, &answer);
            steps.assert("status", finding.0, || finding.1.to_string());
            steps.finish();
            Ok(finding)
        };
        drive(connection, exchange).await
    }
}

/// What status, headers and message say together.
fn judge(head: &Parts, answer: &[u8]) -> Finding {
    let failed = |text: String| (Outcome::Failure, Evidence::Other(Evidence::text(&text)));
    if head.status.as_u16() != 200 {
        return failed(format!("HTTP {}", head.status.as_u16()));
    }
    // An error without a message comes in the headers ("trailers only").
    if let Some(code) = head.headers.get("grpc-status").filter(|code| *code != "0") {
        return failed(format!("gRPC status {}", String::from_utf8_lossy(code.as_bytes())));
    }
    match serving_status(answer) {
        Some(SERVING) => (Outcome::Success, Evidence::Other("gRPC SERVING".into())),
        Some(2) => failed("gRPC NOT_SERVING".into()),
        Some(3) => failed("gRPC SERVICE_UNKNOWN".into()),
        Some(other) => failed(format!("gRPC health status {other}")),
        None => failed("the answer is no gRPC health status".into()),
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Complaint> {
    let mut answer = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        answer.extend_from_slice(&data[..data.len().min(MAX_ANSWER - answer.len())]);
        if answer.len() == MAX_ANSWER {
            break;
        }
    }
    Ok(answer)
}

/// `HealthCheckRequest { string service = 1; }` in a frame of its own: uncompressed, length, message.
fn frame(service: &str) -> Vec<u8> {
    // At most 127 octets (`MAX_SERVICE`), so that each length is one octet.
    let len = u8::try_from(service.len()).unwrap_or(0);
    let message: Vec<u8> = if len == 0 { vec![] } else { [&[0x0A, len][..], service.as_bytes()].concat() };
    let size = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    [&[0][..], &size[..], &message[..]].concat()
}

/// `HealthCheckResponse { ServingStatus status = 1; }`: the status, 0 where it is left out; none where this is something else.
fn serving_status(answer: &[u8]) -> Option<u64> {
    let (&[0, a, b, c, d], rest) = answer.split_first_chunk::<5>()? else { return None };
    match rest.get(..usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?)? {
        [] => Some(0),
        [0x08, status @ 0..=0x7F] => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_messages_are_as_the_protocol_writes_them() {
        assert_eq!(frame(""), [0, 0, 0, 0, 0]);
        assert_eq!(frame("db"), [0, 0, 0, 0, 4, 0x0A, 2, b'd', b'b']);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        for odd in
            [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 9, 8, 1], &[0, 0xFF, 0xFF, 0xFF, 0xFF], &[0, 0, 0, 0, 2, 8, 0x80]]
        {
            assert_eq!(serving_status(odd), None, "{odd:?}");
        }
    }
}
