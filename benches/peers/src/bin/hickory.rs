//! A server of zones as users of hickory-server would write it: its catalog, its reader of master files, zones in memory.
//! It is one of those that `peers` compares, and does nothing to be quicker or slower than the library is.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use hickory_server::Server;
use hickory_server::proto::rr::Name;
use hickory_server::store::file::{FileConfig, FileZoneHandler};
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

/// As in the library's own server.
const TCP_PATIENCE: Duration = Duration::from_secs(5);
const TCP_RESPONSES: usize = 512;

/// Serves zones over UDP and TCP.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    address: SocketAddr,
    /// A file with a line for each zone: its name, a blank, its master file.
    zones: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let zones = fs::read_to_string(&arguments.zones).with_context(|| arguments.zones.display().to_string())?;
    let mut catalog = Catalog::new();
    for line in zones.lines() {
        let (name, zone_path) = line.split_once(' ').with_context(|| format!("`{line}` is no name and file"))?;
        let origin = Name::from_ascii(format!("{name}.")).with_context(|| name.to_owned())?;
        let config = FileConfig { zone_path: zone_path.into() };
        let handler = FileZoneHandler::try_from_config(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny, None, &config)
            .map_err(|error| anyhow!("{name}: {error}"))?;
        catalog.upsert(origin.into(), vec![Arc::new(handler)]);
    }
    let mut server = Server::new(catalog);
    server.register_socket(UdpSocket::bind(arguments.address).await.context("UDP")?);
    server.register_listener(TcpListener::bind(arguments.address).await.context("TCP")?, TCP_PATIENCE, TCP_RESPONSES);
    server.block_until_done().await?;
    Ok(())
}
