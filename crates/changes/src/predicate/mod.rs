//! Conditions on a row, evaluated as Postgres would.
//!
//! A condition is compiled once for a column and then asked of the text of each value. The value it compares with is read
//! by the rules of the column's type, as the database would on a cast; so is the column's.
//!
//! What can be evaluated is what needs no collation, no regular expression and no operator of an extension: comparisons
//! of numbers, truth values, UUIDs and times, equality of these, of texts and of enums, `in` and `isdistinct`, `like` and
//! `ilike`, and `is` on any type.
//! Everything else is rejected when it is subscribed to, never silently false.
//!
//! Three-valued logic: a comparison with NULL is neither true nor, negated, true. A value that is not known (not part of
//! the logged row) fails every condition. Source: protocol-spec/postgres-changes.md, section 4.

mod decimal;
mod like;
mod list;
mod moment;
mod scale;

use std::cmp::Ordering;

use phoenix_wire::payload::changes::Exception;

use crate::change::Cell;
use crate::filter::{Condition, Operator};
use crate::table::Type;

use like::LikePattern;
pub(crate) use scale::{Datum, Scale};

/// Values an `in` list may have.
const LIST_VALUES_MAX: usize = 100;

/// A compiled condition on one column.
#[derive(Clone, Debug)]
pub(crate) struct Predicate {
    /// Position of the column.
    position: usize,
    test: Test,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Compare {
        scale: Scale,
        comparison: Comparison,
        value: Datum<'static>,
    },
    In {
        scale: Scale,
        values: Vec<Datum<'static>>,
        /// NULL is in the list: whether a value that is not found is in it, nobody knows.
        has_null: bool,
    },
    Distinct {
        scale: Scale,
        value: Datum<'static>,
    },
    Like(LikePattern),
    IsNull,
    Is(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Comparison {
    /// Whether it holds for values in this order.
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Neq => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
        }
    }

    fn needs_order(self) -> bool {
        !matches!(self, Self::Eq | Self::Neq)
    }
}

