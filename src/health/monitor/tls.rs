//! How a probe speaks TLS: the name that is asked for, whom it trusts, what it shows of itself. Shared by every kind that can.
//! It holds the files as octets and never opens one; whoever checks a monitor hands in a function that reads them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_saphyr::Spanned;

use super::Problems;

/// Reads a file that a monitor names, by the path as typed; the error is a reason without a full stop.
pub type ReadFile<'a> = dyn FnMut(&str) -> Result<Vec<u8>, String> + 'a;

/// Largest file of certificates: a system's whole trust store is a quarter of it.
pub const MAX_PEM_OCTETS: usize = 1 << 20;

/// How a probe sets up TLS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tls {
    /// Name asked for and checked in the certificate; none = the probed address (then no SNI is sent).
    pub sni: Option<Box<str>>,
    /// Whether the certificate is checked (the default).
    pub verify: bool,
    /// Certificates that are trusted instead of the system's.
    pub ca: Option<Pem>,
    /// What the prober shows of itself: certificate chain and private key.
    pub client: Option<(Pem, Pem)>,
}

impl Tls {
    /// Verified against the system's trust store, with this name.
    pub fn verified(sni: Option<Box<str>>) -> Tls {
        Tls { sni, verify: true, ca: None, client: None }
    }
}

/// A PEM file: equal where the octets are, so that a new certificate in the same file is a new target.
#[derive(Clone)]
pub struct Pem {
    /// As typed; for messages.
    pub path: Box<str>,
    /// The content.
    pub octets: Arc<[u8]>,
}

impl PartialEq for Pem {
    fn eq(&self, other: &Pem) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Pem {}

impl PartialOrd for Pem {
    fn partial_cmp(&self, other: &Pem) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pem {
    fn cmp(&self, other: &Pem) -> Ordering {
        self.octets.cmp(&other.octets)
    }
}

impl Hash for Pem {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.octets.hash(state);
    }
}

impl fmt::Debug for Pem {
    /// The path alone: the content may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({})", self.path)
    }
}

/// The keys of TLS as typed, in any kind that has them.
#[derive(Debug, Default)]
pub(super) struct TlsKeys {
    pub(super) sni: Option<Spanned<String>>,
    pub(super) verify: Option<Spanned<bool>>,
    pub(super) ca: Option<Spanned<String>>,
    pub(super) client_cert: Option<Spanned<String>>,
    pub(super) client_key: Option<Spanned<String>>,
}

impl TlsKeys {
    /// Reports every key that is given: this kind has no TLS.
    pub(super) fn refuse(&self, kind: &str, use_instead: &str, problems: &mut Problems) {
        let mut refuse = |key: &str, at: Option<(u32, u32)>| {
            problems.add_at(at, format!("`{key}` in {kind} monitor"), Some(format!("use `{use_instead}`")));
        };
        self.verify.iter().for_each(|typed| refuse("verify", super::place(typed)));
        for (key, typed) in [("sni", &self.sni), ("ca", &self.ca), ("client_cert", &self.client_cert), ("client_key", &self.client_key)] {
            typed.iter().for_each(|typed| refuse(key, super::place(typed)));
        }
    }

    /// The checked settings; without `sni` the name of `host` is asked for.
    pub(super) fn check(self, host: Option<&str>, files: &mut ReadFile<'_>, problems: &mut Problems) -> Tls {
        if let Some(sni) = self.sni.as_ref().filter(|sni| !is_dns_name(&sni.value)) {
            problems.add_hint(sni, format!("`sni` `{}` is not a host name", sni.value), "an address is never sent as SNI; leave it out");
        }
        let verify = self.verify.as_ref().is_none_or(|verify| verify.value);
        if let (false, Some(ca)) = (verify, &self.ca) {
            problems.add_hint(ca, "`ca` beside `verify: false`", "remove one of them: without verification nothing is trusted or not");
        }
        let ca = self.ca.as_ref().and_then(|typed| pem("ca", typed, "CERTIFICATE", files, problems));
        let client = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                let cert = pem("client_cert", cert, "CERTIFICATE", files, problems);
                cert.zip(pem("client_key", key, "PRIVATE KEY", files, problems))
            }
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                problems.add_hint(one, "`client_cert` and `client_key` go together", "give both; they may be the same file");
                None
            }
        };
        let sni = self.sni.map(|sni| sni.value.to_ascii_lowercase().into()).or_else(|| host.and_then(name_of_host));
        Tls { sni, verify, ca, client }
    }
}

fn pem(key: &str, typed: &Spanned<String>, wanted: &str, files: &mut ReadFile<'_>, problems: &mut Problems) -> Option<Pem> {
    let path = &typed.value;
    match files(path) {
        Err(reason) => problems.add(typed, format!("`{key}`: cannot read `{path}`: {reason}")),
        Ok(octets) if octets.len() > MAX_PEM_OCTETS => {
            problems.add(typed, format!("`{key}`: `{path}` has {} octets, at most {MAX_PEM_OCTETS} are allowed", octets.len()));
        }
        Ok(octets) if !has_block(&octets, wanted) => {
            let hint = "write PEM; `openssl x509 -inform der` and `openssl pkcs8 -inform der` convert from DER";
            problems.add_hint(typed, format!("`{key}`: `{path}` holds no `BEGIN {wanted}`"), hint);
        }
        Ok(octets) => return Some(Pem { path: path.as_str().into(), octets: octets.into() }),
    }
    None
}

/// `-----BEGIN ... CERTIFICATE-----`; what stands inside is judged by who uses it.
fn has_block(octets: &[u8], wanted: &str) -> bool {
    let text = String::from_utf8_lossy(octets);
    text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{wanted}-----")))
}

/// The DNS name in a Host value, without its port; none for addresses.
pub(super) fn name_of_host(host: &str) -> Option<Box<str>> {
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name).trim_end_matches('.');
    is_dns_name(name).then(|| name.to_ascii_lowercase().into())
}

pub(super) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits would make a URL take the name for an IPv4 address.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    name.len() <= 253 && !numeric && name.split('.').all(label)
}
