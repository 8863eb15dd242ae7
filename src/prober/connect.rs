//! Makes the connections of the probes: TCP to exactly the probed address, and TLS over it where the monitor says so.
//! It resolves no name, keeps no connection, and lets none of them leave a port of this machine in TIME-WAIT.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::steps::{Phase, Steps};
use super::tls::{Configs, Policy};
use crate::health::monitor::tls::Tls;
use crate::health::report::Evidence;

/// How TLS is spoken with one target.
pub(super) struct Tunnel {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A connection to a target, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Tunnel {
    /// The tunnel that `tls` asks for, or why this machine cannot make it. `protocol` is offered by ALPN where it is not empty.
    pub(super) fn new(socket: SocketAddr, tls: &Tls, protocol: &'static [u8], configs: &mut Configs) -> Result<Tunnel, Evidence> {
        let name = match &tls.sni {
            Some(sni) => ServerName::try_from(sni.to_string()).map_err(|error| Evidence::Tls(Evidence::text(&error.to_string())))?,
            None => ServerName::from(socket.ip()),
        };
        Ok(Tunnel { config: configs.config(&Policy::of(tls), protocol)?, name })
    }

    /// Connects and shakes hands.
    pub(super) async fn open(&self, socket: SocketAddr, steps: &mut Steps) -> io::Result<TlsStream<TcpStream>> {
        let stream = tcp(socket, steps).await?;
        steps.enter(Phase::Tls);
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await
    }
}

/// Connects to `socket`. Whoever closes first keeps the port; here that ends by a reset, when all that was asked for has come.
pub(super) async fn tcp(socket: SocketAddr, steps: &mut Steps) -> io::Result<TcpStream> {
    steps.enter(Phase::Connect);
    let stream = TcpStream::connect(socket).await?;
    // Only how the connection ends, and a delay of small packets, are at stake.
    let _ = stream.set_zero_linger();
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Connects to `socket`, through the tunnel where there is one.
pub(super) async fn open(socket: SocketAddr, tunnel: Option<&Tunnel>, steps: &mut Steps) -> io::Result<Box<dyn Stream>> {
    match tunnel {
        Some(tunnel) => Ok(Box::new(tunnel.open(socket, steps).await?)),
        None => Ok(Box::new(tcp(socket, steps).await?)),
    }
}
