//! What the catalog said last: the published tables, what each role may select of them, and by which policies it sees
//! their rows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use changes::policy::RowPolicies;
use changes::{Catalog, Selectable, Table};
use database::{CatalogVersion, Error, Pool, Snapshot};

/// One reading of the catalog.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Which transactions the reading includes.
    pub(super) snapshot: Snapshot,
    /// Of what the stream does not announce: roles, their memberships, functions that policies use.
    pub(super) version: Option<CatalogVersion>,
    /// The published tables.
    pub(crate) tables: Catalog,
    /// What the roles that were asked about may select. A role that is missing here does not exist.
    pub(crate) roles: HashMap<Arc<str>, Selectable>,
    /// How each of these roles sees the rows of a table with row level security, by role and oid of the table.
    pub(crate) policies: HashMap<(Arc<str>, u32), RowPolicies>,
}

impl Reading {
    /// Reads the catalog, as far as it concerns `roles`. A handful of statements, and one for each role.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub(crate) async fn make(
        pool: &Pool,
        publication: &str,
        roles: BTreeSet<Arc<str>>,
    ) -> Result<Self, Error> {
        // First, so that whatever changes while the rest is read makes a version of its own.
        let version = pool.catalog_version().await?;
        let published = pool.published(publication).await?;
        let mut known = HashMap::new();
        for role in roles {
            match pool.selectable(&role, &published.tables).await {
                Ok(selectable) => _ = known.insert(role, selectable),
                Err(Error::RoleMissing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let policies = read_policies(pool, &known, &published.tables).await?;
        Ok(Self {
            snapshot: published.snapshot,
            version: Some(version),
            tables: published.tables.into_iter().collect(),
            roles: known,
            policies,
        })
    }
}

async fn read_policies(
    pool: &Pool,
    roles: &HashMap<Arc<str>, Selectable>,
    tables: &[Table],
) -> Result<HashMap<(Arc<str>, u32), RowPolicies>, Error> {
    let guarded = || tables.iter().filter(|table| table.row_security);
    let oids: Vec<u32> = guarded().map(|table| table.oid).collect();
    if oids.is_empty() || roles.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = roles.keys().map(|role| &**role).collect();
    let read = pool.policies(&names, &oids).await?;
    let mut policies = HashMap::new();
    for role in roles.keys() {
        for table in guarded() {
            if let Some(security) = read.of(table.oid, role) {
                policies.insert((role.clone(), table.oid), RowPolicies::compile(table, security));
            }
        }
    }
    Ok(policies)
}
