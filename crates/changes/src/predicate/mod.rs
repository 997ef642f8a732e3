//! Conditions on a row, evaluated as Postgres would.
//!
//! A condition is compiled once for a column and then asked of the text of each value. The value it compares with is read
//! by the rules of the column's type, as the database would on a cast; so is the column's.
//!
//! What is evaluated here is what needs no collation, no regular expression and no operator of an extension: comparisons
//! of numbers, truth values, UUIDs and times, equality of these, of texts and of enums, `in` and `isdistinct`, `like`, and
//! `ilike` as long as only ASCII is involved, and `is` on any type.
//! Everything else is a [`Question`](crate::Question) to the database; it is never guessed. Two assumptions are made: text
//! is equal if its characters are (the collation is deterministic), and ASCII letters fold their case as in English.
//!
//! Three-valued logic: a comparison with NULL is neither true nor, negated, true. A value that is not known (not part of
//! the logged row) fails every condition. Neither needs the database. Source: protocol-spec/postgres-changes.md, section 4.

mod decimal;
mod like;
mod list;
mod moment;
mod scale;

use std::cmp::Ordering;

use phoenix_wire::payload::changes::Exception;

use crate::change::Cell;
use crate::filter::{Condition, Operator};
use crate::question::{Answers, Asked};
use crate::table::Type;
use crate::value::oid;

use like::LikePattern;
use scale::TextOperators;
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

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is satisfied.
    Holds,
    /// It is not.
    Fails,
    /// The database has to be asked.
    Open,
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
    /// In a list without values.
    InNothing,
    Distinct {
        scale: Scale,
        value: Datum<'static>,
    },
    Like(LikePattern),
    /// `ilike` with a pattern of ASCII; how other texts fold their case, the database knows.
    Ilike {
        pattern: LikePattern,
        asked: Asked,
    },
    IsNull,
    Is(bool),
    /// Only the database knows.
    Asked {
        asked: Asked,
        /// Whether the database has to accept the condition first.
        is_proven: bool,
        /// Of a `bytea` the digits alone are asked about, as the reference does.
        digits_only: bool,
    },
}

/// A truth value before negation, or what has to be asked to know it. NULL is `None`.
enum Outcome<'p, 't> {
    Known(Option<bool>),
    Ask(&'p Asked, &'t str),
}

/// A comparison operator of `pg_catalog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Comparison {
    /// Whether it holds for values in this order.
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Neq => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
        }
    }

    /// Whether it takes more than to know whether two values are equal.
    pub(crate) fn needs_order(self) -> bool {
        !matches!(self, Self::Eq | Self::Neq)
    }
}

impl Predicate {
    /// Compiles a condition for the column at `position`, whose type is `type`.
    ///
    /// # Errors
    ///
    /// The value is none of the type's, or the operator is none of the type's.
    pub(crate) fn compile(condition: &Condition, position: usize, r#type: &Type) -> Result<Self, Exception> {
        Ok(Self {
            position,
            test: compile_test(condition, r#type)?,
            negated: condition.negated,
        })
    }

    /// A condition on a column that is not there any more: nothing satisfies it, negated or not.
    pub(crate) fn of_no_column() -> Self {
        Self {
            position: usize::MAX,
            test: Test::InNothing,
            negated: false,
        }
    }

    /// Position of the column it looks at.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Whether the value of the column satisfies the condition, as far as memory and the database's answers tell.
    pub(crate) fn judge(&self, cell: Cell<'_>, answers: &Answers) -> Verdict {
        let outcome = match self.outcome(cell) {
            None => return Verdict::Fails,
            Some(Outcome::Known(outcome)) => outcome,
            Some(Outcome::Ask(asked, text)) => match answers.of(asked, text) {
                Some(answer) => answer,
                None => return Verdict::Open,
            },
        };
        if outcome.is_some_and(|outcome| outcome != self.negated) {
            Verdict::Holds
        } else {
            Verdict::Fails
        }
    }

    /// What has to be asked about the value of the column, and the text to ask it of.
    pub(crate) fn question<'t>(&self, cell: Cell<'t>) -> Option<(&Asked, &'t str)> {
        match self.outcome(cell)? {
            Outcome::Known(_) => None,
            Outcome::Ask(asked, text) => Some((asked, text)),
        }
    }

    /// Whether there are values it has to ask about.
    pub(crate) fn asks(&self) -> bool {
        matches!(self.test, Test::Ilike { .. } | Test::Asked { .. })
    }

    /// What the database has to accept before the condition can be used.
    pub(crate) fn unproven(&self) -> Option<&Asked> {
        match &self.test {
            Test::Asked {
                asked,
                is_proven: false,
                ..
            } => Some(asked),
            _ => None,
        }
    }

