//! Probes of the running binary against servers of other people and servers that behave badly: what each of them makes of a region, asked
//! over the wire. The single kinds of probes have tests beside their code; here it is whole ways, from a server's fault to an answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod certificates;
#[path = "../common/mod.rs"]
mod common;
mod fronts;
mod rude;
mod services;
mod site;
