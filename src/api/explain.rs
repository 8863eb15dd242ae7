//! Explanations as text and as JSON, for the command line and the API: the same lines and fields from both.
//! It prints what the corridor told and works out nothing itself.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Response, header};
use axum::response::IntoResponse;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::opt::EdnsOption;
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::problem::Problem;
use crate::answer::explain::{Asked, Explanation, Row, Steps, explain};
use crate::geo::{Family, Place, Prefix};
use crate::name::Name;

/// What is asked.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    name: String,
    client: String,
    #[serde(rename = "type", default)]
    rtype: String,
    #[serde(default)]
    format: String,
}

/// The header that says what kind of answer it was, so that nobody has to read the text.
pub(super) const CLASS_HEADER: &str = "meridian-class";

/// `GET /v1/explain?name=&client=&type=&format=`: the same as `meridian explain --live`.
pub(super) async fn get(State(app): State<Arc<App>>, wanted: Result<Query<Wanted>, QueryRejection>) -> Result<Response<Body>, Problem> {
    let Query(wanted) = wanted?;
    let name = Name::parse(&wanted.name, None).map_err(|error| Problem::bad(format!("`name`: {error}")))?;
    let client = wanted.client.parse::<IpAddr>().map(Prefix::host);
    let client = client.or_else(|_| wanted.client.parse::<Prefix>()).map_err(|error| Problem::bad(format!("`client`: {error}")))?;
    let family = family_of(&wanted.rtype)?;
    let as_json = match wanted.format.as_str() {
        "" | "json" => true,
        "text" => false,
        _ => return Err(Problem::bad("`format` is not `json` or `text`")),
    };
    let told = app.wait_for(move |app| {
        let world = app.world.load();
        let asked = Asked { name, family, subnet: Some(client), peer: client.network() };
        let health = format!("as the server has it, generation {}", world.generation);
        told(&explain(&world, asked, app.clock.now_ms()), as_json, &health).map_err(Problem::bad)
    });
    let Told { class, text } = told.await?;
    let kind = if as_json { "application/json" } else { "text/plain; charset=utf-8" };
    Ok(([(header::CONTENT_TYPE.as_str(), kind), (CLASS_HEADER, class)], text).into_response())
}

/// The family of a `type=`; IPv4 where it is left out.
pub(super) fn family_of(rtype: &str) -> Result<Family, Problem> {
    match rtype.to_ascii_uppercase().as_str() {
        "" | "A" => Ok(Family::V4),
        "AAAA" => Ok(Family::V6),
        _ => Err(Problem::bad("`type` is not `A` or `AAAA`")),
    }
}

/// An explanation in words or as JSON.
#[derive(Debug)]
pub struct Told {
    /// What kind of answer it was, as [`crate::answer::Class`] names it.
    pub class: &'static str,
    /// The explanation.
    pub text: String,
}

/// Words or JSON for an explanation. `health` says where the health is from.
pub fn told(explanation: &Explanation<'_>, as_json: bool, health: &str) -> Result<Told, String> {
    let text = if as_json { json(explanation, health)?.to_string() } else { text(explanation, health)? };
    Ok(Told { class: explanation.outcome.class.name(), text })
}

/// What was asked and what came of it, a line each. `health` says where the health is from.
fn text(explanation: &Explanation<'_>, health: &str) -> Result<String, String> {
    let reply = Reply::read(&explanation.reply)?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    _ = writeln!(text, "question  {} {} for a client in {}", explanation.asked.name, rtype(explanation), client(explanation));
    _ = writeln!(text, "health    {health}");
    _ = write!(text, "{explanation}");
    _ = writeln!(text, "status    {}", reply.status);
    let authority = if reply.answers.is_empty() { &reply.authorities[..] } else { &[] };
    for (key, records) in [("answer   ", &reply.answers[..]), ("authority", authority)] {
        records.iter().for_each(|record| _ = writeln!(text, "{key} {record}"));
    }
    reply.scope.iter().for_each(|scope| _ = writeln!(text, "scope     /{scope}"));
    Ok(text)
}

