//! Files: reads texts within limits, and turns the file names and globs of a configuration into lists of paths.
//! It never says what a file must hold; relative paths start at the file that names them.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::seen;
use super::spec::{self, Field, Node};
use crate::diag::{Diagnostics, Mark, Source};

/// Octets of a YAML file: a million rows fit.
pub(super) const MAX_YAML_OCTETS: u64 = 64 << 20;

/// Octets of a CSV or master file: their rows are taken one by one, so that this bounds the time of a load only.
pub(super) const MAX_TEXT_OCTETS: u64 = 1 << 30;

/// Octets of a file with a key, certificates or tokens: a chain of certificates has some thousand.
const MAX_SECRET_OCTETS: u64 = 1 << 20;

/// What is mostly wrong when a file is not where it should be.
const RELATIVE: &str = "relative paths start at the folder of the file that names them";

/// Files that one glob may match: a folder of a hundred thousand zones is at work in the wild, a million is a mistake.
const MAX_GLOB_FILES: usize = 200_000;

/// Reads a YAML file that is named at `named`.
pub(super) fn read_yaml(path: &Path, named: &Mark, out: &mut Diagnostics) -> Option<Node> {
    spec::parse(&read_text(path, MAX_YAML_OCTETS, named, out)?, out)
}

/// Reads a text file that is named at `named`; a byte order mark is dropped.
pub(super) fn read_text(path: &Path, max_octets: u64, named: &Mark, out: &mut Diagnostics) -> Option<Arc<Source>> {
    seen::file(path, out);
    let octets = match read_octets(path, max_octets) {
        Ok(octets) => octets,
        Err(error) => {
            refuse(path, named, &error, out);
            return None;
        }
    };
    match String::from_utf8(octets) {
        Ok(text) => Some(Source::new(path, text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))),
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            out.error_hint(Mark::path(path), format!("line {line} is not UTF-8"), "save the file as UTF-8");
            None
        }
    }
}

/// Reads a file whose text no diagnostic may show, such as a key, named at `named`.
pub(super) fn read_secret(path: &Path, named: &Mark, out: &mut Diagnostics) -> Option<Vec<u8>> {
    seen::file(path, out);
    read_octets(path, MAX_SECRET_OCTETS).map_err(|error| refuse(path, named, &error, out)).ok()
}

/// The same of a text.
pub(super) fn read_secret_text(path: &Path, named: &Mark, out: &mut Diagnostics) -> Option<String> {
    let text = String::from_utf8(read_secret(path, named, out)?);
    text.map_err(|_| out.error_hint(named.clone(), format!("`{}` is not UTF-8", path.display()), "save the file as UTF-8")).ok()
}

/// Warns where a secret that was read may be read by every user of this machine, who may enter its folder too, unless there are errors, which
/// come first.
pub(super) fn warn_of_readers(path: &Path, named: &Mark, out: &mut Diagnostics) {
    /// Of the mode of a file: others may read it.
    const OTHERS_READ: u32 = 0o004;
    /// Of the mode of a folder: others may reach what is in it.
    const OTHERS_ENTER: u32 = 0o001;
    let lets = |path: &Path, what: u32| fs::metadata(path).is_ok_and(|found| found.mode() & what != 0);
    // Joined to it, the empty path of the folder that we are in has a name.
    if !out.has_errors() && lets(path, OTHERS_READ) && lets(&folder(path).join("."), OTHERS_ENTER) {
        let path = path.display();
        let text = format!("`{path}` is a secret, and every user of this machine can read it");
        out.warning_hint(named.clone(), text, format!("leave it to the server's group: `chmod 640 {path}`"));
    }
}

/// A path that is written in a file, from the folder of that file.
pub(super) fn resolve(text: &str, mark: &Mark) -> PathBuf {
    folder(&mark.source.path).join(text)
}

/// Whether a file lies in a folder or below it, links followed. A file that is not there counts as one that does: reading it will tell.
pub(super) fn is_below(path: &Path, folder: &Path) -> bool {
    let readable = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match (path.canonicalize(), readable.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        _ => true,
    }
}

