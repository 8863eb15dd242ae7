//! HTTP and HTTPS probes against servers on loopback, with certificates that are good, foreign or for another name.
//! What a probe's outcome does to a region is not tested here.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::health::monitor::MonitorSpec;
use crate::health::{Monitor, Request};
use crate::prober::tls::{Policy, Trust, provider, without_resumption};

/// Long enough for an answer on loopback on a busy machine.
const PATIENT: Duration = Duration::from_secs(10);
/// For probes that are meant to time out.
const SHORT: Duration = Duration::from_millis(60);

fn request(yaml: &str) -> HttpRequest {
    let spec: MonitorSpec = serde_saphyr::from_str(yaml).unwrap();
    match spec.check(&mut |path| std::fs::read(path).map_err(|error| error.to_string())).unwrap() {
        Monitor { request: Request::Http(request), .. } => *request,
        monitor => panic!("not http: {monitor:?}"),
    }
}

fn setup(socket: SocketAddr, yaml: &str, configs: &mut Configs) -> HttpProbe {
    HttpProbe::new(socket, &request(yaml), &mut Patterns::default(), configs).unwrap()
}

async fn probe(socket: SocketAddr, yaml: &str, timeout: Duration) -> Finding {
    setup(socket, yaml, &mut Configs::default()).run(timeout, &mut Steps::off()).await
}

/// A server for one connection: reads the request and gives the stream to `reply`; joins to the text of the request.
async fn server<F: Future<Output = ()> + Send>(reply: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        reply(stream).await;
        String::from_utf8(request).unwrap()
    });
    (socket, served)
}

async fn server_of(reply: &'static str) -> (SocketAddr, JoinHandle<String>) {
    server(move |mut stream| async move { stream.write_all(reply.as_bytes()).await.unwrap() }).await
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn h3_a_good_answer_is_a_success_and_the_request_is_as_configured() {
    let (socket, served) = server_of(GOOD).await;
    let yaml = "http: {path: '/health?deep=1', host: www.example.com, headers: {X-Check: 'yes'}}";
    assert_eq!(probe(socket, yaml, PATIENT).await, (Outcome::Success, Evidence::Status(200)));
    let request = served.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /health?deep=1 http/1.1\r\n"), "{request}");
    for line in ["host: www.example.com\r\n", "connection: close\r\n", "x-check: yes\r\n", "user-agent: meridian/"] {
        assert_eq!(request.matches(line).count(), 1, "{line} in {request}");
    }
}

#[tokio::test]
async fn h3_without_a_host_the_address_is_the_host() {
    let (socket, served) = server_of(GOOD).await;
    probe(socket, "http: {method: HEAD}", PATIENT).await;
    let request = served.await.unwrap();
    assert!(request.starts_with("HEAD / ") && request.contains(&format!("host: {socket}\r\n")), "{request}");
}

#[tokio::test]
async fn h3_the_status_decides() {
    for (reply, yaml, expected) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "http: {}", (Outcome::Failure, Evidence::Status(500))),
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "http: {status: [200, 404]}", (Outcome::Success, Evidence::Status(404))),
        (GOOD, "http: {status: 204}", (Outcome::Failure, Evidence::Status(200))),
    ] {
        let (socket, _served) = server_of(reply).await;
        assert_eq!(probe(socket, yaml, PATIENT).await, expected);
    }
}

#[tokio::test]
async fn h3_a_redirect_is_not_followed() {
    // Following it would be refused, since the server takes one connection only.
    let (socket, served) = server_of("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(probe(socket, "http: {}", PATIENT).await, (Outcome::Success, Evidence::Status(302)));
    served.await.unwrap();
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let (socket, served) = server(|stream| async move { hold(stream).await }).await;
    assert_eq!(probe(socket, "http: {}", SHORT).await, (Outcome::Failure, Evidence::Timeout));
    served.await.unwrap();
}

#[tokio::test]
async fn a_body_that_stalls_times_out_with_its_status() {
    let (socket, served) = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
        hold(stream).await;
    })
    .await;
    // Longer than SHORT: the head must get through, whatever else this machine is doing.
    assert_eq!(probe(socket, "http: {}", SHORT * 5).await, (Outcome::Failure, Evidence::BodyTimeout(200)));
    served.await.unwrap();
}

/// Keeps a connection open until the prober closes it.
async fn hold(mut stream: TcpStream) {
    let _ = stream.read_u8().await;
}

