//! Probes of the kinds tls, dns, grpc, icmp and exec against servers on loopback.
//! HTTP has a file of its own; what outcomes do to a region is not tested here.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::UdpSocket;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::health::monitor::MonitorSpec;

/// Runs the probe of `yaml` once against `port` on loopback.
async fn probe(yaml: &str, port: u16, timeout: Duration) -> Finding {
    let spec: MonitorSpec = serde_saphyr::from_str(yaml).unwrap();
    let monitor = spec.check(&mut |_| Err("no files here".to_owned())).unwrap();
    let target = Monitor { port, ..monitor }.target(LOOPBACK);
    Setup::new(&Clock::system()).probe(&target).run(7, timeout, &mut Steps::off()).await
}

fn text(finding: &Finding) -> (Outcome, String) {
    (finding.0, finding.1.to_string())
}

#[tokio::test]
async fn a_tls_probe_shakes_hands_and_counts_days() {
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("../testdata/self_signed.key.der")[..]).clone_key();
    let chain = vec![CertificateDer::from_slice(include_bytes!("../testdata/self_signed.cert.der")).into_owned()];
    let builder = rustls::ServerConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::Pkcs8(key)).unwrap();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let (outcome, evidence) = text(&probe("tls: {verify: false}", port, PATIENCE).await);
    assert!(outcome == Outcome::Success && evidence.ends_with(" days left"), "{evidence}");
    // It lasts a hundred years, but not ten more than that.
    let few = probe("tls: {verify: false, days_left: {degraded: 3650}}", port, PATIENCE).await;
    assert_eq!(few.0, Outcome::Success, "{}", few.1);
    let (outcome, evidence) = probe("tls: {sni: good.example}", port, PATIENCE).await;
    assert!(matches!((outcome, &evidence), (Outcome::Failure, Evidence::Tls(_))), "a stranger's certificate: {evidence}");
    server.abort();
    let _ = server.await;
    assert_eq!(probe("tls: {verify: false}", port, PATIENCE).await, (Outcome::Failure, Evidence::Refused));
}

/// A DNS server that first sends two answers that are not to be believed, and then one of `code` with an address or none.
async fn dns_server(code: ResponseCode, address: Option<[u8; 4]>) -> (u16, JoinHandle<()>) {
    let udp = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = udp.local_addr().unwrap().port();
    let serve = async move {
        let mut octets = [0; 512];
        while let Ok((len, peer)) = udp.recv_from(&mut octets).await {
            let mut answer = Message::from_vec(&octets[..len]).unwrap();
            answer.metadata.message_type = MessageType::Response;
            let mut stranger = answer.clone();
            stranger.metadata.id ^= 1;
            answer.metadata.response_code = code;
            if let Some([a, b, c, d]) = address {
                let name = answer.queries[0].name().clone();
                answer.add_answer(Record::from_rdata(name, 60, RData::A(hickory_proto::rr::rdata::A::new(a, b, c, d))));
            }
            for message in [vec![1, 2, 3], stranger.to_vec().unwrap(), answer.to_vec().unwrap()] {
                udp.send_to(&message, peer).await.unwrap();
            }
        }
    };
    (port, tokio::spawn(serve))
}

#[tokio::test]
async fn a_dns_probe_believes_only_the_answer_to_its_question() {
    let good = Some([192, 0, 2, 7]);
    for (yaml, code, address, outcome, evidence) in [
        ("dns: {query: a.example}", ResponseCode::NoError, good, Outcome::Success, "DNS No Error, 1 answers"),
        ("dns: {query: a.example, expect: 192.0.2.7}", ResponseCode::NoError, good, Outcome::Success, "DNS No Error, 1 answers"),
        (
            "dns: {query: a.example, expect: 192.0.2.8}",
            ResponseCode::NoError,
            good,
            Outcome::Failure,
            "DNS No Error, no 192.0.2.8 among 1 answers",
        ),
        ("dns: {query: a.example}", ResponseCode::NoError, None, Outcome::Failure, "DNS without an answer"),
        ("dns: {query: a.example, rcode: REFUSED}", ResponseCode::Refused, None, Outcome::Success, "DNS Query Refused, 0 answers"),
        ("dns: {query: a.example}", ResponseCode::ServFail, None, Outcome::Failure, "DNS Server Failure"),
    ] {
        let (port, server) = dns_server(code, address).await;
        assert_eq!(text(&probe(yaml, port, PATIENCE).await), (outcome, evidence.to_owned()), "{yaml}");
        server.abort();
    }
}

