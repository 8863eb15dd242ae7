//! What clients that mean harm can do to the front ends of hickory-server for encrypted transports, and to those of Meridian: a message that lies
//! about its size, silent handshakes, connections without end, and more of them than there are descriptors for. It prints a table.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use clap::Parser;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{sleep, timeout};

const NAME: &str = "dns.test";

/// As in the library's own server.
const SERVER_PATIENCE: Duration = Duration::from_secs(5);

/// Longer than all silent handshakes together.
const PATIENCE: Duration = Duration::from_secs(30);

/// Silent handshakes before a new client.
const SILENT: [usize; 3] = [0, 1, 3];

/// Connections from one address.
const CROWD: usize = 1_000;

/// Descriptors of a server, connections that come to it then, and how long its CPU time is watched.
const DESCRIPTORS: u32 = 96;
const OVER: usize = 150;
const WATCHED: Duration = Duration::from_secs(3);

/// A query of which nothing but its head is there, and that says to ask 65,535 questions.
const LIE: [u8; 12] = [0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0];

/// Measures the front ends of hickory-server and of Meridian.
#[derive(Parser)]
struct Arguments {
    /// The program of Meridian; without it only hickory-server is measured.
    #[arg(long)]
    meridian: Option<PathBuf>,
    /// Only serves by hickory-server, with the certificate and the key in this folder, as this program has itself do.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    if let Some(folder) = arguments.serve {
        return runtime()?.block_on(serve(&folder));
    }
    let folder = std::env::temp_dir().join(format!("peers-fronts-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    fs::write(folder.join("dns.pem"), made.cert.pem())?;
    fs::write(folder.join("dns.key"), made.signing_key.serialize_pem())?;
    let mut servers = vec![Kind::Hickory];
    servers.extend(arguments.meridian.map(Kind::Meridian));
    println!("| | {} |", servers.iter().map(Kind::name).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(servers.len()));
    let measured = servers.iter().map(|kind| runtime()?.block_on(measure(kind, &folder))).collect::<Result<Vec<_>>>();
    _ = fs::remove_dir_all(&folder);
    let measured = measured?;
    for at in 0..measured.iter().map(Vec::len).max().unwrap_or(0) {
        let cells: Vec<&str> = measured.iter().filter_map(|lines| lines.get(at)).map(|(_, cell)| cell.as_str()).collect();
        println!("| {} | {} |", measured[0][at].0, cells.join(" | "));
    }
    Ok(())
}

/// Who is measured.
enum Kind {
    Hickory,
    Meridian(PathBuf),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Hickory => "hickory-server",
            Kind::Meridian(_) => "Meridian",
        }
    }

    /// Started in a shell that has set its limit of descriptors, if there is one.
    fn start(&self, folder: &Path, descriptors: Option<u32>) -> Result<Running> {
        let limit = descriptors.map_or(String::new(), |descriptors| format!("ulimit -n {descriptors}; "));
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{limit}exec \"$0\" \"$@\""));
        match self {
            Kind::Hickory => {
                command.arg(std::env::current_exe()?).arg("--serve").arg(folder);
            }
            Kind::Meridian(program) => {
                let any = "\"127.0.0.1:0\"";
                let text = format!(
                    "version: 1\nlisten: {any}\nworkers: 1\nregions: regions.yaml\nzones: zone.yaml\nencrypted: {{certificate: dns.pem, key: dns.key, \
                     tls: {any}, quic: {any}, http3: {any}}}\n"
                );
                fs::write(folder.join("meridian.yaml"), text)?;
                fs::write(
                    folder.join("regions.yaml"),
                    "regions: {a: {location: {latitude: 1, longitude: 1}, services: {web: 192.0.2.1}}}\n",
                )?;
                fs::write(folder.join("zone.yaml"), "zone: example.test\nns: ns.example.net.\nrecords: {www: {steer: web}}\n")?;
                command.arg(program).arg("serve").arg("--config").arg(folder.join("meridian.yaml"));
            }
        }
        // Arenas of threads are reserved by the hundred megabytes, and would hide what is asked for.
        command.env("MALLOC_ARENA_MAX", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the server")?;
        let stderr = child.stderr.take().context("its log")?;
        let mut running = Running { child, addresses: Vec::new() };
        let mut lines = BufReader::new(stderr).lines();
        while running.addresses.len() < 3 {
            let line = lines.next().ok_or_else(|| anyhow!("{} does not start", self.name()))??;
            for transport in ["tls", "quic", "http3"] {
                if line.contains(&format!("transport=\"{transport}\"")) {
                    let address = line.split("address=").nth(1).context("an address")?;
                    running.addresses.push((transport, address.trim().parse()?));
                }
            }
        }
        // Nobody reads the rest, and the server must not wait for it.
        thread::spawn(move || lines.for_each(drop));
        Ok(running)
    }
}

