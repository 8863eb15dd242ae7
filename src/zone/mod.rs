//! Zones: what is answered from records alone, and where a name is steered.
//! RRsets are encoded once at load; a look-up allocates nothing. This room knows steered names by their id only.

/// Index of a zone in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneId(pub u32);

/// Index of a steered name in the catalog: the one word that zones and steering share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SteeringId(pub u32);
