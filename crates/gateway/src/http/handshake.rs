//! From a GET to a socket: the checks in the order of errors-and-limits.md, section 2, then 101.

use std::rc::Rc;
use std::sync::Arc;

use auth::VerifyError;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper_util::rt::TokioIo;
use phoenix_wire::Version;
use phoenix_wire::refusal::{HandshakeRefusal, not_an_upgrade};
use session::{Connection, Token};
use tokio::net::TcpStream;
use tracing::{debug, info};

use super::reply::{self, Response};
use super::{Request, policy_headers, query, tenant_api};
use crate::tenant::TenantRuntime;
use crate::worker::Worker;

pub(super) async fn answer(worker: &Rc<Worker>, mut request: Request) -> Response {
    match admit(worker, &request) {
        Err(refusal) => {
            info!(code = refusal.code(), reason = ?refusal.text(), "handshake refused");
            if refusal.is_delayed() {
                tokio::time::sleep(worker.shared().settings.handshake_refusal_delay).await;
            }
            reply::refuse_handshake(&refusal)
        }
        Ok((tenant, connection)) => match check_upgrade(&request) {
            Some(complaint) => reply::text(400, complaint),
            None => upgrade(worker, &mut request, tenant, connection),
        },
    }
}

fn admit(worker: &Worker, request: &Request) -> Result<(Arc<TenantRuntime>, Connection), HandshakeRefusal> {
    let query = request.uri().query();
    let version = Version::negotiate(query::last(query, "vsn").as_deref())
        .map_err(|_| HandshakeRefusal::UnsupportedVersion)?;
    let tenant = worker.shared().tenants.of_host(tenant_api::host(request));
    let tenant = tenant.ok_or(HandshakeRefusal::TenantNotFound)?;
    if tenant.is_suspended() {
        return Err(HandshakeRefusal::TenantSuspended);
    }
    let now = worker.shared().clock.now();
    let header = request.headers().get(API_KEY);
    let token = match header {
        Some(key) => tenant
            .session()
            .verify(key.to_str().unwrap_or_default(), now.unix_seconds()),
        None => {
            let key = query::last(query, "apikey").ok_or(HandshakeRefusal::ApiKeyMissing)?;
            tenant.session().verify(&key, now.unix_seconds())
        }
    };
    let token: Token = token.map_err(refusal_of_token)?;
    if tenant.session().is_full() {
        return Err(HandshakeRefusal::TooManyConnectedUsers);
    }
    if tenant.session().joins.refresh(now.elapsed, || 0) {
        return Err(HandshakeRefusal::TooManyJoins);
    }
    let headers = policy_headers::of_handshake(request.headers());
    let connection = Connection {
        version,
        token,
        headers,
    };
    Ok((tenant.clone(), connection))
}

/// A token that fails at the handshake. Source: auth.md, section 2.
fn refusal_of_token(error: VerifyError) -> HandshakeRefusal {
    match error {
        VerifyError::Malformed => HandshakeRefusal::TokenMalformed,
        VerifyError::Expired { .. } => HandshakeRefusal::TokenExpired,
        VerifyError::MissingClaims => HandshakeRefusal::TokenClaimsMissing,
        VerifyError::Signature => HandshakeRefusal::TokenSignature,
        VerifyError::NoSigner => HandshakeRefusal::TokenNoSigner,
        VerifyError::UnknownKey { kid } => HandshakeRefusal::TokenUnknownKey { kid },
        VerifyError::InvalidClaim { .. } | VerifyError::BadEscape => HandshakeRefusal::Other,
    }
}

/// What keeps a request from being an upgrade, in the words of the reference's adapter.
fn check_upgrade(request: &Request) -> Option<String> {
    let headers = request.headers();
    let contains = |name: HeaderName, token: &str| {
        let list = values(headers, &name).flat_map(|value| value.split(','));
        list.map(str::trim).any(|value| value.eq_ignore_ascii_case(token))
    };
    if !contains(header::CONNECTION, "upgrade") {
        return Some(not_an_upgrade::must_contain(
            "connection",
            "upgrade",
            values(headers, &header::CONNECTION),
        ));
    }
    if !contains(header::UPGRADE, "websocket") {
        return Some(not_an_upgrade::must_contain(
            "upgrade",
            "websocket",
            values(headers, &header::UPGRADE),
        ));
    }
    if !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return Some(not_an_upgrade::is_absent("sec-websocket-key"));
    }
    let versions: Vec<_> = values(headers, &header::SEC_WEBSOCKET_VERSION).collect();
    if versions != ["13"] {
        return Some(not_an_upgrade::must_equal(
            "sec-websocket-version",
            "13",
            versions,
        ));
    }
    None
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .map(|value| value.to_str().unwrap_or_default())
}

fn upgrade(
    worker: &Rc<Worker>,
    request: &mut Request,
    tenant: Arc<TenantRuntime>,
    connection: Connection,
) -> Response {
    let Ok((response, upgrade)) = fastwebsockets::upgrade::upgrade(request) else {
        return reply::empty(400);
    };
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        let upgraded = match upgrade.await {
            Ok(socket) => socket.into_inner().into_inner(),
            Err(error) => return debug!(%error, "connection lost during its handshake"),
        };
        // The library did the handshake; frames are ours from here on.
        let parts = upgraded
            .downcast::<TokioIo<TcpStream>>()
            .expect("connections are served over TCP streams and nothing else");
        worker.adopt(parts.io.into_inner(), parts.read_buf, tenant, connection);
    });
    response.map(|_| Full::default())
}

/// The header that wins over the query parameter `apikey`.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