impl Predicate {
    /// Compiles a condition for the column at `position`, whose type is `type`.
    ///
    /// # Errors
    ///
    /// The value is none of the type's, the operator is none of the type's, or both are but cannot be evaluated here.
    pub(crate) fn compile(condition: &Condition, position: usize, r#type: &Type) -> Result<Self, Exception> {
        Ok(Self {
            position,
            test: compile_test(condition, r#type)?,
            negated: condition.negated,
        })
    }

    /// Position of the column it looks at.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Whether the value of the column satisfies the condition.
    pub(crate) fn holds(&self, cell: Cell<'_>) -> bool {
        let text = match cell {
            Cell::Absent => return false,
            Cell::Null => None,
            Cell::Text(text) => Some(text),
        };
        self.test
            .outcome(text)
            .is_some_and(|outcome| outcome != self.negated)
    }

    /// The one value the column has to have, if that is what the condition says.
    pub(crate) fn required_value(&self) -> Option<(Scale, &Datum<'static>)> {
        match &self.test {
            Test::Compare {
                scale,
                comparison: Comparison::Eq,
                value,
            } if !self.negated => Some((scale.clone(), value)),
            _ => None,
        }
    }
}

impl Test {
    /// The truth value before negation; `None` is NULL.
    fn outcome(&self, text: Option<&str>) -> Option<bool> {
        match self {
            Self::Compare {
                scale,
                comparison,
                value,
            } => scale
                .read(text?)
                .map(|found| comparison.holds(found.order(value))),
            // Nothing is in an empty list, not even NULL.
            Self::In {
                values,
                has_null: false,
                ..
            } if values.is_empty() => Some(false),
            Self::In {
                scale,
                values,
                has_null,
            } => {
                let found = scale.read(text?)?;
                match values.contains(&found) {
                    false if *has_null => None,
                    outcome => Some(outcome),
                }
            }
            Self::Distinct { scale, value } => match text {
                None => Some(true),
                Some(text) => scale.read(text).map(|found| found != *value),
            },
            Self::Like(pattern) => text.map(|text| pattern.matches(text)),
            Self::IsNull => Some(text.is_none()),
            Self::Is(wanted) => Some(text == Some(if *wanted { "t" } else { "f" })),
        }
    }
}

fn compile_test(condition: &Condition, r#type: &Type) -> Result<Test, Exception> {
    let value = &*condition.value;
    let comparison = match condition.operator {
        Operator::Eq => Comparison::Eq,
        Operator::Neq => Comparison::Neq,
        Operator::Lt => Comparison::Lt,
        Operator::Lte => Comparison::Lte,
        Operator::Gt => Comparison::Gt,
        Operator::Gte => Comparison::Gte,
        Operator::In => return compile_list(condition, r#type),
        Operator::Is => return compile_is(value, r#type),
        Operator::IsDistinct => {
            let scale = scale(condition.operator, r#type)?;
            let value = scale.parse(value, r#type)?;
            return Ok(Test::Distinct { scale, value });
        }
        Operator::Like | Operator::Ilike | Operator::Match | Operator::Imatch => {
            return compile_pattern(condition, r#type);
        }
    };
    let scale = scale(condition.operator, r#type)?;
    let value = scale.parse(value, r#type)?;
    if comparison.needs_order() && !scale.is_ordered() {
        return Err(not_evaluated(condition.operator, r#type));
    }
    Ok(Test::Compare {
        scale,
        comparison,
        value,
    })
}

fn compile_list(condition: &Condition, r#type: &Type) -> Result<Test, Exception> {
    let scale = scale(condition.operator, r#type)?;
    let elements = list::parse(&condition.value).map_err(|problem| match problem {
        list::Problem::Malformed => Exception::ArrayLiteral(condition.value.clone()),
        list::Problem::Nested => not_evaluated(condition.operator, r#type),
    })?;
    let has_null = elements.iter().any(Option::is_none);
    let too_many = elements.len() > LIST_VALUES_MAX;
    let values = elements.iter().flatten().take(LIST_VALUES_MAX);
    let values = values
        .map(|value| scale.parse(value, r#type))
        .collect::<Result<_, _>>()?;
    if too_many {
        return Err(Exception::TooManyValues);
    }
    Ok(Test::In {
        scale,
        values,
        has_null,
    })
}

fn compile_pattern(condition: &Condition, r#type: &Type) -> Result<Test, Exception> {
    if !scale::has_text_operators(r#type) {
        return Err(Exception::NeedsText {
            operator: condition.operator.as_str(),
            type_name: scale::sql_name(r#type),
        });
    }
    let fold_case = match condition.operator {
        Operator::Like => false,
        Operator::Ilike => true,
        _ => return Err(not_evaluated(condition.operator, r#type)),
    };
    let pattern = LikePattern::new(&condition.value, fold_case).map_err(|problem| match problem {
        like::Problem::OpenEscape => Exception::OpenEscape,
        like::Problem::TooLong => not_evaluated(condition.operator, r#type),
    })?;
    Ok(Test::Like(pattern))
}

fn compile_is(value: &str, r#type: &Type) -> Result<Test, Exception> {
    let test = match value {
        "null" => return Ok(Test::IsNull),
        "unknown" => Test::IsNull,
        "true" => Test::Is(true),
        "false" => Test::Is(false),
        _ => return Err(Exception::IsValue),
    };
    if Scale::of(r#type) == Some(Scale::Bool) {
        Ok(test)
    } else {
        Err(Exception::IsNeedsBoolean {
            value: value.into(),
            type_name: scale::sql_name(r#type),
        })
    }
}

fn scale(operator: Operator, r#type: &Type) -> Result<Scale, Exception> {
    Scale::of(r#type).ok_or_else(|| not_evaluated(operator, r#type))
}

fn not_evaluated(operator: Operator, r#type: &Type) -> Exception {
    Exception::NotEvaluated {
        operator: operator.as_str(),
        type_name: scale::sql_name(r#type),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::filter;
    use crate::table::Shape;
    use crate::testing::scalar;

    fn compile(r#type: &Type, condition: &str) -> Result<Predicate, Exception> {
        let conditions = filter::parse(&format!("c={condition}")).unwrap();
        Predicate::compile(&conditions[0], 0, r#type)
    }

    /// Which of the values satisfy the condition; `~` is NULL.
    fn satisfying<'a>(type_name: &str, condition: &str, values: &[&'a str]) -> Vec<&'a str> {
        let predicate =
            compile(&scalar(type_name), condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
        assert!(!predicate.holds(Cell::Absent), "{condition}");
        let holds = |value: &&'a str| match *value {
            "~" => predicate.holds(Cell::Null),
            text => predicate.holds(Cell::Text(text)),
        };
        values.iter().copied().filter(holds).collect()
    }

    fn error(type_name: &str, condition: &str) -> String {
        let text = compile(&scalar(type_name), condition)
            .expect_err(condition)
            .to_string();
        text.split_once(") ").unwrap().1.to_owned()
    }

    #[test]
    fn comparisons_leave_null_out_negated_or_not() {
        let values = ["4", "5", "6", "~"];
        for (condition, expected) in [
            ("eq.5", &["5"][..]),
            ("neq.5", &["4", "6"]),
            ("lt.5", &["4"]),
            ("lte.5", &["4", "5"]),
            ("gt.5", &["6"]),
            ("gte.5", &["5", "6"]),
            ("not.eq.5", &["4", "6"]),
            ("not.neq.5", &["5"]),
            ("not.gt.5", &["4", "5"]),
        ] {
            assert_eq!(satisfying("int4", condition, &values), expected, "{condition}");
        }
    }

    #[test]
    fn values_are_compared_as_those_of_the_column() {
        for (type_name, condition, values, expected) in [
            (
                "numeric",
                "eq.1.50",
                &["1.5", "1.50", "1.51"][..],
                &["1.5", "1.50"][..],
            ),
            (
                "numeric",
                "gt.1e1",
                &["10", "10.0001", "NaN"],
                &["10.0001", "NaN"],
            ),
            ("float8", "gt.0.1", &["0.1", "0.2", "NaN"], &["0.2", "NaN"]),
            ("float8", "eq.NaN", &["0.1", "NaN"], &["NaN"]),
            ("bool", "eq.true", &["t", "f", "~"], &["t"]),
            ("bool", "eq.f", &["t", "f", "~"], &["f"]),
            (
                "date",
                "lt.2026-02-01",
                &["2026-01-31", "2026-02-01", "infinity"],
                &["2026-01-31"],
            ),
            (
                "timestamptz",
                "gte.2026-01-31T12:00:00+02:00",
                &["2026-01-31 10:00:00+00", "2026-01-31 09:59:59+00"],
                &["2026-01-31 10:00:00+00"],
            ),
            (
                "uuid",
                "eq.11111111-1111-4111-8111-11111111ABCD",
                &["11111111-1111-4111-8111-11111111abcd"],
                &["11111111-1111-4111-8111-11111111abcd"],
            ),
            (
                "int8",
                "eq.9007199254740993",
                &["9007199254740992", "9007199254740993"],
                &["9007199254740993"],
            ),
            ("varchar", "eq.abc", &["abc", "ABC", "abc "], &["abc"]),
        ] {
            assert_eq!(satisfying(type_name, condition, values), expected, "{condition}");
        }
    }

    #[test]
    fn a_list_with_null_is_never_without_a_value() {
        let values = ["1", "2", "9", "~"];
        for (condition, expected) in [
            ("in.(1,2,3)", &["1", "2"][..]),
            ("not.in.(1,2,3)", &["9"]),
            ("in.( 1 ,null)", &["1"]),
            ("not.in.(1,NULL)", &[]),
            ("in.()", &[]),
            ("not.in.()", &["1", "2", "9", "~"]),
        ] {
            assert_eq!(satisfying("int4", condition, &values), expected, "{condition}");
        }
        let texts = ["abc", "def", "a,b", "", "~"];
        assert_eq!(satisfying("text", "in.(abc, def)", &texts), ["abc", "def"]);
        assert_eq!(satisfying("text", r#"in.("a,b","")"#, &texts), ["a,b", ""]);
    }

    #[test]
    fn is_and_isdistinct_know_null() {
        let values = ["t", "f", "~"];
        for (condition, expected) in [
            ("is.null", &["~"][..]),
            ("not.is.null", &["t", "f"]),
            ("is.unknown", &["~"]),
            ("is.true", &["t"]),
            ("not.is.true", &["f", "~"]),
            ("is.false", &["f"]),
            ("isdistinct.true", &["f", "~"]),
            ("not.isdistinct.true", &["t"]),
        ] {
            assert_eq!(satisfying("bool", condition, &values), expected, "{condition}");
        }
        assert_eq!(
            satisfying("text", "isdistinct.null", &["null", "x", "~"]),
            ["x", "~"]
        );
    }

    #[test]
    fn patterns_are_those_of_like() {
        let values = ["abc", "ABC", "xyz", "a*", "", "~"];
        for (condition, expected) in [
            ("like.a%", &["abc", "a*"][..]),
            ("ilike.A%", &["abc", "ABC", "a*"]),
            ("not.like.a%", &["ABC", "xyz", ""]),
            ("like.a*", &["a*"]),
        ] {
            assert_eq!(satisfying("text", condition, &values), expected, "{condition}");
        }
        assert_eq!(
            error("text", r"like.a\"),
            "LIKE pattern must not end with escape character"
        );
    }

    #[test]
    fn conditions_are_rejected_in_the_words_of_the_database() {
        for (type_name, condition, message) in [
            (
                "int4",
                "eq.abc",
                r#"invalid input syntax for type integer: "abc""#,
            ),
            (
                "int4",
                "in.(1,x)",
                r#"invalid input syntax for type integer: "x""#,
            ),
            ("int4", "in.(1,)", r#"malformed array literal: "{1,}""#),
            (
                "int4",
                "like.5",
                "operator like requires a text-compatible column type, got integer",
            ),
            (
                "varchar",
                "like.ab%",
                "operator like requires a text-compatible column type, got character varying",
            ),
            (
                "int4",
                "is.true",
                "is true filter requires a boolean column, got integer",
            ),
            (
                "text",
                "is.NULL",
                "invalid value for is filter: must be null, true, false, or unknown",
            ),
        ] {
            assert_eq!(error(type_name, condition), message, "{condition}");
        }
        let list = |values: usize| format!("in.({})", vec!["1"; values].join(","));
        assert!(compile(&scalar("int4"), &list(LIST_VALUES_MAX)).is_ok());
        assert_eq!(
            error("int4", &list(LIST_VALUES_MAX + 1)),
            "too many values for `in` filter. Maximum 100"
        );
        let array = Type {
            oid: 1009,
            name: "_text".into(),
            sql: "pg_catalog._text".into(),
            shape: Shape::Array {
                element: scalar("text"),
                delimiter: ',',
            },
        };
        assert_eq!(
            compile(&array, "match.x").expect_err("an array").to_string(),
            "ERROR P0001 (raise_exception) operator match requires a text-compatible column type, got text[]"
        );
    }

    #[test]
    fn what_needs_a_collation_a_pattern_or_an_unknown_operator_is_not_evaluated() {
        for (type_name, condition) in [
            ("text", "gt.a"),
            ("varchar", "lte.a"),
            ("name", "match.^a"),
            ("text", "imatch.^a"),
            ("jsonb", "eq.{}"),
            ("int4", "in.({1},{2})"),
        ] {
            assert!(
                error(type_name, condition).contains("cannot be evaluated"),
                "{type_name} {condition}"
            );
        }
        // Whether a value is there can be said of every type.
        assert!(compile(&scalar("jsonb"), "is.null").is_ok());
    }

    #[test]
    fn enums_and_domains_are_compared_too() {
        let mood = Arc::new(Type {
            oid: 90_000,
            name: "mood".into(),
            sql: "public.mood".into(),
            shape: Shape::Enum {
                labels: vec!["sad".into(), "ok".into()],
            },
        });
        let sad = compile(&mood, "eq.sad").unwrap();
        assert!(sad.holds(Cell::Text("sad")) && !sad.holds(Cell::Text("ok")));
        assert_eq!(
            compile(&mood, "eq.glad").expect_err("no label").to_string(),
            r#"ERROR 22P02 (invalid_text_representation) invalid input value for enum mood: "glad""#
        );
        assert!(compile(&mood, "lt.ok").is_err());
        let positive = Type {
            oid: 90_001,
            name: "positive".into(),
            sql: "public.positive".into(),
            shape: Shape::Domain { base: scalar("int4") },
        };
        assert!(compile(&positive, "gt.5").unwrap().holds(Cell::Text("10")));
    }

    #[test]
    fn only_equality_requires_one_value() {
        let required = |condition: &str| {
            compile(&scalar("int4"), condition)
                .unwrap()
                .required_value()
                .is_some()
        };
        assert!(required("eq.5"));
        for condition in [
            "not.eq.5",
            "neq.5",
            "gte.5",
            "in.(5)",
            "not.isdistinct.5",
            "is.null",
        ] {
            assert!(!required(condition), "{condition}");
        }
    }
}
