//! `encrypted:` of the server file: where the encrypted transports listen, and at which path.
//! It never opens a socket: whether an address is to be had is found out when it is bound.

use std::net::SocketAddr;

use super::certificate::identity;
use super::server::sockets;
use crate::config::model::Encrypted;
use crate::config::spec::{Field, Fields};
use crate::diag::Diagnostics;

/// Every key of `encrypted:`.
pub(in crate::config) const ENCRYPTED_KEYS: [&str; 7] = ["certificate", "key", "tls", "https", "http3", "quic", "path"];

/// Those of them that list addresses.
const TRANSPORTS: [&str; 4] = ["tls", "https", "http3", "quic"];

/// DNS in clear text.
const CLEAR_PORT: u16 = 53;

/// Where DNS is in HTTP unless something else is said (the example of RFC 8484 4.1, which all clients know).
const DEFAULT_PATH: &str = "/dns-query";

/// Longest path: it is looked for in every request.
const MAX_PATH_OCTETS: usize = 256;

/// The transports and what is wrong with them; `listen` are the addresses of DNS in clear text.
pub(in crate::config) fn encrypted(server: &Fields<'_>, listen: &[SocketAddr], out: &mut Diagnostics) -> Option<Encrypted> {
    let field = server.get("encrypted")?;
    let keys = field.fields("a map such as `{tls: \"0.0.0.0:853\", certificate: dns.pem, key: dns.key}`", &ENCRYPTED_KEYS, out)?;
    let [tls, https, http3, quic] = TRANSPORTS.map(|key| keys.get(key).and_then(|field| sockets(&field, out)).unwrap_or_default());
    refuse_taken(&keys, "tls", &tls, listen, out);
    refuse_taken(&keys, "https", &https, &[listen, &tls].concat(), out);
    // The other two share a port if they are told to: clients say which they want.
    refuse_taken(&keys, "http3", &http3, listen, out);
    refuse_taken(&keys, "quic", &quic, listen, out);
    refuse_clear_port(&keys, "tls", &tls, out);
    refuse_clear_port(&keys, "quic", &quic, out);
    if TRANSPORTS.iter().all(|key| keys.get(key).is_none()) {
        out.error_hint(field.mark(), "`encrypted` listens nowhere", "give `tls: [\"0.0.0.0:853\", \"[::]:853\"]`");
    }
    let path = keys.get("path").and_then(|field| path(&field, out)).unwrap_or_else(|| DEFAULT_PATH.to_owned());
    Some(Encrypted { tls, https, http3, quic, path, identity: identity(&keys, "dns", out)? })
}

fn path(field: &Field<'_>, out: &mut Diagnostics) -> Option<String> {
    const WANTED: &str = "a path such as `/dns-query`";
    let is_path = |text: &str| {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"/-._~".contains(&octet);
        text.starts_with('/') && text.len() <= MAX_PATH_OCTETS && text.bytes().all(allowed)
    };
    field.parsed(WANTED, out, |text| is_path(text).then(|| text.to_owned()))
}

/// Two listeners on one address and port would be two answers to one question.
fn refuse_taken(keys: &Fields<'_>, key: &str, addresses: &[SocketAddr], taken: &[SocketAddr], out: &mut Diagnostics) {
    for address in addresses.iter().filter(|address| address.port() != 0 && taken.contains(address)) {
        out.error_hint(keys.key_mark(key), format!("`{address}` is listened on already"), "give each transport a port of its own");
    }
}

/// The port of DNS in clear text is for nothing else (RFC 7858 3.1, RFC 9250 4.1.1): whoever speaks it there would hear noise.
fn refuse_clear_port(keys: &Fields<'_>, key: &str, addresses: &[SocketAddr], out: &mut Diagnostics) {
    for address in addresses.iter().filter(|address| address.port() == CLEAR_PORT) {
        out.error_hint(
            keys.key_mark(key),
            format!("`{address}` has the port of DNS in clear text"),
            "the usual port of `tls` and `quic` is 853",
        );
    }
}
