//! Runs a `dns` probe: one question over UDP from a socket of its own, and one answer that is judged.
//! It believes only what comes from the probed address with the number and the question that were sent.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;

use super::steps::{Phase, Steps};
use super::{Finding, fault};
use crate::health::monitor::dns::Question;
use crate::health::report::{Evidence, Outcome};

/// Largest answer that is read: what a UDP datagram carries without EDNS, with room for servers that do not care.
const MAX_ANSWER: usize = 4096;

/// Asks `socket` within `timeout`. `id` is the number of the message.
pub(super) async fn run(socket: SocketAddr, question: &Question, id: u16, timeout: Duration, steps: &mut Steps) -> Finding {
    let Some(query) = query(question) else { return (Outcome::ProberFault, Evidence::Other("the question cannot be asked".into())) };
    steps.enter(Phase::FirstByte);
    match tokio::time::timeout(timeout, ask(socket, question.recurse, &query, id)).await {
        Ok(Ok(answer)) => {
            steps.enter(Phase::Assertions);
            let finding = judge(question, &answer);
            steps.assert("answer", finding.0, || finding.1.to_string());
            steps.finish();
            finding
        }
        Ok(Err(error)) => fault::of_io(&error, socket),
        Err(_elapsed) => (Outcome::Failure, Evidence::Timeout),
    }
}

fn query(question: &Question) -> Option<Query> {
    Some(Query::query(Name::from_str(&question.name).ok()?, RecordType::from_str(question.rtype).ok()?))
}

async fn ask(socket: SocketAddr, recurse: bool, query: &Query, id: u16) -> std::io::Result<Message> {
    let any: SocketAddr = if socket.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let udp = UdpSocket::bind(any).await?;
    udp.connect(socket).await?;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = recurse;
    message.add_query(query.clone());
    udp.send(&message.to_vec().map_err(std::io::Error::other)?).await?;
    let mut octets = [0; MAX_ANSWER];
    loop {
        let len = udp.recv(&mut octets).await?;
        let Ok(answer) = Message::from_vec(&octets[..len]) else { continue };
        if answer.metadata.id == id && answer.metadata.message_type == MessageType::Response && answer.queries.first() == Some(query) {
            return Ok(answer);
        }
    }
}

fn judge(question: &Question, answer: &Message) -> Finding {
    let code = answer.metadata.response_code;
    let found = |outcome, what: &str| (outcome, Evidence::Other(Evidence::text(what)));
    if code != ResponseCode::from(0, question.rcode) {
        return found(Outcome::Failure, &format!("DNS {code}"));
    }
    let rdatas: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    match &question.expect {
        Some(wanted) if !rdatas.iter().any(|rdata| rdata.trim_matches('"').eq_ignore_ascii_case(wanted)) => {
            found(Outcome::Failure, &format!("DNS {code}, no {wanted} among {} answers", rdatas.len()))
        }
        None if question.rcode == 0 && rdatas.is_empty() => found(Outcome::Failure, "DNS without an answer"),
        _ => found(Outcome::Success, &format!("DNS {code}, {} answers", rdatas.len())),
    }
}
