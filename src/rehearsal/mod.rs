//! Rehearsals: who would be answered what if something were down, or if the configuration were another one; and its own tests.
//! Every answer is asked of the corridor or its decision; nothing here serves a query or changes a world.

pub mod audience;
pub mod compare;
mod down;
pub mod expectations;
pub mod map;
mod summary;

pub use audience::Audience;
pub use compare::{Comparer, Comparison, compare};
pub use down::Down;
pub use summary::summary;
