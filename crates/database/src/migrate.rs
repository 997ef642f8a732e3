//! Setting a database up, step by step and once each.
//!
//! The steps are the files in `migrations/`, built in. Invariants:
//!
//! * A step and the note that it was taken are one transaction. A step that fails leaves no trace; those before it stay.
//! * The notes are in a schema of our own: those of the reference are not touched, and a database that it has set up can
//!   be set up by us as well.
//! * Of two processes that migrate one database, one waits for the other.
//! * A step that was taken is never changed, only followed by another.

use replication::Dsn;
use tokio_postgres::types::Type;

use crate::connect::connect;
use crate::error::Error;

/// What to set a database up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// To serve its changes.
    Tenant,
    /// To play with: also the roles and helpers of a Supabase database, and a chat.
    Dev,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The steps taken now, as set and file; those taken before are left out.
    pub applied: Vec<String>,
}

/// Takes the steps that have not been taken yet.
///
/// # Errors
///
/// [`Error::Migration`] if a step fails, besides those of connecting.
pub async fn migrate(dsn: &Dsn, set: Set) -> Result<Report, Error> {
    let mut client = connect(dsn, &[]).await?;
    // Held until the session ends.
    client
        .query_typed("select pg_advisory_lock($1)", &[(&LOCK, Type::INT8)])
        .await?;
    client
        .batch_execute(NOTES)
        .await
        .map_err(|error| named("roost.migrations", error))?;
    let mut report = Report { applied: Vec::new() };
    for step in steps(set) {
        let name = [(&step.name as _, Type::TEXT)];
        let taken = client
            .query_typed("select from roost.migrations where name = $1", &name)
            .await?;
        if !taken.is_empty() {
            continue;
        }
        let transaction = client.transaction().await?;
        let fail = |error| named(step.name, error);
        transaction.batch_execute(step.sql).await.map_err(fail)?;
        transaction
            .query_typed("insert into roost.migrations (name) values ($1)", &name)
            .await
            .map_err(fail)?;
        transaction.commit().await.map_err(fail)?;
        report.applied.push(step.name.to_owned());
    }
    Ok(report)
}

/// Which steps were taken. Nothing is created, and no privilege to create needed, if it is there.
const NOTES: &str = "
do $$ begin
  if to_regclass('roost.migrations') is null then
    create schema if not exists roost;
    create table roost.migrations (name text primary key, applied_at timestamptz not null default now());
  end if;
end $$";

/// Whom migrations of one database wait for each other by: `roost`, as bytes.
const LOCK: i64 = i64::from_be_bytes(*b"\0\0\0roost");

/// One file.
#[derive(Clone, Copy, Debug)]
struct Step {
    name: &'static str,
    sql: &'static str,
}

macro_rules! steps {
    ($($name:literal),* $(,)?) => {
        [$(Step {
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $name, ".sql")),
        }),*]
    };
}

const TENANT: [Step; 1] = steps!["tenant/0001_publication"];
const DEV: [Step; 3] = steps!["dev/0001_roles", "dev/0002_auth", "dev/0003_rooms"];

fn steps(set: Set) -> impl Iterator<Item = Step> {
    let dev = match set {
        Set::Tenant => &[][..],
        Set::Dev => &DEV[..],
    };
    TENANT.iter().chain(dev).copied()
}

/// A failure of a step, if it is one of the step and not of the connection.
fn named(name: &str, error: tokio_postgres::Error) -> Error {
    match Error::from(error) {
        Error::Statement(reason) => Error::Migration {
            name: name.to_owned(),
            reason,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_a_step_in_its_order() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        for (folder, steps) in [("tenant", &TENANT[..]), ("dev", &DEV)] {
            let files = std::fs::read_dir(root.join(folder)).unwrap();
            let mut files: Vec<String> = files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let steps: Vec<String> = steps.iter().map(|step| format!("{}.sql", step.name)).collect();
            let files: Vec<String> = files.iter().map(|file| format!("{folder}/{file}")).collect();
            assert_eq!(steps, files);
        }
    }
}
