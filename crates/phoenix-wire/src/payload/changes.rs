//! Texts and payloads of Postgres changes. Source: protocol-spec/postgres-changes.md, section 3.
//!
//! Applications match on these texts, so they keep the reference's notation of lists, tuples and maps.

use std::fmt::Write as _;

use crate::inspect;
use crate::json::{self, Sink};

pub use super::exception::Exception;

/// The `extension` of every notice about Postgres changes.
pub const EXTENSION: &str = "postgres_changes";

/// The subscription stands.
pub const SUBSCRIBED: &str = "Subscribed to PostgreSQL";

/// The server serves the tenant without its database. Not a text of the reference, which cannot do without one.
pub const NO_DATABASE: &str =
    "Postgres changes are off: this server has no database configured for the project";

/// The stream was interrupted and goes on. Not a text of the reference, which says nothing.
pub const GAP: &str =
    "Changes may have been lost: the connection to the database was interrupted and is back";

/// `select` is a string.
pub const SELECT_NOT_A_LIST: &str =
    r#"Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]"#;

/// `select` together with a wildcard.
pub const SELECT_ON_WILDCARD: &str = "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.";

/// A key of a binding that only this server has, with a value it does not take. `takes` says what it does take, as JSON.
pub fn option_value(key: &str, takes: &str) -> String {
    format!("Error parsing `{key}` params: expected {takes}")
}

/// A snapshot of more than one table.
pub const SNAPSHOT_OF_WILDCARD: &str =
    "Snapshots are not supported for wildcard subscriptions. Provide an explicit schema and table name.";

/// The body of an `in` filter lacks its parentheses.
pub const FILTER_IN_UNWRAPPED: &str =
    "Error parsing `filter` params: `in` filter value must be wrapped by parentheses";

/// A filter with nothing between two commas.
pub const FILTER_EMPTY_SEGMENT: &str =
    "Error parsing `filter` params: filter must not contain empty segments (check for extra commas)";

/// In `errors` of a change: the table has no primary key.
pub const NO_PRIMARY_KEY: &str = "Error 400: Bad Request, no primary key";

/// In `errors` of a change: the role may not select the primary key.
pub const UNAUTHORIZED: &str = "Error 401: Unauthorized";

/// In `errors` of a change: it is too large to be sent whole.
pub const TOO_LARGE: &str = "Error 413: Payload Too Large";

/// The database is too slow to take subscriptions; tried again later.
pub const TOO_MANY_TIMEOUTS: &str = r#"{:error, "Too many database timeouts"}"#;

/// A part of a filter that is no condition, taken apart as far as it went: `["foo", "hey"]`.
pub fn filter_parts(parts: &[&str]) -> String {
    format!(
        "Error parsing `filter` params: {}",
        inspect::strings(parts.iter().copied())
    )
}

/// A binding that names neither schema nor table in a usable way. `raw` is its object text.
pub fn no_params(raw: &str) -> String {
    let has_token = ["user_token", "auth_token"]
        .into_iter()
        .any(|name| json::member(raw, name).is_some());
    let shown = if has_token {
        "<redacted>".to_owned()
    } else {
        inspect::json(raw)
    };
    format!(
        "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: {shown}"
    )
}

/// A binding as it is told back in error texts.
#[derive(Clone, Copy, Debug)]
pub struct ConnectParams<'a> {
    /// `INSERT`, `UPDATE`, `DELETE` or `*`.
    pub event: &'a str,
    /// Schema or `*`.
    pub schema: &'a str,
    /// Table or `*`.
    pub table: &'a str,
    /// The conditions.
    pub filters: &'a [FilterParts<'a>],
    /// The selected columns; `None` for all.
    pub select: Option<&'a [String]>,
}

/// One condition of a filter as it is told back in error texts.
#[derive(Clone, Copy, Debug)]
pub struct FilterParts<'a> {
    /// Column name.
    pub column: &'a str,
    /// Operator without `not.`.
    pub operator: &'a str,
    /// Value; that of `in` in braces.
    pub value: &'a str,
    /// There is a `not.` in front of the operator.
    pub negated: bool,
}

