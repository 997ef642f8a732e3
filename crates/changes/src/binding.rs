//! A binding as it is understood: what a client wants to hear of.
//!
//! Source: protocol-spec/postgres-changes.md, section 3.

use phoenix_wire::json;
use phoenix_wire::payload::RawBinding;
use phoenix_wire::payload::changes::{self as text, ConnectParams, FilterParts};

use crate::change::Action;
use crate::filter::{self, Condition};
use crate::pattern::NamePattern;
use crate::table::Table;

/// What a client wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Which changes.
    pub event: EventFilter,
    /// In which schemas.
    pub schema: NamePattern,
    /// In which tables.
    pub table: NamePattern,
    /// Of which rows; all conditions have to hold.
    pub filters: Vec<Condition>,
    /// Of which columns besides the primary key; `None` for all.
    pub select: Option<Vec<String>>,
    /// `"snapshot":true`: the rows that are there are told as well. Only with both names, neither of them `*`.
    pub snapshot: bool,
    /// `"deletes":"visible"`: deleted rows are told whole, and only to who has seen them.
    pub visible_deletes: bool,
    /// `"left":true`: a row that an update takes out of the filter is told as if it had been deleted.
    pub left: bool,
}

/// Which changes a binding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventFilter {
    /// `*`
    All,
    /// One kind.
    Only(Action),
}

impl EventFilter {
    fn parse(text: &str) -> Self {
        match text.to_uppercase().as_str() {
            "INSERT" => Self::Only(Action::Insert),
            "UPDATE" => Self::Only(Action::Update),
            "DELETE" => Self::Only(Action::Delete),
            _ => Self::All,
        }
    }

    /// `INSERT`, `UPDATE`, `DELETE` or `*`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "*",
            Self::Only(action) => action.as_str(),
        }
    }

    /// Whether a binding hears of this.
    pub fn covers(self, action: Action) -> bool {
        match self {
            Self::All => true,
            Self::Only(wanted) => wanted == action,
        }
    }
}

/// A binding that cannot be served, with the message its channel is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BindingRefused {
    /// The `message` of the notice.
    pub message: String,
}

impl Binding {
    /// Reads what a client sent.
    ///
    /// # Errors
    ///
    /// A message that names the first mistake: in `select`, then in the names, then in `filter`.
    pub fn parse(raw: &RawBinding) -> Result<Self, BindingRefused> {
        let refused = |message: String| BindingRefused { message };
        let select = parse_select(raw).map_err(|message| refused(message.to_owned()))?;

        // A member of another type is a mistake, one that is absent has a meaning.
        let member = |name| raw.member(name).map(json::string);
        let (schema, table, filters) = match (member("schema"), member("table"), member("filter")) {
            (Some(Some(schema)), Some(Some(table)), Some(Some(filter))) => {
                (schema, table, filter::parse(&filter).map_err(refused)?)
            }
            (Some(Some(schema)), Some(Some(table)), None) => (schema, table, Vec::new()),
            (Some(Some(schema)), None, None) => (schema, "*".into(), Vec::new()),
            (None, Some(Some(table)), None) => ("public".into(), table, Vec::new()),
            _ => return Err(refused(text::no_params(raw.as_str()))),
        };
        let binding = Self {
            event: match member("event") {
                Some(Some(event)) => EventFilter::parse(&event),
                _ => EventFilter::All,
            },
            schema: NamePattern::new(&schema),
            table: NamePattern::new(&table),
            filters,
            select,
            snapshot: flag(raw, "snapshot").map_err(refused)?,
            visible_deletes: word(raw, "deletes", "visible").map_err(refused)?,
            left: flag(raw, "left").map_err(refused)?,
        };
        let has_wildcard = binding.schema.is_wildcard() || binding.table.is_wildcard();
        if has_wildcard && binding.select.is_some() {
            return Err(refused(text::SELECT_ON_WILDCARD.to_owned()));
        }
        let has_both_names = raw.member("schema").is_some() && raw.member("table").is_some();
        if binding.snapshot && (has_wildcard || !has_both_names) {
            return Err(refused(text::SNAPSHOT_OF_WILDCARD.to_owned()));
        }
        Ok(binding)
    }

