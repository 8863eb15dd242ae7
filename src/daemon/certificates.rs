//! Our own certificates, of the encrypted transports and of the API: which there are, and whether they end soon.
//! They were read by the load, and are shown by others.

use crate::certificate::DAY_S;
use crate::clock::Clock;
use crate::config::model::{Identity, Server};
use crate::diag::{Diagnostics, Mark};

/// Certificates that last no longer are warned of: whoever renews them by themselves has done it by then.
const EXPIRY_WARNING_DAYS: i64 = 7;

/// A certificate is no mistake of the configuration because it grows old: a server that did not start for it would serve nobody.
pub(super) fn warn_of_expiry(server: &Server, warnings: &mut Diagnostics) {
    for identity in identities(server) {
        let left_s = identity.not_after_s - Clock::system().wall_s() as i64;
        let text = match left_s.div_euclid(DAY_S) {
            ..0 => "the certificate has expired".to_owned(),
            days @ 0..EXPIRY_WARNING_DAYS => format!("the certificate expires in {days} days"),
            _ => continue,
        };
        warnings.warning_hint(Mark::path(&identity.path), text, "renew it; a reload takes the new one without a restart");
    }
}

/// All that is shown to those who come by TLS.
pub(super) fn identities(server: &Server) -> impl Iterator<Item = &Identity> {
    let encrypted = server.encrypted.as_ref().map(|encrypted| &encrypted.identity);
    encrypted.into_iter().chain(server.api.tls.as_ref().map(|tls| &tls.identity))
}
