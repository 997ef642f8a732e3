//! Row level security decided in memory, when and only when that is proven to give the database's answer.
//!
//! Many policies compare columns with claims and constants. [`RowPolicies::compile`] takes those of one table and one role
//! apart; [`RowPolicies::bind`] evaluates, once for a viewer, what does not depend on a row; [`RowPolicies::read`] reads,
//! once for a row, the columns that are looked at; what is left for [`RowPolicies::sees`] is to compare.
//!
//! Invariants:
//!
//! * `None` means that the database has to be asked, and any doubt is `None`: an expression of an unknown form, a function
//!   of unknown meaning, a claim that cannot be cast, a value that is not in the log.
//! * Reading a row never fails, whatever is in it. So an error of the database can only come from the claims, and a viewer
//!   for whom anything fails is asked about always: when the database comes to the point of failing is its own affair.
//! * A text is compared for equality alone, and by its bytes.
//!
//! What is assumed of the way the database would be asked: `role` and `request.jwt.claims` are set, and nothing else.

mod claims;
mod compile;
mod condition;
mod row;
mod security;
mod syntax;
mod token;
mod viewer;

#[cfg(test)]
mod tests;

use compile::Compiler;
use condition::{Condition, Known, Truth, all, any};
use row::CellReader;
use viewer::{Expression, Scalar};

use crate::change::RowChange;
use crate::predicate::Datum;
use crate::table::Table;

pub use row::Image;
pub use security::{ClaimFunction, ColumnCollation, Policy, RowSecurity, Surroundings};
pub use viewer::Viewer;

/// The policies of one table for one role, compiled.
#[derive(Clone, Debug)]
pub struct RowPolicies {
    role: Box<str>,
    table: u32,
    decision: Decision,
    policies: Vec<(Policy, Result<Option<Condition>, Obstacle>)>,
    /// What is read of a row, and the columns that is read from.
    cells: Vec<(CellReader, ColumnIdentity)>,
    /// What is evaluated for a viewer.
    expressions: Vec<Expression>,
}

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    /// Every row is seen.
    Everything,
    /// No row is seen.
    Nothing,
    Policies,
    Database(Obstacle),
}

/// A column that is still the one it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ColumnIdentity {
    name: Box<str>,
    r#type: u32,
}

/// Why something is not evaluated in memory, for whoever wonders.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Obstacle(Box<str>);

/// The values of a row that the policies look at.
#[derive(Clone, Debug)]
pub struct SeenRow<'a> {
    /// `None` if the row is not that of the table as it is known.
    cells: Option<Vec<Known<'a>>>,
}

/// A viewer as the policies see it.
#[derive(Clone, Debug)]
pub struct BoundViewer {
    /// `None` if the database is asked always.
    own: Option<Vec<Option<Datum<'static>>>>,
}

/// A policy in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyDescription<'a> {
    /// Its name.
    pub name: &'a str,
    /// Permissive or restrictive.
    pub permissive: bool,
    /// Its expression, if it has one.
    pub expression: Option<&'a str>,
    /// Why it is not evaluated in memory; `None` if it is. About the policy alone, see [`RowPolicies::obstacle`].
    pub obstacle: Option<&'a str>,
}

impl RowPolicies {
    /// Compiles the policies of a table. Both are readings of the same catalog.
    pub fn compile(table: &Table, security: &RowSecurity) -> Self {
        let mut compiler = Compiler::new(table, security);
        let policies: Vec<_> = security
            .policies
            .iter()
            .map(|policy| {
                let condition = match &policy.expression {
                    _ if policy.is_foreign => Err(Obstacle::new(
                        "it uses an operator or a function of somebody's own",
                    )),
                    Some(expression) => compiler.policy(expression).map(Some),
                    None => Ok(None),
                };
                (policy.clone(), condition)
            })
            .collect();
        let Compiler {
            cells, expressions, ..
        } = compiler;
        let cells = cells.into_iter().filter_map(|reader| {
            let column = table.columns.get(reader.position)?;
            let column = ColumnIdentity {
                name: column.name.clone(),
                r#type: column.r#type.oid,
            };
            Some((reader, column))
        });
        Self {
            role: security.role.clone(),
            table: security.table,
            decision: decide(table, security, &policies),
            policies,
            cells: cells.collect(),
            expressions,
        }
    }

    /// Whether there are answers in memory at all. Of single rows and viewers the database may have to be asked all the
    /// same.
    pub fn proven(&self) -> bool {
        !matches!(self.decision, Decision::Database(_))
    }

    /// Why there are none, in words for an operator.
    pub fn obstacle(&self) -> Option<&str> {
        match &self.decision {
            Decision::Database(reason) => Some(&reason.0),
            Decision::Everything | Decision::Nothing | Decision::Policies => None,
        }
    }