#[tokio::test]
async fn a_dns_server_that_is_silent_times_out_and_a_closed_port_refuses() {
    let silent = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let short = Duration::from_millis(60);
    assert_eq!(probe("dns: {query: a}", port, short).await, (Outcome::Failure, Evidence::Timeout));
    drop(silent);
    assert_eq!(probe("dns: {query: a}", port, PATIENCE).await, (Outcome::Failure, Evidence::Refused));
}

/// A gRPC server that answers every call with this status of health, or with an error of gRPC.
async fn grpc_server(status: Result<u8, &'static str>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let head = ::http::header::HeaderValue::from_static("application/grpc");
            let mut response = http_response();
            response.headers_mut().insert("content-type", head);
            match status {
                Ok(status) => {
                    let mut body = respond.send_response(response, false).unwrap();
                    body.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false).unwrap();
                    let mut trailers = ::http::header::HeaderMap::new();
                    trailers.insert("grpc-status", ::http::header::HeaderValue::from_static("0"));
                    body.send_trailers(trailers).unwrap();
                }
                Err(code) => {
                    response.headers_mut().insert("grpc-status", ::http::header::HeaderValue::from_static(code));
                    respond.send_response(response, true).unwrap();
                }
            }
        }
    };
    (port, tokio::spawn(serve))
}

/// `200 OK`, in the types that h2 and hyper share.
fn http_response() -> ::http::Response<()> {
    ::http::Response::new(())
}

#[tokio::test]
async fn a_grpc_probe_asks_the_health_service() {
    for (status, outcome, evidence) in [
        (Ok(1), Outcome::Success, "gRPC SERVING"),
        (Ok(2), Outcome::Failure, "gRPC NOT_SERVING"),
        (Err("12"), Outcome::Failure, "gRPC status 12"),
    ] {
        let (port, server) = grpc_server(status).await;
        let found = probe("grpc: {port: 1, service: shop.Cart}", port, PATIENCE).await;
        assert_eq!(text(&found), (outcome, evidence.to_owned()));
        server.abort();
    }
}

#[tokio::test]
async fn an_icmp_probe_is_answered_by_loopback_where_it_is_permitted() {
    let found = probe("icmp: {}", 0, PATIENCE).await;
    if found.0 == Outcome::ProberFault {
        println!("skipped: {}", found.1);
        return;
    }
    assert_eq!(text(&found), (Outcome::Success, "echo reply".to_owned()));
}

#[tokio::test]
async fn a_program_decides_by_its_exit_code_and_is_bounded() {
    for (script, outcome, evidence) in [
        ("echo fine; echo more", Outcome::Success, "exit status: 0: fine"),
        ("exit 1", Outcome::Degraded, "exit status: 1"),
        ("echo $MERIDIAN_ADDRESS $MERIDIAN_PORT; exit 2", Outcome::Failure, "exit status: 2: 127.0.0.1 80"),
        ("echo [$HOME]", Outcome::Success, "exit status: 0: []"),
    ] {
        let yaml = format!("exec: {{command: [/bin/sh, -c, '{script}']}}");
        assert_eq!(text(&probe(&yaml, 80, PATIENCE).await), (outcome, evidence.to_owned()), "{script}");
    }
    let (outcome, _) = probe("exec: {command: [/nonexistent/check]}", 80, PATIENCE).await;
    assert_eq!(outcome, Outcome::ProberFault);
    let hanging = probe("exec: {command: [/bin/sleep, '600']}", 80, Duration::from_millis(60)).await;
    assert_eq!(text(&hanging), (Outcome::Failure, "did not end in time".to_owned()));
    let (outcome, _) = probe("exec: {command: [/bin/sh, -c, 'while :; do echo yyyyyyyyyyyyyyyyyyyyyyy; done']}", 80, PATIENCE).await;
    assert_eq!(outcome, Outcome::Failure, "a program that prints without end is stopped");
}
