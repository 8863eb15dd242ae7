//! The monitor kind `exec`: a target is good when a program of the operator says so by its exit code.
//! It holds the command as data; what runs it, and only where the server file allows it, is in `prober::exec`.

use serde_saphyr::Spanned;

use super::Problems;

/// Most words of a command.
const MAX_WORDS: usize = 32;
/// Longest word.
const MAX_WORD: usize = 1024;

/// The keys of an `exec` monitor as typed.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecSpec {
    command: Option<Spanned<Vec<String>>>,
    pub(super) port: Option<Spanned<i64>>,
}

impl ExecSpec {
    /// The program by its absolute path, and its arguments; no shell ever sees them.
    pub(super) fn check(self, problems: &mut Problems) -> Box<[Box<str>]> {
        let Some(command) = self.command else {
            problems.add_at(None, "an `exec` monitor needs a command", Some("write `exec: {command: [/usr/local/bin/check]}`".to_owned()));
            return Box::default();
        };
        let words = &command.value;
        if !words.first().is_some_and(|program| program.starts_with('/')) {
            problems.add_hint(&command, "`command` must begin with the absolute path of a program", "no shell and no PATH is used");
        } else if words.len() > MAX_WORDS || words.iter().any(|word| word.len() > MAX_WORD || word.contains('\0')) {
            problems.add(&command, format!("`command` has at most {MAX_WORDS} words of at most {MAX_WORD} octets"));
        }
        words.iter().map(|word| word.as_str().into()).collect()
    }
}