    /// The policies that are applied to the role, in the order they were read. If they are bypassed, nobody looks at them.
    pub fn describe(&self) -> impl Iterator<Item = PolicyDescription<'_>> {
        self.policies.iter().map(|(policy, condition)| PolicyDescription {
            name: &policy.name,
            permissive: policy.permissive,
            expression: policy.expression.as_deref(),
            obstacle: condition.as_ref().err().map(|reason| &*reason.0),
        })
    }

    /// What the policies see of a viewer. Good for as long as its claims and these policies are.
    pub fn bind(&self, viewer: &Viewer) -> BoundViewer {
        let expressions = match self.decision {
            Decision::Policies => self.expressions.as_slice(),
            _ => &[],
        };
        let is_understood = expressions.is_empty() || viewer.is_understood();
        if viewer.role() != &*self.role || !is_understood {
            return BoundViewer { own: None };
        }
        let own = expressions.iter().map(|expression| {
            Some(match expression.value(viewer)? {
                Some(Scalar::Datum(value)) => Some(value),
                // Nothing but whether it is NULL is asked of it.
                Some(Scalar::Json(_)) => Some(Datum::Bool(true)),
                None => None,
            })
        });
        BoundViewer { own: own.collect() }
    }

    /// What the policies see of a row.
    pub fn read<'a>(&self, change: &RowChange<'a>, image: Image) -> SeenRow<'a> {
        if self.decision != Decision::Policies {
            return SeenRow { cells: None };
        }
        let is_known = change.table().oid == self.table
            && change.mapping().fits()
            && self.cells.iter().all(|(reader, known)| {
                let column = change.table().columns.get(reader.position);
                column.is_some_and(|column| column.name == known.name && column.r#type.oid == known.r#type)
            });
        let cells = self.cells.iter().map(|(reader, _)| reader.read(change, image));
        SeenRow {
            cells: is_known.then(|| cells.collect()),
        }
    }

    /// Whether the viewer sees the row; `None` if the database has to be asked. Both were made by the same policies.
    pub fn sees(&self, row: &SeenRow<'_>, viewer: &BoundViewer) -> Option<bool> {
        let own = viewer.own.as_deref()?;
        match self.decision {
            Decision::Everything => return Some(true),
            Decision::Nothing => return Some(false),
            Decision::Database(_) => return None,
            Decision::Policies => {}
        }
        let row = row.cells.as_deref()?;
        let truths = |permissive: bool| {
            self.policies
                .iter()
                .filter(move |(policy, _)| policy.permissive == permissive)
                .filter_map(move |(_, condition)| match condition {
                    Ok(condition) => Some(condition.as_ref()?.truth(row, own)),
                    Err(_) => Some(Truth::Unknown),
                })
        };
        match all(std::iter::once(any(truths(true))).chain(truths(false))) {
            Truth::True => Some(true),
            Truth::False | Truth::Null => Some(false),
            Truth::Unknown => None,
        }
    }
}

fn decide(
    table: &Table,
    security: &RowSecurity,
    policies: &[(Policy, Result<Option<Condition>, Obstacle>)],
) -> Decision {
    if table.oid != security.table {
        return Decision::Database(Obstacle::new("the policies are those of another table"));
    }
    if !security.reachable {
        let reason = "the role cannot be assumed or may not use the schema of the table";
        return Decision::Database(Obstacle::new(reason));
    }
    if security.bypassed {
        return Decision::Everything;
    }
    // Without anything that lets rows through, what would hold them back is not looked at.
    let lets_through = |policy: &Policy| policy.permissive && policy.expression.is_some();
    if !security.policies.iter().any(lets_through) {
        return Decision::Nothing;
    }
    if !security.surroundings.is_ordinary {
        return Decision::Database(Obstacle::new("the database gives names a meaning of its own"));
    }
    let mut failures = policies
        .iter()
        .filter_map(|(_, condition)| condition.as_ref().err());
    match failures.next() {
        Some(reason) => Decision::Database(reason.clone()),
        None => Decision::Policies,
    }
}

impl Obstacle {
    fn new(reason: &str) -> Self {
        Self(reason.into())
    }

    /// Something that is not evaluated.
    fn unknown(text: &str) -> Self {
        let shown: String = text.chars().take(40).collect();
        Self(format!("it has something in it that is not evaluated here: {shown}").into())
    }

    fn by_collation() -> Self {
        Self::new("it compares texts by a collation that does not decide by their bytes")
    }

    fn call(schema: &str, name: &str) -> Self {
        Self(format!("it calls {schema}.{name}").into())
    }
}
