//! `api:` of the server file: where the admin API listens, and who may come in there.
//! Beyond this machine nobody comes in without a token or a certificate: that is an error, not a default. Certificates are read at each load.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::certificate::{authority, identity};
use super::server::socket;
use crate::config::files;
use crate::config::model::{Api, ApiTls, Role, Token};
use crate::config::spec::Field;
use crate::diag::{Diagnostics, Mark};

/// Every key of `api:`.
pub(in crate::config) const API_KEYS: [&str; 4] = ["listen", "tokens", "tls", "open_metrics"];

/// Every key of `tls:` in it.
const TLS_KEYS: [&str; 3] = ["certificate", "key", "clients"];

/// Addresses; each is a listener of its own.
const MAX_LISTEN: usize = 16;

/// Tokens: each request is compared with all of them.
const MAX_TOKENS: usize = 64;

/// Shortest secret: 16 characters of hexadecimal digits are 64 bits, which nobody guesses over a network.
const MIN_SECRET: usize = 16;

/// Longest line of a file of tokens, so that a wrong file is not kept.
const MAX_SECRET: usize = 256;

pub(super) fn api(field: &Field<'_>, out: &mut Diagnostics) -> Api {
    let Some(keys) = field.fields("a map such as `{listen: \"127.0.0.1:8053\"}`", &API_KEYS, out) else { return Api::default() };
    let listen = keys.get("listen").map(|field| listen(&field, out)).unwrap_or_default();
    let tokens = keys.get("tokens").map(|field| tokens(&field, out)).unwrap_or_default();
    let tls = keys.get("tls").and_then(|field| tls(&field, out));
    let open_metrics = keys.get("open_metrics").and_then(|field| field.flag(out)).unwrap_or(false);
    let has_certificates = tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    for (address, mark) in listen.iter().filter(|(address, _)| !address.ip().is_loopback()) {
        if tokens.is_empty() && !has_certificates {
            let hint = "give `tokens: FILE`, or `tls` with `clients`, or listen on 127.0.0.1";
            out.error_hint(mark.clone(), format!("the API would be open to everyone who reaches `{address}`"), hint);
        } else if tls.is_none() {
            out.warning_hint(
                mark.clone(),
                format!("tokens go to `{address}` in clear text"),
                "give `tls: {certificate: FILE, key: FILE}`, or have a proxy on this machine do it",
            );
        }
    }
    Api { listen: listen.into_iter().map(|(address, _)| address).collect(), tokens, tls, open_metrics }
}

fn listen(field: &Field<'_>, out: &mut Diagnostics) -> Vec<(SocketAddr, Mark)> {
    let list = field.filled_list("one or more addresses with ports", out);
    if list.len() > MAX_LISTEN {
        out.error(field.mark(), format!("`listen` has {} addresses, at most {MAX_LISTEN} are allowed", list.len()));
    }
    list.iter().take(MAX_LISTEN).filter_map(|item| Some((socket(item, out)?, item.mark()))).collect()
}

fn tls(field: &Field<'_>, out: &mut Diagnostics) -> Option<ApiTls> {
    let keys = field.fields("a map such as `{certificate: api.pem, key: api.key}`", &TLS_KEYS, out)?;
    let identity = identity(&keys, "api", out);
    let clients = keys.get("clients").map(|field| authority(&field, out));
    Some(ApiTls {
        identity: identity?,
        clients: match clients {
            Some(clients) => Some(clients?),
            None => None,
        },
    })
}

fn file(field: &Field<'_>, out: &mut Diagnostics) -> Option<PathBuf> {
    let path = files::resolve(field.text("a file", out)?, &field.node.mark);
    if path.is_file() {
        return Some(path);
    }
    out.error(field.mark(), format!("cannot read `{}`: there is no such file", path.display()));
    None
}

/// A file with a line `NAME read|tell|write SECRET` for each; what begins with `#` is a comment.
fn tokens(field: &Field<'_>, out: &mut Diagnostics) -> Vec<Token> {
    let Some(path) = file(field, out) else { return Vec::new() };
    let Some(text) = files::read_secret_text(&path, &field.node.mark, out) else { return Vec::new() };
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let mut tokens: Vec<Token> = Vec::new();
    for (number, line) in lines {
        match token(line) {
            // The line itself is not shown: it may hold a secret.
            Err(why) => out.error_hint(
                field.mark(),
                format!("line {number} of `{}`: {why}", path.display()),
                "write `NAME read SECRET`, `NAME tell SECRET` or `NAME write SECRET`",
            ),
            Ok(token) if tokens.iter().any(|other| other.secret == token.secret) => {
                out.error(field.mark(), format!("line {number} of `{}`: the secret stands there twice", path.display()));
            }
            Ok(token) => tokens.push(token),
        }
    }
    if tokens.len() > MAX_TOKENS {
        out.error(field.mark(), format!("`{}` has {} tokens, at most {MAX_TOKENS} are allowed", path.display(), tokens.len()));
    }
    if tokens.is_empty() && !out.has_errors() {
        out.error(field.mark(), format!("no token is in `{}`", path.display()));
    }
    if !tokens.is_empty() {
        files::warn_of_readers(&path, &field.node.mark, out);
    }
    tokens
}

fn token(line: &str) -> Result<Token, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[name, role, secret] = words.as_slice() else { return Err("it does not have three words") };
    let role = match role {
        "read" => Role::Read,
        "tell" => Role::Tell,
        "write" => Role::Write,
        _ => return Err("the second word is not `read`, `tell` or `write`"),
    };
    if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) || !secret.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err("the secret does not have 16 to 256 visible ASCII characters");
    }
    Ok(Token { name: name.to_owned(), role, secret: secret.to_owned() })
}
