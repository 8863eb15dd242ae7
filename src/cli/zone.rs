//! `meridian zone`: work on zone files. It prints what the configuration's own readers made of a file.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use crate::config::import;
use crate::name::Name;

#[derive(Debug, Subcommand)]
pub(super) enum Zone {
    /// Turn a master file (as BIND, NSD or Knot have it) into a zone file in YAML, on standard output
    Import(Import),
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The master file
    file: PathBuf,
    /// The name of the zone [default: the owner of the SOA, where the file says it in full]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

impl Zone {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Zone::Import(import) => import.run(out),
        }
    }
}

impl Import {
    fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let origin = self.origin.as_ref().map(|text| {
            let name = Name::parse(text, None);
            name.map_err(|error| Failure::Usage(format!("`{text}` is not a name: {error}")))
        });
        let imported = import(&self.file, origin.transpose()?.as_ref());
        match imported.yaml {
            Some(yaml) => {
                eprint!("{}", imported.diagnostics);
                out.write_all(yaml.as_bytes())?;
                Ok(())
            }
            None => Err(Failure::Config(imported.diagnostics.to_string())),
        }
    }
}
