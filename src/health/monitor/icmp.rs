//! The monitor kind `icmp`: a target is good when it answers an echo request.
//! There is nothing to set; what runs the probe is in `prober::icmp`.

/// `icmp: {}`.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IcmpSpec {}
