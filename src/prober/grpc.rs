//! Runs a `grpc` probe: one call of grpc.health.v1.Health/Check over HTTP/2, written and read by hand (it has one field each way).
//! It makes a connection of its own, follows nothing and reads a bounded answer.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Response, redirect};

use super::tls::{Configs, Policy};
use super::{Finding, fault};
use crate::health::monitor::grpc::GrpcCheck;
use crate::health::report::{Evidence, Outcome};

/// At most this much of an answer is read: seven octets are enough.
const MAX_ANSWER: usize = 1024;

/// `ServingStatus` of grpc.health.v1.
const SERVING: u64 = 1;

/// One gRPC probe of one target.
pub(super) struct GrpcProbe {
    client: Client,
    url: String,
    body: Vec<u8>,
    socket: SocketAddr,
}

impl GrpcProbe {
    /// The probe, or why this machine cannot run it.
    pub(super) fn new(socket: SocketAddr, request: &GrpcCheck, configs: &mut Configs) -> Result<GrpcProbe, Evidence> {
        let mut config = configs.config(&Policy::of(request.tls.as_ref()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let builder = Client::builder().tls_backend_preconfigured(config).no_proxy().redirect(redirect::Policy::none());
        let builder = builder.retry(reqwest::retry::never()).pool_max_idle_per_host(0).http2_prior_knowledge().referer(false);
        let (scheme, sni) = match &request.tls {
            Some(tls) => ("https", tls.sni.as_deref()),
            None => ("http", None),
        };
        let (builder, host) = match sni {
            Some(sni) => (builder.resolve(sni, socket), format!("{sni}:{}", socket.port())),
            None => (builder, socket.to_string()),
        };
        let client = builder.build().map_err(|error| Evidence::Other(Evidence::text(&error.to_string())))?;
        Ok(GrpcProbe { client, url: format!("{scheme}://{host}/grpc.health.v1.Health/Check"), body: frame(&request.service), socket })
    }

    /// Calls once, for at most `timeout`.
    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        match tokio::time::timeout(timeout, self.call()).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(error)) => fault::of_error(&error.without_url(), self.socket),
            Err(_elapsed) => (Outcome::Failure, Evidence::Timeout),
        }
    }

    async fn call(&self) -> reqwest::Result<Finding> {
        let request = self.client.post(&self.url).header("content-type", "application/grpc").header("te", "trailers");
        let mut response = request.body(self.body.clone()).send().await?;
        let failed = |text: String| Ok((Outcome::Failure, Evidence::Other(Evidence::text(&text))));
        if response.status().as_u16() != 200 {
            return failed(format!("HTTP {}", response.status().as_u16()));
        }
        // An error without a message comes in the headers ("trailers only").
        if let Some(code) = response.headers().get("grpc-status").filter(|code| *code != "0") {
            return failed(format!("gRPC status {}", String::from_utf8_lossy(code.as_bytes())));
        }
        let answer = read(&mut response).await?;
        match serving_status(&answer) {
            Some(SERVING) => Ok((Outcome::Success, Evidence::Other("gRPC SERVING".into()))),
            Some(2) => failed("gRPC NOT_SERVING".into()),
            Some(3) => failed("gRPC SERVICE_UNKNOWN".into()),
            Some(other) => failed(format!("gRPC health status {other}")),
            None => failed("the answer is no gRPC health status".into()),
        }
    }
}

async fn read(response: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        answer.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - answer.len())]);
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