/// Nothing in the publication matches the binding.
pub fn nothing_published(params: &ConnectParams<'_>) -> String {
    format!(
        "Unable to subscribe to changes with given parameters. \
         Please check Realtime is enabled for the given connect parameters: [{}]",
        show(params)
    )
}

/// The binding was rejected.
pub fn subscribe_failed(params: &ConnectParams<'_>, exception: &Exception) -> String {
    format!(
        "Unable to subscribe to changes with given parameters. \
         An exception happened so please check your connect parameters: [{}]. Exception: {exception}",
        show(params)
    )
}

fn show(params: &ConnectParams<'_>) -> String {
    let ConnectParams {
        event,
        schema,
        table,
        filters,
        select,
    } = params;
    let mut filters_shown = String::new();
    for (index, filter) in filters.iter().enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        let [column, operator, value] = [filter.column, filter.operator, filter.value].map(inspect::string);
        let _ = write!(
            filters_shown,
            "{separator}{{{column}, {operator}, {value}, {}}}",
            filter.negated
        );
    }
    let select = select.map_or("nil".to_owned(), |columns| {
        inspect::strings(columns.iter().map(String::as_str))
    });
    format!("event: {event}, schema: {schema}, table: {table}, filters: [{filters_shown}], select: {select}")
}

/// The payload of a `postgres_changes` message: the change and the ids of the channel's bindings it matches.
/// `data` is JSON text.
pub fn change(ids: &[u32], data: &str) -> String {
    let mut payload = String::with_capacity(data.len() + ids.len() * 10 + 20);
    payload.put(r#"{"ids":["#);
    for (index, id) in ids.iter().enumerate() {
        let separator = if index > 0 { "," } else { "" };
        let _ = write!(payload, "{separator}{id}");
    }
    payload.put(r#"],"data":"#);
    payload.put(data);
    payload.put("}");
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_without_usable_members_is_told_back() {
        assert!(no_params("{}").ends_with("to subscribe to: %{}"));
        assert!(
            no_params(r#"{"schema":"public","table":null,"event":"*"}"#)
                .ends_with(r#"to: %{"event" => "*", "schema" => "public", "table" => nil}"#)
        );
        assert!(no_params(r#"{"user_token":"secret"}"#).ends_with("to: <redacted>"));
    }

    #[test]
    fn filters_are_told_back_as_tuples() {
        let filters = [
            FilterParts {
                column: "t",
                operator: "like",
                value: "a\"%",
                negated: true,
            },
            FilterParts {
                column: "",
                operator: "eq",
                value: "1",
                negated: false,
            },
        ];
        let params = ConnectParams {
            event: "*",
            schema: "public",
            table: "filters",
            filters: &filters,
            select: Some(&["a".to_owned()]),
        };
        assert_eq!(
            show(&params),
            r#"event: *, schema: public, table: filters, filters: [{"t", "like", "a\"%", true}, {"", "eq", "1", false}], select: ["a"]"#
        );
        let plain = ConnectParams {
            filters: &[],
            select: None,
            ..params
        };
        assert!(nothing_published(&plain).ends_with("table: filters, filters: [], select: nil]"));
        assert!(
            subscribe_failed(&plain, &Exception::FilterColumn("x".into())).ends_with(
                "select: nil]. Exception: ERROR P0001 (raise_exception) invalid column for filter x"
            )
        );
        assert_eq!(
            filter_parts(&["foo", "5"]),
            r#"Error parsing `filter` params: ["foo", "5"]"#
        );
    }

    #[test]
    fn a_change_names_all_bindings_it_matches() {
        assert_eq!(
            change(&[7, 8], r#"{"type":"INSERT"}"#),
            r#"{"ids":[7,8],"data":{"type":"INSERT"}}"#
        );
    }
}
