//! What is in the log of a row that was.

use changes::Action;
use database::explain::{ColumnFacts, Facts, TableFacts, remedies};
use phoenix_wire::payload::changes as text;

use super::report::{OF_ROWS, Section};

/// Looks at the primary key and the replica identity.
pub(super) fn look(facts: &Facts, table: &TableFacts) -> Section {
    let mut section = Section::new("identity");
    let key = names(table, |column| column.in_primary_key);
    if key.is_empty() {
        let text = format!(
            "{} has no primary key: INSERT and UPDATE are told without a row, with \"{}\"",
            table.sql,
            text::NO_PRIMARY_KEY
        );
        let finding = section.stop("no-primary-key", &OF_ROWS, text);
        finding.next(remedies::add_primary_key(table));
    } else {
        section.good("primary-key", format!("the primary key is {}", key.join(", ")));
    }
    let identity = names(table, |column| column.in_identity);
    match table.identity {
        'f' if table.row_security => {
            let text = "replica identity full: old_record of an UPDATE has every column, that of a DELETE only the \
                        primary key, as there is row level security";
            section.note("identity-full", text);
        }
        'f' => section.good(
            "identity-full",
            "replica identity full: old_record has every column",
        ),
        _ if identity.is_empty() => without_identity(facts, table, &mut section),
        _ => {
            let columns = identity.join(", ");
            let text = format!("old_record has {columns} and nothing else: that is the replica identity");
            section.note("identity-key", text).next(format!(
                "for whole former rows: {}",
                remedies::log_former_rows(table)
            ));
        }
    }
    section
}

/// PostgreSQL does not let rows of such a table be updated or deleted, if it has to publish that.
fn without_identity(facts: &Facts, table: &TableFacts, section: &mut Section) {
    let publication = facts.publication.as_ref();
    let published = publication.map_or((true, true), |found| (found.updates, found.deletes));
    let stops: Vec<Action> = [(Action::Update, published.0), (Action::Delete, published.1)]
        .into_iter()
        .filter_map(|(action, is_published)| is_published.then_some(action))
        .collect();
    if stops.is_empty() {
        return;
    }
    let names: Vec<&str> = stops.iter().map(|action| action.as_str()).collect();
    let text = format!(
        "{} has no replica identity: PostgreSQL refuses its {} while it is published",
        table.sql,
        names.join(" and ")
    );
    section
        .stop("no-identity", &stops, text)
        .next(remedies::log_former_rows(table));
}

fn names(table: &TableFacts, is_meant: impl Fn(&ColumnFacts) -> bool) -> Vec<&str> {
    let columns = table.columns.iter().filter(|column| is_meant(column));
    columns.map(|column| column.sql.as_str()).collect()
}
