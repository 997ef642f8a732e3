//! What the database says against a binding, as the reference passes it on: `ERROR <sqlstate> (<condition>) <message>`.
//!
//! Source: protocol-spec/postgres-changes.md, section 3.

/// Why a binding is rejected although it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exception {
    /// The role of the token does not exist, or there is none.
    #[error("ERROR 42704 (undefined_object) role \"{0}\" does not exist")]
    RoleMissing(Box<str>),
    /// A condition on a column that does not exist or that the role may not select.
    #[error("ERROR P0001 (raise_exception) invalid column for filter {0}")]
    FilterColumn(Box<str>),
    /// A selected column that does not exist or that the role may not select.
    #[error("ERROR P0001 (raise_exception) invalid column for select {0}")]
    SelectColumn(Box<str>),
    /// A list of more than 100 values.
    #[error("ERROR P0001 (raise_exception) too many values for `in` filter. Maximum 100")]
    TooManyValues,
    /// `is` with another word than it knows.
    #[error(
        "ERROR P0001 (raise_exception) invalid value for is filter: must be null, true, false, or unknown"
    )]
    IsValue,
    /// `is` with a truth value on a column of another type.
    #[error("ERROR P0001 (raise_exception) is {value} filter requires a boolean column, got {type_name}")]
    IsNeedsBoolean {
        /// `true`, `false` or `unknown`.
        value: Box<str>,
        /// SQL name of the column's type.
        type_name: Box<str>,
    },
    /// A text operator on a column without that operator.
    #[error(
        "ERROR P0001 (raise_exception) operator {operator} requires a text-compatible column type, got {type_name}"
    )]
    NeedsText {
        /// `like`, `ilike`, `match` or `imatch`.
        operator: &'static str,
        /// SQL name of the column's type.
        type_name: Box<str>,
    },
    /// A value the column's type cannot read.
    #[error(
        "ERROR 22P02 (invalid_text_representation) invalid input syntax for type {type_name}: \"{value}\""
    )]
    Syntax {
        /// SQL name of the type.
        type_name: Box<str>,
        /// The value.
        value: Box<str>,
    },
    /// A value that is none of an enum's.
    #[error(
        "ERROR 22P02 (invalid_text_representation) invalid input value for enum {type_name}: \"{value}\""
    )]
    EnumValue {
        /// Name of the enum.
        type_name: Box<str>,
        /// The value.
        value: Box<str>,
    },
    /// An integer too large for the column's type.
    #[error(
        "ERROR 22003 (numeric_value_out_of_range) value \"{value}\" is out of range for type {type_name}"
    )]
    IntegerRange {
        /// SQL name of the type.
        type_name: Box<str>,
        /// The value.
        value: Box<str>,
    },
    /// A floating-point number too large for the column's type.
    #[error("ERROR 22003 (numeric_value_out_of_range) \"{value}\" is out of range for type {type_name}")]
    FloatRange {
        /// SQL name of the type.
        type_name: Box<str>,
        /// The value.
        value: Box<str>,
    },
    /// A list that cannot be read.
    #[error("ERROR 22P02 (invalid_text_representation) malformed array literal: \"{0}\"")]
    ArrayLiteral(Box<str>),
    /// A pattern with nothing behind its last backslash.
    #[error("ERROR 22025 (invalid_escape_sequence) LIKE pattern must not end with escape character")]
    OpenEscape,
    /// A regular expression the database cannot read.
    #[error("ERROR P0001 (raise_exception) invalid regular expression for {operator} filter: {message}")]
    Regex {
        /// `match` or `imatch`.
        operator: &'static str,
        /// The database's words.
        message: Box<str>,
    },
    /// A binding that needs the former rows of a table of which the log has no more than the key. Not an exception of the
    /// reference, whose bindings cannot ask for that.
    #[error(
        "ERROR 55000 (object_not_in_prerequisite_state) {key} needs the old rows of table {schema}.{table}, which are not in the log: alter table {} replica identity full",
        quoted(.schema, .table)
    )]
    ReplicaIdentity {
        /// `deletes` or `left`.
        key: &'static str,
        /// Schema of the table.
        schema: Box<str>,
        /// Its name.
        table: Box<str>,
    },
    /// Whatever else the database says against a condition.
    #[error("ERROR {sqlstate} {}{message}", named(.condition))]
    Database {
        /// Five characters.
        sqlstate: Box<str>,
        /// What the code is called; empty if that is not known.
        condition: &'static str,
        /// The database's words.
        message: Box<str>,
    },
    /// Bindings that cover more tables than one channel may.
    #[error(
        "ERROR 54000 (program_limit_exceeded) the bindings of a channel may cover {max} tables, each counted for itself"
    )]
    TooManyTables {
        /// How many.
        max: usize,
    },
}

