//! `meridian init`: a starting configuration with comments, for a folder of its own. It writes new files only, all of them or none.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;

/// What is written, under these names.
const FILES: [(&str, &str); 3] = [
    ("meridian.yaml", include_str!("init/meridian.yaml")),
    ("regions.yaml", include_str!("init/regions.yaml")),
    ("example.com.zone.yaml", include_str!("init/example.com.zone.yaml")),
];

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Where to; it is made if it is not there
    #[arg(default_value = ".")]
    folder: PathBuf,
}

impl Init {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let failed = |path: &Path, error: &std::io::Error| Failure::Failed(format!("`{}`: {error}", path.display()));
        if let Some(there) = FILES.iter().map(|(file, _)| self.folder.join(file)).find(|path| path.symlink_metadata().is_ok()) {
            return Err(Failure::Failed(format!("`{}` is there already, nothing is written", there.display())));
        }
        std::fs::create_dir_all(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        for (file, text) in FILES {
            let path = self.folder.join(file);
            let written = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut to| to.write_all(text.as_bytes()));
            if let Err(error) = written {
                // This file may be somebody else's; those before it are ours.
                FILES.iter().take_while(|(ours, _)| *ours != file).for_each(|(ours, _)| _ = std::fs::remove_file(self.folder.join(ours)));
                return Err(failed(&path, &error));
            }
        }
        for (file, _) in FILES {
            writeln!(out, "wrote {}", self.folder.join(file).display())?;
        }
        let server = self.folder.join(FILES[0].0);
        writeln!(out, "next: edit them, then `meridian check --config {0}` and `meridian serve --config {0}`", server.display())?;
        Ok(())
    }
}
