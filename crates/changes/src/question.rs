//! What the database is asked, because memory cannot tell: comparisons by a collation, regular expressions, and operators
//! of types that are not known here.
//!
//! Nothing is asked here. A [`Question`] says what the answer is needed for, [`Answers`] hold what came back, and
//! [`Unproven`] is what has to be tried once before a subscription is accepted. All of it is about the condition without
//! its `not.`, which is applied to the answer.

use std::collections::HashMap;
use std::sync::Arc;

use phoenix_wire::payload::changes::Exception;

use crate::filter::Operator;

/// Whether a value satisfies a condition: `text::type operator value::type`.
///
/// The value of [`Operator::In`] is the literal of an array of the type. The texts are those of the stream and of the
/// client; to be read as they are meant, they need the settings named in [`crate::pgoutput`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// What is asked.
    pub operator: Operator,
    /// [`crate::Type::sql`] of the column's type.
    pub type_sql: Arc<str>,
    /// What the column is compared with.
    pub value: Arc<str>,
    /// What is in the column; never NULL.
    pub text: Box<str>,
}

/// A condition that has to be tried before its subscription is accepted: whether the type reads the value, and whether
/// it has the operator. A regular expression is to be tried on the empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// Which of the subscription's bindings it is a condition of.
    pub binding: usize,
    /// What is asked.
    pub operator: Operator,
    /// [`crate::Type::sql`] of the column's type.
    pub type_sql: Arc<str>,
    /// What the column is compared with; see [`Question`].
    pub value: Arc<str>,
}

impl Unproven {
    /// What a binding is rejected with ([`crate::Binding::rejected`]) when the database answered with this code and
    /// message. Source: protocol-spec/postgres-changes.md, section 3.
    pub fn refused(&self, sqlstate: &str, message: &str) -> Exception {
        let operator = self.operator.as_str();
        match self.operator {
            Operator::Match | Operator::Imatch if sqlstate != UNDEFINED_FUNCTION => Exception::Regex {
                operator,
                message: message.into(),
            },
            Operator::Match | Operator::Imatch | Operator::Like | Operator::Ilike
                if sqlstate == UNDEFINED_FUNCTION =>
            {
                Exception::NeedsText {
                    operator,
                    type_name: (*self.type_sql).into(),
                }
            }
            _ => Exception::database(sqlstate, message),
        }
    }
}

/// The SQLSTATE of an operator that does not exist.
const UNDEFINED_FUNCTION: &str = "42883";

/// What the database has answered. A question that it has not answered, or that failed, is none of them, and what
/// depends on it is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(HashMap<Asked, HashMap<Box<str>, Option<bool>>>);

impl Answers {
    /// Takes in an answer; `None` is NULL.
    pub fn insert(&mut self, question: Question, answer: Option<bool>) {
        let Question {
            operator,
            type_sql,
            value,
            text,
        } = question;
        let asked = Asked {
            operator,
            type_sql,
            value,
        };
        self.0.entry(asked).or_default().insert(text, answer);
    }

    /// Whether there is an answer.
    pub fn has(&self, question: &Question) -> bool {
        let Question {
            operator,
            type_sql,
            value,
            text,
        } = question;
        let asked = Asked {
            operator: *operator,
            type_sql: type_sql.clone(),
            value: value.clone(),
        };
        self.of(&asked, text).is_some()
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer for this text, if there is one.
    pub(crate) fn of(&self, asked: &Asked, text: &str) -> Option<Option<bool>> {
        self.0.get(asked)?.get(text).copied()
    }
}

impl FromIterator<(Question, Option<bool>)> for Answers {
    fn from_iter<I: IntoIterator<Item = (Question, Option<bool>)>>(answered: I) -> Self {
        let mut answers = Self::default();
        for (question, answer) in answered {
            answers.insert(question, answer);
        }
        answers
    }
}

/// What is asked of every text of a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) operator: Operator,
    pub(crate) type_sql: Arc<str>,
    pub(crate) value: Arc<str>,
}

impl Asked {
    pub(crate) fn of(&self, text: &str) -> Question {
        Question {
            operator: self.operator,
            type_sql: Arc::clone(&self.type_sql),
            value: Arc::clone(&self.value),
            text: text.into(),
        }
    }

    pub(crate) fn unproven(&self, binding: usize) -> Unproven {
        Unproven {
            binding,
            operator: self.operator,
            type_sql: Arc::clone(&self.type_sql),
            value: Arc::clone(&self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unproven(operator: Operator) -> Unproven {
        Unproven {
            binding: 0,
            operator,
            type_sql: "public.odd".into(),
            value: "[".into(),
        }
    }

    #[test]
    fn refusals_are_told_in_the_words_of_the_reference() {
        for (operator, sqlstate, message, told) in [
            (
                Operator::Match,
                "2201B",
                "invalid regular expression: brackets [] not balanced",
                "ERROR P0001 (raise_exception) invalid regular expression for match filter: \
                 invalid regular expression: brackets [] not balanced",
            ),
            (
                Operator::Imatch,
                "42883",
                "operator does not exist: public.odd ~* public.odd",
                "ERROR P0001 (raise_exception) operator imatch requires a text-compatible column type, got public.odd",
            ),
            (
                Operator::Like,
                "42883",
                "operator does not exist: public.odd ~~ public.odd",
                "ERROR P0001 (raise_exception) operator like requires a text-compatible column type, got public.odd",
            ),
            (
                Operator::Eq,
                "42883",
                "operator does not exist: json = json",
                "ERROR 42883 (undefined_function) operator does not exist: json = json",
            ),
            (
                Operator::Lt,
                "22007",
                r#"invalid input syntax for type date: "x""#,
                r#"ERROR 22007 (invalid_datetime_format) invalid input syntax for type date: "x""#,
            ),
        ] {
            let exception = unproven(operator).refused(sqlstate, message);
            assert_eq!(exception.to_string(), told);
        }
    }

    #[test]
    fn no_answer_differs_from_null() {
        let asked = Asked {
            operator: Operator::Match,
            type_sql: "pg_catalog.text".into(),
            value: "^a".into(),
        };
        let answers = Answers::from_iter([(asked.of("a"), Some(true)), (asked.of("b"), None)]);
        assert_eq!(answers.of(&asked, "a"), Some(Some(true)));
        assert_eq!(answers.of(&asked, "b"), Some(None));
        assert_eq!(answers.of(&asked, "c"), None);
        let other = Asked {
            operator: Operator::Imatch,
            ..asked
        };
        assert_eq!(answers.of(&other, "a"), None);
    }
}
