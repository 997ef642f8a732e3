//! `POST /api/broadcast/:topic/events/:event`: one message, JSON or bytes. Source: http-api.md, section 4.

use hub::TopicKey;
use phoenix_wire::refusal::HttpRefusal;
use phoenix_wire::{Encoding, UserBroadcast};
use session::{AuthorizeFailure, Broadcast};

use super::body::{self, BodyKind};
use super::route::SingleTarget;
use super::tenant_api::Caller;
use crate::tenant::TenantRuntime;

pub(super) async fn broadcast(
    tenant: &TenantRuntime,
    caller: &Caller,
    target: &SingleTarget,
    is_private: bool,
    kind: BodyKind,
    bytes: &[u8],
) -> Result<(), HttpRefusal> {
    for (field, text) in [("topic", &target.topic), ("event", &target.event)] {
        if text.trim().is_empty() {
            return Err(HttpRefusal::invalid_field(field, HttpRefusal::BLANK));
        }
    }
    let object;
    let (encoding, payload, term_size) = match kind {
        BodyKind::Bytes => (Encoding::Binary, bytes, BINARY_TERM_OVERHEAD + bytes.len()),
        BodyKind::Json => {
            object = body::object(bytes)?;
            (
                Encoding::Json,
                object.as_bytes(),
                body::measured(&object)?.term_size(),
            )
        }
        // Without a type the body is not read.
        BodyKind::Unnamed | BodyKind::Other => (Encoding::Json, b"{}".as_slice(), 0),
    };
    if tenant.session().is_oversize(term_size) {
        return Err(HttpRefusal::invalid_field(
            "payload",
            HttpRefusal::PAYLOAD_TOO_LARGE,
        ));
    }
    let events = &tenant.session().events;
    if events
        .limit()
        .is_some_and(|limit| events.average() >= limit as f64)
    {
        return Err(HttpRefusal::RateLimited);
    }
    if is_private {
        match caller.may_broadcast(tenant, &target.topic).await {
            Ok(true) => {}
            Ok(false) => return Err(HttpRefusal::Forbidden),
            Err(failure) => return Err(refusal_of_check(&failure)),
        }
    }
    tenant.hub().tally().add_broadcasts(1);
    let message = UserBroadcast {
        event: &target.event,
        encoding,
        payload,
    };
    let key = TopicKey {
        private: is_private,
        name: target.topic.as_str().into(),
    };
    tenant.hub().publish(&key, |topic, version| {
        Broadcast::User(&message).encode(version, topic.joined())
    });
    Ok(())
}

/// A permission check that fails. Source: http-api.md, section 4.
fn refusal_of_check(failure: &AuthorizeFailure) -> HttpRefusal {
    match failure {
        AuthorizeFailure::Policy => HttpRefusal::RlsPolicyError,
        AuthorizeFailure::Cancelled(_) => HttpRefusal::QueryCanceled,
        AuthorizeFailure::MissingPartition => HttpRefusal::MissingPartition,
        AuthorizeFailure::PoolExhausted => HttpRefusal::PoolExhausted,
        AuthorizeFailure::LackOfConnections => HttpRefusal::DatabaseLackOfConnections,
        AuthorizeFailure::Unavailable => HttpRefusal::DatabaseUnavailable,
    }
}

/// What the reference's external term of a binary has besides its bytes.
const BINARY_TERM_OVERHEAD: usize = 6;
