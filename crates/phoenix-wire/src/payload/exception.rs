//! What the database says against a binding, as the reference passes it on: `ERROR <sqlstate> (<condition>) <message>`.
//!
//! Source: protocol-spec/postgres-changes.md, section 3.

/// Why a binding is rejected although it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exception {
    /// The role of the token does not exist, or there is none.
    #[error("ERROR 42704 (undefined_object) role \"{0}\" does not exist")]
    RoleMissing(Box<str>),
    /// All the tables it stands for have row level security. Not an exception of the reference, which asks the policies.
    #[error(
        "table {schema}.{table} has row level security, which this server does not serve yet: nothing of it is delivered"
    )]
    RowSecurity {
        /// Schema of one of them.
        schema: Box<str>,
        /// Its name.
        table: Box<str>,
    },
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
    /// A value that is no date or time.
    #[error("ERROR 22007 (invalid_datetime_format) invalid input syntax for type {type_name}: \"{value}\"")]
    TimeSyntax {
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
    /// A condition this server does not evaluate.
    #[error(
        "ERROR 0A000 (feature_not_supported) operator {operator} cannot be evaluated on type {type_name}"
    )]
    NotEvaluated {
        /// The operator.
        operator: &'static str,
        /// SQL name of the column's type.
        type_name: Box<str>,
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
        ] {
            assert_eq!(exception.to_string(), text);
        }
    }
}
