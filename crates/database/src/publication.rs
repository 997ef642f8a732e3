//! Which tables a publication lists, as the catalog describes them, and from where on changes to them are seen.
//!
//! One statement, so one snapshot, which comes with the answer: tables, columns, keys and types fit together. With `publish_via_partition_root` a partitioned table is listed in place of its partitions, as
//! its changes are streamed; without it, its partitions are.

use std::collections::HashMap;
use std::sync::Arc;

use changes::{Column, Field, ReplicaIdentity, Shape, Table, Type};
use replication::Definite;
use serde::Deserialize;
use tokio_postgres::types;

use crate::error::Error;
use crate::pool::Pool;
use crate::snapshot::Snapshot;

/// What a publication lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Which transactions the answer includes.
    pub snapshot: Snapshot,
    /// The tables by schema and name.
    pub tables: Vec<Table>,
}

impl Pool {
    /// Reads a publication's tables.
    ///
    /// # Errors
    ///
    /// [`Error::PublicationMissing`] among others. A publication without tables is none.
    pub async fn published(&self, publication: &str) -> Result<Published, Error> {
        let rows = self
            .query(PUBLISHED, &[(&publication, types::Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else {
            let publication = publication.to_owned();
            return Err(Error::PublicationMissing(Definite::PublicationMissing {
                publication,
            }));
        };
        let snapshot: String = row.try_get("snapshot")?;
        let tables: String = row.try_get("tables")?;
        let types: String = row.try_get("types")?;
        Ok(Published {
            snapshot: snapshot.parse().map_err(|_| misunderstood("snapshot"))?,
            tables: read_tables(&tables, &types)?,
        })
    }
}

impl Pool {
    /// Whether there is a publication of that name.
    ///
    /// # Errors
    ///
    /// Those of any statement.
    pub async fn has_publication(&self, name: &str) -> Result<bool, Error> {
        let rows = self.query(HAS_PUBLICATION, &[(&name, types::Type::TEXT)]).await?;
        Ok(!rows.is_empty())
    }
}

const HAS_PUBLICATION: &str = "select from pg_publication where pubname = $1";

/// No row if the publication does not exist.
///
/// A type is an array here if its values are written like one; `int2vector` is not. The key is that of the index
/// without what the index only carries along.
const PUBLISHED: &str = "
with recursive
listed as materialized (
  select c.oid, n.nspname, c.relname, c.relrowsecurity, c.relreplident
  from pg_publication p, pg_get_publication_tables(p.pubname) t, pg_class c, pg_namespace n
  where p.pubname = $1 and c.oid = t.relid and n.oid = c.relnamespace
),
columns as materialized (
  select l.oid as relid, a.attnum, a.attname, a.atttypid,
    (select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
      where a.attgenerated <> '' and d.adrelid = a.attrelid and d.adnum = a.attnum) as generated,
    exists (
      select from pg_index i
      where i.indrelid = l.oid and i.indisprimary and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
    ) as in_primary_key
  from listed l join pg_attribute a on a.attrelid = l.oid
  where a.attnum > 0 and not a.attisdropped
),
used (oid) as (
  select atttypid from columns
  union
  select part.oid
  from used u join pg_type t on t.oid = u.oid,
  lateral (
    select t.typelem where t.typelem <> 0 and t.typoutput = 'pg_catalog.array_out'::regproc
    union all
    select t.typbasetype where t.typtype = 'd'
    union all
    select a.atttypid from pg_attribute a
    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) part (oid)
)
select
  (select coalesce(json_agg(json_build_object(
      'oid', l.oid::int8, 'schema', l.nspname, 'name', l.relname, 'row_security', l.relrowsecurity,
      'replica_identity', l.relreplident,
      'columns', (
        select coalesce(json_agg(json_build_object(
          'name', c.attname, 'type', c.atttypid::int8, 'in_primary_key', c.in_primary_key,
          'generated', c.generated) order by c.attnum), '[]')
        from columns c where c.relid = l.oid)
    ) order by l.nspname, l.relname), '[]') from listed l)::text as tables,
  (select coalesce(json_agg(json_build_object(
      'oid', t.oid::int8, 'name', t.typname, 'sql', format('%s.%s', quote_ident(n.nspname), quote_ident(t.typname)),
      'shape', case
        when t.typelem <> 0 and t.typoutput = 'pg_catalog.array_out'::regproc then json_build_object('array',
          json_build_object('element', t.typelem::int8, 'delimiter', t.typdelim))
        when t.typtype = 'd' then json_build_object('domain', t.typbasetype::int8)
        when t.typtype = 'c' then json_build_object('composite', (
          select coalesce(json_agg(json_build_object('name', a.attname, 'type', a.atttypid::int8) order by a.attnum), '[]')
          from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped))
        when t.typtype = 'e' then json_build_object('enum', (
          select coalesce(json_agg(e.enumlabel order by e.enumsortorder), '[]') from pg_enum e where e.enumtypid = t.oid))
        else to_json('scalar'::text) end
    )), '[]')
    from used u join pg_type t on t.oid = u.oid join pg_namespace n on n.oid = t.typnamespace)::text as types,
  pg_current_snapshot()::text as snapshot
from pg_publication where pubname = $1";

/// The rows of the answer, before types are put in place of their oids.
#[derive(Deserialize)]
struct TableRow {
    oid: u32,
    schema: Box<str>,
    name: Box<str>,
    row_security: bool,
    replica_identity: IdentityRow,
    columns: Vec<ColumnRow>,
}

/// `pg_class.relreplident`.
#[derive(Deserialize)]
enum IdentityRow {
    #[serde(rename = "d")]
    Default,
    #[serde(rename = "n")]
    Nothing,
    #[serde(rename = "f")]
    Full,
    #[serde(rename = "i")]
    Index,
}

#[derive(Deserialize)]
struct ColumnRow {
    name: Box<str>,
    r#type: u32,
    in_primary_key: bool,
    generated: Option<Box<str>>,
}

#[derive(Deserialize)]
struct TypeRow {
    oid: u32,
    name: Box<str>,
    sql: Box<str>,
    shape: ShapeRow,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ShapeRow {
    Scalar,
    Array { element: u32, delimiter: char },
    Domain(u32),
    Enum(Vec<Box<str>>),
    Composite(Vec<FieldRow>),
}

#[derive(Deserialize)]
struct FieldRow {
    name: Box<str>,
    r#type: u32,
}

fn read_tables(tables: &str, types: &str) -> Result<Vec<Table>, Error> {
    let tables: Vec<TableRow> = serde_json::from_str(tables).map_err(|_| misunderstood("tables"))?;
    let types: Vec<TypeRow> = serde_json::from_str(types).map_err(|_| misunderstood("types"))?;
    let mut types = Types {
        rows: types.into_iter().map(|row| (row.oid, row)).collect(),
        built: HashMap::new(),
    };
    let mut table = |row: TableRow| {
        let column = |column: ColumnRow| {
            Ok(Column {
                name: column.name,
                r#type: types.build(column.r#type)?,
                in_primary_key: column.in_primary_key,
                generated: column.generated,
            })
        };
        Ok(Table {
            oid: row.oid,
            schema: row.schema,
            name: row.name,
            row_security: row.row_security,
            replica_identity: match row.replica_identity {
                IdentityRow::Default => ReplicaIdentity::Default,
                IdentityRow::Nothing => ReplicaIdentity::Nothing,
                IdentityRow::Full => ReplicaIdentity::Full,
                IdentityRow::Index => ReplicaIdentity::Index,
            },
            columns: row
                .columns
                .into_iter()
                .map(column)
                .collect::<Result<_, Error>>()?,
        })
    };
    tables.into_iter().map(&mut table).collect()
}

/// Types by oid. Those that consist of others are built from them; equal oids are one type in memory.
struct Types {
    /// Not built yet. A row is taken out before its parts are built, so a circle, which the catalog does not allow,
    /// ends as a missing type.
    rows: HashMap<u32, TypeRow>,
    built: HashMap<u32, Arc<Type>>,
}

impl Types {
    fn build(&mut self, oid: u32) -> Result<Arc<Type>, Error> {
        if let Some(built) = self.built.get(&oid) {
            return Ok(built.clone());
        }
        let row = self.rows.remove(&oid).ok_or_else(|| misunderstood("a type"))?;
        let shape = match row.shape {
            ShapeRow::Scalar => Shape::Scalar,
            ShapeRow::Enum(labels) => Shape::Enum { labels },
            ShapeRow::Array { element, delimiter } => Shape::Array {
                element: self.build(element)?,
                delimiter,
            },
            ShapeRow::Domain(base) => Shape::Domain {
                base: self.build(base)?,
            },
            ShapeRow::Composite(fields) => {
                let mut build = |field: FieldRow| {
                    Ok(Field {
                        name: field.name,
                        r#type: self.build(field.r#type)?,
                    })
                };
                let fields = fields.into_iter().map(&mut build).collect::<Result<_, Error>>()?;
                Shape::Composite { fields }
            }
        };
        let built = Arc::new(Type {
            oid,
            name: row.name,
            sql: row.sql,
            shape,
        });
        self.built.insert(oid, built.clone());
        Ok(built)
    }
}

fn misunderstood(what: &str) -> Error {
    Error::Answer(format!("{what} of a publication"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"[{"oid":1,"schema":"s","name":"t","row_security":true,"replica_identity":"d","columns":[
        {"name":"id","type":23,"in_primary_key":true},{"name":"many","type":1007,"in_primary_key":false}]}]"#;

    #[test]
    fn equal_types_are_one_in_memory() {
        let types = r#"[{"oid":23,"name":"int4","sql":"pg_catalog.int4","shape":"scalar"},
            {"oid":1007,"name":"_int4","sql":"pg_catalog._int4","shape":{"array":{"element":23,"delimiter":","}}}]"#;
        let tables = read_tables(TABLE, types).unwrap();
        let [id, many] = &tables[0].columns[..] else {
            panic!("two columns");
        };
        let Shape::Array {
            element,
            delimiter: ',',
        } = &many.r#type.shape
        else {
            panic!("an array");
        };
        assert!(Arc::ptr_eq(element, &id.r#type));
    }

    #[test]
    fn a_type_that_is_missing_or_contains_itself_is_an_error() {
        assert!(
            read_tables(
                TABLE,
                r#"[{"oid":23,"name":"int4","sql":"pg_catalog.int4","shape":"scalar"}]"#
            )
            .is_err()
        );
        let circle = r#"[{"oid":23,"name":"a","sql":"s.a","shape":{"domain":1007}},{"oid":1007,"name":"b","sql":"s.b","shape":{"domain":23}}]"#;
        assert!(read_tables(TABLE, circle).is_err());
    }
}
