//! The daily partitions of `realtime.messages`: a message without one is lost, and an old one only takes room.
//!
//! Names and bounds are those the reference gives them, so either may keep house, or both at once. Invariants:
//!
//! * If there is nothing to do, nothing is locked and no privilege is needed but to read the catalog.
//! * A partition is made beside the table and then attached, which holds up no writer. Dropping one does; whoever has
//!   to wait for that, we or they, waits for [`DROP_LOCK`] at most, and then it is left for another time.
//! * Partitions that are not called like ours are nobody's business here.

use replication::ServerError;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Pool;

/// A date: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions {
    /// Made, or attached again.
    pub created: Vec<String>,
    /// Dropped, with their messages.
    pub dropped: Vec<String>,
    /// What could not be done, and the server's words. To be tried again, with the next round.
    pub failed: Vec<(String, ServerError)>,
}

/// Why nothing could be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionsError {
    /// See there.
    #[error(transparent)]
    Database(#[from] Error),
    /// There is no partitioned table `realtime.messages`: the database is not set up.
    #[error("the database has no partitioned table realtime.messages: it is not set up, or only in part")]
    NoMessages,
    /// Partitions are to be made or dropped, and the table is another role's.
    #[error(
        "{user:?} does not own realtime.messages (its owner is {owner:?}), so it cannot change partitions"
    )]
    NotOwner {
        /// The role of our connection.
        user: String,
        /// The owner.
        owner: String,
        /// The partitions that were to be made, attached or dropped.
        partitions: Vec<String>,
    },
}

/// Days after today that have a partition at the reference's.
pub const DAYS_AHEAD: u16 = 3;
/// How long the reference keeps messages. Hours.
pub const KEEP_HOURS: u32 = 72;

impl Pool {
    /// Makes the partitions from yesterday to `days_ahead` days after today that are missing, and drops those of days
    /// before the one that was `keep_hours` hours ago. `today` is that of the database, in UTC, unless given.
    ///
    /// # Errors
    ///
    /// [`PartitionsError`]. A single partition that could not be made or dropped is none.
    pub async fn maintain_partitions(
        &self,
        today: Option<Day>,
        days_ahead: u16,
        keep_hours: u32,
    ) -> Result<Partitions, PartitionsError> {
        let today = today.map(|Day(day)| day);
        let (days_ahead, keep_hours) = (i32::from(days_ahead), f64::from(keep_hours));
        let rows = self
            .query(
                CHORES,
                &[
                    (&today, Type::INT4),
                    (&days_ahead, Type::INT4),
                    (&keep_hours, Type::FLOAT8),
                ],
            )
            .await?;
        let first = rows.first().ok_or(PartitionsError::NoMessages)?;
        let is_owner: bool = first.try_get("is_owner").map_err(Error::from)?;
        let mut chores = Vec::new();
        for row in &rows {
            chores.extend(Chore::read(row)?);
        }
        if !is_owner && !chores.is_empty() {
            return Err(PartitionsError::NotOwner {
                user: first.try_get("user_name").map_err(Error::from)?,
                owner: first.try_get("owner").map_err(Error::from)?,
                partitions: chores.into_iter().map(|chore| chore.name).collect(),
            });
        }
        self.do_chores(chores).await.map_err(PartitionsError::from)
    }

    async fn do_chores(&self, chores: Vec<Chore>) -> Result<Partitions, Error> {
        let mut done = Partitions::default();
        if chores.is_empty() {
            return Ok(done);
        }
        let lent = self.lend().await?;
        let mut is_drop_blocked = false;
        for chore in chores {
            if chore.kind == Kind::Drop && is_drop_blocked {
                continue;
            }
            match transaction(lent.client(), &chore.statements()).await? {
                Ok(()) if chore.kind == Kind::Drop => done.dropped.push(chore.name),
                Ok(()) => done.created.push(chore.name),
                Err(reason) if chore.is_done_by_another(&reason) => {}
                Err(reason) => {
                    is_drop_blocked |= chore.kind == Kind::Drop && reason.sqlstate == LOCK_NOT_AVAILABLE;
                    done.failed.push((chore.name, reason));
                }
            }
        }
        lent.give_back();
        Ok(done)
    }
}

/// Something to do. Name and bounds are the database's, made of digits and dashes or underscores.
#[derive(Debug)]
struct Chore {
    kind: Kind,
    name: String,
    day: String,
    next_day: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Create,
    Attach,
    Drop,
}

impl Chore {
    /// None in the row of a table that is as it should be.
    fn read(row: &tokio_postgres::Row) -> Result<Option<Chore>, Error> {
        let kind: Option<&str> = row.try_get("kind")?;
        let kind = match kind {
            None => return Ok(None),
            Some("create") => Kind::Create,
            Some("attach") => Kind::Attach,
            Some(_) => Kind::Drop,
        };
        Ok(Some(Chore {
            kind,
            name: row.try_get("name")?,
            day: row.try_get("day")?,
            next_day: row.try_get("next_day")?,
        }))
    }

