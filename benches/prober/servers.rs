//! The targets: an HTTP server, an HTTPS server, and one that takes every connection and never says a word.
//! They are as cheap as they can be and end with the process that started them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Connections that wait to be taken: thousands of targets are probed in the same half second at the start.
const BACKLOG: u32 = 8_192;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\nConnection: close\r\n\r\n{\"ok\": true, \"cpu\": 12.5  }";

/// Prints the ports (http, https, silent) and serves until standard input ends or the process is killed.
pub(crate) fn serve() -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (http, https, silent) = (listen(), listen(), listen());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        println!("{} {} {}", port(&http), port(&https), port(&silent));
        let acceptor = TlsAcceptor::from(Arc::new(tls()));
        tokio::spawn(accept(http, |stream| async move { answer(stream).await }));
        let shake = move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await?;
                answer(stream).await
            }
        };
        tokio::spawn(accept(https, shake));
        let hang = |mut stream: TcpStream| async move {
            let mut octets = [0; 512];
            while stream.read(&mut octets).await? > 0 {}
            Ok(())
        };
        accept(silent, hang).await;
    });
    std::process::exit(0);
}

/// On every address of this machine, loopback's sixteen million included.
fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    socket.listen(BACKLOG).unwrap()
}

async fn accept<F: Future<Output = std::io::Result<()>> + Send + 'static>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut request = [0; 1024];
    if stream.read(&mut request).await? > 0 {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        // Whoever closes first keeps the port in TIME-WAIT: it is the target's to wait for the prober's end.
        while stream.read(&mut request).await? > 0 {}
    }
    Ok(())
}

fn tls() -> rustls::ServerConfig {
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("../../src/prober/testdata/self_signed.key.der")[..]).clone_key();
    let chain = vec![CertificateDer::from_slice(include_bytes!("../../src/prober/testdata/self_signed.cert.der")).into_owned()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::Pkcs8(key)).unwrap()
}