/// The same as one object.
fn json(explanation: &Explanation<'_>, health: &str) -> Result<Value, String> {
    let reply = Reply::read(&explanation.reply)?;
    let records = |records: &[Record]| -> Vec<Value> {
        let record = |record: &Record| json!({ "name": record.name.to_string(), "ttl": record.ttl, "type": record.record_type().to_string(), "data": record.data.to_string() });
        records.iter().map(record).collect()
    };
    Ok(json!({
        "question": { "name": explanation.asked.name.to_string(), "type": rtype(explanation), "client": client(explanation), "peer": explanation.asked.peer.to_string() },
        "health": health,
        "generation": explanation.world.generation,
        "decision": explanation.steps.as_ref().map(decision),
        "reason": explanation.outcome.reason.name(),
        "status": name_of(reply.status),
        "answer": records(&reply.answers),
        "authority": records(&reply.authorities),
        "scope": reply.scope,
    }))
}

fn rtype(explanation: &Explanation<'_>) -> &'static str {
    if explanation.asked.family == Family::V4 { "A" } else { "AAAA" }
}

fn client(explanation: &Explanation<'_>) -> String {
    explanation.asked.subnet.map_or_else(|| explanation.asked.peer.to_string(), |subnet| subnet.to_string())
}

fn decision(steps: &Steps<'_>) -> Value {
    json!({
        "steered_name": steps.steering.owner.to_string(),
        "service": steps.service,
        "client": if steps.by_subnet { steps.client.address.to_string() } else { steps.client.peer.to_string() },
        "by_subnet": steps.by_subnet,
        "network": steps.network.to_string(),
        "source": steps.source,
        "place": place(&steps.place),
        "peer_place": steps.stand_in.as_ref().map(place),
        "hashed": steps.hashed.map(|network| network.to_string()),
        "balance": steps.steering.balance.name(),
        "regions": steps.regions.iter().map(region).collect::<Vec<_>>(),
        "all_down": steps.all_down,
        "addresses": steps.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ttl_s": steps.ttl_s,
        "scope": steps.scope,
    })
}

fn place(place: &Place<'_>) -> Value {
    json!({
        "text": place.to_string(),
        "latitude": place.point.map(|point| point.latitude()),
        "longitude": place.point.map(|point| point.longitude()),
        "continent": place.continent.map(|code| code.to_string()),
        "country": place.country.map(|code| code.to_string()),
        "subdivision": place.subdivision,
        "city": place.city,
        "asn": place.asn,
    })
}

fn region(row: &Row<'_>) -> Value {
    json!({
        "band": row.band,
        "region": row.region.name,
        "km": row.km,
        "weight": row.weight,
        "score": row.score(),
        "why": row.why.to_string(),
        "fate": row.fate.text(),
        "admit_percent": row.admit_percent,
        "for_s": row.age_s,
        "evidence": row.evidence,
    })
}

/// The mnemonic that `dig` prints.
fn name_of(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::Refused => "REFUSED".into(),
        ResponseCode::YXDomain => "YXDOMAIN".into(),
        other => other.to_string(),
    }
}

/// A reply as it is printed.
struct Reply {
    status: ResponseCode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    scope: Option<u8>,
}

impl Reply {
    fn read(octets: &[u8]) -> Result<Reply, String> {
        let message = Message::from_vec(octets).map_err(|error| format!("the library cannot read the reply: {error}"))?;
        let options = message.edns.as_ref().into_iter().flat_map(|edns| edns.options().as_ref().iter());
        let scope = options.into_iter().find_map(|(_, option)| match option {
            EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
            _ => None,
        });
        Ok(Reply { status: message.metadata.response_code, scope, answers: message.answers, authorities: message.authorities })
    }
}
