//! One tenant at run time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hub::Hub;
use session::TenantPolicy;
use session::limits::RateMeter;

use crate::config::{Delays, TenantConfig};
use crate::feed::FeedHandle;
use crate::private::PrivateHandle;

/// What the sockets and requests of one tenant share.
pub(crate) struct TenantRuntime {
    name: Arc<str>,
    suspended: bool,
    session: Arc<session::Tenant>,
    hub: Arc<Hub>,
    requests: RateMeter,
    changes: Option<FeedHandle>,
    private: Option<PrivateHandle>,
    sockets: AtomicU32,
    /// Broadcast events taken from the hub's tally so far.
    broadcasts: AtomicU64,
    /// Presence events taken from it.
    presence: AtomicU64,
}

impl TenantRuntime {
    /// A tenant nobody is connected to yet.
    pub(crate) fn new(
        config: &TenantConfig,
        validators: auth::ClaimValidators,
        delays: Delays,
        hub: Arc<Hub>,
        changes: Option<FeedHandle>,
        private: Option<PrivateHandle>,
    ) -> Self {
        let policy = policy(config, delays);
        let api_keys = config
            .api_keys
            .iter()
            .map(|key| (key.key.reveal().into(), key.claims.clone()));
        Self {
            name: config.name.as_str().into(),
            suspended: config.suspend,
            requests: RateMeter::with_buckets(policy.events_per_second_max, REQUEST_TICK, REQUEST_BUCKETS),
            session: Arc::new(
                session::Tenant::new(policy, config.keys.clone(), validators).with_api_keys(api_keys),
            ),
            hub,
            changes,
            private,
            sockets: AtomicU32::new(0),
            broadcasts: AtomicU64::new(0),
            presence: AtomicU64::new(0),
        }
    }

    /// How logs call it.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether nobody is let in.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Its keys, settings and counters.
    pub(crate) fn session(&self) -> &Arc<session::Tenant> {
        &self.session
    }

    /// Its topics.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Requests to the HTTP API, held against the event limit as the reference does (http-api.md, section 2.4).
    pub(crate) fn requests(&self) -> &RateMeter {
        &self.requests
    }

    /// Its stream of changes, if it has a database.
    pub(crate) fn changes(&self) -> Option<&FeedHandle> {
        self.changes.as_ref()
    }

    /// Who answers for its private channels, if it has a database.
    pub(crate) fn private(&self) -> Option<&PrivateHandle> {
        self.private.as_ref()
    }

    /// A socket is there.
    pub(crate) fn add_socket(&self) {
        self.sockets.fetch_add(1, Ordering::Relaxed);
    }

    /// A socket is gone.
    pub(crate) fn remove_socket(&self) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sockets that are there.
    pub(crate) fn sockets(&self) -> u32 {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Broadcast events so far. Does not touch the rates: no tick is taken, and what the hub has counted goes on to them.
    pub(crate) fn broadcasts_total(&self) -> u64 {
        self.session.events.add(self.take_broadcasts());
        self.broadcasts.load(Ordering::Relaxed)
    }

    /// Presence events so far, likewise.
    pub(crate) fn presence_total(&self) -> u64 {
        self.session.presence.add(self.take_presence());
        self.presence.load(Ordering::Relaxed)
    }

    /// Brings the rates up to date. Cheap unless a tick is due.
    pub(crate) fn refresh_rates(&self, now: Duration) {
        let is_overloaded = self.session.events.refresh(now, || self.take_broadcasts());
        self.hub.tally().set_overloaded(is_overloaded);
        self.session.presence.refresh(now, || self.take_presence());
    }

    fn take_broadcasts(&self) -> u64 {
        let events = self.hub.tally().take_broadcasts();
        self.broadcasts.fetch_add(events, Ordering::Relaxed);
        events
    }

    fn take_presence(&self) -> u64 {
        let events = self.hub.tally().take_presence();
        self.presence.fetch_add(events, Ordering::Relaxed);
        events
    }
}

impl std::fmt::Debug for TenantRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantRuntime")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn policy(config: &TenantConfig, delays: Delays) -> TenantPolicy {
    let limits = &config.limits;
    let small = |limit: u64| u32::try_from(limit).unwrap_or(u32::MAX);
    TenantPolicy {
        concurrent_users_max: limits.concurrent_users_max.map(small),
        channels_per_client_max: limits
            .channels_per_client_max
            .map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        joins_per_second_max: limits.joins_per_second_max,
        events_per_second_max: limits.events_per_second_max,
        presence_events_per_second_max: limits.presence_events_per_second_max,
        client_presence_calls_max: limits.client_presence_calls_max.map(small),
        client_presence_window: limits.client_presence_window,
        payload_bytes_max: limits.payload_bytes_max(),
        private_only: config.private_only,
        presence_enabled: config.presence_enabled,
        refusal_delay: delays.join_refusal,
    }
}

/// Requests are averaged over the last minute, second by second.
const REQUEST_TICK: Duration = Duration::from_secs(1);
/// Buckets of that average.
const REQUEST_BUCKETS: usize = 60;
