//! What the recordings ran on: `protocol-spec/transcripts/fixtures`.

use tokio_postgres::error::DbError;

use crate::database::Database;
use crate::statements::statements;

pub(crate) const KEYS: &str = include_str!("../../../protocol-spec/transcripts/fixtures/keys.json");
const ROLES: &str = include_str!("../../../protocol-spec/transcripts/fixtures/roles.sql");
const BASE: &str = include_str!("../../../protocol-spec/transcripts/fixtures/base.sql");
/// The table whose policies are among the fixtures, which a server makes when it first connects.
const MESSAGES: &str = "realtime.messages";

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
}
