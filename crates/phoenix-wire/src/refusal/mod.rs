//! Every text that tells a client why something is not possible, one row each.
//!
//! Nobody else words a refusal: other crates choose a row. Applications match on these texts, so they are those of the
//! reference to the letter. Rows of the reference that only a cluster of nodes can produce are left out. Source:
//! protocol-spec/errors-and-limits.md.

mod handshake;
mod http;
mod join;
mod shutdown;

pub use handshake::{HandshakeRefusal, not_an_upgrade};
pub use http::{HttpRefusal, JSON_CONTENT_TYPE};
pub use join::JoinRefusal;
pub use shutdown::Shutdown;

use crate::json::write_string;

/// The response to a message on a topic that is not joined or cannot be. JSON text.
pub const UNMATCHED_TOPIC: &str = r#"{"reason":"unmatched topic"}"#;
/// The response to a track whose payload is no object. JSON text.
pub const TRACK_NOT_A_MAP: &str = r#"{"reason":"Presence track payload must be a map"}"#;
/// The response to a broadcast that is too large: a bare string. JSON text.
pub const PAYLOAD_SIZE_EXCEEDED: &str = r#""payload_size_exceeded""#;
/// The payload of `phx_error`. JSON text.
pub const CHANNEL_CRASH: &str = r#"{"reason":"channel_crash"}"#;
/// The notice before a tenant's sockets are closed.
pub const SERVER_REQUESTED_DISCONNECT: &str = "Server requested disconnect";
/// The notice that broadcasts from the database flow.
pub const REPLICATION_ESTABLISHED: &str = "Replication connection established";
/// The notice that a subscription to changes stands.
pub use crate::payload::changes::SUBSCRIBED;

/// The `extension` of notices that concern the channel as a whole.
pub const SYSTEM_EXTENSION: &str = "system";

/// The token names a key that the tenant does not have.
fn unknown_key(kid: &str) -> String {
    format!(
        "Failed to generate JWT signer for key ID (kid) {}, check your JWT secret or JWKS configuration",
        crate::inspect::string(kid)
    )
}

fn token_expired(seconds_ago: i64) -> String {
    format!("Token has expired {seconds_ago} seconds ago")
}

fn unauthorized(topic: &str) -> String {
    format!("You do not have permissions to read from this Channel topic: {topic}")
}

const TOKEN_MALFORMED: &str = "The token provided is not a valid JWT";
const TOKEN_CLAIMS_MISSING: &str = "Fields `role` and `exp` are required in JWT";
const TOKEN_SIGNATURE: &str = "Failed to validate JWT signature";
const TOKEN_NO_SIGNER: &str = "Failed to generate JWT signer, check your JWT secret or JWKS configuration";
const TOO_MANY_USERS: &str = "Too many connected users";
const TOO_MANY_JOINS: &str = "Too many joins per second";
const DATABASE_UNAVAILABLE: &str = "Realtime was unable to connect to the project database";

fn object(name: &str, text: &str) -> String {
    let mut object = String::with_capacity(name.len() + text.len() + 8);
    object.push('{');
    write_string(&mut object, name);
    object.push(':');
    write_string(&mut object, text);
    object.push('}');
    object
}