    /// `None` for a value that is not known.
    fn outcome<'t>(&self, cell: Cell<'t>) -> Option<Outcome<'_, 't>> {
        match cell {
            Cell::Absent => None,
            Cell::Null => Some(Outcome::Known(self.test.of_null())),
            Cell::Text(text) => Some(self.test.of_text(text)),
        }
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
    fn of_null(&self) -> Option<bool> {
        match self {
            // Nothing is in an empty list, not even NULL.
            Self::InNothing | Self::Is(_) => Some(false),
            Self::Distinct { .. } | Self::IsNull => Some(true),
            Self::Asked { asked, .. } => (asked.operator == Operator::IsDistinct).then_some(true),
            Self::Compare { .. } | Self::In { .. } | Self::Like(_) | Self::Ilike { .. } => None,
        }
    }

    fn of_text<'t>(&self, text: &'t str) -> Outcome<'_, 't> {
        Outcome::Known(match self {
            Self::Compare {
                scale,
                comparison,
                value,
            } => scale.read(text).map(|found| comparison.holds(found.order(value))),
            Self::In {
                scale,
                values,
                has_null,
            } => scale.read(text).and_then(|found| match values.contains(&found) {
                false if *has_null => None,
                outcome => Some(outcome),
            }),
            Self::InNothing | Self::IsNull => Some(false),
            Self::Distinct { scale, value } => scale.read(text).map(|found| found != *value),
            Self::Like(pattern) => Some(pattern.matches(text)),
            Self::Ilike { asked, .. } if !text.is_ascii() => return Outcome::Ask(asked, text),
            Self::Ilike { pattern, .. } => Some(pattern.matches(text)),
            Self::Is(wanted) => Some(text == if *wanted { "t" } else { "f" }),
            Self::Asked {
                asked, digits_only, ..
            } => {
                let digits = text.strip_prefix(r"\x").filter(|_| *digits_only);
                return Outcome::Ask(asked, digits.unwrap_or(text));
            }
        })
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
            return Ok(match parse(value, r#type)? {
                Some((scale, value)) => Test::Distinct { scale, value },
                None => ask(condition, r#type),
            });
        }
        Operator::Like | Operator::Ilike | Operator::Match | Operator::Imatch => {
            return compile_pattern(condition, r#type);
        }
    };
    Ok(match parse(value, r#type)? {
        Some((scale, _)) if comparison.needs_order() && !scale.is_ordered() => ask_proven(condition, r#type),
        Some((scale, value)) => Test::Compare {
            scale,
            comparison,
            value,
        },
        None => ask(condition, r#type),
    })
}

/// The value a client gave for a column, and how the column's are compared with it; `None` if only the database knows.
fn parse(value: &str, r#type: &Type) -> Result<Option<(Scale, Datum<'static>)>, Exception> {
    let Some(scale) = Scale::of(r#type) else {
        return Ok(None);
    };
    let value = scale.parse(value, r#type)?;
    Ok(value.map(|value| (scale, value)))
}

fn compile_list(condition: &Condition, r#type: &Type) -> Result<Test, Exception> {
    let literal = &*condition.value;
    let parsed = list::parse(literal);
    if parsed.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(Test::InNothing);
    }
    let (scale, elements) = match (Scale::of(r#type), parsed) {
        (Some(scale), Ok(elements)) => (scale, elements),
        (Some(_), Err(list::Problem::Malformed)) => {
            return Err(Exception::ArrayLiteral(literal.into()));
        }
        (_, Err(list::Problem::Nested)) | (None, _) => {
            if list::outer_len(literal) > LIST_VALUES_MAX {
                return Err(Exception::TooManyValues);
            }
            return Ok(ask(condition, r#type));
        }
    };
    let has_null = elements.iter().any(Option::is_none);
    let too_many = elements.len() > LIST_VALUES_MAX;
    let values = elements.iter().flatten().take(LIST_VALUES_MAX);
    let values: Option<Vec<_>> = values
        .map(|value| scale.parse(value, r#type))
        .collect::<Result<_, _>>()?;
    if too_many {
        return Err(Exception::TooManyValues);
    }
    Ok(match values {
        Some(values) => Test::In {
            scale,
            values,
            has_null,
        },
        None => ask(condition, r#type),
    })
}

fn compile_pattern(condition: &Condition, r#type: &Type) -> Result<Test, Exception> {
    let operator = condition.operator;
    let is_like = matches!(operator, Operator::Like | Operator::Ilike);
    match scale::text_operators(r#type) {
        TextOperators::Known => {}
        TextOperators::Unknown => return Ok(ask(condition, r#type)),
        TextOperators::Bytes if is_like => return Ok(ask(condition, r#type)),
        TextOperators::Bytes | TextOperators::None => {
            return Err(Exception::NeedsText {
                operator: operator.as_str(),
                type_name: scale::sql_name(r#type),
            });
        }
    }
    if !is_like {
        return Ok(ask(condition, r#type));
    }
    let fold_case = operator == Operator::Ilike;
    match LikePattern::new(&condition.value, fold_case) {
        Err(like::Problem::OpenEscape) => Err(Exception::OpenEscape),
        Err(like::Problem::TooLong) => Ok(ask_proven(condition, r#type)),
        Ok(pattern) if !fold_case => Ok(Test::Like(pattern)),
        Ok(_) if !condition.value.is_ascii() => Ok(ask_proven(condition, r#type)),
        Ok(pattern) => Ok(Test::Ilike {
            pattern,
            asked: asked(condition, r#type),
        }),
    }
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

/// A condition that only the database can evaluate, if it can.
fn ask(condition: &Condition, r#type: &Type) -> Test {
    Test::Asked {
        asked: asked(condition, r#type),
        is_proven: false,
        digits_only: r#type.base().oid == oid::BYTEA && !condition.value.starts_with(r"\x"),
    }
}

/// A condition that the database can evaluate for certain.
fn ask_proven(condition: &Condition, r#type: &Type) -> Test {
    Test::Asked {
        asked: asked(condition, r#type),
        is_proven: true,
        digits_only: false,
    }
}

fn asked(condition: &Condition, r#type: &Type) -> Asked {
    Asked {
        operator: condition.operator,
        type_sql: (&*r#type.sql).into(),
        value: (&*condition.value).into(),
    }
}

#[cfg(test)]
mod tests;
