//! Whether changes of the table are in the stream at all.

use changes::Action;
use database::explain::{Facts, PublicationFacts, TableFacts, remedies};
use replication::Definite;

use super::report::{EVERY, Section};

/// Looks at the table, the publication and the settings of the server. `obstacles` are those of
/// [`database::Pool::obstacles`].
pub(super) fn look(facts: &Facts, name: &str, obstacles: &[Definite]) -> Section {
    let mut section = Section::new("publication");
    for obstacle in obstacles {
        // That one has more to say below.
        if !matches!(obstacle, Definite::PublicationMissing { .. }) {
            section.stop("no-stream", &EVERY, obstacle.to_string());
        }
    }
    match (&facts.table, &facts.publication) {
        (Some(table), Some(publication)) if can_be_published(table, facts, &mut section) => {
            published(table, publication, facts, &mut section);
        }
        (Some(table), None) => {
            let text = format!("there is no publication {}", facts.publication_sql);
            let next = remedies::create_publication(facts, table);
            section.stop("publication-missing", &EVERY, text).next(next);
        }
        (Some(_), Some(_)) => {}
        (None, _) => {
            let text = format!("there is no table {name}");
            let finding = section.stop("table-missing", &EVERY, text);
            finding.next(match facts.namesakes.as_slice() {
                [] => "look for its name: letters of either case are different letters".to_owned(),
                namesakes => format!("there is {}", namesakes.join(", ")),
            });
        }
    }
    section
}

/// Whether it is a table with a place in the log.
fn can_be_published(table: &TableFacts, facts: &Facts, section: &mut Section) -> bool {
    let name = &table.sql;
    let kind = match table.kind {
        'v' => "a view",
        'm' => "a materialized view",
        'f' => "a foreign table",
        _ if table.persistence == 't' => "a temporary table",
        _ if table.persistence == 'u' => {
            let text = format!("{name} is unlogged: its changes are not in the log");
            let finding = section.stop("unlogged", &EVERY, text);
            let steps = [remedies::log(table), remedies::publish(facts, table)];
            finding.next(steps.join("; "));
            return false;
        }
        _ => return true,
    };
    let text = format!("{name} is {kind}: its changes are not in the log");
    let finding = section.stop("not-a-table", &EVERY, text);
    finding.next("subscribe to the tables it is made of");
    false
}

fn published(table: &TableFacts, publication: &PublicationFacts, facts: &Facts, section: &mut Section) {
    let name = &table.sql;
    if !table.is_published {
        return not_published(table, facts, section);
    }
    let by = &facts.publication_sql;
    let reason = if publication.all_tables {
        ", like all tables"
    } else {
        ""
    };
    section.good("published", format!("{name} is published by {by}{reason}"));
    if table.kind == 'p' {
        let text = format!("changes of its partitions are told as changes of {name}");
        section.note("partitioned", text);
    }
    let actions = [
        (Action::Insert, publication.inserts),
        (Action::Update, publication.updates),
        (Action::Delete, publication.deletes),
    ];
    let missing: Vec<Action> = actions
        .into_iter()
        .filter_map(|(action, is_published)| (!is_published).then_some(action))
        .collect();
    if missing.is_empty() {
        section.good(
            "actions",
            "INSERT, UPDATE and DELETE are published; TRUNCATE is never told",
        );
    } else {
        let names: Vec<&str> = missing.iter().map(|action| action.as_str()).collect();
        let text = format!("{by} does not publish {}", names.join(" and "));
        let finding = section.stop("action-not-published", &missing, text);
        finding.next(remedies::publish_all_actions(facts));
    }
    if let Some(filter) = &table.row_filter {
        let text = format!("only rows with {filter} are published");
        section.note("row-filter", text);
    }
    let left_out = |is_generated: bool| {
        let columns = table.columns.iter();
        let columns = columns.filter(|column| !column.is_published && column.is_generated == is_generated);
        columns.map(|column| column.sql.as_str()).collect::<Vec<_>>()
    };
    let unlisted = left_out(false);
    if !unlisted.is_empty() {
        let text = format!("not published, so without a value: {}", unlisted.join(", "));
        section.note("column-list", text);
    }
    let generated = left_out(true);
    if !generated.is_empty() {
        let text = format!("generated, so without a value: {}", generated.join(", "));
        section.note("generated-columns", text);
    }
}

fn not_published(table: &TableFacts, facts: &Facts, section: &mut Section) {
    let (name, by) = (&table.sql, &facts.publication_sql);
    if let Some(root) = &table.published_root {
        let text = format!("{name} is a partition: {by} publishes its changes as changes of {root}");
        let finding = section.stop("told-as-root", &EVERY, text);
        finding.next(format!("subscribe to {root}"));
    } else if !table.published_partitions.is_empty() {
        let partitions = table.published_partitions.join(", ");
        let text = format!(
            "{name} is partitioned: {by} publishes its changes as those of its partitions: {partitions}"
        );
        let finding = section.stop("told-as-partitions", &EVERY, text);
        finding.next(remedies::publish_via_root(facts));
    } else {
        let text = match table.other_publications.as_slice() {
            [] => format!("{name} is not published by {by}"),
            others => format!(
                "{name} is not published by {by}, only by {}, which this gateway would have to be told to follow (--publication)",
                others.join(", ")
            ),
        };
        let finding = section.stop("not-published", &EVERY, text);
        finding.next(remedies::publish(facts, table));
    }
}
