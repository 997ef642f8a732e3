//! The server that is replayed against, and the tenants it has.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use auth::Secret;
use client::{ClientError, Endpoint};
use serde::Deserialize;
use tokio::net::TcpStream;
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
    /// The address.
    #[error(transparent)]
    Address(#[from] ClientError),
    /// Nobody is there.
    #[error("{address} cannot be reached: {reason}; is the server running, and is --url its address?")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
    /// The tenants.
    #[error("tenants: {0}")]
    Tenants(#[from] serde_json::Error),
}

impl Target {
    /// Takes the address of a server and a JSON text of this form, in which all but names and secrets may be missing:
    ///
    /// ```json
    /// {"admin_secret": "…",
    ///  "profiles": {"main": [{"name": "main", "host": "main.localhost", "jwt_secret": "…", "database": "postgres://…"}]}}
    /// ```
    ///
    /// # Errors
    ///
    /// [`TargetError`]
    pub fn parse(url: &str, tenants: &str) -> Result<Self, TargetError> {
        let file: File = serde_json::from_str(tenants)?;
        Ok(Self {
            endpoint: Endpoint::parse(url)?,
            profiles: file.profiles,
            admin_secret: file.admin_secret.map(Secret::new),
        })
    }

    /// A server with one tenant, which has the settings of this profile.
    ///
    /// # Errors
    ///
    /// [`TargetError::Address`]
    pub fn single(
        url: &str,
        profile: &str,
        tenant: Tenant,
        admin_secret: Option<Secret>,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            endpoint: Endpoint::parse(url)?,
            profiles: BTreeMap::from([(profile.to_owned(), vec![tenant])]),
            admin_secret,
        })
    }

    /// Looks whether anybody listens at the address.
    ///
    /// # Errors
    ///
    /// [`TargetError::Unreachable`]
    pub async fn reach(&self, patience: Duration) -> Result<(), TargetError> {
        let address = self.endpoint.authority();
        let unreachable = |reason: String| TargetError::Unreachable {
            address: address.to_owned(),
            reason,
        };
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no connection within {patience:?}"))),
        }
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

    #[test]
    fn a_tenant_is_reached_under_its_name_unless_told_otherwise() {
        let text = r#"{"profiles":{"main":[{"name":"m","jwt_secret":"s"},
            {"name":"n","host":"h","jwt_secret":"s","database":"postgres://u:p@h/d"}]}}"#;
        let target = Target::parse("ws://127.0.0.1:1", text).unwrap();
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
        let target = Target::parse("ws://127.0.0.1:1", text).unwrap();
        assert!(!format!("{target:?}").contains("hush"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(Target::parse("ws://127.0.0.1:1", r#"{"profiles":{},"x":1}"#).is_err());
        assert!(Target::parse("127.0.0.1:1", r#"{"profiles":{}}"#).is_err());
    }
}
