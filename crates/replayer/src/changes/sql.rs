//! Statements that bring a change about.

use std::collections::BTreeSet;

use transcript::Value;

use super::row::Row;

/// A table, and how its values are written.
pub(super) struct Table<'a> {
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
    /// Names and types, in table order.
    pub(super) columns: &'a [(String, String)],
    /// Placeholders that have a value when the statement runs, as `${uuid:u1}`. Others get one made up, the same wherever
    /// they stand.
    pub(super) bound: &'a BTreeSet<String>,
}

impl Table<'_> {
    pub(super) fn insert(&self, row: &Row) -> String {
        let named = self.in_order(row);
        if named.is_empty() {
            return format!("insert into {} default values", self.name());
        }
        let is_perhaps_identity =
            |(name, _): &(&str, &Value)| matches!(self.type_of(name), "int2" | "int4" | "int8");
        let overriding = if named.iter().any(is_perhaps_identity) {
            " overriding system value"
        } else {
            ""
        };
        let names: Vec<String> = named.iter().map(|(name, _)| identifier(name)).collect();
        let values: Vec<String> = named
            .iter()
            .map(|(name, value)| self.literal(name, value))
            .collect();
        format!(
            "insert into {} ({}){overriding} values ({})",
            self.name(),
            names.join(", "),
            values.join(", ")
        )
    }

    /// `None` if nothing tells the row from others.
    pub(super) fn update(&self, set: &Row, of: &Row) -> Option<String> {
        let condition = self.condition(of)?;
        let set: Vec<String> = self
            .in_order(set)
            .iter()
            .map(|(name, value)| format!("{} = {}", identifier(name), self.literal(name, value)))
            .collect();
        Some(format!(
            "update {} set {} where {condition}",
            self.name(),
            set.join(", ")
        ))
    }

    /// `None` if nothing tells the row from others.
    pub(super) fn delete(&self, of: &Row) -> Option<String> {
        let condition = self.condition(of)?;
        Some(format!("delete from {} where {condition}", self.name()))
    }

    fn condition(&self, of: &Row) -> Option<String> {
        let compared = self.in_order(of).into_iter().filter(|(name, value)| {
            let has_equality = !matches!(self.type_of(name), "json" | "xml" | "point" | "polygon" | "box");
            has_equality && !self.is_vague(value)
        });
        let compared: Vec<String> = compared
            .map(|(name, value)| match value {
                Value::Null => format!("{} is null", identifier(name)),
                value => format!("{} = {}", identifier(name), self.literal(name, value)),
            })
            .collect();
        (!compared.is_empty()).then(|| compared.join(" and "))
    }

    /// Whether the statement before it put another value there than this one will.
    fn is_vague(&self, value: &Value) -> bool {
        let is_vague = |placeholder: &str| {
            let kind = placeholder.trim_start_matches("${");
            ["time", "text", "any", "int}", "uuid}"]
                .iter()
                .any(|vague| kind.starts_with(vague))
                && !self.bound.contains(placeholder)
        };
        value
            .as_str()
            .is_some_and(|text| placeholders(text).any(is_vague))
    }

    fn name(&self) -> String {
        format!("{}.{}", identifier(self.schema), identifier(self.table))
    }

    fn type_of(&self, column: &str) -> &str {
        let mut columns = self.columns.iter();
        columns
            .find(|(name, _)| name == column)
            .map_or("", |(_, name)| name.as_str())
    }

    /// The columns in the order of the table.
    fn in_order<'r>(&self, row: &'r Row) -> Vec<(&'r str, &'r Value)> {
        let place = |name: &str| self.columns.iter().position(|(column, _)| column == name);
        let mut columns: Vec<_> = row.0.iter().map(|(name, value)| (name.as_str(), value)).collect();
        columns.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        columns
    }

    fn literal(&self, column: &str, value: &Value) -> String {
        let name = self.type_of(column);
        match value {
            Value::Null => "null".to_owned(),
            Value::String(text) if is_placeholder(text) && !self.bound.contains(text) => made_up(text, name),
            value if matches!(name, "json" | "jsonb") => quoted(&self.filled(&value.to_string())),
            Value::Bool(bool) => bool.to_string(),
            Value::Number(number) => number.as_str().to_owned(),
            Value::String(text) => quoted(&self.filled(text)),
            Value::Array(elements) if name.starts_with('_') => quoted(&self.filled(&array(elements))),
            other => quoted(&self.filled(&other.to_string())),
        }
    }

    /// With a value in the place of placeholders that will have none.
    fn filled(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for placeholder in placeholders(text) {
            if !self.bound.contains(placeholder) && kind_of(placeholder).is_some() {
                filled = filled.replace(placeholder, &plain(placeholder));
            }
        }
        filled
    }
}

