//! What the catalog says of one table and one role, for whoever wonders why changes are heard of or not.
//!
//! Nothing here is on the way of a change. [`Pool::facts`] is one statement, so all facts are of one moment; of what does
//! not exist there are no facts, which is an answer as well. [`Pool::stored_row`] reads a row as the stream would write it.
//! What an operator can do about a fact is a statement of [`remedies`].

pub mod remedies;
mod row;

use serde::Deserialize;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Pool;

pub use row::{StoredRow, WantedRow};

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The publication that is followed.
    pub publication: &'a str,
    /// Schema of the table.
    pub schema: &'a str,
    /// Name of the table.
    pub table: &'a str,
    /// The subscriber's role.
    pub role: &'a str,
}

/// What the catalog says. Members whose names end in `sql` are quoted where they have to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Facts {
    /// Whom we logged in as.
    pub user_sql: String,
    /// The publication's name, whether it exists or not.
    pub publication_sql: String,
    /// The role's name, whether it exists or not.
    pub role_sql: String,
    /// The schema's name, whether it exists or not.
    pub schema_sql: String,
    /// The publication; `None` if it does not exist.
    pub publication: Option<PublicationFacts>,
    /// The role; `None` if it does not exist.
    pub role: Option<RoleFacts>,
    /// The table; `None` if it does not exist.
    pub table: Option<TableFacts>,
    /// Tables of the same name in other schemas or in another case, with their schemas. At most five.
    pub namesakes: Vec<String>,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PublicationFacts {
    /// It is FOR ALL TABLES.
    pub all_tables: bool,
    /// It publishes INSERT.
    pub inserts: bool,
    /// It publishes UPDATE.
    pub updates: bool,
    /// It publishes DELETE.
    pub deletes: bool,
    /// Changes of partitions are published as changes of their root.
    pub via_root: bool,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RoleFacts {
    /// It is a superuser.
    pub is_superuser: bool,
    /// It has BYPASSRLS.
    pub bypasses_policies: bool,
    /// The user we logged in as may act as this role.
    pub can_be_assumed: bool,
    /// It may use the schema of the table; `None` without the schema.
    pub may_use_schema: Option<bool>,
}

/// A table, or something that is in its place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TableFacts {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Schema and name.
    pub sql: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// `pg_class.relpersistence`.
    pub persistence: char,
    /// The publication lists it.
    pub is_published: bool,
    /// Other publications that list it. At most five.
    pub other_publications: Vec<String>,
    /// The partitioned table that the publication lists in its place, with its schema.
    pub published_root: Option<String>,
    /// Its partitions that the publication lists in its place, with their schemas. At most five.
    pub published_partitions: Vec<String>,
    /// The publication's condition on rows.
    pub row_filter: Option<String>,
    /// `pg_class.relreplident`.
    pub identity: char,
    /// `pg_class.relrowsecurity`.
    pub row_security: bool,
    /// `pg_class.relforcerowsecurity`.
    pub is_row_security_forced: bool,
    /// How many policies it has, for all commands and roles.
    pub policies: u32,
    /// Its owner.
    pub owner_sql: String,
    /// The role has the owner's privileges; `None` without the role.
    pub is_owned: Option<bool>,
    /// Its columns in their order.
    pub columns: Vec<ColumnFacts>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// The same.
    pub sql: String,
    /// It is part of the primary key.
    pub in_primary_key: bool,
    /// It is part of the replica identity: its former values are in the log.
    pub in_identity: bool,
    /// It is generated.
    pub is_generated: bool,
    /// Its values are in the stream.
    pub is_published: bool,
    /// The role may select it; `None` without the role.
    pub is_selectable: Option<bool>,
}

impl Pool {
    /// Reads the facts.
    ///
    /// # Errors
    ///
    /// Those of any statement. What does not exist is none.
    pub async fn facts(&self, subject: &Subject<'_>) -> Result<Facts, Error> {
        let Subject {
            publication,
            schema,
            table,
            role,
        } = subject;
        let rows = self
            .query(
                FACTS,
                &[
                    (publication, Type::TEXT),
                    (schema, Type::TEXT),
                    (table, Type::TEXT),
                    (role, Type::TEXT),
                ],
            )
            .await?;
        let row = rows.first().ok_or_else(misunderstood)?;
        let facts: String = row.try_get(0)?;
        serde_json::from_str(&facts).map_err(|_| misunderstood())
    }
}

