//! The monitor kind `tls`: a target is good when it completes a TLS handshake with a certificate that is trusted and lasts.
//! It holds the limits as data; what runs the probe is in `prober::handshake`.

use serde_saphyr::Spanned;

use super::Problems;
use super::tls::{ReadFile, Tls, TlsKeys};

/// Most days that a limit may name: certificates of ten years exist.
const MAX_DAYS: i64 = 3_650;

/// A TLS handshake and how long the certificates must last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handshake {
    /// Name, trust and client certificate.
    pub tls: Tls,
    /// Degraded with this many whole days left, or fewer.
    pub degraded_days: Option<u32>,
    /// Failed with this many whole days left, or fewer.
    pub fail_days: Option<u32>,
}

/// The keys of a `tls` monitor as typed.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandshakeSpec {
    pub(super) port: Option<Spanned<i64>>,
    sni: Option<Spanned<String>>,
    verify: Option<Spanned<bool>>,
    ca: Option<Spanned<String>>,
    client_cert: Option<Spanned<String>>,
    client_key: Option<Spanned<String>>,
    days_left: Option<Days>,
}

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Days {
    degraded: Option<Spanned<i64>>,
    fail: Option<Spanned<i64>>,
}

impl HandshakeSpec {
    pub(super) fn check(self, files: &mut ReadFile<'_>, problems: &mut Problems) -> Handshake {
        let keys = TlsKeys { sni: self.sni, verify: self.verify, ca: self.ca, client_cert: self.client_cert, client_key: self.client_key };
        let days = self.days_left.unwrap_or_default();
        let mut limit = |typed: &Option<Spanned<i64>>| {
            let typed = typed.as_ref()?;
            let fits = u32::try_from(typed.value).ok().filter(|_| (0..=MAX_DAYS).contains(&typed.value));
            if fits.is_none() {
                problems.add(typed, format!("`days_left` `{}` must be from 0 to {MAX_DAYS}", typed.value));
            }
            fits
        };
        let (degraded_days, fail_days) = (limit(&days.degraded), limit(&days.fail));
        if let (Some(typed), Some(degraded), Some(fail)) = (&days.degraded, degraded_days, fail_days)
            && degraded <= fail
        {
            problems.add_hint(typed, "`degraded` can never be reached", "it must be more days than `fail`");
        }
        Handshake { tls: keys.check(None, files, problems), degraded_days, fail_days }
    }
}
