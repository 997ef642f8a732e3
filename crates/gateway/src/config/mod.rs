//! What the gateway is told before it starts, checked and typed.
//!
//! Everything here is plain data: after a [`ServerConfig`] exists nobody parses text again. Secrets and database
//! addresses never show in `Debug`.

mod changes;
mod limits;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use auth::{ClaimValidators, Keys};
use replication::Dsn;

pub use changes::{ChangesConfig, SlotConfig};
pub use limits::Limits;

/// All of it, for [`Server::bind`](crate::server::Server).
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Threads that serve sockets.
    pub workers: NonZeroUsize,
    /// Who is served.
    pub tenants: Tenants,
    /// What claims of tokens have to be, for all tenants.
    pub validators: ClaimValidators,
    /// What tokens of those who read the metrics are verified with; without it nobody may.
    pub metrics: Option<Keys>,
    /// How long refusals wait.
    pub delays: Delays,
    /// Bounds that are not a tenant's.
    pub sizes: Sizes,
    /// A socket from which nothing arrives for this long is closed.
    pub idle_timeout: Duration,
}

/// The tenants of a server.
#[derive(Clone, Debug)]
pub enum Tenants {
    /// One, whatever host is asked for.
    Single(Box<TenantConfig>),
    /// Several, by the first label of the host.
    ByLabel(BTreeMap<String, TenantConfig>),
}

/// One tenant. Source of the switches: `protocol-spec/errors-and-limits.md`, section 5.
#[derive(Clone, Debug)]
pub struct TenantConfig {
    /// Its name: the first label of the host it is reached under, and how metrics and logs call it.
    pub name: String,
    /// What its tokens are verified with.
    pub keys: Keys,
    /// Its database; without one it has broadcast and presence on public channels only.
    pub database: Option<Dsn>,
    /// Its quotas.
    pub limits: Limits,
    /// Whether public channels are refused.
    pub private_only: bool,
    /// Whether presence is on for every channel.
    pub presence_enabled: bool,
    /// Whether nobody is let in.
    pub suspend: bool,
    /// How changes are followed, if there is a database.
    pub changes: ChangesConfig,
}

/// How long a refusal waits for its answer, which slows down clients that retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Of a handshake.
    pub handshake_refusal: Duration,
    /// Of a join.
    pub join_refusal: Duration,
}

/// Bounds that hold for every socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes that wait to be written to one socket; one that lags further behind is closed.
    pub outbox_bytes_max: usize,
    /// Bytes of one message from a client.
    pub frame_bytes_max: usize,
}
