//! Who comes in by which door, and what they may do there: the one place that decides it.
//! It never tells a caller more than that a token is missing or not enough.

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;
use super::routes::Access;
use crate::config::model::{Api, Role, Token};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For the audit log: `control socket`, the name of a token, `certificate NAME`, `loopback`.
    pub name: String,
    /// Whether the caller said who it is by itself; whoever uses the control socket may name a person.
    pub may_name_others: bool,
    /// The process at the other end of the control socket, as the kernel tells it.
    pub(super) peer: Option<Peer>,
    role: Option<Role>,
}

/// A process on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its user.
    pub(super) user: u32,
    /// Its number, where this system tells it.
    pub(super) process: Option<u32>,
}

impl Caller {
    /// Whoever may open the socket may do everything.
    pub(super) fn of_socket(peer: Option<Peer>) -> Caller {
        Caller { name: "control socket".into(), may_name_others: true, peer, role: Some(Role::Write) }
    }

    /// Someone who has shown a certificate that the configured authority has signed; `name` says which.
    pub(super) fn of_certificate(name: String) -> Caller {
        Caller { name, may_name_others: true, peer: None, role: Some(Role::Write) }
    }

    /// Whether it may change everything, what others said included.
    pub(super) fn may_change(&self) -> bool {
        self.role == Some(Role::Write)
    }

    /// Someone on an address of the network.
    pub(super) fn of_network() -> Caller {
        Caller { name: "loopback".into(), may_name_others: false, peer: None, role: None }
    }
}

/// What the configuration in force says of access. Its lock is taken by requests and reloads.
#[derive(Debug)]
pub struct Guard(RwLock<Arc<Api>>);

impl Guard {
    /// As configured.
    pub fn new(api: Api) -> Guard {
        Guard(RwLock::new(Arc::new(api)))
    }

    /// Requests from now on are judged by this one, if it has the same doors: with others a door that is open now would be judged by rules for
    /// another.
    pub(super) fn replace(&self, api: &Api) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if api.has_doors_of(&current) {
            *current = Arc::new(api.clone());
        }
    }

    /// The caller of a request, who may do what it asks for; else why not.
    pub(super) fn admit(&self, caller: &Caller, wanted: Access, headers: &HeaderMap) -> Result<Caller, Problem> {
        let api = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let caller = if caller.role.is_some() { caller.clone() } else { by_token(&api, caller, headers)? };
        let allowed = match wanted {
            Access::Open => true,
            Access::Metrics if api.open_metrics => true,
            Access::Metrics | Access::Read => caller.role.is_some(),
            Access::Tell => matches!(caller.role, Some(Role::Tell | Role::Write)),
            Access::Write => caller.role == Some(Role::Write),
        };
        match (allowed, caller.role) {
            (true, _) => Ok(caller),
            (false, None) => {
                Err(Problem::new(StatusCode::UNAUTHORIZED, "a client certificate or a token is needed: `Authorization: Bearer TOKEN`"))
            }
            (false, Some(_)) if api.tokens.is_empty() => {
                Err(Problem::new(StatusCode::FORBIDDEN, "without `tokens` only the control socket takes changes"))
            }
            (false, Some(_)) => Err(Problem::new(StatusCode::FORBIDDEN, "this token may not do this")),
        }
    }
}

/// The caller with what its token allows.
fn by_token(api: &Api, caller: &Caller, headers: &HeaderMap) -> Result<Caller, Problem> {
    if api.tokens.is_empty() {
        // The load has seen to it that whoever needs no certificate is on loopback.
        let needs_certificate = api.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
        return Ok(Caller { role: (!needs_certificate).then_some(Role::Read), ..caller.clone() });
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else { return Ok(caller.clone()) };
    let given = given.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default().trim();
    // All are compared, and each in full, so that the time tells nothing.
    let same = |token: &&Token| is_same(token.secret.as_bytes(), given.as_bytes());
    let matching: Vec<&Token> = api.tokens.iter().filter(same).collect();
    match matching.first() {
        Some(token) => Ok(Caller { name: token.name.clone(), may_name_others: false, peer: None, role: Some(token.role) }),
        None => Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is unknown")),
    }
}

/// Compares without stopping at the first difference.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::sign::CertifiedKey;

    use super::*;
    use crate::config::model::{ApiTls, Identity};

    fn guard(tokens: &[(&str, Role, &str)], open_metrics: bool) -> Guard {
        let token = |(name, role, secret): &(&str, Role, &str)| Token { name: (*name).into(), role: *role, secret: (*secret).into() };
        Guard::new(Api { tokens: tokens.iter().map(token).collect(), open_metrics, ..Api::default() })
    }

    fn status(guard: &Guard, wanted: Access, authorization: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(text) = authorization {
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
        }
        guard.admit(&Caller::of_network(), wanted, &headers).map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[test]
    fn without_tokens_the_network_reads_and_the_socket_writes() {
        let guard = guard(&[], false);
        let wanted = [Access::Open, Access::Metrics, Access::Read, Access::Write];
        assert_eq!(wanted.map(|wanted| status(&guard, wanted, None)), [200, 200, 200, 403]);
        let tls = |clients: Option<RootCertStore>| {
            let made = rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
            let key = made.signing_key.serialize_der().try_into().unwrap();
            let key = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &rustls::crypto::ring::default_provider()).unwrap();
            ApiTls {
                identity: Identity { path: "api.pem".into(), not_after_s: i64::MAX, key: key.into() },
                clients: clients.map(Into::into),
            }
        };
        let of_certificates = Guard::new(Api { tls: Some(tls(Some(RootCertStore::empty()))), ..Api::default() });
        assert_eq!(wanted.map(|wanted| status(&of_certificates, wanted, None)), [200, 401, 401, 401], "whoever shows no certificate");
        assert!(of_certificates.admit(&Caller::of_certificate("certificate x".into()), Access::Write, &HeaderMap::new()).is_ok());
        let encrypted = Guard::new(Api { tls: Some(tls(None)), ..Api::default() });
        assert_eq!(wanted.map(|wanted| status(&encrypted, wanted, None)), [200, 200, 200, 403]);
        assert!(guard.admit(&Caller::of_socket(None), Access::Write, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_token_has_its_role_and_without_one_only_open_doors_open() {
        let tokens = [
            ("ops", Role::Write, "aaaaaaaaaaaaaaaa"),
            ("graphs", Role::Read, "bbbbbbbbbbbbbbbb"),
            ("watch", Role::Tell, "cccccccccccccccc"),
        ];
        let guard = guard(&tokens, false);
        let wanted = [Access::Open, Access::Metrics, Access::Read, Access::Tell, Access::Write];
        for (authorization, expected) in [
            (None, [200, 401, 401, 401, 401]),
            (Some("Bearer bbbbbbbbbbbbbbbb"), [200, 200, 200, 403, 403]),
            (Some("Bearer cccccccccccccccc"), [200, 200, 200, 200, 403]),
            (Some("Bearer aaaaaaaaaaaaaaaa"), [200; 5]),
            (Some("Bearer aaaaaaaaaaaaaaab"), [401; 5]),
            (Some("Basic YTpi"), [401; 5]),
            (Some("Bearer "), [401; 5]),
        ] {
            assert_eq!(wanted.map(|wanted| status(&guard, wanted, authorization)), expected, "{authorization:?}");
        }
    }

    #[test]
    fn metrics_may_be_open_to_all() {
        let guard = guard(&[("ops", Role::Write, "aaaaaaaaaaaaaaaa")], true);
        assert_eq!([Access::Metrics, Access::Read].map(|wanted| status(&guard, wanted, None)), [200, 401]);
    }
}
