//! What the gateway is told before it starts, checked and typed.
//!
//! Everything here is plain data: after a [`ServerConfig`] exists nobody parses text again. Secrets and database
//! addresses never show in `Debug`.

mod changes;
mod limits;
mod private;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use auth::{ClaimValidators, Claims, Keys, Secret};
use replication::Dsn;

pub use changes::{ChangesConfig, SlotConfig};
pub use limits::Limits;
pub use private::PrivateConfig;

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
    /// How its policies are asked, if there is a database.
    pub private: PrivateConfig,
    /// Keys that are no tokens, and what whoever connects with one claims.
    pub api_keys: Vec<ApiKey>,
}

/// A key that is no token: `sb_publishable_…` or `sb_secret_…`.
#[derive(Clone)]
pub struct ApiKey {
    /// The key.
    pub key: Secret,
    /// What whoever connects with it claims.
    pub claims: Arc<Claims>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
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