/// One row of one text: [`Facts`]. Columns of the catalog that newer servers have are looked up by name. Servers before 18
/// list generated columns and never send them.
const FACTS: &str = "
with
publication as materialized (
  select p.*, coalesce((to_jsonb(p) ->> 'pubviaroot')::boolean, false) as via_root
  from pg_publication p where p.pubname = $1
),
role as materialized (
  select oid, rolsuper, rolbypassrls,
    pg_has_role(session_user, oid,
      case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end) as can_be_assumed
  from pg_roles where rolname = $4
),
found as materialized (
  select c.*, n.nspname from pg_class c, pg_namespace n
  where n.nspname = $2 and c.relname = $3 and c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
),
published as materialized (
  select t.relid, format('%I.%I', n.nspname, c.relname) as sql
  from publication p, pg_get_publication_tables(p.pubname) t, pg_class c, pg_namespace n
  where c.oid = t.relid and n.oid = c.relnamespace
),
listing as materialized (
  select to_jsonb(l) as l from pg_publication_tables l
  where l.pubname = $1 and l.schemaname = $2 and l.tablename = $3
)
select json_build_object(
  'user_sql', quote_ident(session_user), 'publication_sql', quote_ident($1), 'role_sql', quote_ident($4),
  'schema_sql', quote_ident($2),
  'publication', (select json_build_object(
      'all_tables', puballtables, 'inserts', pubinsert, 'updates', pubupdate, 'deletes', pubdelete, 'via_root', via_root)
    from publication),
  'role', (select json_build_object(
      'is_superuser', rolsuper, 'bypasses_policies', rolbypassrls, 'can_be_assumed', can_be_assumed,
      'may_use_schema', (select has_schema_privilege(r.oid, n.oid, 'usage') from pg_namespace n where n.nspname = $2))
    from role r),
  'namesakes', (select coalesce(json_agg(n.sql order by n.sql), '[]') from (
      select format('%I.%I', n.nspname, c.relname) as sql from pg_class c, pg_namespace n
      where n.oid = c.relnamespace and lower(c.relname) = lower($3) and c.relkind in ('r', 'p')
        and c.oid not in (select oid from found) and n.nspname !~ '^pg_' limit 5) n),
  'table', (select json_build_object(
      'oid', c.oid::int8, 'sql', format('%I.%I', c.nspname, c.relname), 'kind', c.relkind, 'persistence', c.relpersistence,
      'is_published', exists (select from published p where p.relid = c.oid),
      'other_publications', (select coalesce(json_agg(o.sql order by o.sql), '[]') from (
          select quote_ident(pubname) as sql from pg_publication_tables
          where schemaname = $2 and tablename = $3 and pubname <> $1 limit 5) o),
      'published_root', (select p.sql from published p
        where p.relid in (select pg_partition_ancestors(c.oid)) and p.relid <> c.oid limit 1),
      'published_partitions', (select coalesce(json_agg(o.sql order by o.sql), '[]') from (
          select p.sql from published p
          where c.relkind = 'p' and p.relid in (select relid from pg_partition_tree(c.oid)) and p.relid <> c.oid
          order by p.sql limit 5) o),
      'row_filter', (select l ->> 'rowfilter' from listing),
      'identity', c.relreplident, 'row_security', c.relrowsecurity, 'is_row_security_forced', c.relforcerowsecurity,
      'policies', (select count(*) from pg_policy p where p.polrelid = c.oid),
      'owner_sql', quote_ident(pg_get_userbyid(c.relowner)),
      'is_owned', (select pg_has_role(r.oid, c.relowner, 'usage') from role r),
      'columns', (
        select coalesce(json_agg(json_build_object(
          'name', a.attname, 'sql', quote_ident(a.attname), 'in_primary_key', k.in_key,
          'in_identity', case c.relreplident when 'f' then true when 'd' then k.in_key when 'n' then false
            else exists (select from pg_index i
              where i.indrelid = c.oid and i.indisreplident
                and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])) end,
          'is_generated', a.attgenerated <> '',
          'is_published', coalesce(
            (select l.l -> 'attnames' ? a.attname::text from listing l where jsonb_typeof(l.l -> 'attnames') = 'array'),
            a.attgenerated = '') and (a.attgenerated = '' or current_setting('server_version_num')::integer >= 180000),
          'is_selectable', (select has_column_privilege(r.oid, c.oid, a.attnum, 'select') from role r)
        ) order by a.attnum), '[]')
        from pg_attribute a, lateral (select exists (
            select from pg_index i
            where i.indrelid = c.oid and i.indisprimary
              and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])) as in_key) k
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
    ) from found c)
)::text";

fn misunderstood() -> Error {
    Error::Answer("the facts about a table".into())
}
