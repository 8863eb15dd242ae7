//! The monitor kind `grpc`: a target is good when its health service (grpc.health.v1) says that it serves.
//! It holds the request as data; what runs the probe is in `prober::grpc`.

use serde_saphyr::Spanned;

use super::Problems;
use super::tls::{ReadFile, Tls, TlsKeys};

/// Longest name of a gRPC service.
const MAX_SERVICE: usize = 127;

/// One call of `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcCheck {
    /// The service that is asked for; empty = the server as a whole.
    pub service: Box<str>,
    /// TLS; none = HTTP/2 in plain text.
    pub tls: Option<Tls>,
}

/// The keys of a `grpc` monitor as typed.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrpcSpec {
    pub(super) port: Option<Spanned<i64>>,
    service: Option<Spanned<String>>,
    tls: Option<bool>,
    sni: Option<Spanned<String>>,
    verify: Option<Spanned<bool>>,
    ca: Option<Spanned<String>>,
    client_cert: Option<Spanned<String>>,
    client_key: Option<Spanned<String>>,
}

impl GrpcSpec {
    pub(super) fn check(self, files: &mut ReadFile<'_>, problems: &mut Problems) -> GrpcCheck {
        let fits = |text: &str| text.len() <= MAX_SERVICE && text.chars().all(|c| c.is_ascii_graphic());
        if let Some(typed) = self.service.as_ref().filter(|typed| !fits(&typed.value)) {
            problems.add(typed, format!("`service` `{}` is not the name of a gRPC service", typed.value.escape_default()));
        }
        let keys = TlsKeys { sni: self.sni, verify: self.verify, ca: self.ca, client_cert: self.client_cert, client_key: self.client_key };
        let tls = if self.tls.unwrap_or(false) {
            Some(keys.check(None, files, problems))
        } else {
            keys.refuse("a plain `grpc`", "tls: true", problems);
            None
        };
        GrpcCheck { service: self.service.map(|typed| typed.value).unwrap_or_default().into(), tls }
    }
}
