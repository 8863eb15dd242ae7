//! `meridian explain`: what a client would be answered, and every step to it. The answer comes from `answer`, the steps from
//! a listener in the same `decide`; this file only prints them.

use std::fmt::Write as _;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name as LibraryName, RecordType};

use super::geo::source_text;
use super::{ConfigArg, Failure};
use crate::answer::{Ask, Outcome, Transport, answer};
use crate::config::compile::{Compiled, identity_of};
use crate::daemon::Prepared;
use crate::geo::{Family, Kind, Leaf, PlaceId, Prefix};
use crate::health::{HealthView, Hosts, Measured, PoolState};
use crate::name::Name;
use crate::prober::resolve_once;
use crate::snapshot::{Catalog, Snapshot};
use crate::steer::balance::Turns;
use crate::steer::decide::{Client, Considered, Question, Standard, Trace, decide};
use crate::steer::plan::{Entry, Why};
use crate::steer::{Candidate, FamilySteering, OnAllDown, ShareSpec, Steering};
use crate::wire::MAX_MESSAGE_OCTETS;

/// The seed of draws, so that two runs say the same.
const SEED: u64 = 0;

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
    /// Assume that this region is measured down; may be given several times
    #[arg(long, value_name = "REGION")]
    down: Vec<String>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum QType {
    A,
    Aaaa,
}

impl Explain {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let name = Name::parse(&self.name, None).map_err(|error| Failure::Usage(format!("`{}` is not a name: {error}", self.name)))?;
        let client = parse_client(&self.client)?;
        let Prepared { compiled, geo_files, server, .. } = self.config.prepare()?;
        let world = self.world(&compiled, &server.resolvers)?;
        let (outcome, reply) = self.ask(&world, &name, client)?;

        writeln!(out, "question  {name} {} for a client in {client}", self.rtype())?;
        writeln!(out, "health    {}", self.assumption())?;
        if let Some(id) = outcome.steering {
            let steering = &world.catalog.steerings[id.0 as usize];
            let steps = Steps::of(&world, steering, self.family(), client);
            out.write_all(steps.text(&geo_files).as_bytes())?;
        } else {
            writeln!(out, "steering  none: the answer does not depend on the client")?;
        }
        writeln!(out, "reason    {}", outcome.reason.name())?;
        print_reply(&reply, out)
    }

    fn rtype(&self) -> RecordType {
        match self.qtype {
            QType::A => RecordType::A,
            QType::Aaaa => RecordType::AAAA,
        }
    }

    fn family(&self) -> Family {
        match self.qtype {
            QType::A => Family::V4,
            QType::Aaaa => Family::V6,
        }
    }

    fn assumption(&self) -> String {
        match self.down.as_slice() {
            [] => "assumed up everywhere (overrides in the files apply)".into(),
            down => format!("assumed up everywhere but in {} (overrides in the files apply)", down.join(", ")),
        }
    }

    /// The world as `serve` would publish it, with health as assumed.
    fn world(&self, compiled: &Compiled, resolvers: &[SocketAddr]) -> Result<Snapshot, Failure> {
        let catalog = &compiled.catalog;
        let region = |name: &String| {
            let index = catalog.regions.iter().position(|region| region.name == *name);
            index.ok_or_else(|| Failure::Usage(format!("there is no region `{name}`")))
        };
        let down: Vec<usize> = self.down.iter().map(region).collect::<Result<_, _>>()?;
        let endpoint_is_down = |id: u32| {
            let mut pools = compiled.layout.pools.iter().zip(&compiled.pools);
            pools.any(|(pool, name)| pool.endpoints.contains(&id) && down.contains(&usize::from(name.region.0)))
        };
        // Host names have the addresses that they have just now.
        let hosts = match compiled.layout.hosts() {
            none if none.is_empty() => Hosts::default(),
            hosts => resolve_once(resolvers, hosts)?,
        };
        let layout = compiled.layout.seated(&hosts, |_| None, identity_of);
        let health = HealthView::new(&layout, |id| if endpoint_is_down(id.0) { Measured::DOWN } else { Measured::UP });
        Ok(Snapshot { catalog: Arc::clone(catalog), health: Arc::new(health), generation: 1 })
    }

    /// Asks as a resolver at the client's own address would: with the client's network as client subnet.
    fn ask(&self, world: &Snapshot, name: &Name, client: Prefix) -> Result<(Outcome, Message), Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Failed(format!("the library cannot handle the message: {error}"));
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        let qname = LibraryName::from_ascii(name.to_string()).map_err(|error| broken(&error))?;
        message.add_query(Query::query(qname, self.rtype()));
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(client.network(), client.length(), 0)));
        message.set_edns(edns);
        let bytes = message.to_vec().map_err(|error| broken(&error))?;

        let turns = Turns::new(world.catalog.turn_slots);
        let (peer, local) = (SocketAddr::new(client.network(), 0), SocketAddr::from(([127, 0, 0, 1], 53)));
        let ask = Ask { bytes: &bytes, peer, local, transport: Transport::Tcp, now_ms: 0, seed: SEED, turns: &turns };
        let mut out = vec![0; MAX_MESSAGE_OCTETS];
        let outcome = answer(world, &ask, &mut out);
        let reply = Message::from_vec(&out[..outcome.len]).map_err(|error| broken(&error))?;
        Ok((outcome, reply))
    }
}

