//! Files of frames: each holds one stream of one writer, who holds a lock on it. An earlier stream is moved away, where a process that is
//! about to leave ends it; one that somebody still writes is never replaced.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::dnstap;

/// Places for earlier streams; all but the first are for streams that come while that one is still written.
const PLACES: usize = 10;

/// Begins a stream. The file has its lock and its head before it has its name, so that nobody finds it half made.
pub(super) fn begin(path: &Path) -> io::Result<File> {
    // A pipe or a device stays where it is.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let mut file = OpenOptions::new().append(true).open(path)?;
        dnstap::start(&mut file)?;
        return Ok(file);
    }
    let (new, mut file) = draft(path)?;
    // Of a process that came no further.
    file.set_len(0)?;
    dnstap::start(&mut file)?;
    move_away(path)?;
    fs::rename(new, path)?;
    Ok(file)
}

/// Whether a stream could begin there; it leaves everything as it is.
pub(super) fn check(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return OpenOptions::new().append(true).open(path).map(drop);
    }
    match draft(path) {
        // Still locked, so it is ours to remove.
        Ok((new, _file)) => fs::remove_file(new),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether another process, or another writer of ours, writes a stream there.
pub(super) fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The file that is to get the name. Who holds it is the only one that moves anything here.
fn draft(path: &Path) -> io::Result<(PathBuf, File)> {
    let busy = || io::Error::new(io::ErrorKind::ResourceBusy, format!("another process is about to write to `{}`", path.display()));
    let new = beside(path, ".new");
    let file = OpenOptions::new().append(true).create(true).open(&new)?;
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(busy());
    }
    // It may have got its name, and an end, between the opening and the lock.
    let is_there = fs::metadata(&new).is_ok_and(|there| file.metadata().is_ok_and(|file| there.ino() == file.ino()));
    if is_there { Ok((new, file)) } else { Err(busy()) }
}

/// The stream that is there, if there is one, to the first place whose stream nobody writes.
fn move_away(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => {
            let is_short = there?.len() < 100;
            if is_short && !is_locked(path) && dnstap::is_bare(&fs::read(path)?) {
                return fs::remove_file(path);
            }
        }
    }
    let places = (0..PLACES).map(|at| beside(path, &if at == 0 { ".before".into() } else { format!(".before.{at}") }));
    let full = || io::Error::other(format!("all earlier streams of `{}` are still written", path.display()));
    let place = places.into_iter().find(|place| !is_locked(place)).ok_or_else(full)?;
    fs::rename(path, place)
}

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(more);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_written_is_never_replaced_and_one_without_frames_is_not_kept() {
        let folder = std::env::temp_dir().join(format!("meridian-stream-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("queries");
        let names = || {
            let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        check(&path).unwrap();
        assert!(names().is_empty());
        let first = begin(&path).unwrap();
        let second = begin(&path).unwrap();
        let third = begin(&path).unwrap();
        check(&path).unwrap();
        assert_eq!(names(), ["queries", "queries.before", "queries.before.1"]);
        for (file, name) in [(&first, "queries.before"), (&second, "queries.before.1"), (&third, "queries")] {
            assert_eq!(fs::metadata(folder.join(name)).unwrap().ino(), file.metadata().unwrap().ino(), "{name}");
        }
        drop((first, third));
        // The third has no frames and no writer.
        let fourth = begin(&path).unwrap();
        assert_eq!(names(), ["queries", "queries.before", "queries.before.1"]);
        drop(second);
        let (_new, _draft) = draft(&path).unwrap();
        assert_eq!(begin(&path).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        check(&path).unwrap();
        drop(fourth);
        fs::remove_dir_all(&folder).unwrap();
    }
}