    /// Whether the binding stands for a table.
    pub fn covers(&self, table: &Table) -> bool {
        self.table.matches(&table.name) && self.schema.matches(&table.schema)
    }

    /// Nothing is published that the binding stands for.
    pub(crate) fn nothing_published(&self) -> BindingRefused {
        self.refused(text::nothing_published)
    }

    /// The binding asks for what a table does not have or this server cannot do.
    pub fn rejected(&self, exception: &text::Exception) -> BindingRefused {
        self.refused(|params| text::subscribe_failed(params, exception))
    }

    fn refused(&self, message: impl FnOnce(&ConnectParams<'_>) -> String) -> BindingRefused {
        let filters: Vec<_> = self.filters.iter().map(told_back).collect();
        BindingRefused {
            message: message(&ConnectParams {
                event: self.event.as_str(),
                schema: self.schema.as_str(),
                table: self.table.as_str(),
                filters: &filters,
                select: self.select.as_deref(),
            }),
        }
    }
}

/// The selected columns; whatever is no string in the list counts for nothing.
fn parse_select(raw: &RawBinding) -> Result<Option<Vec<String>>, &'static str> {
    let Some(select) = raw.member("select") else {
        return Ok(None);
    };
    if json::kind(select) == json::Kind::String {
        return Err(text::SELECT_NOT_A_LIST);
    }
    let columns = json::elements(select).filter_map(json::string);
    let columns: Vec<_> = columns.map(|column| column.into_owned()).collect();
    Ok((!columns.is_empty()).then_some(columns))
}

/// A member that is `true`, `false` or not there.
fn flag(raw: &RawBinding, key: &str) -> Result<bool, String> {
    match raw.member(key) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(text::option_value(key, "true or false")),
    }
}

/// A member that is this word or not there.
fn word(raw: &RawBinding, key: &str, word: &str) -> Result<bool, String> {
    match raw.member(key) {
        None => Ok(false),
        Some(found) if json::string(found).is_some_and(|found| found == word) => Ok(true),
        Some(_) => Err(text::option_value(key, &format!("\"{word}\""))),
    }
}

