//! The row level security of tables, and what else the answers of policies depend on.
//!
//! Expressions are printed with an empty search path, so that whatever is not in `pg_catalog` has its schema in front of
//! it. That setting lasts as long as the statement: it is made by the statement itself, locally to its transaction.
//!
//! The [`CatalogVersion`] changes with what changes that answer without a word in the stream. What is said there, by a new
//! description of the table, is not part of it: the table's columns, policies, owner and privileges.

use std::collections::HashMap;
use std::sync::Arc;

use changes::policy::{ClaimFunction, ColumnCollation, Policy, RowSecurity, Surroundings};
use serde::Deserialize;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Pool;
use crate::snapshot::Snapshot;

/// What was read of the row level security of some tables for some roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Of the catalog this was read of, or of an older one: a change in between is noticed by the next comparison.
    pub version: CatalogVersion,
    /// Which transactions the answer includes.
    pub snapshot: Snapshot,
    /// By table and role.
    security: HashMap<u32, HashMap<Box<str>, RowSecurity>>,
}

/// The state of those parts of the catalog that decide what roles may do and what claims mean, and whose changes are not
/// told in the stream: roles and their memberships, schemas, enums, the functions that read claims, the owner of the
/// database, settings of roles and databases. Equal versions are equal states.
///
/// Not part of it, because looking would cost as much as all the rest: operators, functions and casts that give
/// the bodies of those functions another meaning ([`Surroundings::is_ordinary`]). They count from the next reading on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CatalogVersion(String);

impl CatalogVersion {
    /// From the only value of the only row that [`CATALOG_VERSION`] selects.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl Policies {
    /// The row level security of a table for a role. `None` if one of them does not exist, was not asked about, or the table
    /// has no row level security: not a reason to let anybody see anything.
    pub fn of(&self, table: u32, role: &str) -> Option<&RowSecurity> {
        self.security.get(&table)?.get(role)
    }
}

impl Pool {
    /// Reads the row level security of tables, by their oids, for roles.
    ///
    /// # Errors
    ///
    /// Those of any statement. What does not exist is none.
    pub async fn policies(&self, roles: &[&str], tables: &[u32]) -> Result<Policies, Error> {
        // Before, not together: privileges are looked up as they are at the moment, which is later than the snapshot.
        let version = self.catalog_version().await?;
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&roles, Type::TEXT_ARRAY), (&tables, Type::OID_ARRAY)];
        let rows = self.query(POLICIES, &parameters).await?;
        let row = rows.first().ok_or_else(misunderstood)?;
        let snapshot: String = row.try_get("snapshot")?;
        let surroundings: String = row.try_get("surroundings")?;
        let security: String = row.try_get("security")?;
        Ok(Policies {
            version,
            snapshot: snapshot.parse().map_err(|_| misunderstood())?,
            security: read(&surroundings, &security)?,
        })
    }

    /// Which state the catalog is in.
    ///
    /// # Errors
    ///
    /// Those of any statement.
    pub async fn catalog_version(&self) -> Result<CatalogVersion, Error> {
        let rows = self.query(CATALOG_VERSION, &[]).await?;
        let row = rows.first().ok_or_else(misunderstood)?;
        Ok(CatalogVersion::new(row.try_get(0)?))
    }
}

/// One row of one text, see [`CatalogVersion`]. Without parameters, for any protocol and any role. Most of what it costs
/// is to be planned, so who asks often prepares it.
///
/// A row version is told by the transaction that wrote it, a role by its attributes, as nobody but superusers may read
/// the table behind `pg_roles`.
pub(crate) const CATALOG_VERSION: &str = "select concat(\
  (select sum(hash_record_extended(row(oid, rolname, rolsuper, rolinherit, rolbypassrls), 0)) from pg_roles), ' ', \
  (select sum(hash_record_extended(row(roleid, member, grantor, xmin), 0)) from pg_auth_members), ' ', \
  (select sum(hash_record_extended(row(oid, xmin), 0)) from pg_namespace), ' ', \
  (select sum(hash_record_extended(row(oid, xmin), 0)) from pg_enum), ' ', \
  (select sum(hash_record_extended(row(p.oid, p.xmin), 0)) from pg_proc p, pg_namespace n \
    where p.proname in ('uid', 'role', 'jwt') and p.pronargs = 0 \
    and n.oid = p.pronamespace and n.nspname = 'auth'), ' ', \
  (select sum(hash_record_extended(row(setdatabase, setrole, xmin), 0)) from pg_db_role_setting), ' ', \
  (select datdba from pg_database where datname = current_database()))";

