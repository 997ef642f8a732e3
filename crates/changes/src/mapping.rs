//! The stream's description of a table laid over the catalog's.
//!
//! Both are matched by column name, as the two may be of different age: the catalog is read now, the row was written
//! earlier. A column only the stream knows is left out, one only the catalog knows has no value.

use std::sync::Arc;

use phoenix_wire::json::write_string;

use crate::jsonb;
use crate::relation::Relation;
use crate::table::{Column, ColumnSet, Table};

/// What is needed to understand the rows of one table.
#[derive(Debug)]
pub struct Mapping {
    table: Arc<Table>,
    relation: Arc<Relation>,
    primary_key: ColumnSet,
    /// For each column of the relation its position in the table.
    positions: Vec<Option<usize>>,
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
        let positions = relation
            .columns
            .iter()
            .map(|column| table.position(&column.name))
            .collect();
        let mut object_order: Vec<usize> = (0..table.columns.len()).collect();
        object_order.sort_by(|a, b| match (table.columns.get(*a), table.columns.get(*b)) {
            (Some(a), Some(b)) => jsonb::compare_keys(&a.name, &b.name),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        Self {
            primary_key: table.primary_key(),
            labels: table.columns.iter().map(label).collect(),
            table,
            relation,
            positions,
            object_order,
        }
    }

    /// The catalog's side.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The stream's side.
    pub fn relation(&self) -> &Arc<Relation> {
        &self.relation
    }

    /// Whether a value in the stream is a number that JSON has no word for. The reference's decoder writes null for it,
    /// for filters as well; inside an array it is text.
    pub(crate) fn is_no_json_number(&self, column: usize, text: &str) -> bool {
        const NUMBERS: [u32; 3] = [700, 701, 1700]; // float4, float8, numeric
        matches!(text, "NaN" | "Infinity" | "-Infinity")
            && self
                .relation
                .columns
                .get(column)
                .is_some_and(|column| NUMBERS.contains(&column.type_oid))
    }

    /// False if the stream tells of names or types the catalog's side does not have: one of the two is of another age, so
    /// the catalog is worth another look.
    pub fn fits(&self) -> bool {
        let has_column = |(column, position): (&crate::relation::RelationColumn, &Option<usize>)| {
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
