//! What the recordings ran on: `protocol-spec/transcripts/fixtures`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tokio_postgres::error::DbError;

use crate::database::Database;
use crate::statements::statements;
use crate::target::Target;

pub(crate) const KEYS: &str = include_str!("../../../protocol-spec/transcripts/fixtures/keys.json");
const TENANTS: &str = include_str!("../../../protocol-spec/transcripts/fixtures/tenants.json");
const ROLES: &str = include_str!("../../../protocol-spec/transcripts/fixtures/roles.sql");
const BASE: &str = include_str!("../../../protocol-spec/transcripts/fixtures/base.sql");
/// The table whose policies are among the fixtures, which a server makes when it first connects.
const MESSAGES: &str = "realtime.messages";

/// The profile whose settings hold for all others where they do not say otherwise.
const MAIN: &str = "main";
/// The profile that has a key set beside its secret.
const KEYS_PROFILE: &str = "keys";

/// The settings behind the profiles a transcript names as its tenant, complete and under the reference's names. Secret
/// and database are for the caller to add.
pub fn profile_settings() -> BTreeMap<String, Map<String, Value>> {
    let mut profiles: BTreeMap<String, Map<String, Value>> =
        serde_json::from_str(TENANTS).expect("the fixtures are part of this crate");
    for settings in profiles.values_mut() {
        settings.remove("about");
    }
    let main = profiles.get(MAIN).cloned().unwrap_or_default();
    for settings in profiles.values_mut() {
        let own = std::mem::replace(settings, main.clone());
        settings.extend(own);
    }
    if let Some(settings) = profiles.get_mut(KEYS_PROFILE) {
        settings.insert("jwt_jwks".to_owned(), public_key_set());
    }
    profiles
}

/// The public halves of the private keys; a shared key has only one half.
fn public_key_set() -> Value {
    let file: Value = serde_json::from_str(KEYS).expect("the fixtures are part of this crate");
    let keys = file
        .get("keys")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(_, key)| {
            let members = key.as_object().into_iter().flatten();
            let public =
                members.filter(|(name, _)| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
            Value::Object(
                public
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            )
        });
    Value::Object(Map::from_iter([("keys".to_owned(), keys.collect())]))
}

/// Why a database could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// No connection, or none any more.
    #[error("database: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// A statement failed.
    #[error("{error}, in: {statement}")]
    Statement {
        /// The statement.
        statement: String,
        /// What the server said.
        error: Box<DbError>,
    },
}

/// Applies the fixtures to every database of the target's tenants, see [`prepare_database`].
///
/// # Errors
///
/// [`PrepareError`]
pub async fn prepare_databases(target: &Target) -> Result<(), PrepareError> {
    let tenants = target.profiles.values().flatten();
    let databases: BTreeSet<&String> = tenants.filter_map(|tenant| tenant.database.as_ref()).collect();
    for database in databases {
        prepare_database(database).await?;
    }
    Ok(())
}

/// Applies the fixtures to a database, over the connection string of a superuser. May be done again.
///
/// Before a server has made its `realtime` schema, the policies on `realtime.messages` are left out; apply the fixtures
/// again when it has.
///
/// # Errors
///
/// [`PrepareError`]
pub async fn prepare_database(dsn: &str) -> Result<(), PrepareError> {
    let database = Database::connect(dsn).await?;
    // Functions of the fixtures call into the schema that may not be there yet.
    run(&database, "set check_function_bodies = off").await?;
    for statement in statements(ROLES) {
        run(&database, statement).await?;
    }
    let has_messages = database.has_relation(MESSAGES).await?;
    for statement in statements(BASE)
        .into_iter()
        .filter(|statement| has_messages || !is_about_messages(statement))
    {
        run(&database, statement).await?;
    }
    Ok(())
}

/// Comments may name the table as well.
fn is_about_messages(statement: &str) -> bool {
    statement
        .lines()
        .any(|line| !line.trim_start().starts_with("--") && line.contains(MESSAGES))
}

async fn run(database: &Database, statement: &str) -> Result<(), PrepareError> {
    match database.run(statement).await {
        Ok(_) => Ok(()),
        Err(error) => match error.as_db_error() {
            Some(reason) => Err(PrepareError::Statement {
                statement: statement.to_owned(),
                error: Box::new(reason.clone()),
            }),
            None => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_and_nothing_else_need_the_schema_of_the_server() {
        let about: Vec<&str> = statements(BASE)
            .into_iter()
            .filter(|statement| is_about_messages(statement))
            .collect();
        assert_eq!(about.len(), 4, "{about:?}");
        assert!(
            about
                .iter()
                .all(|statement| statement.contains("policy") && statement.contains("rt_"))
        );
    }

    #[test]
    fn a_profile_is_main_where_it_does_not_say_otherwise() {
        let profiles = profile_settings();
        assert_eq!(profiles["main"]["max_channels_per_client"], 1000);
        assert_eq!(profiles["limits"]["max_channels_per_client"], 3);
        assert_eq!(profiles["limits"]["private_only"], false);
        assert_eq!(profiles["private_only"]["private_only"], true);
        assert_eq!(profiles["private_only"]["max_channels_per_client"], 1000);
        assert!(profiles.values().all(|settings| !settings.contains_key("about")));
    }

    #[test]
    fn only_public_halves_are_handed_out() {
        let set = profile_settings()["keys"]["jwt_jwks"].clone();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 4);
        assert!(
            keys.iter()
                .all(|key| key.get("kid").is_some() && key.get("d").is_none() && key.get("p").is_none())
        );
        assert!(!profile_settings()["main"].contains_key("jwt_jwks"));
    }
}