impl Exception {
    /// The database's answer with this code.
    pub fn database(sqlstate: &str, message: &str) -> Self {
        let known = CONDITIONS.iter().find(|(code, _)| *code == sqlstate);
        Self::Database {
            sqlstate: sqlstate.into(),
            condition: known.map_or("", |(_, name)| name),
            message: message.into(),
        }
    }
}

/// What codes are called that reading a value or comparing two may end in. Source: the PostgreSQL manual, appendix A.
const CONDITIONS: [(&str, &str); 30] = [
    ("0A000", "feature_not_supported"),
    ("21000", "cardinality_violation"),
    ("22000", "data_exception"),
    ("22001", "string_data_right_truncation"),
    ("22003", "numeric_value_out_of_range"),
    ("22007", "invalid_datetime_format"),
    ("22008", "datetime_field_overflow"),
    ("22009", "invalid_time_zone_displacement_value"),
    ("22012", "division_by_zero"),
    ("22019", "invalid_escape_character"),
    ("2201B", "invalid_regular_expression"),
    ("22021", "character_not_in_repertoire"),
    ("22023", "invalid_parameter_value"),
    ("22025", "invalid_escape_sequence"),
    ("22026", "string_data_length_mismatch"),
    ("2202E", "array_subscript_error"),
    ("22P02", "invalid_text_representation"),
    ("22P03", "invalid_binary_representation"),
    ("22P05", "untranslatable_character"),
    ("23502", "not_null_violation"),
    ("23514", "check_violation"),
    ("42501", "insufficient_privilege"),
    ("42704", "undefined_object"),
    ("42725", "ambiguous_function"),
    ("42804", "datatype_mismatch"),
    ("42846", "cannot_coerce"),
    ("42883", "undefined_function"),
    ("42P22", "indeterminate_collation"),
    ("54000", "program_limit_exceeded"),
    ("57014", "query_canceled"),
];

/// `(name) `, nothing without a name.
fn named(condition: &str) -> String {
    if condition.is_empty() {
        String::new()
    } else {
        format!("({condition}) ")
    }
}

/// A table as it has to be written in SQL, whatever its name.
fn quoted(schema: &str, table: &str) -> String {
    let [schema, table] = [schema, table].map(|name| name.replace('"', "\"\""));
    format!("\"{schema}\".\"{table}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_read_as_those_of_the_reference() {
        for (exception, text) in [
            (
                Exception::FilterColumn("nope".into()),
                "ERROR P0001 (raise_exception) invalid column for filter nope",
            ),
            (
                Exception::IsNeedsBoolean {
                    value: "true".into(),
                    type_name: "integer".into(),
                },
                "ERROR P0001 (raise_exception) is true filter requires a boolean column, got integer",
            ),
            (
                Exception::Syntax {
                    type_name: "integer".into(),
                    value: "abc".into(),
                },
                "ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: \"abc\"",
            ),
            (
                Exception::IntegerRange {
                    type_name: "integer".into(),
                    value: "99999999999".into(),
                },
                "ERROR 22003 (numeric_value_out_of_range) value \"99999999999\" is out of range for type integer",
            ),
            (
                Exception::Regex {
                    operator: "match",
                    message: "invalid regular expression: brackets [] not balanced".into(),
                },
                "ERROR P0001 (raise_exception) invalid regular expression for match filter: \
                 invalid regular expression: brackets [] not balanced",
            ),
            (
                Exception::database("22007", r#"invalid input syntax for type date: "x""#),
                r#"ERROR 22007 (invalid_datetime_format) invalid input syntax for type date: "x""#,
            ),
            (
                Exception::database("ZZ123", "something of an extension"),
                "ERROR ZZ123 something of an extension",
            ),
            (
                Exception::ReplicaIdentity {
                    key: "left",
                    schema: "public".into(),
                    table: "a \"b\"".into(),
                },
                "ERROR 55000 (object_not_in_prerequisite_state) left needs the old rows of table public.a \"b\", which \
                 are not in the log: alter table \"public\".\"a \"\"b\"\"\" replica identity full",
            ),
        ] {
            assert_eq!(exception.to_string(), text);
        }
    }
}
