//! Configuration: from the files of an operator to a checked [`Model`], and from there to the catalog that is served.
//! It reads files and nothing else: it opens no socket, asks no time and changes no running world.

mod check;
pub mod compile;
mod files;
mod import;
mod load;
mod master;
pub mod model;
pub mod seen;
pub mod settings;
mod spec;

pub use import::{Imported, import};
pub use load::{Loaded, default_path, load, load_server, load_telling};
pub use model::Model;
