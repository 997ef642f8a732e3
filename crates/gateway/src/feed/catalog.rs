//! What the catalog said last of the published tables, and of what each role may select.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use changes::{Selectable, Table};
use database::{Error, Pool, Snapshot};

/// One reading of the catalog.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Which transactions the reading includes.
    pub(super) snapshot: Snapshot,
    /// Tables whose rows everybody with the privileges may see.
    pub(super) open: changes::Catalog,
    /// Tables with row level security. Nothing of them is delivered: nobody asks their policies yet.
    pub(super) guarded: Vec<Table>,
    /// What the roles that were asked about may select. A role that is missing here does not exist.
    pub(super) roles: HashMap<Arc<str>, Selectable>,
}

impl Reading {
    /// Reads the catalog, with the privileges of `roles`: one statement, and one more for each role.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub(super) async fn make(
        pool: &Pool,
        publication: &str,
        roles: BTreeSet<Arc<str>>,
    ) -> Result<Self, Error> {
        let published = pool.published(publication).await?;
        let mut known = HashMap::new();
        for role in roles {
            match pool.selectable(&role, &published.tables).await {
                Ok(selectable) => _ = known.insert(role, selectable),
                Err(Error::RoleMissing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (guarded, open) = published
            .tables
            .into_iter()
            .partition::<Vec<_>, _>(|table| table.row_security);
        Ok(Self {
            snapshot: published.snapshot,
            open: open.into_iter().collect(),
            guarded,
            roles: known,
        })
    }
}
