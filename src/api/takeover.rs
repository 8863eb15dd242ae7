//! A process that wants to take over asks here, on the control socket; the connection then becomes the line between the two processes.
//! What is handed over, and whether, is the daemon's business.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::access::Caller;
use super::app::App;
use super::problem::Problem;
use crate::handover::{Heir, PROTOCOL, may_inherit};

/// Processes that may wait for an answer; one takes over, others come back.
const QUEUE: usize = 1;

/// The end that asks.
pub type Claim = mpsc::Sender<Heir>;

/// The end that hands over.
pub type Claims = mpsc::Receiver<Heir>;

/// Both ends.
pub fn claims() -> (Claim, Claims) {
    mpsc::channel(QUEUE)
}

/// `POST /v1/takeover`.
pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    mut request: Request,
) -> Result<Response, Problem> {
    let Some(peer) = caller.peer.filter(|peer| may_inherit(peer.user)) else {
        let who = "only a process of the server's own user, or of root, may take over, and only by the control socket";
        return Err(Problem::new(StatusCode::FORBIDDEN, who));
    };
    let protocol = [(header::UPGRADE, HeaderValue::from_static(PROTOCOL))];
    let speaks_it = request.headers().get(header::UPGRADE).is_some_and(|asked| *asked == protocol[0].1);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (true, Some(upgrade)) = (speaks_it, upgrade) else {
        let problem =
            Problem::new(StatusCode::UPGRADE_REQUIRED, format!("this is for `meridian serve --takeover`, which speaks {PROTOCOL}"));
        return Ok((protocol, problem).into_response());
    };
    let busy = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "another process takes over already, or this one ends");
    let claim = app.claim.clone().try_reserve_owned().map_err(busy)?;
    app.audit(&caller, "takeover", &peer.process.map(|process| process.to_string()).unwrap_or_default(), "asked");
    tokio::spawn(async move {
        let heir = upgrade.await.map_err(std::io::Error::other).and_then(|upgraded| Heir::new(stream_of(upgraded)?, peer.process));
        match heir {
            Ok(heir) => _ = claim.send(heir),
            Err(error) => tracing::warn!(%error, "whoever wanted to take over has gone"),
        }
    });
    let switched = [(header::CONNECTION, HeaderValue::from_static("upgrade")), protocol[0].clone()];
    Ok((StatusCode::SWITCHING_PROTOCOLS, switched).into_response())
}

fn stream_of(upgraded: Upgraded) -> std::io::Result<UnixStream> {
    let parts = upgraded.downcast::<TokioIo<tokio::net::UnixStream>>().map_err(|_| std::io::Error::other("it is no Unix socket"))?;
    parts.io.into_inner().into_std()
}
