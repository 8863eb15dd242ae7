//! A folder of its own for a test, removed when the test is over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder below the system's temporary one.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder with a name that no other test has.
    pub(crate) fn new(name: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("meridian-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A new folder with these files.
    pub(crate) fn with(name: &str, files: &[(&str, &str)]) -> Folder {
        let folder = Folder::new(name);
        files.iter().for_each(|(file, text)| folder.write(file, text));
        folder
    }

    /// Writes a file, whole.
    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }

    /// The path of a file in it.
    pub(crate) fn join(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Its own path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the temporary folder; that is no failure of the test.
        _ = fs::remove_dir_all(&self.0);
    }
}
