//! The stream's description of a table laid over the catalog's.
//!
//! Both are matched by column name, as the two may be of different age: the catalog is read now, the row was written
//! earlier. A column only the stream knows is left out, one only the catalog knows has no value.

use std::sync::Arc;

use phoenix_wire::json::write_string;

use crate::jsonb;
use crate::relation::{Relation, RelationColumn};
use crate::table::{Column, ColumnSet, Table};
use crate::value::oid;

/// What is needed to understand the rows of one table.
#[derive(Debug)]
pub struct Mapping {
    table: Arc<Table>,
    relation: Arc<Relation>,
    primary_key: ColumnSet,
    /// For each column of the relation its position in the table.
    positions: Vec<Option<usize>>,
    /// The positions in the table of those of its columns that are numbers with a point.
    fractions: ColumnSet,
    /// What is written for each column of the table.
    labels: Vec<Label>,
    /// The positions of the table's columns in the order of a `jsonb` object.
    object_order: Vec<usize>,
}

/// A column as JSON.
#[derive(Debug)]
pub(crate) struct Label {
    /// `"id":`
    pub(crate) member: String,
    /// `{"name":"id","type":"int8"}`
    pub(crate) description: String,
}

impl Mapping {
    /// Lays `relation` over `table`; they have the same oid.
    pub fn new(table: Arc<Table>, relation: Arc<Relation>) -> Self {
        const FRACTIONS: [u32; 3] = [oid::FLOAT4, oid::FLOAT8, oid::NUMERIC];
        let positions: Vec<_> = relation
            .columns
            .iter()
            .map(|column| table.position(&column.name))
            .collect();
        let columns = relation.columns.iter().zip(&positions);
        let fractions = columns.filter(|(column, _)| FRACTIONS.contains(&column.type_oid));
        let mut object_order: Vec<usize> = (0..table.columns.len()).collect();
        object_order.sort_by(|a, b| match (table.columns.get(*a), table.columns.get(*b)) {
            (Some(a), Some(b)) => jsonb::compare_keys(&a.name, &b.name),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        Self {
            primary_key: table.primary_key(),
            fractions: fractions.filter_map(|(_, position)| *position).collect(),
            labels: table.columns.iter().map(label).collect(),
            table,
            relation,
            positions,
            object_order,
        }
    }

    /// For rows that were read from the table itself: all its columns in their order, and no stream.
    pub fn of_table(table: Arc<Table>) -> Self {
        let column = |column: &Column| RelationColumn {
            name: column.name.clone(),
            type_oid: column.r#type.oid,
            type_modifier: -1,
            is_key: column.in_primary_key,
        };
        let relation = Relation {
            oid: table.oid,
            schema: table.schema.clone(),
            name: table.name.clone(),
            replica_identity: table.replica_identity,
            columns: table.columns.iter().map(column).collect(),
        };
        Self::new(table, Arc::new(relation))
    }

    /// The catalog's side.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The stream's side.
    pub fn relation(&self) -> &Arc<Relation> {
        &self.relation
    }

    /// Whether the text of the column at this position of the table is a number that JSON has no word for. The reference's
    /// decoder writes null for it, for filters as well; inside an array it is text.
    pub(crate) fn is_no_json_number(&self, position: usize, text: &str) -> bool {
        matches!(text, "NaN" | "Infinity" | "-Infinity") && self.fractions.contains(position)
    }

    /// False if the stream tells of names or types the catalog's side does not have: one of the two is of another age, so
    /// the catalog is worth another look.
    pub fn fits(&self) -> bool {
        let has_column = |(column, position): (&RelationColumn, &Option<usize>)| {
            let found = position.and_then(|at| self.table.columns.get(at));
            found.is_some_and(|found| found.r#type.oid == column.type_oid)
        };
        self.table.name == self.relation.name
            && self.table.schema == self.relation.schema
            && self.relation.columns.iter().zip(&self.positions).all(has_column)
    }

    pub(crate) fn primary_key(&self) -> &ColumnSet {
        &self.primary_key
    }

    /// Positions of the generated columns the stream does not bring, with what they are generated as.
    pub fn computed(&self) -> impl Iterator<Item = (usize, &Column, &str)> {
        let columns = self.table.columns.iter().enumerate();
        columns.filter_map(|(at, column)| {
            let expression = column.generated.as_deref()?;
            let is_streamed = self.positions.contains(&Some(at));
            (!is_streamed).then_some((at, column, expression))
        })
    }

    /// The position in the table of a column of the relation.
    pub(crate) fn position(&self, in_relation: usize) -> Option<usize> {
        self.positions.get(in_relation).copied().flatten()
    }

    /// Positions, columns and what is written for them, in table order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (usize, &Column, &Label)> {
        let columns = self.table.columns.iter().zip(&self.labels).enumerate();
        columns.map(|(at, (column, label))| (at, column, label))
    }

    /// The same in the order of a `jsonb` object.
    pub(crate) fn object_columns(&self) -> impl Iterator<Item = (usize, &Column, &Label)> {
        self.object_order
            .iter()
            .filter_map(|at| Some((*at, self.table.columns.get(*at)?, self.labels.get(*at)?)))
    }
}

fn label(column: &Column) -> Label {
    let mut name = String::new();
    write_string(&mut name, &column.name);
    let mut description = format!(r#"{{"name":{name},"type":"#);
    write_string(&mut description, &column.r#type.name);
    description.push('}');
    name.push(':');
    Label {
        member: name,
        description,
    }
}
