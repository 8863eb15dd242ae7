//! Diagnostics: what is wrong in a file, where, and what to do about it.
//! They are collected while loading and printed once; this room never reads a file and never stops a load by itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// At most this many diagnostics are kept and printed: nobody reads more, and a file of a million bad rows must stay cheap.
pub const MAX_DIAGNOSTICS: usize = 100;

/// At most this many characters of a source line are shown in a snippet.
const MAX_SNIPPET_CHARS: usize = 120;

/// A text that was loaded, kept so that a diagnostic can show the line that it speaks of.
#[derive(Debug)]
pub struct Source {
    /// The path as the operator would type it.
    pub path: PathBuf,
    /// The whole text; empty for binary files.
    pub text: String,
}

impl Source {
    /// A source that diagnostics can point into.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Source> {
        Arc::new(Source { path: path.into(), text: text.into() })
    }
}

/// A position in a source: line and column count from 1, columns in characters; line 0 means the file as a whole.
#[derive(Debug, Clone)]
pub struct Mark {
    /// The file that is spoken of.
    pub source: Arc<Source>,
    /// Line, from 1; 0 = the whole file.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Mark {
    /// A position in `source`.
    pub fn new(source: &Arc<Source>, line: u32, column: u32) -> Mark {
        Mark { source: Arc::clone(source), line, column }
    }

    /// The file as a whole.
    pub fn file(source: &Arc<Source>) -> Mark {
        Mark::new(source, 0, 0)
    }

    /// A file of which nothing was read (missing, unreadable, binary).
    pub fn path(path: impl AsRef<Path>) -> Mark {
        Mark::file(&Source::new(path.as_ref(), ""))
    }

    fn key(&self) -> (&Path, u32, u32) {
        (&self.source.path, self.line, self.column)
    }
}

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken, but it may not do what was meant.
    Warning,
}

/// One thing that is wrong, with its place and what to do about it.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where.
    pub mark: Mark,
    /// What, without a full stop, values in backticks.
    pub text: String,
    /// What to do about it, where that can be said.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { source, line, column } = &self.mark;
        write!(f, "{}", source.path.display())?;
        if *line > 0 {
            write!(f, ":{line}:{column}")?;
        }
        let label = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {label}: {}", self.text)?;
        if let Some(snippet) = (*line > 0).then(|| source.text.lines().nth(*line as usize - 1)).flatten() {
            let shown: String = snippet.chars().take(MAX_SNIPPET_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let width = line.to_string().len().max(4);
            write!(f, "\n{line:>width$} | {}", shown.trim_end())?;
            if (*column as usize) <= MAX_SNIPPET_CHARS {
                write!(f, "\n{:>width$} | {:>column$}", "", "^", column = (*column).max(1) as usize)?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Something in the file system that a load depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, be it there or not.
    File(PathBuf),
    /// Which files match, by their names.
    Glob(PathBuf),
}

/// A place that was looked at, and what it looked like just before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub place: Place,
    /// A number that changes with what is there.
    pub look: u64,
}

/// All diagnostics of one load, in the order of files and lines, and the places that they speak of, whether anything is wrong there or not.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    seen: Vec<Seen>,
    dropped: usize,
    errors: usize,
}

impl Diagnostics {
    /// Nothing wrong so far.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds an error.
    pub fn error(&mut self, mark: Mark, text: impl Into<String>) {
        self.push(Diagnostic { severity: Severity::Error, mark, text: text.into(), hint: None });
    }

    /// Adds an error with advice.
    pub fn error_hint(&mut self, mark: Mark, text: impl Into<String>, hint: impl Into<String>) {
        self.push(Diagnostic { severity: Severity::Error, mark, text: text.into(), hint: Some(hint.into()) });
    }

    /// Adds a warning.
    pub fn warning(&mut self, mark: Mark, text: impl Into<String>) {
        self.push(Diagnostic { severity: Severity::Warning, mark, text: text.into(), hint: None });
    }

    /// Adds a warning with advice.
    pub fn warning_hint(&mut self, mark: Mark, text: impl Into<String>, hint: impl Into<String>) {
        self.push(Diagnostic { severity: Severity::Warning, mark, text: text.into(), hint: Some(hint.into()) });
    }