#[tokio::test]
async fn h3_the_body_is_bounded() {
    let (socket, served) = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(probe(socket, "http: {}", PATIENT).await, (Outcome::Success, Evidence::Status(200)));
    served.await.unwrap();
}

#[tokio::test]
async fn broken_answers_are_failures() {
    for reply in ["", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 2"] {
        let (socket, _served) = server_of(reply).await;
        let (outcome, evidence) = probe(socket, "http: {}", PATIENT).await;
        assert_eq!(outcome, Outcome::Failure, "{reply:?}: {evidence}");
        assert!(!evidence.to_string().is_empty() && !matches!(evidence, Evidence::Timeout), "{reply:?}: {evidence}");
    }
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(probe(socket, "http: {}", PATIENT).await, (Outcome::Failure, Evidence::Refused));
}

/// A self-signed certificate for good.example and 127.0.0.1, made for these tests:
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -addext basicConstraints=critical,CA:FALSE`
/// `-addext subjectAltName=DNS:good.example,IP:127.0.0.1`.
fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_slice(include_bytes!("../testdata/self_signed.cert.der")).into_owned()
}

/// An HTTPS server for one connection; joins to the SNI that it saw, if the handshake came so far.
fn tls_server() -> (SocketAddr, std::thread::JoinHandle<Option<String>>) {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    tls_server_of(builder.with_no_client_auth().with_single_cert(vec![certificate()], server_key()).unwrap())
}

fn server_key() -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&include_bytes!("../testdata/self_signed.key.der")[..]).clone_key())
}

fn tls_server_of(config: ServerConfig) -> (SocketAddr, std::thread::JoinHandle<Option<String>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let mut request = [0; 1024];
        if tls.read(&mut request).is_ok_and(|read| read > 0) {
            let _ = tls.write_all(GOOD.as_bytes());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        tls.conn.server_name().map(str::to_owned)
    });
    (socket, served)
}

/// Configurations whose trust store is `roots` instead of the system's.
fn trusting(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Configs {
    let mut store = RootCertStore::empty();
    roots.into_iter().for_each(|root| store.add(root).unwrap());
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = without_resumption(builder.with_root_certificates(store).with_no_client_auth());
    Configs(BTreeMap::from([((Policy { trust: Trust::System, client: None }, PROTOCOL), Arc::new(config))]))
}

#[tokio::test]
async fn h3_certificates_are_verified_for_the_sni_or_the_address() {
    for (yaml, sni) in [
        ("https: {sni: good.example, host: other.example}", Some("good.example")),
        ("https: {host: good.example}", Some("good.example")),
        ("https: {}", None),
    ] {
        let (socket, served) = tls_server();
        let probe = setup(socket, yaml, &mut trusting([certificate()]));
        assert_eq!(probe.run(PATIENT, &mut Steps::off()).await, (Outcome::Success, Evidence::Status(200)), "{yaml}");
        assert_eq!(served.join().unwrap().as_deref(), sni);
    }
}

#[tokio::test]
async fn h3_a_certificate_for_another_name_or_of_a_stranger_is_a_failure() {
    for (configs, yaml) in [(trusting([certificate()]), "https: {sni: bad.example}"), (trusting([]), "https: {sni: good.example}")] {
        let (socket, served) = tls_server();
        let mut configs = configs;
        let (outcome, evidence) = setup(socket, yaml, &mut configs).run(PATIENT, &mut Steps::off()).await;
        assert_eq!(outcome, Outcome::Failure);
        assert!(matches!(evidence, Evidence::Tls(_)), "{evidence}");
        served.join().unwrap();
    }
}

#[tokio::test]
async fn verification_can_be_switched_off() {
    let (socket, served) = tls_server();
    assert_eq!(probe(socket, "https: {sni: bad.example, verify: false}", PATIENT).await, (Outcome::Success, Evidence::Status(200)));
    assert_eq!(served.join().unwrap().as_deref(), Some("bad.example"));
}

#[test]
fn the_trust_store_is_opened_only_for_a_monitor_that_verifies() {
    let mut configs = Configs::default();
    let socket = ([127, 0, 0, 1], 1).into();
    for yaml in ["http: {}", "https: {verify: false}"] {
        setup(socket, yaml, &mut configs);
    }
    let made: Vec<Policy> = configs.0.keys().map(|(policy, _)| policy.clone()).collect();
    assert_eq!(made, [Policy { trust: Trust::Any, client: None }]);
}

/// An answer with this body.
fn answer(body: &str) -> &'static str {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).leak()
}

#[tokio::test]
async fn h3_a_body_must_hold_its_text_or_match_its_pattern() {
    for (yaml, body, outcome) in [
        ("http: {body: ready}", "we are ready", Outcome::Success),
        ("http: {body: ready}", "we are not", Outcome::Failure),
        ("http: {body: ready}", "", Outcome::Failure),
        ("http: {body: {regex: '^v[0-9]+$'}}", "v12", Outcome::Success),
        ("http: {body: {regex: '^v[0-9]+$'}}", "v12b", Outcome::Failure),
    ] {
        let (socket, _served) = server_of(answer(body)).await;
        assert_eq!(probe(socket, yaml, PATIENT).await.0, outcome, "{yaml} {body}");
    }
}

#[tokio::test]
async fn h3_only_the_first_64_kib_of_a_body_are_searched() {
    for (at, outcome) in [(MAX_BODY - 2, Outcome::Success), (MAX_BODY - 1, Outcome::Failure)] {
        let (socket, _served) = server_of(answer(&format!("{}ok{}", "x".repeat(at), "x".repeat(100)))).await;
        assert_eq!(probe(socket, "http: {body: ok}", PATIENT).await.0, outcome, "{at}");
    }
    let long = format!("{{\"ok\": true{}}}", " ".repeat(MAX_BODY));
    let (socket, _served) = server_of(answer(&long)).await;
    let (outcome, evidence) = probe(socket, "http: {json: {/ok: true}}", PATIENT).await;
    assert_eq!((outcome, evidence.to_string().as_str()), (Outcome::Failure, "HTTP 200, the JSON body is too long"));
}

#[tokio::test]
async fn an_application_says_how_it_is_in_json() {
    let yaml = "http: {json: {/database_connected: true, /cpu_usage: {degraded: 80, fail: 95}}}";
    for (body, outcome, evidence) in [
        (r#"{"database_connected": true, "cpu_usage": 12.5}"#, Outcome::Success, "HTTP 200"),
        (r#"{"database_connected": true, "cpu_usage": 81}"#, Outcome::Degraded, "HTTP 200, /cpu_usage is 81, limit 80"),
        (r#"{"database_connected": true, "cpu_usage": 97}"#, Outcome::Failure, "HTTP 200, /cpu_usage is 97, limit 95"),
        (r#"{"database_connected": false, "cpu_usage": 1}"#, Outcome::Failure, "HTTP 200, /database_connected is false, not true"),
        ("ok", Outcome::Failure, "HTTP 200, the body is not JSON"),
    ] {
        let (socket, _served) = server_of(answer(body)).await;
        let found = probe(socket, yaml, PATIENT).await;
        assert_eq!((found.0, found.1.to_string().as_str()), (outcome, evidence));
    }
}

/// The test certificate and its key as PEM files in a folder of their own.
fn pem_files(name: &str) -> (String, String) {
    let folder = std::env::temp_dir().join(format!("meridian-pem-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |file: &str, kind: &str, der: &[u8]| {
        let path = folder.join(file);
        std::fs::write(&path, format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", base64(der))).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cert = write("cert.pem", "CERTIFICATE", include_bytes!("../testdata/self_signed.cert.der"));
    (cert, write("key.pem", "PRIVATE KEY", include_bytes!("../testdata/self_signed.key.der")))
}

/// RFC 4648 4; for test files only.
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let bits = three.iter().chain([0; 2].iter()).take(3).fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
        (0..4).for_each(|at| text.push(if at <= three.len() { DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char } else { '=' }));
    }
    text
}

#[tokio::test]
async fn h3_a_private_authority_is_trusted_instead_of_the_systems() {
    let (cert, _) = pem_files("ca");
    for (sni, outcome) in [("good.example", Outcome::Success), ("bad.example", Outcome::Failure)] {
        let (socket, served) = tls_server();
        assert_eq!(probe(socket, &format!("https: {{sni: {sni}, ca: {cert}}}"), PATIENT).await.0, outcome, "{sni}");
        served.join().unwrap();
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks() {
    let (cert, key) = pem_files("client");
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_client_cert_verifier(verifier).with_single_cert(vec![certificate()], server_key()).unwrap();
    for (keys, outcome) in [(format!(", client_cert: {cert}, client_key: {key}"), Outcome::Success), (String::new(), Outcome::Failure)] {
        let (socket, served) = tls_server_of(config.clone());
        let found = probe(socket, &format!("https: {{sni: good.example, ca: {cert}{keys}}}"), PATIENT).await;
        assert_eq!(found.0, outcome, "{}", found.1);
        served.join().unwrap();
    }
}