/// A server at work; ended with this.
struct Running {
    child: Child,
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Running {
    fn address(&self, transport: &str) -> Result<SocketAddr> {
        self.addresses.iter().find(|(name, _)| *name == transport).map(|(_, address)| *address).context("an address")
    }

    /// A field of the kernel's status of the process, in KiB.
    fn status_kib(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("the field")?;
        Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
    }

    /// CPU time so far, in hundredths of a second, as Linux counts on all of today's machines.
    fn cpu_cs(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
    }
}

/// Serves by hickory-server as its users would, with a handler that refuses everything.
async fn serve(folder: &Path) -> Result<()> {
    let certificate = CertificateDer::from_pem_slice(&fs::read(folder.join("dns.pem"))?)?;
    let key = PrivateKeyDer::from_pem_slice(&fs::read(folder.join("dns.key"))?)?;
    let key = CertifiedKey::from_der(vec![certificate], key, &ring::default_provider())?;
    let resolver = Arc::new(SingleCertAndKey::from(key));
    let mut server = Server::new(Refusing);
    let tls = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let (quic, http3) = (tokio::net::UdpSocket::bind("127.0.0.1:0").await?, tokio::net::UdpSocket::bind("127.0.0.1:0").await?);
    let addresses = [("tls", tls.local_addr()?), ("quic", quic.local_addr()?), ("http3", http3.local_addr()?)];
    server.register_tls_listener(tls, SERVER_PATIENCE, resolver.clone())?;
    server.register_quic_listener(quic, SERVER_PATIENCE, resolver.clone())?;
    server.register_h3_listener(http3, SERVER_PATIENCE, resolver, None)?;
    for (transport, address) in addresses {
        writeln!(std::io::stderr(), "transport=\"{transport}\" address={address}")?;
    }
    server.block_until_done().await?;
    Ok(())
}

struct Refusing;

#[async_trait]
impl RequestHandler for Refusing {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut response_handle: R) -> ResponseInfo {
        let response = MessageResponseBuilder::from_message_request(request).error_msg(&request.metadata, ResponseCode::Refused);
        let failed = Header { metadata: Metadata::response_from_request(&request.metadata), counts: HeaderCounts::default() };
        response_handle.send_response(response).await.unwrap_or_else(|_| failed.into())
    }
}

/// All measures of a server, each with what it is of.
async fn measure(kind: &Kind, folder: &Path) -> Result<Vec<(String, String)>> {
    let client = Client::trusting(&folder.join("dns.pem"))?;
    let mut lines = Vec::new();
    lines.push(("12 octets that say QDCOUNT 65,535: address space more".to_owned(), lie(&kind.start(folder, None)?, &client).await?));
    for (transport, protocol) in [("quic", &b"doq"[..]), ("http3", b"h3")] {
        for silent in SILENT {
            let delay = delay(&kind.start(folder, None)?, &client, transport, protocol, silent).await?;
            lines.push((format!("{transport}: a new client behind {silent} silent handshakes"), delay));
        }
        let crowd = crowd(&kind.start(folder, None)?, &client, transport, protocol).await?;
        lines.push((format!("{transport}: of {CROWD} connections from one address are taken on"), crowd));
    }
    lines.push((
        format!("tls: {OVER} connections at {DESCRIPTORS} descriptors: CPU time in {} s", WATCHED.as_secs()),
        spin(&kind.start(folder, Some(DESCRIPTORS))?).await?,
    ));
    Ok(lines)
}