/// The files that a key names: one, a list, or globs with `*` and `?` in the last part of the path.
/// Names keep their order; the matches of a glob are sorted; a file that is named twice is taken once.
pub(super) fn expand(field: Field<'_>, out: &mut Diagnostics) -> Vec<(PathBuf, Mark)> {
    let mut found: Vec<(PathBuf, Mark)> = Vec::new();
    for item in field.filled_list("a file, a list of files, or a glob", out) {
        let Some(text) = item.text("a file, a list of files, or a glob", out) else { continue };
        let path = resolve(text, &item.node.mark);
        let paths = if is_glob(&path) {
            seen::glob(&path, out);
            matches(&path, &item, out)
        } else {
            vec![path]
        };
        found.extend(paths.into_iter().map(|path| (path, item.mark())));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|(path, _)| seen.insert(path.clone()));
    found
}

fn read_octets(path: &Path, max_octets: u64) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    let mut octets = Vec::with_capacity(metadata.len().min(max_octets) as usize);
    file.take(max_octets + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > max_octets {
        return Err(io::Error::other(format!("it is larger than {} MiB", max_octets >> 20)));
    }
    Ok(octets)
}

/// Reports a file that cannot be read, at the place that names it.
fn refuse(path: &Path, named: &Mark, error: &io::Error, out: &mut Diagnostics) {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    let text = format!("cannot read `{}`: {reason}", path.display());
    if named.line > 0 && error.kind() == io::ErrorKind::NotFound {
        out.error_hint(named.clone(), text, RELATIVE);
    } else {
        out.error(named.clone(), text);
    }
}

/// The folder of a file; empty where the path is a name only.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn is_glob(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?'])
}

fn matches(path: &Path, item: &Field<'_>, out: &mut Diagnostics) -> Vec<PathBuf> {
    let (folder, pattern) = pattern(path);
    if is_glob(folder) {
        let text = format!("`*` and `?` are possible only in the last part of a path, not in `{}`", folder.display());
        out.error_hint(item.mark(), text, "name each folder, as a list");
        return Vec::new();
    }
    match list(folder, &pattern) {
        Ok(paths) if paths.is_empty() => {
            let text = format!("no file matches `{pattern}` in the folder `{}`", shown(folder));
            out.error_hint(item.mark(), text, RELATIVE);
            Vec::new()
        }
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("there is no folder `{}`", shown(folder));
            out.error_hint(item.mark(), text, RELATIVE);
            Vec::new()
        }
        Err(error) => {
            refuse(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }, &item.node.mark, &error, out);
            Vec::new()
        }
    }
}

/// The files that a glob matches now, sorted.
pub(super) fn matching(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (folder, pattern) = pattern(path);
    list(folder, &pattern)
}

fn pattern(path: &Path) -> (&Path, String) {
    (folder(path), path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { ".".to_owned() } else { folder.display().to_string() }
}

fn list(folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let readable = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in fs::read_dir(readable)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        // Hidden files are what editors leave behind.
        let hidden = text.starts_with('.') && !pattern.starts_with('.');
        if !hidden && fits(pattern, &text) && folder.join(&name).is_file() {
            paths.push(folder.join(&name));
        }
        if paths.len() > MAX_GLOB_FILES {
            return Err(io::Error::other(format!("more than {MAX_GLOB_FILES} files match")));
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a name fits a pattern of `*` (any run) and `?` (any one character); linear but for one step back per `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_know_star_and_question_mark() {
        let cases = [("*.zone.yaml", "example.com.zone.yaml", true), ("a?c", "abc", true), ("a?c", "ac", false), ("*a*b", "xaxxb", true)];
        for (pattern, name, expected) in cases {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!fits("*.yaml", "a.yml") && fits("*", "") && !fits("", "a") && fits("**", "a"));
    }

    #[test]
    fn paths_start_at_the_file_that_names_them() {
        let at = |path: &str| Mark::path(path);
        assert_eq!(resolve("r.yaml", &at("conf/meridian.yaml")), Path::new("conf/r.yaml"));
        assert_eq!(resolve("r.yaml", &at("meridian.yaml")), Path::new("r.yaml"));
        assert_eq!(resolve("/r.yaml", &at("conf/meridian.yaml")), Path::new("/r.yaml"));
    }
}