    /// Adds one diagnostic. Past [`MAX_DIAGNOSTICS`] it is only counted, but an error takes the place of a warning: it must be seen.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let is_error = diagnostic.severity == Severity::Error;
        self.errors += usize::from(is_error);
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
            return;
        }
        self.dropped += 1;
        if let Some(warning) = self.list.iter().rposition(|kept| is_error && kept.severity == Severity::Warning) {
            self.list.remove(warning);
            self.list.push(diagnostic);
        }
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Diagnostics) {
        let kept_errors = other.list.iter().filter(|d| d.severity == Severity::Error).count();
        self.dropped += other.dropped;
        self.errors += other.errors - kept_errors;
        self.seen.extend(other.seen);
        other.list.into_iter().for_each(|d| self.push(d));
    }

    /// Notes that the load depends on a place.
    pub fn saw(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    /// All places that the load has looked at, with what they looked like. A load that is done anew there says the same while nothing changes.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// True if the load must be refused.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// True if there is nothing to print.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The diagnostics in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }
}

impl fmt::Display for Diagnostics {
    /// Sorted by file, line and column, each followed by a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by(|a, b| a.mark.key().cmp(&b.mark.key()));
        for diagnostic in sorted {
            writeln!(f, "{diagnostic}")?;
        }
        if self.dropped > 0 {
            writeln!(f, "... and {} more", self.dropped)?;
        }
        Ok(())
    }
}

/// The candidate nearest to `word` when it is near enough to be a slip of the finger (edit distance 2 at most).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if word.chars().count() <= 3 { 1 } else { 2 };
    let scored = candidates.into_iter().map(|c| (edit_distance(word, c), c));
    scored.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, c)| c)
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_path_line_column_snippet_and_hint() {
        let source = Source::new("regions.yaml", "regions:\n  us: {wieght: 1}\n");
        let mut diagnostics = Diagnostics::new();
        diagnostics.error_hint(Mark::new(&source, 2, 8), "unknown key `wieght`", "did you mean `weight`?");
        let expected =
            "regions.yaml:2:8: error: unknown key `wieght`\n   2 |   us: {wieght: 1}\n     |        ^\nhint: did you mean `weight`?\n";
        assert_eq!(diagnostics.to_string(), expected);
        assert!(diagnostics.has_errors());
    }

    #[test]
    fn keeps_a_bounded_number_and_counts_the_rest() {
        let source = Source::new("rows.csv", "");
        let mut diagnostics = Diagnostics::new();
        (0..MAX_DIAGNOSTICS as u32 + 5).for_each(|line| diagnostics.error(Mark::new(&source, line + 1, 1), "bad row"));
        assert_eq!(diagnostics.iter().count(), MAX_DIAGNOSTICS);
        assert!(diagnostics.to_string().ends_with("... and 5 more\n"));
    }

    #[test]
    fn no_number_of_warnings_hides_an_error() {
        let source = Source::new("rows.csv", "");
        let mut diagnostics = Diagnostics::new();
        (0..MAX_DIAGNOSTICS as u32).for_each(|line| diagnostics.warning(Mark::new(&source, line + 1, 1), "odd row"));
        diagnostics.error(Mark::new(&source, 1000, 1), "bad row");
        let mut all = Diagnostics::new();
        all.warning(Mark::file(&source), "odd file");
        all.extend(diagnostics);
        let shown = all.to_string();
        assert!(shown.contains("rows.csv:1000:1: error: bad row") && shown.ends_with("... and 2 more\n"), "{shown}");
    }

    #[test]
    fn a_warning_refuses_nothing() {
        let mut diagnostics = Diagnostics::new();
        diagnostics.warning(Mark::path("a.yaml"), "zone has no NS");
        assert!(!diagnostics.has_errors());
        assert_eq!(diagnostics.to_string(), "a.yaml: warning: zone has no NS\n");
    }

    #[test]
    fn nearest_finds_slips_and_refuses_strangers() {
        assert_eq!(nearest("wieght", ["weight", "height"]), Some("weight"));
        assert_eq!(nearest("banana", ["weight", "location"]), None);
    }
}