/// One row: what expressions mean for each role, and the row level security of each table for each role.
///
/// `emptied` has the search path emptied, and what comes after depends on it.
///
/// The types of casts from text and varchar: bool, int8, int2, int4, json, uuid, jsonb.
const POLICIES: &str = "
with
found as materialized (select current_schemas(true)::text[] as schemas),
emptied as materialized (
  select schemas, case when schemas is not null then set_config('search_path', '', true) end as search_path from found
),
roles as materialized (
  select oid, rolname, rolsuper or rolbypassrls as bypasses,
    pg_has_role(session_user, oid,
      case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end) as can_be_assumed
  from pg_roles where rolname = any ($1)
),
functions as materialized (
  select p.oid, p.pronamespace, p.proname, l.lanname, p.prosrc, p.prokind, p.provolatile, p.prosecdef, p.proretset,
    p.prorettype, p.proconfig
  from pg_namespace n, pg_proc p, pg_language l
  where n.nspname = 'auth' and p.pronamespace = n.oid and p.proname in ('uid', 'role', 'jwt') and p.pronargs = 0
    and l.oid = p.prolang
),
tables as materialized (
  select c.oid, c.relnamespace, c.relowner, c.relforcerowsecurity
  from pg_class c where c.oid = any ($2) and c.relrowsecurity
)
select
  (select coalesce(json_agg(json_build_object(
      'role', r.rolname,
      'is_ordinary', e.schemas[1] = 'pg_catalog' and e.search_path = '' and getdatabaseencoding() = 'UTF8'
        and concat(current_setting('request.jwt.claim', true), current_setting('request.jwt.claim.sub', true),
          current_setting('request.jwt.claim.role', true)) = ''
        and not exists (
          select from pg_operator
          where oprname in ('->', '->>') and oprleft in (114, 3802) and oprnamespace <> 'pg_catalog'::regnamespace)
        and not exists (
          select from pg_proc where proname = 'current_setting' and pronamespace <> 'pg_catalog'::regnamespace)
        and not exists (
          select from pg_cast where castsource in (25, 1043) and casttarget in (16, 20, 21, 23, 114, 2950, 3802)),
      'functions', (
        select coalesce(json_agg(json_build_object(
          'name', f.proname,
          'is_callable', has_function_privilege(r.oid, f.oid, 'execute')
            and has_schema_privilege(r.oid, f.pronamespace, 'usage'),
          'language', f.lanname, 'source', f.prosrc, 'kind', f.prokind, 'volatility', f.provolatile,
          'is_security_definer', f.prosecdef, 'returns_set', f.proretset, 'returns', f.prorettype::int8,
          'settings', coalesce(to_json(f.proconfig), '[]')) order by f.proname), '[]')
        from functions f)
    )), '[]') from emptied e, roles r)::text as surroundings,
  (select coalesce(json_agg(json_build_object(
      'role', r.rolname, 'table', t.oid::int8,
      'reachable', r.can_be_assumed and has_schema_privilege(r.oid, t.relnamespace, 'usage'),
      'bypassed', r.bypasses or pg_has_role(r.oid, t.relowner, 'usage') and not t.relforcerowsecurity,
      'policies', (
        select coalesce(json_agg(json_build_object(
          'name', p.polname, 'permissive', p.polpermissive,
          'expression', case when p.polqual is not null then
            coalesce(pg_get_expr(case when e.search_path = '' then p.polqual end, p.polrelid), '?') end,
          'is_foreign', exists (
            select from pg_depend d
            where d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
              and (d.refclassid = 'pg_catalog.pg_operator'::regclass
                or d.refclassid = 'pg_catalog.pg_proc'::regclass
                  and d.refobjid not in (select f.oid from functions f)))
          ) order by p.polname), '[]')
        from pg_policy p
        where p.polrelid = t.oid and p.polcmd in ('r', '*')
          and (0 = any (p.polroles)
            or exists (select from unnest(p.polroles) u (oid) where pg_has_role(r.oid, u.oid, 'usage')))),
      'collations', (
        select coalesce(json_agg(json_build_object(
          'column', a.attname, 'oid', a.attcollation::int8, 'is_deterministic', c.collisdeterministic)), '[]')
        from pg_attribute a, pg_collation c
        where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.attcollation not in (0, 100)
          and c.oid = a.attcollation)
    )), '[]') from emptied e, tables t, roles r)::text as security,
  pg_current_snapshot()::text as snapshot";

