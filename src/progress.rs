//! How far long work has come: told by who works, shown by who was asked to show it.
//! Nothing waits for it and nothing depends on it.

use std::fmt;
use std::sync::Arc;

/// A moment of long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is worked on, in the plural.
    pub what: &'static str,
    /// How many of them are done.
    pub done: usize,
    /// How many there are.
    pub count: usize,
}

/// Whom progress is told, if anybody. Clones tell the same one.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Show>>);

/// Shows a step; none: the work is done.
type Show = dyn Fn(Option<Step>) + Send + Sync;

impl Progress {
    /// Tells `show` of each step, on the thread that works; none: the work is done.
    pub fn told_to(show: impl Fn(Option<Step>) + Send + Sync + 'static) -> Progress {
        Progress(Some(Arc::new(show)))
    }

    /// So many are done.
    pub fn step(&self, what: &'static str, done: usize, count: usize) {
        if let Some(show) = &self.0 {
            show(Some(Step { what, done, count }));
        }
    }

    /// All is done, or given up.
    pub fn end(&self) {
        if let Some(show) = &self.0 {
            show(None);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Progress({})", if self.0.is_some() { "told" } else { "not told" })
    }
}
