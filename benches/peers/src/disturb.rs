//! Meridian asked at a moderate rate while something else goes on in it, beside the same load in quiet.
use crate::process::Cores;
use crate::table::Table;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) load_percent: u8,
    pub(crate) cores: Cores,
}
pub(crate) fn run(_: &Path, _: &Table, _: &Plan, _: &Path) -> Result<()> {
    Ok(())
}
