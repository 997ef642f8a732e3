//! Why a subscriber hears of the changes of a table, or why not.
//!
//! Whatever a change passes on its way to a client is looked at in turn, with the parts of the feed itself: the publication,
//! the replica identity, the privileges and policies of the role, the binding, and one row as an example. Nothing is
//! changed, and nothing of a running gateway is looked at.

mod binding;
mod identity;
mod policies;
mod privileges;
mod publication;
mod report;
mod row;

use std::collections::BTreeSet;

use changes::Action;
use changes::EventFilter;
use database::Pool;
use database::explain::Subject;
use replication::Dsn;

pub use report::{Finding, Level, Report, Section, Verdict};

use self::row::Scene;
use crate::feed::catalog::Reading;

/// What is asked: one binding of one subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The publication the gateway follows.
    pub publication: String,
    /// Schema of the table.
    pub schema: String,
    /// Name of the table.
    pub table: String,
    /// The subscriber's role.
    pub role: String,
    /// The subscriber's claims: the text of a JSON object.
    pub claims: String,
    /// `event` of the binding: `INSERT`, `UPDATE`, `DELETE` or `*`.
    pub event: String,
    /// `filter` of the binding.
    pub filter: Option<String>,
    /// `select` of the binding; all columns if it is empty.
    pub select: Vec<String>,
    /// Columns and values by which the row is found that is looked at; the first row by primary key if it is empty.
    pub key: Vec<(String, String)>,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The database cannot be asked.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The key is none of the table's.
    #[error("the key does not fit the table: {0}")]
    Key(String),
}

/// Finds out whether changes are delivered.
///
/// # Errors
///
/// [`ExplainError`]. What stands in the way of changes is none, but in the report.
pub async fn explain(dsn: Dsn, wanted: &Wanted) -> Result<Report, ExplainError> {
    let pool = Pool::new(dsn, 1);
    let obstacles = pool.obstacles(&wanted.publication).await?;
    let facts = pool
        .facts(&Subject {
            publication: &wanted.publication,
            schema: &wanted.schema,
            table: &wanted.table,
            role: &wanted.role,
        })
        .await?;
    let reading = match &facts.publication {
        Some(_) => {
            let roles = BTreeSet::from([wanted.role.as_str().into()]);
            Some(Reading::make(&pool, &wanted.publication, roles).await?)
        }
        None => None,
    };
    let table = facts.table.as_ref();
    let published = table.and_then(|table| Some((reading.as_ref()?.tables.table(table.oid)?, table)));

    let mut report = Report::new();
    let name = format!("{}.{}", wanted.schema, wanted.table);
    report.sections.push(publication::look(&facts, &name, &obstacles));
    if let Some(table) = table {
        report.sections.push(identity::look(&facts, table));
    }
    report.sections.push(privileges::look(&facts, &wanted.role));
    if let Some(table) = table {
        let read = pool.policies(&[&wanted.role], &[table.oid]).await?;
        let role = wanted.role.as_str().into();
        let compiled = reading
            .as_ref()
            .and_then(|reading| reading.policies.get(&(role, table.oid)));
        let security = read.of(table.oid, &wanted.role);
        report
            .sections
            .push(policies::look(&facts, table, security, compiled));
    }
    let (section, binding) = binding::look(&pool, wanted, reading.as_ref(), published).await?;
    report.sections.push(section);
    if let (Some((table, facts)), Some(reading), true) = (published, &reading, facts.role.is_some()) {
        let scene = Scene {
            pool: &pool,
            wanted,
            reading,
            table,
            facts,
            binding: binding.as_ref(),
        };
        let seen = scene.look().await?;
        report.sections.push(seen.section);
        report.row = seen.row;
        report.data = seen.data;
    }
    report.conclude(event(&wanted.event));
    Ok(report)
}

/// What a binding with this event hears of.
fn event(text: &str) -> EventFilter {
    match text.to_uppercase().as_str() {
        "INSERT" => EventFilter::Only(Action::Insert),
        "UPDATE" => EventFilter::Only(Action::Update),
        "DELETE" => EventFilter::Only(Action::Delete),
        _ => EventFilter::All,
    }
}
