//! `meridian completions` and `meridian man`: what a shell and a manual want to know, from the very definition that reads the arguments.
//! Nothing is written by hand, so nothing can be forgotten.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut script = Vec::new();
        let mut command = Cli::command();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        out.write_all(&script)?;
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Where the pages are written, a file for each command; it is made if it is not there
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("`{}`: {error}", self.folder.display()));
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), &self.folder).map_err(failed)?;
        writeln!(out, "wrote the manual pages to {}", self.folder.display())?;
        Ok(())
    }
}
