//! Who is served: the tenants of this server, and what each has running.

mod runtime;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use runtime::TenantRuntime;

use crate::config;

/// All tenants, found by the host a request names.
#[derive(Debug)]
pub(crate) enum Tenants {
    /// One, whatever host is asked for.
    Single(Arc<TenantRuntime>),
    /// Several, by the first label of the host.
    ByLabel(HashMap<String, Arc<TenantRuntime>>),
}

impl Tenants {
    /// Makes every tenant with `make`.
    pub(crate) fn new(
        config: &config::Tenants,
        make: impl Fn(&config::TenantConfig) -> TenantRuntime,
    ) -> Self {
        let make = |config| Arc::new(make(config));
        match config {
            config::Tenants::Single(tenant) => Self::Single(make(tenant)),
            config::Tenants::ByLabel(tenants) => Self::ByLabel(
                tenants
                    .iter()
                    .map(|(label, tenant)| (label.clone(), make(tenant)))
                    .collect(),
            ),
        }
    }

    /// The tenant of a host, given as in a `Host` header. Source: wire.md, section 1.
    pub(crate) fn of_host(&self, host: &str) -> Option<&Arc<TenantRuntime>> {
        match self {
            Self::Single(tenant) => Some(tenant),
            Self::ByLabel(tenants) => tenants.get(first_label(host)),
        }
    }

    /// Every tenant.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<TenantRuntime>> {
        let (single, several) = match self {
            Self::Single(tenant) => (Some(tenant), None),
            Self::ByLabel(tenants) => (None, Some(tenants.values())),
        };
        single.into_iter().chain(several.into_iter().flatten())
    }
}

/// What stands before the first dot of a host name; its port does not belong to the name.
fn first_label(host: &str) -> &str {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_the_first_label() {
        for (host, label) in [
            ("abc.supabase.co", "abc"),
            ("abc.realtime.example.com:443", "abc"),
            ("localhost", "localhost"),
            ("localhost:4000", "localhost"),
            ("", ""),
        ] {
            assert_eq!(first_label(host), label, "{host}");
        }
    }
}
