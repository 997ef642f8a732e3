//! What all sessions of a tenant share: its settings, its keys, and the counters its limits are held against.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use auth::{ClaimValidators, Claims, Keys, VerifyError};

use crate::limits::RateMeter;

/// Settings of a tenant. `None` is no limit. Source: errors-and-limits.md, section 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPolicy {
    /// Sockets with at least one successful join.
    pub concurrent_users_max: Option<u32>,
    /// Channels of one socket, joins in progress included.
    pub channels_per_client_max: Option<usize>,
    /// Joins per second, over the tenant.
    pub joins_per_second_max: Option<u64>,
    /// Broadcast events per second, over the tenant: pushes and deliveries.
    pub events_per_second_max: Option<u64>,
    /// Presence events per second, over the tenant: snapshots, tracks and deliveries.
    pub presence_events_per_second_max: Option<u64>,
    /// Presence pushes of one channel in one window.
    pub client_presence_calls_max: Option<u32>,
    /// Length of that window.
    pub client_presence_window: Duration,
    /// Payload of a broadcast or track. Bytes of the reference's external term.
    pub payload_bytes_max: Option<usize>,
    /// Whether public channels are refused.
    pub private_only: bool,
    /// Whether presence is on for every channel.
    pub presence_enabled: bool,
    /// How long a refused join waits for its answer.
    pub refusal_delay: Duration,
}

/// A tenant as its sessions see it.
pub struct Tenant {
    policy: TenantPolicy,
    keys: Keys,
    validators: ClaimValidators,
    /// Keys that are no tokens, and what they stand for.
    api_keys: HashMap<Box<str>, Arc<Claims>>,
    users: AtomicU32,
    draining: AtomicBool,
    /// Join attempts.
    pub joins: RateMeter,
    /// Broadcast events.
    pub events: RateMeter,
    /// Presence events.
    pub presence: RateMeter,
}

/// A verified token. Cheap to clone.
#[derive(Clone)]
pub struct Token {
    text: Arc<str>,
    claims: Arc<Claims>,
}

impl Tenant {
    /// A tenant nobody is connected to yet.
    pub fn new(policy: TenantPolicy, keys: Keys, validators: ClaimValidators) -> Self {
        Self {
            joins: RateMeter::new(policy.joins_per_second_max),
            events: RateMeter::new(policy.events_per_second_max),
            presence: RateMeter::new(policy.presence_events_per_second_max),
            users: AtomicU32::new(0),
            draining: AtomicBool::new(false),
            policy,
            keys,
            validators,
            api_keys: HashMap::new(),
        }
    }

    /// The same tenant, with keys that stand for claims where a token is asked for. The reference has none: keys of that
    /// kind are exchanged for tokens by the gateway in front of it.
    #[must_use]
    pub fn with_api_keys(self, api_keys: impl IntoIterator<Item = (Box<str>, Arc<Claims>)>) -> Self {
        Self {
            api_keys: api_keys.into_iter().collect(),
            ..self
        }
    }

    /// Its settings.
    pub fn policy(&self) -> &TenantPolicy {
        &self.policy
    }

    /// Verifies a token, or a key in the place of one, as of `unix_seconds`.
    pub fn verify(&self, text: &str, unix_seconds: i64) -> Result<Token, VerifyError> {
        if let Some(claims) = self.api_keys.get(text) {
            return Ok(Token {
                text: text.into(),
                claims: claims.clone(),
            });
        }
        let claims = auth::verify(text, &self.keys, &self.validators, unix_seconds)?;
        Ok(Token {
            text: text.into(),
            claims: Arc::new(claims),
        })
    }

    /// Whether as many users are connected as may be.
    pub fn is_full(&self) -> bool {
        self.policy
            .concurrent_users_max
            .is_some_and(|max| self.users.load(Ordering::Relaxed) >= max)
    }

    /// Users connected now.
    pub fn users(&self) -> u32 {
        self.users.load(Ordering::Relaxed)
    }

    pub(crate) fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_user(&self) {
        self.users.fetch_sub(1, Ordering::Relaxed);
    }

    /// Refuses joins from now on: the server is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether `bytes` of payload are more than the tenant allows.
    pub fn is_oversize(&self, bytes: usize) -> bool {
        self.policy.payload_bytes_max.is_some_and(|max| bytes > max)
    }
}

impl Token {
    /// The token as given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it claims.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("policy", &self.policy)
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}