    fn statements(&self) -> String {
        let Chore {
            kind,
            name,
            day,
            next_day,
        } = self;
        // Of two gateways one waits for the other, and then finds the work done.
        let begin = format!("begin; select pg_advisory_xact_lock({LOCK})");
        let create =
            format!("create table realtime.{name} (like realtime.messages including all excluding identity)");
        let attach = format!(
            "alter table realtime.messages attach partition realtime.{name} for values from ('{day}') to ('{next_day}')"
        );
        match kind {
            Kind::Create => format!(
                "{begin}; set local lock_timeout = '{ATTACH_LOCK}'; {create}; {attach}; {}; commit",
                HAND_OVER.replace("partition_name", name)
            ),
            Kind::Attach => {
                format!("{begin}; set local lock_timeout = '{ATTACH_LOCK}'; {attach}; commit")
            }
            Kind::Drop => format!(
                "{begin}; set local lock_timeout = '{DROP_LOCK}'; drop table if exists realtime.{name}; commit"
            ),
        }
    }

    /// Whether a failure means that there is nothing left to do: the table, or one whose bounds include the day, was
    /// made by somebody else.
    fn is_done_by_another(&self, reason: &ServerError) -> bool {
        let codes = [DUPLICATE_TABLE, UNIQUE_VIOLATION, INVALID_OBJECT_DEFINITION];
        self.kind == Kind::Create && codes.contains(&&*reason.sqlstate)
    }
}

/// Statements that begin a transaction and commit it, rolled back if one of them fails.
async fn transaction(client: &Client, statements: &str) -> Result<Result<(), ServerError>, Error> {
    let done = client.batch_execute(statements).await;
    if done.is_err() {
        // Where the connection is at fault, this fails as well.
        client.batch_execute("rollback").await?;
    }
    match done.map_err(Error::from) {
        Ok(()) => Ok(Ok(())),
        Err(Error::Statement(reason)) => Ok(Err(reason)),
        Err(error) => Err(error),
    }
}

const DUPLICATE_TABLE: &str = "42P07";
const UNIQUE_VIOLATION: &str = "23505";
const INVALID_OBJECT_DEFINITION: &str = "42P17";
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How long attaching waits for the table, and for another gateway.
const ATTACH_LOCK: &str = "3s";
/// How long dropping waits for the table, and writers behind it.
const DROP_LOCK: &str = "500ms";
/// Whom gateways wait for each other by: `rt days`, as bytes.
const LOCK: i64 = i64::from_be_bytes(*b"\0rt days");

/// A row per chore; one without a kind if there is none; none at all if there is no such table.
const CHORES: &str = "
with moment as (
  select coalesce(date '1970-01-01' + $1, now() at time zone 'UTC')::timestamp as now
), days as (
  select to_char(day, '\"messages_\"YYYY_MM_DD') as name, day::date::text as day, (day::date + 1)::text as next_day
  from moment, generate_series((now::date - 1)::timestamp, (now::date + $2)::timestamp, interval '1 day') as day
), messages as (
  select c.oid, c.relnamespace, pg_get_userbyid(c.relowner)::text as owner, current_user::text as user_name,
    pg_has_role(c.relowner, 'usage') as is_owner
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'realtime' and c.relname = 'messages' and c.relkind = 'p'
), partitions as (
  select c.relname::text as name
  from messages m join pg_inherits i on i.inhparent = m.oid join pg_class c on c.oid = i.inhrelid
  where c.relnamespace = m.relnamespace and c.relname ~ '^messages_\\d{4}_\\d{2}_\\d{2}$'
), chores as (
  select case when c.oid is null then 'create' else 'attach' end as kind, d.name, d.day, d.next_day
  from messages m cross join days d
  left join pg_class c on c.relnamespace = m.relnamespace and c.relname = d.name
  where not exists (select from partitions p where p.name = d.name)
  union all
  select 'drop', p.name, '', ''
  from moment, partitions p
  where p.name < to_char(now - $3 * interval '1 hour', '\"messages_\"YYYY_MM_DD')
)
select m.owner, m.user_name, m.is_owner, c.kind, c.name, c.day, c.next_day
from messages m left join chores c on true
order by c.kind <> 'drop' desc, c.name";

/// A partition is its table's owner's, where we may give it away.
const HAND_OVER: &str = "
do $roost$
declare
  owner name := (select pg_get_userbyid(relowner) from pg_class where oid = 'realtime.messages'::regclass);
begin
  if owner <> current_user then
    execute format('alter table realtime.partition_name owner to %I', owner);
  end if;
exception when insufficient_privilege then
  null;
end $roost$";
