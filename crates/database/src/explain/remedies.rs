//! Statements for an operator to run. Nobody runs them here.

use super::{Facts, TableFacts};

/// Publishes the table.
pub fn publish(facts: &Facts, table: &TableFacts) -> String {
    format!(
        "alter publication {} add table {}",
        facts.publication_sql, table.sql
    )
}

/// Creates the publication with the table in it.
pub fn create_publication(facts: &Facts, table: &TableFacts) -> String {
    format!(
        "create publication {} for table {}",
        facts.publication_sql, table.sql
    )
}

/// Publishes every action.
pub fn publish_all_actions(facts: &Facts) -> String {
    format!(
        "alter publication {} set (publish = 'insert, update, delete, truncate')",
        facts.publication_sql
    )
}

/// Publishes the changes of partitions as those of their root.
pub fn publish_via_root(facts: &Facts) -> String {
    format!(
        "alter publication {} set (publish_via_partition_root = true)",
        facts.publication_sql
    )
}

/// Has the table written to the log.
pub fn log(table: &TableFacts) -> String {
    format!("alter table {} set logged", table.sql)
}

/// Gives the table a primary key, of columns that the operator has to name.
pub fn add_primary_key(table: &TableFacts) -> String {
    format!("alter table {} add primary key (…)", table.sql)
}

/// Has whole former rows written to the log.
pub fn log_former_rows(table: &TableFacts) -> String {
    format!("alter table {} replica identity full", table.sql)
}

/// Creates the role.
pub fn create_role(facts: &Facts) -> String {
    format!("create role {} nologin", facts.role_sql)
}

/// Lets the user we log in as act as the role.
pub fn grant_role(facts: &Facts) -> String {
    format!("grant {} to {}", facts.role_sql, facts.user_sql)
}

/// Lets the role use the schema.
pub fn grant_usage(facts: &Facts) -> String {
    format!("grant usage on schema {} to {}", facts.schema_sql, facts.role_sql)
}

/// Lets the role select the table.
pub fn grant_select(facts: &Facts, table: &TableFacts) -> String {
    format!("grant select on {} to {}", table.sql, facts.role_sql)
}

/// Lets the role select some columns, given as SQL.
pub fn grant_select_of(facts: &Facts, table: &TableFacts, columns: &[&str]) -> String {
    format!(
        "grant select ({}) on {} to {}",
        columns.join(", "),
        table.sql,
        facts.role_sql
    )
}

/// Lets the role see rows, by a condition that the operator has to name.
pub fn create_policy(facts: &Facts, table: &TableFacts) -> String {
    format!(
        "create policy … on {} for select to {} using (…)",
        table.sql, facts.role_sql
    )
}

/// Has the policies of the table applied.
pub fn apply_policies(table: &TableFacts) -> String {
    format!("alter table {} enable row level security", table.sql)
}