fn told_back(condition: &Condition) -> FilterParts<'_> {
    FilterParts {
        column: &condition.column,
        operator: condition.operator.as_str(),
        value: &condition.value,
        negated: condition.negated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::raw_binding;

    fn shown(raw: &str) -> String {
        let binding = Binding::parse(&raw_binding(raw)).unwrap_or_else(|error| panic!("{raw}: {error}"));
        // The notice tells a binding back member by member.
        let message = binding.nothing_published().message;
        let (_, shown) = message.split_once("connect parameters: ").unwrap();
        shown.to_owned()
    }

    fn error(raw: &str) -> String {
        Binding::parse(&raw_binding(raw)).expect_err("refused").message
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        for (raw, meaning) in [
            (
                r#"{"event":"INSERT","schema":"a","table":"b"}"#,
                "[event: INSERT, schema: a, table: b, filters: [], select: nil]",
            ),
            (
                r#"{"schema":"a"}"#,
                "[event: *, schema: a, table: *, filters: [], select: nil]",
            ),
            (
                r#"{"table":"b"}"#,
                "[event: *, schema: public, table: b, filters: [], select: nil]",
            ),
            (
                r#"{"schema":"a","table":"b","filter":" "}"#,
                "[event: *, schema: a, table: b, filters: [], select: nil]",
            ),
            (
                r#"{"schema":"a","table":"b","filter":"n=not.in.(1,2)"}"#,
                r#"[event: *, schema: a, table: b, filters: [{"n", "in", "{1,2}", true}], select: nil]"#,
            ),
            (
                r#"{"schema":"a","table":"b","select":["x",7,"y"]}"#,
                r#"[event: *, schema: a, table: b, filters: [], select: ["x", "y"]]"#,
            ),
            (
                r#"{"schema":"a","table":"b","select":[null]}"#,
                "[event: *, schema: a, table: b, filters: [], select: nil]",
            ),
            (
                r#"{"schema":"a","table":"b","select":{"x":1}}"#,
                "[event: *, schema: a, table: b, filters: [], select: nil]",
            ),
        ] {
            assert_eq!(shown(raw), meaning, "{raw}");
        }
    }

    #[test]
    fn events_are_upper_cased_and_unknown_ones_mean_all() {
        for (event, meaning) in [
            (r#""insert""#, EventFilter::Only(Action::Insert)),
            (r#""Update""#, EventFilter::Only(Action::Update)),
            (r#""DELETE""#, EventFilter::Only(Action::Delete)),
            (r#""*""#, EventFilter::All),
            (r#""other""#, EventFilter::All),
            ("7", EventFilter::All),
        ] {
            let raw = raw_binding(&format!(r#"{{"event":{event},"schema":"a"}}"#));
            assert_eq!(Binding::parse(&raw).unwrap().event, meaning, "{event}");
        }
        assert!(EventFilter::All.covers(Action::Delete));
        assert!(!EventFilter::Only(Action::Insert).covers(Action::Delete));
    }

    #[test]
    fn names_of_another_type_or_too_few_are_refused() {
        for raw in [
            "{}",
            r#"{"event":"*"}"#,
            r#"{"schema":7,"table":"notes"}"#,
            r#"{"schema":"public","table":null}"#,
            r#"{"schema":"public","table":"t","filter":null}"#,
            r#"{"schema":"public","table":"t","filter":7}"#,
            r#"{"schema":"public","filter":"n=eq.1"}"#,
            r#"{"table":"t","filter":"n=eq.1"}"#,
        ] {
            assert!(
                error(raw).starts_with("No subscription params provided."),
                "{raw}"
            );
        }
    }

    #[test]
    fn a_selection_needs_a_list_and_a_table() {
        assert_eq!(
            error(r#"{"schema":"a","table":"b","select":"x"}"#),
            text::SELECT_NOT_A_LIST
        );
        // It is looked at first.
        assert_eq!(error(r#"{"select":"x","filter":7}"#), text::SELECT_NOT_A_LIST);
        for raw in [
            r#"{"schema":"a","select":["x"]}"#,
            r#"{"schema":"a","table":"*","select":["x"]}"#,
            r#"{"schema":"*","table":"b","select":["x"]}"#,
        ] {
            assert_eq!(error(raw), text::SELECT_ON_WILDCARD);
        }
        assert!(
            error(r#"{"schema":"*","table":"b","select":["x"],"filter":"x"}"#)
                .starts_with("Error parsing `filter`")
        );
    }

    #[test]
    fn keys_of_this_server_are_off_unless_asked_for() {
        let parse = |members: &str| {
            let raw = raw_binding(&format!(r#"{{"schema":"a","table":"b"{members}}}"#));
            let binding = Binding::parse(&raw).unwrap_or_else(|error| panic!("{members}: {error}"));
            (binding.snapshot, binding.visible_deletes, binding.left)
        };
        assert_eq!(parse(""), (false, false, false));
        assert_eq!(parse(r#","snapshot":true"#), (true, false, false));
        assert_eq!(parse(r#","deletes":"visible""#), (false, true, false));
        assert_eq!(parse(r#","left":true,"snapshot":false"#), (false, false, true));
    }

    #[test]
    fn keys_of_this_server_say_what_they_take() {
        for (member, message) in [
            (
                r#""snapshot":"yes""#,
                "Error parsing `snapshot` params: expected true or false",
            ),
            (
                r#""left":1"#,
                "Error parsing `left` params: expected true or false",
            ),
            (
                r#""left":null"#,
                "Error parsing `left` params: expected true or false",
            ),
            (
                r#""deletes":true"#,
                r#"Error parsing `deletes` params: expected "visible""#,
            ),
            (
                r#""deletes":"all""#,
                r#"Error parsing `deletes` params: expected "visible""#,
            ),
        ] {
            assert_eq!(
                error(&format!(r#"{{"schema":"a","table":"b",{member}}}"#)),
                message
            );
        }
    }

    #[test]
    fn a_snapshot_is_of_one_table_by_its_names() {
        for names in [
            r#""schema":"a""#,
            r#""table":"b""#,
            r#""schema":"a","table":"*""#,
            r#""schema":"*","table":"b""#,
        ] {
            let raw = format!(r#"{{{names},"snapshot":true}}"#);
            assert_eq!(error(&raw), text::SNAPSHOT_OF_WILDCARD);
        }
    }
}
