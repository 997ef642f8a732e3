//! Setting a database up, step by step and once each.
//!
//! The steps are the files in `migrations/`, built in. Invariants:
//!
//! * A step and the note that it was taken are one transaction. A step that fails leaves no trace; those before it stay.
//! * The notes are in a schema of our own: those of the reference are not touched, and a database that it has set up can
//!   be set up by us as well.
//! * A step that finds everything there creates nothing, so a role without the privilege to create can take it. If it
//!   may not keep notes either, it takes every step each time.
//! * Of two processes that migrate one database, one waits for the other.
//! * A step that was taken is never changed, only followed by another.

use replication::Dsn;
use tokio_postgres::Client;
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
    /// Steps taken without a note, because the role may neither read nor make notes: they found everything there.
    pub unnoted: Vec<String>,
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
    let may_note = prepare_notes(&client).await?;
    let mut report = Report {
        applied: Vec::new(),
        unnoted: Vec::new(),
    };
    for step in steps(set) {
        let name = [(&step.name as _, Type::TEXT)];
        if may_note && !client.query_typed(TAKEN, &name).await?.is_empty() {
            continue;
        }
        let transaction = client.transaction().await?;
        let fail = |error| named(step.name, error);
        transaction.batch_execute(step.sql).await.map_err(fail)?;
        if may_note {
            transaction.query_typed(NOTE, &name).await.map_err(fail)?;
        }
        transaction.commit().await.map_err(fail)?;
        let taken = if may_note {
            &mut report.applied
        } else {
            &mut report.unnoted
        };
        taken.push(step.name.to_owned());
    }
    Ok(report)
}

/// Whether notes can be kept, which takes a table that may have to be made first.
async fn prepare_notes(client: &Client) -> Result<bool, Error> {
    let rows = client.query_typed(NOTES, &[]).await?;
    let row = rows.first().ok_or_else(|| Error::Answer("no notes".into()))?;
    let are_there: bool = row.try_get("are_there")?;
    if are_there {
        return Ok(row.try_get("may_be_kept")?);
    }
    let may_be_made: bool = row.try_get("may_be_made")?;
    if may_be_made {
        client
            .batch_execute(MAKE_NOTES)
            .await
            .map_err(|error| named("roost.migrations", error))?;
    }
    Ok(may_be_made)
}

/// Which steps were taken is in `roost.migrations`.
const NOTES: &str = "
select c.oid is not null as are_there,
  coalesce(
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
      and has_table_privilege(c.oid, 'insert'),
    false
  ) as may_be_kept,
  has_schema_privilege(n.oid, 'create') is not false
    and (n.oid is not null or has_database_privilege(current_database(), 'create')) as may_be_made
from (values ('roost', 'migrations')) as notes (schema_name, table_name)
left join pg_namespace n on n.nspname = notes.schema_name
left join pg_class c on c.relnamespace = n.oid and c.relname = notes.table_name";

const MAKE_NOTES: &str = "
do $$ begin
  if not exists (select from pg_namespace where nspname = 'roost') then
    create schema roost;
  end if;
  create table roost.migrations (name text primary key, applied_at timestamptz not null default now());
end $$";

const TAKEN: &str = "select from roost.migrations where name = $1";

const NOTE: &str = "insert into roost.migrations (name) values ($1)";

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

/// What the steps of a tenant grant to, in a database that is not one of Supabase's.
const ROLES: [Step; 2] = steps!["dev/0001_roles", "dev/0002_auth"];
const TENANT: [Step; 4] = steps![
    "tenant/0001_publication",
    "tenant/0002_messages",
    "tenant/0003_send",
    "tenant/0004_messages_publication",
];
const CHAT: [Step; 1] = steps!["dev/0003_rooms"];

fn steps(set: Set) -> impl Iterator<Item = Step> {
    let (before, after) = match set {
        Set::Tenant => (&[][..], &[][..]),
        Set::Dev => (&ROLES[..], &CHAT[..]),
    };
    before.iter().chain(&TENANT).chain(after).copied()
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
        let dev = [&ROLES[..], &CHAT].concat();
        for (folder, steps) in [("tenant", &TENANT[..]), ("dev", &dev)] {
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
