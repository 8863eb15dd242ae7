//! The comparison: all servers in turn, round by round, each asked every kind of question it can answer.
//! A server that cannot take part is named with its reason, and the others go on without it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::load::Load;
use crate::process::{Cores, Running};
use crate::question::Pool;
use crate::report::{Figures, Rows, table};
use crate::servers::{Kind, Programs};
use crate::table::{Table, Workload};
use crate::{tcp, udp};

/// What is measured, and how often.
pub(crate) struct Plan {
    pub(crate) servers: Vec<Kind>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) rate: f64,
    pub(crate) ports: usize,
    pub(crate) cores: Cores,
}

/// Runs all rounds and prints a table for each kind of question.
pub(crate) fn run(folder: &Path, table: &Table, plan: &Plan, programs: &Programs) -> Result<()> {
    let mut servers = present(folder, table, &plan.servers, programs);
    let (by_place, all_alike) = (Asked::new(table, &plan.workloads, true), Asked::new(table, &plan.workloads, false));
    let mut results: HashMap<(Workload, Kind), Vec<(usize, Figures)>> = HashMap::new();
    for round in 0..plan.rounds {
        servers.retain(|(kind, program)| {
            eprintln!("round {} of {}: {}", round + 1, plan.rounds, kind.name());
            let asked = if kind.server().located() { &by_place } else { &all_alike };
            let measured = measure(folder, table, plan, asked, (*kind, program));
            let figures = measured.unwrap_or_else(|error| {
                eprintln!("{} is left out: {error:#}", kind.name());
                Vec::new()
            });
            for (workload, figures) in &figures {
                results.entry((*workload, *kind)).or_default().push((round, *figures));
            }
            !figures.is_empty()
        });
    }
    ensure!(!results.is_empty(), "no server was measured");
    for workload in &plan.workloads {
        let rows: Rows = plan.servers.iter().map(|kind| (*kind, results.remove(&(*workload, *kind)).unwrap_or_default())).collect();
        println!("\n{}", table_of(*workload, &rows).trim_end());
    }
    Ok(())
}

fn table_of(workload: Workload, rows: &Rows) -> String {
    if rows.iter().all(|(_, rounds)| rounds.is_empty()) { format!("{workload:?}: not measured") } else { table(workload, rows) }
}

/// The servers that are there and can have this table.
fn present(folder: &Path, table: &Table, servers: &[Kind], programs: &Programs) -> Vec<(Kind, PathBuf)> {
    let program = |kind: Kind| {
        if let Some(reason) = kind.server().refuses(&table.size) {
            return Err(reason);
        }
        if !kind.place(folder, &table.size).own.is_dir() {
            return Err("it was not generated".to_owned());
        }
        kind.server().program(programs)
    };
    let found = servers.iter().filter_map(|kind| match program(*kind) {
        Ok(program) => Some((*kind, program)),
        Err(reason) => {
            eprintln!("{} is left out: {reason}", kind.name());
            None
        }
    });
    found.collect()
}

/// What servers are asked, and what one answers that has loaded everything.
struct Asked {
    questions: Vec<(Workload, Pool)>,
    samples: Pool,
}

impl Asked {
    fn new(table: &Table, workloads: &[Workload], located: bool) -> Asked {
        let questions = workloads.iter().map(|workload| (*workload, table.pool(*workload, located))).collect();
        Asked { questions, samples: table.samples(located) }
    }
}

/// One server in one round.
fn measure(folder: &Path, table: &Table, plan: &Plan, asked: &Asked, (kind, program): (Kind, &Path)) -> Result<Vec<(Workload, Figures)>> {
    let place = kind.place(folder, &table.size);
    let running = Running::start(kind.server(), program, &place, plan.cores, &asked.samples)?;
    let load = Load { server: place.address, process: running.process(), time: plan.time, rate: plan.rate, ports: plan.ports };
    let mut figures = Vec::new();
    for (workload, pool) in &asked.questions {
        let measured = if *workload == Workload::Tcp { tcp::run(load, pool) } else { udp::run(load, pool) };
        match measured {
            Ok(measured) => figures.push((*workload, Figures::new(&measured, &running))),
            Err(error) => eprintln!("{} is not measured by {workload:?}: {error:#}", kind.name()),
        }
    }
    Ok(figures)
}