#[derive(Deserialize)]
struct SurroundingsRow {
    role: Box<str>,
    is_ordinary: bool,
    functions: Vec<FunctionRow>,
}

#[derive(Deserialize)]
struct FunctionRow {
    name: Box<str>,
    is_callable: bool,
    language: Box<str>,
    source: Box<str>,
    kind: char,
    volatility: char,
    is_security_definer: bool,
    returns_set: bool,
    returns: u32,
    settings: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct SecurityRow {
    role: Box<str>,
    table: u32,
    reachable: bool,
    bypassed: bool,
    policies: Vec<PolicyRow>,
    collations: Vec<CollationRow>,
}

#[derive(Deserialize)]
struct PolicyRow {
    name: Box<str>,
    permissive: bool,
    expression: Option<Box<str>>,
    is_foreign: bool,
}

#[derive(Deserialize)]
struct CollationRow {
    column: Box<str>,
    oid: u32,
    is_deterministic: bool,
}

fn read(surroundings: &str, security: &str) -> Result<HashMap<u32, HashMap<Box<str>, RowSecurity>>, Error> {
    let surroundings: Vec<SurroundingsRow> =
        serde_json::from_str(surroundings).map_err(|_| misunderstood())?;
    let security: Vec<SecurityRow> = serde_json::from_str(security).map_err(|_| misunderstood())?;
    let surroundings: HashMap<Box<str>, Arc<Surroundings>> = surroundings
        .into_iter()
        .map(|row| {
            let surroundings = Surroundings {
                is_ordinary: row.is_ordinary,
                functions: row.functions.into_iter().map(function).collect(),
            };
            (row.role, Arc::new(surroundings))
        })
        .collect();
    let mut found: HashMap<u32, HashMap<Box<str>, RowSecurity>> = HashMap::new();
    for row in security {
        let surroundings = surroundings.get(&row.role).ok_or_else(misunderstood)?;
        let security = RowSecurity {
            role: row.role.clone(),
            table: row.table,
            reachable: row.reachable,
            bypassed: row.bypassed,
            policies: row.policies.into_iter().map(policy).collect(),
            collations: row.collations.into_iter().map(collation).collect(),
            surroundings: Arc::clone(surroundings),
        };
        found.entry(row.table).or_default().insert(row.role, security);
    }
    Ok(found)
}

fn function(row: FunctionRow) -> ClaimFunction {
    ClaimFunction {
        name: row.name,
        is_callable: row.is_callable,
        language: row.language,
        source: row.source,
        kind: row.kind,
        volatility: row.volatility,
        is_security_definer: row.is_security_definer,
        returns_set: row.returns_set,
        returns: row.returns,
        settings: row.settings,
    }
}

fn policy(row: PolicyRow) -> Policy {
    Policy {
        name: row.name,
        permissive: row.permissive,
        expression: row.expression,
        is_foreign: row.is_foreign,
    }
}

fn collation(row: CollationRow) -> ColumnCollation {
    ColumnCollation {
        column: row.column,
        oid: row.oid,
        is_deterministic: row.is_deterministic,
    }
}

fn misunderstood() -> Error {
    Error::Answer("the policies of tables".into())
}