struct Client(quinn::Endpoint, CertificateDer<'static>);

impl Client {
    fn trusting(pem: &Path) -> Result<Client> {
        Ok(Client(quinn::Endpoint::client("127.0.0.1:0".parse()?)?, CertificateDer::from_pem_slice(&fs::read(pem)?)?))
    }

    fn config(&self, protocol: &[u8]) -> Result<quinn::ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.1.clone())?;
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into()).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?)))
    }

    async fn connect(&self, to: SocketAddr, protocol: &[u8]) -> Result<quinn::Connection> {
        Ok(timeout(PATIENCE, self.0.connect_with(self.config(protocol)?, to, NAME)?).await??)
    }

    /// First packets of so many handshakes that never go on.
    fn initials(&self, protocol: &[u8], count: usize) -> Result<Vec<Vec<u8>>> {
        let trap = UdpSocket::bind("127.0.0.1:0")?;
        trap.set_read_timeout(Some(PATIENCE))?;
        let (mut initials, mut destinations, mut open) = (Vec::new(), HashSet::new(), Vec::new());
        while initials.len() < count {
            open.push(self.0.connect_with(self.config(protocol)?, trap.local_addr()?, NAME)?);
            let mut packet = vec![0; 2_048];
            let octets = tokio::task::block_in_place(|| trap.recv(&mut packet))?;
            packet.truncate(octets);
            // Flags, version, and the length of the destination come before it (RFC 9000 17.2).
            if destinations.insert(packet[6..6 + usize::from(packet[5])].to_vec()) {
                initials.push(packet);
            }
        }
        Ok(initials)
    }
}

/// What a lie costs the server, and what it says to it.
async fn lie(server: &Running, client: &Client) -> Result<String> {
    let to = server.address("quic")?;
    let ask = async |message: &[u8]| {
        let connection = client.connect(to, b"doq").await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat()).await?;
        send.finish()?;
        let reply = timeout(PATIENCE, receive.read_to_end(65_537)).await?;
        Ok::<_, anyhow::Error>(reply.ok())
    };
    // www.example.test A: what answering takes is there before.
    let query = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01";
    if ask(query).await?.is_none() {
        bail!("an honest question is not answered");
    }
    let before = server.status_kib("VmPeak")?;
    let reply = ask(&LIE).await?;
    let more_kib = server.status_kib("VmPeak")? - before;
    let said = reply.map_or("nothing".to_owned(), |reply| format!("rcode {}", reply.get(5).map_or(0, |flags| flags & 0xf)));
    Ok(format!("{more_kib} KiB, {said}"))
}

/// How long a new client waits for its connection.
async fn delay(server: &Running, client: &Client, transport: &str, protocol: &[u8], silent: usize) -> Result<String> {
    let to = server.address(transport)?;
    let sockets = client.initials(protocol, silent)?.into_iter().map(|initial| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(&initial, to)?;
        Ok(socket)
    });
    let _open = sockets.collect::<Result<Vec<_>>>()?;
    sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    Ok(match client.connect(to, protocol).await {
        Ok(_) => format!("{:.2} s", start.elapsed().as_secs_f64()),
        Err(error) => format!("{error} after {:.1} s", start.elapsed().as_secs_f64()),
    })
}

/// How many of a crowd are taken on, and the memory that the server has for it at most.
async fn crowd(server: &Running, client: &Client, transport: &str, protocol: &[u8]) -> Result<String> {
    /// Connections between two looks at the memory.
    const LOOK: usize = 50;
    /// No error, in DNS over QUIC and in HTTP/3.
    const CALM: [u64; 2] = [0, 0x100];
    let to = server.address(transport)?;
    // What the first takes is not what each takes.
    let _first = client.connect(to, protocol).await?;
    let before = server.status_kib("VmRSS")?;
    let (mut connections, mut most) = (Vec::new(), before);
    for number in 0..CROWD {
        connections.extend(client.connect(to, protocol).await.ok());
        if number % LOOK == 0 {
            most = most.max(server.status_kib("VmRSS")?);
        }
    }
    sleep(Duration::from_millis(200)).await;
    // Some have been idle for too long by now, which no code tells; others have been turned away by one.
    let is_turned_away = |connection: &quinn::Connection| matches!(connection.close_reason(), Some(quinn::ConnectionError::ApplicationClosed(close)) if !CALM.contains(&close.error_code.into_inner()));
    let taken = connections.iter().filter(|connection| !is_turned_away(connection)).count();
    Ok(format!("{taken}, {} MiB more", (most - before) >> 10))
}

/// CPU time of a server that has no descriptor left for whom it should accept.
async fn spin(server: &Running) -> Result<String> {
    let to = server.address("tls")?;
    let _crowd = (0..OVER).map(|_| TcpStream::connect(to)).collect::<std::io::Result<Vec<_>>>()?;
    sleep(Duration::from_millis(200)).await;
    let before = server.cpu_cs()?;
    sleep(WATCHED).await;
    Ok(format!("{:.2} s", (server.cpu_cs()? - before) as f64 / 100.0))
}
