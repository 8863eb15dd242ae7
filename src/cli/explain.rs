//! `meridian explain`: what a client would be answered, and every step to it: assumed health here, or asked of the running server.
//! The answer and its steps come from the corridor that answers queries; this file only chooses the world and prints.

use std::io::Write;
use std::net::IpAddr;

use clap::Args;

use super::Failure;
use super::args::{Format, QType};
use super::ctl::SocketArg;
use crate::answer::Class;
use crate::answer::explain::{Asked, explain};
use crate::api::client::Question;
use crate::api::{self, client};
use crate::daemon::Prepared;
use crate::geo::{Family, Prefix};
use crate::health::Hosts;
use crate::name::Name;
use crate::prober::resolve_once;
use crate::rehearsal::Down;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The name that is asked for
    name: String,
    /// The client: an address or a network, as in `dig +subnet=`
    #[arg(long, value_name = "ADDRESS|PREFIX")]
    client: String,
    /// The type that is asked for
    #[arg(long = "type", value_enum, default_value = "a", ignore_case = true)]
    qtype: QType,
    /// Assume that this region, or the endpoint with this address, is measured down; may be given several times
    #[arg(long, value_name = "REGION|ADDRESS")]
    down: Vec<String>,
    /// Ask the running server: its configuration, its health
    #[arg(long, conflicts_with = "down")]
    live: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    socket: SocketArg,
}

impl Explain {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let name = Name::parse(&self.name, None).map_err(|error| Failure::Usage(format!("`{}` is not a name: {error}", self.name)))?;
        let client = parse_client(&self.client)?;
        let (class, text) = if self.live { self.ask(&name, client)? } else { self.assume(name, client)? };
        writeln!(out, "{}", text.trim_end())?;
        if class == Class::Positive.name() || class == Class::Referral.name() {
            return Ok(());
        }
        Err(Failure::Failed(format!("no records for this client: {class}")))
    }

    /// Asks the running server: the kind of answer, and the explanation.
    fn ask(&self, name: &Name, client: Prefix) -> Result<(String, String), Failure> {
        let rtype = if self.qtype.family() == Family::V4 { "A" } else { "AAAA" };
        let format = if self.format == Format::Json { "json" } else { "text" };
        let (name, client) = (name.to_string(), client.to_string());
        let query = [("name", &*name), ("client", &*client), ("type", rtype), ("format", format)];
        let reply = client::ask(&self.socket.path()?, &Question::get("/v1/explain", &query))?;
        Ok((reply.class, reply.text))
    }

    /// Asks a world of the files, with health as assumed: as a resolver at the client's own address would, with the client as client subnet.
    fn assume(&self, name: Name, client: Prefix) -> Result<(String, String), Failure> {
        let Prepared { compiled, server, .. } = self.socket.config.prepare()?;
        // Host names have the addresses that they have just now.
        let hosts = match compiled.layout.hosts() {
            none if none.is_empty() => Hosts::default(),
            hosts => resolve_once(&server.resolvers, hosts)?,
        };
        let world = Down::parse(&compiled, &self.down).map_err(Failure::Usage)?.world_with(&compiled, &hosts);
        let asked = Asked { name, family: self.qtype.family(), subnet: Some(client), peer: client.network() };
        let explanation = explain(&world, asked, 0);
        let told = api::told(&explanation, self.format == Format::Json, &self.assumption()).map_err(Failure::Failed)?;
        Ok((told.class.to_owned(), told.text))
    }

    fn assumption(&self) -> String {
        match self.down.as_slice() {
            [] => "assumed up everywhere (overrides in the files apply)".into(),
            down => format!("assumed up everywhere but in {} (overrides in the files apply)", down.join(", ")),
        }
    }
}

/// An address stands for its whole length; a network must have no host bits.
fn parse_client(text: &str) -> Result<Prefix, Failure> {
    let address = text.parse::<IpAddr>().map(Prefix::host);
    address.or_else(|_| text.parse::<Prefix>()).map_err(|error| Failure::Usage(format!("`{text}` is not a client: {error}")))
}
