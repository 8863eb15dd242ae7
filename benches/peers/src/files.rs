//! Files that are written for the servers: folders are made on the way, and errors say which file it was.
//! It never writes outside the folder that it is given.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file, and makes the folders that it stands in.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}

/// Writes behind what a file has.
pub(crate) fn append(path: &Path, content: &str) -> Result<()> {
    let written = fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(content.as_bytes()));
    written.with_context(|| path.display().to_string())
}

/// Makes a folder and those that it stands in; it may be there already.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

/// Removes a folder with what is in it, if it is there.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| folder.display().to_string()),
        _ => Ok(()),
    }
}
