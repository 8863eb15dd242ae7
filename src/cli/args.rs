//! Arguments that several subcommands take, so that each means the same everywhere. What only one of them takes stands in its own file.

use clap::ValueEnum;

use crate::geo::Family;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[value(alias = "table")]
    Text,
    /// For programs.
    Json,
}

/// The type of the addresses that a client asks for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum QType {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl QType {
    pub(super) fn family(self) -> Family {
        match self {
            QType::A => Family::V4,
            QType::Aaaa => Family::V6,
        }
    }
}
