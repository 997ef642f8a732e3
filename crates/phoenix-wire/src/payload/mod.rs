//! What the events of the protocol carry: reading what clients send, writing what the server says.
//!
//! Reading is as lenient as the reference: unknown members are ignored and a flag of the wrong type falls back to its
//! default without a word. Source: protocol-spec/join.md, presence.md, auth.md.

mod binding;
pub mod broadcast;
pub mod changes;
mod exception;
pub mod incomplete;
mod join;
mod presence;
mod replay;
mod system;
mod token;

pub use binding::{RawBinding, binding_id, binding_with_id};
pub use join::{
    BINDINGS_MAX, BroadcastConfig, JoinPayload, PayloadShape, PresenceConfig, PresenceKey, join_ok,
};
pub use presence::{PresencePayload, PresencePush, Tracking};
pub use replay::{REPLAY_LIMIT_MAX, Replay};
pub use system::{EMPTY_OBJECT, system};
pub use token::{TokenChoice, TokenPush};

/// What opaque API keys start with. As a token they are passed over: they are no JWTs.
/// Source: protocol-spec/auth.md, section 3.
pub const OPAQUE_KEY_PREFIX: &str = "sb_";
