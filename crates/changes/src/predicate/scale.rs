//! The values that can be compared, and how each type reads them.

use std::borrow::Cow;
use std::cmp::Ordering;

use phoenix_wire::payload::changes::Exception;

use super::decimal::Decimal;
use super::moment::{Moment, Precision};
use crate::table::{Shape, Type};
use crate::value::oid;

/// How a type's values are read and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Two's complement of this many bits.
    Integer {
        bits: u32,
    },
    Numeric,
    Float4,
    Float8,
    Bool,
    /// By its characters. The order depends on the collation.
    Text,
    /// The same without blanks at the end: `char(n)`.
    PaddedText,
    Uuid,
    /// By its label. The order is not looked at: the catalog may know fewer labels than there are by now.
    Enum,
    Time(Precision),
}

/// A value that can be compared with others of the same scale. Equality and hash are those of the type: values that
/// Postgres takes for equal are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Datum<'a> {
    Integer(i64),
    Numeric(Decimal),
    /// Bits of a double, in the order of the doubles; one NaN, one zero.
    Float(u64),
    Bool(bool),
    Text(Cow<'a, str>),
    Uuid(u128),
    Time(Moment),
}

impl Scale {
    /// `None` for types whose values are not compared here.
    pub(crate) fn of(r#type: &Type) -> Option<Self> {
        let r#type = r#type.base();
        match &r#type.shape {
            Shape::Scalar => {}
            Shape::Enum { .. } => return Some(Self::Enum),
            Shape::Array { .. } | Shape::Domain { .. } | Shape::Composite { .. } => return None,
        }
        Some(match r#type.oid {
            oid::INT2 => Self::Integer { bits: 16 },
            oid::INT4 => Self::Integer { bits: 32 },
            oid::INT8 => Self::Integer { bits: 64 },
            oid::NUMERIC => Self::Numeric,
            oid::FLOAT4 => Self::Float4,
            oid::FLOAT8 => Self::Float8,
            oid::BOOL => Self::Bool,
            oid::TEXT | oid::VARCHAR | oid::NAME => Self::Text,
            oid::BPCHAR => Self::PaddedText,
            oid::UUID => Self::Uuid,
            oid::DATE => Self::Time(Precision::Date),
            oid::TIMESTAMP => Self::Time(Precision::Timestamp),
            oid::TIMESTAMPTZ => Self::Time(Precision::TimestampTz),
            _ => return None,
        })
    }

    /// Whether more can be said of two values than whether they are equal.
    pub(crate) fn is_ordered(&self) -> bool {
        !matches!(self, Self::Text | Self::PaddedText | Self::Enum)
    }

    /// Reads the text of a value of this type; `None` if it is none.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Option<Datum<'a>> {
        match self {
            Self::Integer { bits } => match read_integer(text) {
                Some(Some(value)) if fits(value, *bits) => Some(Datum::Integer(value)),
                _ => None,
            },
            Self::Numeric => Decimal::parse(text).map(Datum::Numeric),
            Self::Float4 => text
                .trim_matches(is_space)
                .parse::<f32>()
                .ok()
                .map(|value| ordered(value.into())),
            Self::Float8 => text.trim_matches(is_space).parse::<f64>().ok().map(ordered),
            Self::Bool => read_bool(text).map(Datum::Bool),
            Self::Text | Self::Enum => Some(Datum::Text(Cow::Borrowed(text))),
            Self::PaddedText => Some(Datum::Text(Cow::Borrowed(text.trim_end_matches(' ')))),
            Self::Uuid => read_uuid(text).map(Datum::Uuid),
            Self::Time(precision) => Moment::parse(text, *precision).map(Datum::Time),
        }
    }

    /// Reads a value a client gave for a column of type `type`. `None` if only the database can say whether it is one.
    pub(crate) fn parse(&self, text: &str, r#type: &Type) -> Result<Option<Datum<'static>>, Exception> {
        let r#type = r#type.base();
        let (type_name, value) = (sql_name(r#type), text.into());
        if let Shape::Enum { labels } = &r#type.shape
            && !labels.iter().any(|label| **label == *text)
        {
            return Err(Exception::EnumValue { type_name, value });
        }
        let found = self.read(text).map(Datum::into_owned);
        match (self, found) {
            (Self::Integer { .. }, None) if read_integer(text).is_some() => {
                Err(Exception::IntegerRange { type_name, value })
            }
            (Self::Float4 | Self::Float8, Some(datum)) if overflows(text, &datum) => {
                Err(Exception::FloatRange { type_name, value })
            }
            (_, Some(datum)) => Ok(Some(datum)),
            // There are more notations of dates and times than are read here.
            (Self::Time(_), None) => Ok(None),
            (_, None) => Err(Exception::Syntax { type_name, value }),
        }
    }
}

impl Datum<'_> {
    /// The order of two values of one scale. Values of different scales are in none and count as equal.
    pub(crate) fn order(&self, other: &Datum<'_>) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Datum::Integer(b)) => a.cmp(b),
            (Self::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
            (Self::Float(a), Datum::Float(b)) => a.cmp(b),
            (Self::Bool(a), Datum::Bool(b)) => a.cmp(b),
            (Self::Text(a), Datum::Text(b)) => a.cmp(b),
            (Self::Uuid(a), Datum::Uuid(b)) => a.cmp(b),
            (Self::Time(a), Datum::Time(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    fn into_owned(self) -> Datum<'static> {
        match self {
            Self::Integer(value) => Datum::Integer(value),
            Self::Numeric(value) => Datum::Numeric(value),
            Self::Float(value) => Datum::Float(value),
            Self::Bool(value) => Datum::Bool(value),
            Self::Text(value) => Datum::Text(Cow::Owned(value.into_owned())),
            Self::Uuid(value) => Datum::Uuid(value),
            Self::Time(value) => Datum::Time(value),
        }
    }
}

/// White space as C's `isspace` has it.
pub(super) fn is_space(found: char) -> bool {
    matches!(found, ' ' | '\t'..='\r')
}

/// `Some(None)` is an integer beyond 64 bits.
fn read_integer(text: &str) -> Option<Option<i64>> {
    let text = text.trim_matches(is_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer.then(|| text.parse().ok())
}

fn fits(value: i64, bits: u32) -> bool {
    let beyond = 64 - bits;
    value << beyond >> beyond == value
}

/// A double so that the order of the bits is that of `float8`: NaN above all others, zero without a sign.
fn ordered(value: f64) -> Datum<'static> {
    let value = if value.is_nan() {
        f64::NAN.abs()
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    let bits = value.to_bits();
    let negative = bits >> 63 == 1;
    Datum::Float(if negative { !bits } else { bits | 1 << 63 })
}

/// A number became infinite.
fn overflows(text: &str, datum: &Datum<'_>) -> bool {
    let is_infinite = [f64::INFINITY, f64::NEG_INFINITY]
        .into_iter()
        .any(|infinity| *datum == ordered(infinity));
    is_infinite && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// A whole word or its beginning, as far as it is clear which.
fn read_bool(text: &str) -> Option<bool> {
    let text = text.trim_matches(is_space).to_ascii_lowercase();
    let begins = |word: &str, shortest: usize| text.len() >= shortest && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || text == "on" || text == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// 32 digits, in groups of four if there are hyphens, in braces or not.
fn read_uuid(text: &str) -> Option<u128> {
    let body = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut value = 0_u128;
    let mut digits = 0;
    let mut chars = body.chars().peekable();
    while let Some(found) = chars.next() {
        value = value << 4 | u128::from(found.to_digit(16)?);
        digits += 1;
        if digits > 32 {
            return None;
        }
        if digits % 4 == 0 && digits < 32 {
            chars.next_if_eq(&'-');
        }
    }
    (digits == 32).then_some(value)
}

/// Whether a type has the operators `~~` and `~` of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextOperators {
    /// They are those of text.
    Known,
    /// It has `~~` alone, for bytes.
    Bytes,
    /// It belongs to an extension, which may have brought its own.
    Unknown,
    /// It has not.
    None,
}

/// Whether `~~` and `~` take such a column without a cast of their own.
pub(super) fn text_operators(r#type: &Type) -> TextOperators {
    let r#type = r#type.base();
    match r#type.oid {
        oid::TEXT | oid::NAME | oid::BPCHAR => TextOperators::Known,
        oid::BYTEA => TextOperators::Bytes,
        FIRST_OID_OF_USERS.. if r#type.shape == Shape::Scalar => TextOperators::Unknown,
        _ => TextOperators::None,
    }
}

/// Types from here on are not part of Postgres itself (`FirstNormalObjectId`).
const FIRST_OID_OF_USERS: u32 = 16_384;

/// What SQL calls a type.
pub(super) fn sql_name(r#type: &Type) -> Box<str> {
    if let Shape::Array { element, .. } = &r#type.shape {
        return format!("{}[]", sql_name(element)).into();
    }
    match &*r#type.name {
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "bool" => "boolean",
        "varchar" => "character varying",
        "bpchar" => "character",
        "char" => "\"char\"",
        "varbit" => "bit varying",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        "time" => "time without time zone",
        "timetz" => "time with time zone",
        other => other,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scalar;

    fn read<'a>(type_name: &str, text: &'a str) -> Option<Datum<'a>> {
        Scale::of(&scalar(type_name)).unwrap().read(text)
    }

    fn exception(type_name: &str, text: &str) -> String {
        let r#type = scalar(type_name);
        let parsed = Scale::of(&r#type).unwrap().parse(text, &r#type);
        parsed.expect_err(text).to_string()
    }

    #[test]
    fn values_a_type_takes_for_equal_are_equal() {
        for (type_name, a, b) in [
            ("int4", "5", " +05 "),
            ("int8", "-9223372036854775808", "-9223372036854775808"),
            ("numeric", "1.50", "15e-1"),
            ("float8", "-0", "0"),
            ("float8", "NaN", "-nan"),
            ("float4", "0.1", "0.10000000149"),
            ("bool", "t", "YES"),
            ("bool", "f", " of"),
            ("bpchar", "ab   ", "ab"),
            (
                "uuid",
                "11111111-1111-4111-8111-11111111abcd",
                "{1111-1111-1111-4111-8111-1111-1111-ABCD}",
            ),
            (
                "uuid",
                "11111111-1111-4111-8111-11111111abcd",
                "1111111111114111811111111111ABCD",
            ),
            (
                "timestamptz",
                "2026-01-31 10:00:00+00",
                "2026-01-31T12:00:00+02:00",
            ),
        ] {
            let (a, b) = (read(type_name, a), read(type_name, b));
            assert!(a.is_some() && a == b, "{type_name}: {a:?} {b:?}");
        }
        assert_ne!(read("text", "a "), read("text", "a"));
    }

    #[test]
    fn floats_are_in_the_order_of_postgres() {
        let ascending = [
            "-Infinity",
            "-1e300",
            "-1.5",
            "-1e-300",
            "0",
            "1e-300",
            "0.1",
            "1e300",
            "inf",
            "NaN",
        ];
        for pair in ascending.windows(2) {
            let [a, b] = [pair[0], pair[1]].map(|text| read("float8", text).unwrap());
            assert!(a.order(&b).is_lt(), "{pair:?}");
        }
    }

    #[test]
    fn what_a_type_cannot_read_is_told_as_the_database_tells_it() {
        for (type_name, text, message) in [
            (
                "int4",
                "abc",
                r#"22P02 (invalid_text_representation) invalid input syntax for type integer: "abc""#,
            ),
            (
                "int4",
                "",
                r#"22P02 (invalid_text_representation) invalid input syntax for type integer: """#,
            ),
            (
                "int4",
                "1.5",
                r#"22P02 (invalid_text_representation) invalid input syntax for type integer: "1.5""#,
            ),
            (
                "int4",
                "99999999999",
                r#"22003 (numeric_value_out_of_range) value "99999999999" is out of range for type integer"#,
            ),
            (
                "int2",
                "32768",
                r#"22003 (numeric_value_out_of_range) value "32768" is out of range for type smallint"#,
            ),
            (
                "int8",
                "9223372036854775808",
                r#"22003 (numeric_value_out_of_range) value "9223372036854775808" is out of range for type bigint"#,
            ),
            (
                "float8",
                "1e400",
                r#"22003 (numeric_value_out_of_range) "1e400" is out of range for type double precision"#,
            ),
            (
                "float4",
                "1e39",
                r#"22003 (numeric_value_out_of_range) "1e39" is out of range for type real"#,
            ),
            (
                "bool",
                "o",
                r#"22P02 (invalid_text_representation) invalid input syntax for type boolean: "o""#,
            ),
            (
                "uuid",
                "x",
                r#"22P02 (invalid_text_representation) invalid input syntax for type uuid: "x""#,
            ),
        ] {
            assert_eq!(exception(type_name, text), format!("ERROR {message}"));
        }
    }

    #[test]
    fn uuids_have_32_digits() {
        let digits = "1111111111114111811111111111abcd";
        assert!(read("uuid", digits).is_some());
        for text in [
            "",
            "{",
            &digits[1..],
            &format!("{digits}0"),
            &format!("{{{digits}"),
            &format!("{digits}-"),
            "é",
        ] {
            assert_eq!(read("uuid", text), None, "{text}");
        }
    }
}
