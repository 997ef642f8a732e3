//! The server that is replayed against, and the tenants it has.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use auth::Secret;
use client::{ClientError, Endpoint};
use serde::Deserialize;
use tokio::time::timeout;

/// A running server.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The tenants by the profile of `fixtures/tenants.json` they were set up with. The first serves every transcript of
    /// its profile; one that needs a fresh tenant takes a further one, which no other transcript then gets.
    pub profiles: BTreeMap<String, Vec<Tenant>>,
    /// Signs the tokens of the management interface.
    pub admin_secret: Option<Secret>,
    /// Keys and tokens by their names in the headers of transcripts, instead of what the header says of them.
    pub keys: BTreeMap<String, Secret>,
}

/// A tenant of the server.
#[derive(Clone, Deserialize)]
#[serde(from = "TenantText")]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// The `Host` it is reached under.
    pub host: String,
    /// What its tokens are signed with.
    pub jwt_secret: Secret,
    /// The connection string of a superuser of its database; without one, transcripts with SQL are left out.
    pub database: Option<String>,
}

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nobody is there.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why, and what to look at.
        reason: String,
    },
    /// The tenants.
    #[error("tenants: {0}")]
    Tenants(#[from] serde_json::Error),
}

impl Target {
    /// Takes a server and a JSON text of this form, in which all but names and secrets may be missing:
    ///
    /// ```json
    /// {"admin_secret": "…",
    ///  "profiles": {"main": [{"name": "main", "host": "main.localhost", "jwt_secret": "…", "database": "postgres://…"}]}}
    /// ```
    ///
    /// # Errors
    ///
    /// [`TargetError`]
    pub fn parse(endpoint: Endpoint, tenants: &str) -> Result<Self, TargetError> {
        let file: File = serde_json::from_str(tenants)?;
        Ok(Self {
            endpoint,
            profiles: file.profiles,
            admin_secret: file.admin_secret.map(Secret::new),
            keys: BTreeMap::new(),
        })
    }

    /// A server with one tenant, which has the settings of this profile.
    pub fn single(endpoint: Endpoint, profile: &str, tenant: Tenant, admin_secret: Option<Secret>) -> Self {
        Self {
            endpoint,
            profiles: BTreeMap::from([(profile.to_owned(), vec![tenant])]),
            admin_secret,
            keys: BTreeMap::new(),
        }
    }

    /// Looks whether anybody listens at the address, and can be trusted.
    ///
    /// # Errors
    ///
    /// [`TargetError::Unreachable`]
    pub async fn reach(&self, patience: Duration) -> Result<(), TargetError> {
        let reason = match timeout(patience, self.endpoint.connect()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error @ ClientError::Io(_))) => {
                format!("{error}; is the server running, and is --url its address?")
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {patience:?}; is --url its address?"),
        };
        let address = self.endpoint.authority().to_owned();
        Err(TargetError::Unreachable { address, reason })
    }
}

impl Tenant {
    /// A tenant reached under its name as a label before `localhost`.
    pub fn new(name: &str, jwt_secret: Secret, database: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            host: format!("{name}.localhost"),
            jwt_secret,
            database,
        }
    }
}

/// Without the connection string, which holds a password.
impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.name)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    admin_secret: Option<String>,
    profiles: BTreeMap<String, Vec<Tenant>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantText {
    name: String,
    host: Option<String>,
    jwt_secret: String,
    database: Option<String>,
}

impl From<TenantText> for Tenant {
    fn from(text: TenantText) -> Self {
        let tenant = Self::new(&text.name, Secret::new(text.jwt_secret), text.database);
        Self {
            host: text.host.unwrap_or(tenant.host),
            ..tenant
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::parse("ws://127.0.0.1:1").unwrap()
    }

    #[test]
    fn a_tenant_is_reached_under_its_name_unless_told_otherwise() {
        let text = r#"{"profiles":{"main":[{"name":"m","jwt_secret":"s"},
            {"name":"n","host":"h","jwt_secret":"s","database":"postgres://u:p@h/d"}]}}"#;
        let target = Target::parse(endpoint(), text).unwrap();
        let hosts: Vec<&str> = target.profiles["main"]
            .iter()
            .map(|tenant| tenant.host.as_str())
            .collect();
        assert_eq!(hosts, ["m.localhost", "h"]);
        assert!(target.admin_secret.is_none());
    }

    #[test]
    fn secrets_do_not_show() {
        let text = r#"{"admin_secret":"hush","profiles":{"main":[
            {"name":"n","jwt_secret":"hush","database":"postgres://u:hush@h/d"}]}}"#;
        let target = Target::parse(endpoint(), text).unwrap();
        assert!(!format!("{target:?}").contains("hush"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(Target::parse(endpoint(), r#"{"profiles":{},"x":1}"#).is_err());
    }
}
