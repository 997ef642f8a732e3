//! What the role may do.

use changes::Action;
use database::explain::{ColumnFacts, Facts, RoleFacts, TableFacts, remedies};
use phoenix_wire::payload::changes::{self as text, Exception};

use super::report::{EVERY, OF_ROWS, Section};

/// Looks at the role, and at what it may select.
pub(super) fn look(facts: &Facts, role: &str) -> Section {
    let mut section = Section::new("privileges");
    let name = &facts.role_sql;
    let Some(found) = &facts.role else {
        let missing = Exception::RoleMissing(role.into());
        let text = format!("there is no role {name}: clients are told \"{missing}\"");
        let finding = section.stop("role-missing", &EVERY, text);
        finding.next(remedies::create_role(facts));
        return section;
    };
    reach(found, facts, &mut section);
    if let Some(table) = &facts.table {
        columns(table, facts, &mut section);
    }
    section
}

/// Whether the database can be asked on behalf of the role, which it is as soon as policies are to be asked.
fn reach(role: &RoleFacts, facts: &Facts, section: &mut Section) {
    let (name, user) = (&facts.role_sql, &facts.user_sql);
    let has_policies = facts.table.as_ref().is_some_and(|table| table.row_security);
    let stops: &[Action] = if has_policies { &OF_ROWS } else { &[] };
    let mut problem = |code, text: String, next: String| {
        let finding = if has_policies {
            section.stop(code, stops, text)
        } else {
            section.note(
                code,
                text + ", which matters as soon as there is row level security",
            )
        };
        finding.next(next);
    };
    if !role.can_be_assumed {
        let text = format!("the gateway's user {user} may not act as {name}");
        problem("role-not-granted", text, remedies::grant_role(facts));
    }
    if role.may_use_schema == Some(false) {
        let text = format!("{name} may not use schema {}", facts.schema_sql);
        problem("schema-not-usable", text, remedies::grant_usage(facts));
    }
    if role.can_be_assumed && role.may_use_schema != Some(false) {
        let text = format!("the gateway's user {user} may act as {name}, which may use the schema");
        section.good("role", text);
    }
}

fn columns(table: &TableFacts, facts: &Facts, section: &mut Section) {
    let name = &facts.role_sql;
    let hidden = |is_meant: fn(&ColumnFacts) -> bool| {
        let columns = table.columns.iter();
        let columns = columns.filter(|column| column.is_selectable == Some(false) && is_meant(column));
        columns.map(|column| column.sql.as_str()).collect::<Vec<_>>()
    };
    let (columns, key) = (hidden(|_| true), hidden(|column| column.in_primary_key));
    if columns.is_empty() {
        section.good("columns", format!("{name} may select every column"));
        return;
    }
    let is_nothing = columns.len() == table.columns.len();
    if !key.is_empty() {
        let what = if is_nothing {
            format!("{name} may select nothing of {}", table.sql)
        } else {
            format!("{name} may not select {} of the primary key", key.join(", "))
        };
        let text = format!(
            "{what}: INSERT and UPDATE are told without a row, with \"{}\"",
            text::UNAUTHORIZED
        );
        let finding = section.stop("key-not-selectable", &OF_ROWS, text);
        finding.next(if is_nothing {
            remedies::grant_select(facts, table)
        } else {
            remedies::grant_select_of(facts, table, &key)
        });
    }
    let is_all_said = is_nothing && !key.is_empty();
    if !is_all_said && key.len() < columns.len() {
        let text = format!("left out, as {name} may not select them: {}", columns.join(", "));
        let finding = section.note("columns-left-out", text);
        finding.next(remedies::grant_select_of(facts, table, &columns));
    }
}