/// An address stands for its whole length; a network must have no host bits.
fn parse_client(text: &str) -> Result<Prefix, Failure> {
    let address = text.parse::<IpAddr>().map(Prefix::host);
    address.or_else(|_| text.parse::<Prefix>()).map_err(|error| Failure::Usage(format!("`{text}` is not a client: {error}")))
}

fn print_reply(reply: &Message, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "status    {}", reply.metadata.response_code)?;
    for record in &reply.answers {
        writeln!(out, "answer    {record}")?;
    }
    for record in reply.answers.is_empty().then_some(&reply.authorities).into_iter().flatten() {
        writeln!(out, "authority {record}")?;
    }
    let options = reply.edns.as_ref().into_iter().flat_map(|edns| edns.options().as_ref().iter());
    for (_, option) in options {
        if let EdnsOption::Subnet(subnet) = option {
            writeln!(out, "scope     /{}", subnet.scope_prefix())?;
        }
    }
    Ok(())
}

/// One decision, listened to.
struct Steps<'w> {
    catalog: &'w Catalog,
    health: &'w HealthView,
    steering: &'w Steering,
    family: Option<&'w FamilySteering>,
    client: Client,
    subnet_counts: bool,
    heard: Heard,
}

#[derive(Default)]
struct Heard {
    located: Option<(Leaf, PlaceId)>,
    standard: Option<Standard>,
    considered: Vec<(Entry, Considered)>,
    chosen: Option<Entry>,
}

impl Trace for Heard {
    fn located(&mut self, client: Leaf, place: PlaceId) {
        self.located = Some((client, place));
    }

    fn standard(&mut self, standard: Standard) {
        self.standard = Some(standard);
        self.considered.clear();
    }

    fn considered(&mut self, entry: Entry, considered: Considered) {
        self.considered.push((entry, considered));
    }

    fn chosen(&mut self, entry: Entry) {
        self.chosen = Some(entry);
    }
}

