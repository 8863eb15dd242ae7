//! Record data between master-file text and wire form (RFC 1035 5.1, RFC 3597 5), byte for byte in both directions.
//! This room reads no files and knows no owners; what must hold between records is for the zone as a whole.
//!
//! All of it is our own: the library's reader takes `\065` for another octet, keeps escapes in words as they are, overlooks what stands behind
//! the last field, and refuses DNAME, DS, LOC, URI and the generic form.

mod check;
mod code;
mod location;
mod params;
mod read;
mod shape;
pub mod token;
mod write;

#[cfg(test)]
mod tests;

pub use read::{DataFault, rdata_from_text, rdata_from_tokens};
pub use write::{name_below, text_from_rdata};
