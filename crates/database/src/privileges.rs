//! What a role may select.

use std::collections::HashMap;

use changes::{ColumnSet, Selectable, Table};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Pool;

impl Pool {
    /// The columns of each of `tables` that `role` may select. A column that no longer has its name is not among them.
    ///
    /// # Errors
    ///
    /// [`Error::RoleMissing`] among others.
    pub async fn selectable<'a>(
        &self,
        role: &str,
        tables: impl IntoIterator<Item = &'a Table>,
    ) -> Result<Selectable, Error> {
        let tables: HashMap<u32, &Table> = tables.into_iter().map(|table| (table.oid, table)).collect();
        let oids: Vec<u32> = tables.keys().copied().collect();
        let rows = self
            .query(SELECTABLE, &[(&role, Type::TEXT), (&oids, Type::OID_ARRAY)])
            .await?;
        if rows.is_empty() {
            let role = role.to_owned();
            return Err(Error::RoleMissing { role });
        }
        // Every table that was asked about has an answer, be it an empty one.
        let mut selectable: HashMap<u32, ColumnSet> =
            oids.iter().map(|oid| (*oid, ColumnSet::default())).collect();
        for row in &rows {
            let (Some(oid), Some(column)) = (row.try_get(0)?, row.try_get(1)?) else {
                continue;
            };
            if let Some(position) = tables.get(&oid).and_then(|table| table.position(column)) {
                selectable.entry(oid).or_default().insert(position);
            }
        }
        Ok(selectable.into_iter().collect())
    }
}

/// A row per selectable column; one without table and column if there is none; none at all if there is no such role.
const SELECTABLE: &str = "
select a.attrelid, a.attname::text
from pg_roles r
left join pg_attribute a on a.attrelid = any ($2) and a.attnum > 0 and not a.attisdropped
  and has_column_privilege(r.oid, a.attrelid, a.attnum, 'select')
where r.rolname = $1";