/// Everything of the form `${…}`.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("${").filter_map(|(at, _)| {
        let rest = text.get(at..)?;
        rest.get(..=rest.find('}')?)
    })
}

/// Whether a text is nothing but a placeholder of something that is captured.
fn is_placeholder(text: &str) -> bool {
    kind_of(text).is_some() && text.find('}') == Some(text.len() - 1)
}

/// The kind of what a placeholder captures; `None` for others.
fn kind_of(placeholder: &str) -> Option<&str> {
    let inside = placeholder.strip_prefix("${")?;
    let kind = inside.split([':', '}']).next()?;
    ["uuid", "int", "ref", "time", "text", "any"]
        .contains(&kind)
        .then_some(kind)
}

/// A value of a type for a placeholder that is all there is.
fn made_up(placeholder: &str, name: &str) -> String {
    match name {
        "timestamp" | "timestamptz" | "date" | "time" | "timetz" => "now()".to_owned(),
        "int2" | "int4" | "int8" | "numeric" | "float4" | "float8" | "oid" => {
            number_of(placeholder).to_string()
        }
        "bool" => "true".to_owned(),
        "uuid" => quoted(&uuid(placeholder)),
        "json" | "jsonb" => quoted(&Value::text(plain(placeholder)).to_string()),
        _ if name.starts_with('_') => quoted("{}"),
        _ => quoted(&plain(placeholder)),
    }
}

/// A text for a placeholder within a text.
fn plain(placeholder: &str) -> String {
    match kind_of(placeholder) {
        Some("uuid") => uuid(placeholder),
        Some("int") => number_of(placeholder).to_string(),
        Some("time") => "2000-01-01T00:00:00Z".to_owned(),
        _ => format!("made up {}", number_of(placeholder)),
    }
}

fn uuid(placeholder: &str) -> String {
    format!("00000000-0000-4000-8000-{:012}", number_of(placeholder))
}

/// The number in a placeholder's name, or one.
fn number_of(placeholder: &str) -> u64 {
    let digits: String = placeholder
        .chars()
        .filter(char::is_ascii_digit)
        .take(12)
        .collect();
    digits.parse().unwrap_or(1)
}

/// An array as PostgreSQL reads it.
fn array(elements: &[Value]) -> String {
    let elements: Vec<String> = elements
        .iter()
        .map(|element| match element {
            Value::Null => "NULL".to_owned(),
            Value::Array(elements) => array(elements),
            Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Value::Object(_) => {
                let text = element.to_string();
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            plain => plain.to_string(),
        })
        .collect();
    format!("{{{}}}", elements.join(","))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as it stands in a statement.
fn identifier(name: &str) -> String {
    let is_plain = name
        .chars()
        .enumerate()
        .all(|(at, c)| c.is_ascii_lowercase() || c == '_' || at > 0 && c.is_ascii_digit());
    if is_plain && !name.is_empty() && !RESERVED.contains(&name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Words that are no names without quotes. Source: PostgreSQL's documentation, appendix C, "SQL Key Words".
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];
