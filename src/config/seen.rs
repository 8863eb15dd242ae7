//! What files look like from outside: enough to see that one was rewritten, replaced, or is another behind the same link.
//! It never opens a file. Every reader of a load notes here what it is about to read, so that whoever watches looks at that and nothing else.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::files;
use crate::diag::{Diagnostics, Place, Seen};

/// Notes a file that is about to be read, or that should be there. Before the read, so that a change during it is one afterwards.
pub(super) fn file(path: &Path, out: &mut Diagnostics) {
    note(Place::File(path.to_owned()), out);
}

/// Notes the files that a glob matches, which are about to be listed.
pub(super) fn glob(path: &Path, out: &mut Diagnostics) {
    note(Place::Glob(path.to_owned()), out);
}

fn note(place: Place, out: &mut Diagnostics) {
    let look = look(&place);
    out.saw(Seen { place, look });
}

/// What a place looks like now, as a number that another look almost certainly does not have. What is not there, or may not be looked at,
/// has a look too.
pub fn look(place: &Place) -> u64 {
    let mut hasher = DefaultHasher::new();
    match place {
        // Through links: another file behind the same name is another file. The time of the last change of status tells a new content whose
        // times were set back, and one of the same length.
        Place::File(path) => match fs::metadata(path) {
            Ok(file) => {
                let times = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
                (file.dev(), file.ino(), file.len(), times).hash(&mut hasher);
            }
            Err(error) => error.kind().hash(&mut hasher),
        },
        Place::Glob(path) => match files::matching(path) {
            Ok(paths) => paths.hash(&mut hasher),
            Err(error) => error.kind().hash(&mut hasher),
        },
    }
    hasher.finish()
}