impl<'w> Steps<'w> {
    fn of(world: &'w Snapshot, steering: &'w Steering, family: Family, client: Prefix) -> Steps<'w> {
        let catalog = &*world.catalog;
        let mut heard = Heard::default();
        let family = steering.addresses_or_alias(family);
        let peer = client.network();
        let subnet_counts = steering.ecs && catalog.settings.believes(peer);
        let client = if subnet_counts { Client { address: peer, source_length: client.length(), peer } } else { Client::peer(peer) };
        if let Some(family) = family {
            let turns = Turns::new(catalog.turn_slots);
            let (table, health, hash_floor) = (&*catalog.table, &*world.health, catalog.settings.hash_floor);
            decide(&Question { steering, family, table, health, hash_floor, client, turns: &turns, seed: SEED, now_ms: 0 }, &mut heard);
        }
        Steps { catalog, health: &world.health, steering, family, client, subnet_counts, heard }
    }

    fn text(&self, geo_files: &[PathBuf]) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        _ = self.write(&mut text, geo_files);
        text
    }

    fn write(&self, text: &mut String, geo_files: &[PathBuf]) -> std::fmt::Result {
        let steering = self.steering;
        let service = &self.catalog.services[usize::from(steering.service)];
        let share = match steering.share {
            ShareSpec::Hash => "hash",
            ShareSpec::Random => "random",
        };
        writeln!(text, "steering  {}: service {service}, share {share}, balance {}", steering.owner, steering.balance.name())?;
        let (Some(family), Some((leaf, place_id))) = (self.family, self.heard.located) else { return Ok(()) };
        self.write_location(text, leaf, place_id, geo_files)?;
        writeln!(text, "regions   {:>4} {:<20} {:>9} {:>8}  why there, and what became of it", "band", "name", "km", "weight")?;
        for entry in family.plan.ranking(place_id).iter() {
            self.write_region(text, family, place_id, entry)?;
        }
        let is_shut = |candidate: &Candidate| !self.health.pool(candidate.pool).state.is_open();
        let all_forced_down = family.candidates.iter().all(is_shut);
        match (self.heard.chosen, self.heard.standard) {
            (None, _) if steering.on_all_down == OnAllDown::Nodata => writeln!(text, "all down  no data, as configured")?,
            (None, _) if steering.on_all_down == OnAllDown::Fallback => writeln!(text, "all down  what `on_all_down` names as `fallback`")?,
            (None, _) if all_forced_down => {
                writeln!(text, "all down  no data: every region is forced down, or has no address of its host names")?
            }
            (None, _) if steering.on_all_down == OnAllDown::Servfail => writeln!(text, "all down  a failure of the server, as configured")?,
            (None, _) if steering.on_all_down == OnAllDown::Refuse => writeln!(text, "all down  refused, as configured")?,
            (None, _) => writeln!(text, "all down  every region inside the hard fence is forced down: its fallback addresses")?,
            (Some(_), Some(Standard::LastGood)) => writeln!(text, "all down  what was up last")?,
            (Some(_), Some(Standard::AnyUp)) => writeln!(text, "all down  fail open: any region with any endpoint up")?,
            (Some(_), Some(Standard::Allowed)) => writeln!(text, "all down  fail open: any region not forced down")?,
            _ => {}
        }
        Ok(())
    }

    fn write_location(&self, text: &mut String, leaf: Leaf, place_id: PlaceId, geo_files: &[PathBuf]) -> std::fmt::Result {
        if !self.subnet_counts {
            writeln!(text, "subnet    not used here (`ecs`): whoever asks is the client; assumed at {}", self.client.peer)?;
        }
        let table = &self.catalog.table;
        let client_place = table.place(leaf.place);
        writeln!(text, "client    {}: {client_place}", table.prefix_of(leaf.range))?;
        writeln!(text, "source    {}", source_text(client_place.source, geo_files))?;
        if client_place.kind == Kind::UsePeer {
            writeln!(text, "peer      {}: {}", self.client.peer, table.place(place_id))?;
        }
        Ok(())
    }

    fn write_region(&self, text: &mut String, family: &FamilySteering, place: PlaceId, entry: Entry) -> std::fmt::Result {
        let candidate = &family.candidates[usize::from(entry.candidate)];
        let region = &self.catalog.regions[usize::from(candidate.region.0)];
        let point = self.catalog.table.place(place).point;
        let km = point.map(|point| f64::from(crate::geo::distance_m(point, region.location)) / 1000.0);
        let km = km.map_or("-".into(), |km| format!("{km:.1}"));
        let why = why_text(entry.why);
        let fate = self.fate(candidate, entry);
        writeln!(
            text,
            "          {:>4} {:<20} {km:>9} {:>8}  {why}; {fate}",
            entry.band + 1,
            region.name,
            f64::from(candidate.share) / 1000.0
        )
    }

    fn fate(&self, candidate: &Candidate, entry: Entry) -> &'static str {
        let heard = self.heard.considered.iter().find(|(heard, _)| *heard == entry);
        match (heard, self.heard.chosen == Some(entry), self.health.pool(candidate.pool).state) {
            (_, true, PoolState::Available) => "up, chosen",
            (_, true, _) => "not up, chosen all the same",
            (Some((_, Considered::NotAdmitted)), ..) => "up, does not admit this client now",
            (Some((_, Considered::Offered)), ..) => "up, another of its band has this client",
            (_, _, PoolState::Available) => "up, not needed",
            (_, _, PoolState::Down) => "down, passed over",
            (_, _, PoolState::ForcedDown) => "forced down, passed over",
            (_, _, PoolState::Vacant) => "its host names have no address, passed over",
        }
    }
}

fn why_text(why: Why) -> String {
    match why {
        Why::Order => "by order".into(),
        Why::Pinned => "first by `networks:`".into(),
        Why::Preferred(rule) => format!("preferred by rule {}", rule + 1),
        Why::Inside(rule) => format!("inside the fence of rule {}", rule + 1),
        Why::Outside(rule) => format!("outside the fence of rule {}", rule + 1),
        Why::Listed => "as listed".into(),
        Why::Standby => "standby (weight 0)".into(),
    }
}
