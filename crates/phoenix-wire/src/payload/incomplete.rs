//! What a channel is told that has not been given everything. Not texts of the reference, which says nothing.
//!
//! Source: protocol-spec/postgres-changes.md, section 10.

/// A change is larger than what can be read from the log. `bytes` is its size there.
pub fn oversized(schema: &str, table: &str, bytes: usize) -> String {
    format!("A change of {schema}.{table} was not delivered: it has {bytes} bytes, which is too much")
}

/// The policies of a table raise an error for the channel's claims, so nobody can say what it may see.
pub fn policies_failed(schema: &str, table: &str) -> String {
    format!(
        "Changes of {schema}.{table} are not delivered: its row level security policies fail for the claims of this channel"
    )
}

/// There are more rows than a snapshot may have.
pub fn snapshot_cut(schema: &str, table: &str, rows_max: usize) -> String {
    format!("The snapshot of {schema}.{table} ends after {rows_max} rows: there are more")
}

/// The rows of a snapshot cannot be read.
pub fn snapshot_failed(schema: &str, table: &str) -> String {
    format!("The snapshot of {schema}.{table} could not be read; changes are delivered")
}

/// More was changed while a snapshot was read than could be kept.
pub const HELD_TOO_MANY: &str = "Changes have been lost: too many were made while the snapshot was read";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_names_its_table() {
        for text in [
            oversized("public", "notes", 7),
            policies_failed("public", "notes"),
            snapshot_cut("public", "notes", 7),
            snapshot_failed("public", "notes"),
        ] {
            assert!(text.contains("public.notes"), "{text}");
        }
    }
}
