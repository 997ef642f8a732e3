//! Conditions with a truth value for a row and a viewer.
//!
//! Three-valued logic as in SQL, and a fourth value: what is not known. Reading a row never fails, so a value that is not
//! known is some value, and a condition that does not depend on it is decided.

use crate::predicate::{Comparison, Datum};

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// Of operands of the same kind.
    Compare(Comparison, Operand, Operand),
    Distinct(Operand, Operand),
    IsNull(Operand),
    Is(Box<Condition>, Option<bool>),
    /// A boolean value.
    Value(Operand),
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A value of the row, by its place among those that are read.
    Cell(usize),
    /// A value of the viewer, by its place among those that are evaluated.
    Own(usize),
    Constant(Option<Datum<'static>>),
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known<'a> {
    /// Nothing.
    Nothing,
    Null,
    Value(Datum<'a>),
}

/// A truth value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    False,
    Null,
    True,
    /// One of the others.
    Unknown,
}

impl Condition {
    /// The truth value for the cells of a row and the values of a viewer.
    pub(super) fn truth(&self, row: &[Known<'_>], own: &[Option<Datum<'static>>]) -> Truth {
        match self {
            Self::And(parts) => all(parts.iter().map(|part| part.truth(row, own))),
            Self::Or(parts) => any(parts.iter().map(|part| part.truth(row, own))),
            Self::Not(part) => part.truth(row, own).not(),
            Self::Compare(comparison, left, right) => {
                match (left.look_up(row, own), right.look_up(row, own)) {
                    (Found::Null, _) | (_, Found::Null) => Truth::Null,
                    (Found::Value(left), Found::Value(right)) => comparison.holds(left.order(right)).into(),
                    _ => Truth::Unknown,
                }
            }
            Self::Distinct(left, right) => match (left.look_up(row, own), right.look_up(row, own)) {
                (Found::Value(left), Found::Value(right)) => left.order(right).is_ne().into(),
                (Found::Nothing, _) | (_, Found::Nothing) => Truth::Unknown,
                (left, right) => (!matches!((left, right), (Found::Null, Found::Null))).into(),
            },
            Self::IsNull(value) => match value.look_up(row, own) {
                Found::Nothing => Truth::Unknown,
                found => matches!(found, Found::Null).into(),
            },
            Self::Is(part, wanted) => match (part.truth(row, own), wanted) {
                (Truth::Unknown, _) => Truth::Unknown,
                (found, Some(true)) => (found == Truth::True).into(),
                (found, Some(false)) => (found == Truth::False).into(),
                (found, None) => (found == Truth::Null).into(),
            },
            Self::Value(value) => match value.look_up(row, own) {
                Found::Null => Truth::Null,
                Found::Value(Datum::Bool(value)) => (*value).into(),
                _ => Truth::Unknown,
            },
        }
    }
}

/// False if one is, whatever the others are.
pub(super) fn all(parts: impl IntoIterator<Item = Truth>) -> Truth {
    let mut found = Truth::True;
    for part in parts {
        found = match (found, part) {
            (_, Truth::False) => return Truth::False,
            (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
            (Truth::Null, _) | (_, Truth::Null) => Truth::Null,
            _ => Truth::True,
        };
    }
    found
}

/// True if one is, whatever the others are.
pub(super) fn any(parts: impl IntoIterator<Item = Truth>) -> Truth {
    all(parts.into_iter().map(Truth::not)).not()
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            same => same,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// A value an operand stands for.
#[derive(Clone, Copy)]
enum Found<'a> {
    Nothing,
    Null,
    Value(&'a Datum<'a>),
}

impl Operand {
    fn look_up<'a>(&'a self, row: &'a [Known<'_>], own: &'a [Option<Datum<'static>>]) -> Found<'a> {
        let value = match self {
            Self::Cell(at) => {
                return match row.get(*at) {
                    None | Some(Known::Nothing) => Found::Nothing,
                    Some(Known::Null) => Found::Null,
                    Some(Known::Value(value)) => Found::Value(value),
                };
            }
            Self::Own(at) => match own.get(*at) {
                Some(value) => value,
                None => return Found::Nothing,
            },
            Self::Constant(value) => value,
        };
        value.as_ref().map_or(Found::Null, Found::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Truth::{False, Null, True, Unknown};

    #[test]
    fn the_tables_of_three_valued_logic_and_of_what_is_not_known() {
        for (a, b, and, or) in [
            (True, True, True, True),
            (True, False, False, True),
            (True, Null, Null, True),
            (True, Unknown, Unknown, True),
            (False, False, False, False),
            (False, Null, False, Null),
            (False, Unknown, False, Unknown),
            (Null, Null, Null, Null),
            (Null, Unknown, Unknown, Unknown),
            (Unknown, Unknown, Unknown, Unknown),
        ] {
            for parts in [[a, b], [b, a]] {
                assert_eq!(all(parts), and, "{parts:?}");
                assert_eq!(any(parts), or, "{parts:?}");
            }
        }
        assert_eq!((all([]), any([])), (True, False));
        assert_eq!(all([Unknown, Null, False]), False);
        assert_eq!(all([Unknown, Null, True]), Unknown);
    }

    #[test]
    fn null_is_distinct_from_values_and_no_value_equals_it() {
        let one = Operand::Constant(Some(Datum::Integer(1)));
        let null = Operand::Constant(None);
        let unread = Operand::Cell(0);
        let distinct = |a: &Operand, b: &Operand| {
            Condition::Distinct(a.clone(), b.clone()).truth(&[Known::Nothing], &[])
        };
        let differ = |a: &Operand, b: &Operand| {
            Condition::Compare(Comparison::Neq, a.clone(), b.clone()).truth(&[Known::Nothing], &[])
        };
        assert_eq!((distinct(&one, &one), differ(&one, &one)), (False, False));
        assert_eq!((distinct(&one, &null), differ(&one, &null)), (True, Null));
        assert_eq!((distinct(&null, &null), differ(&null, &null)), (False, Null));
        assert_eq!(
            (distinct(&null, &unread), differ(&null, &unread)),
            (Unknown, Null)
        );
        assert_eq!(
            (distinct(&one, &unread), differ(&unread, &one)),
            (Unknown, Unknown)
        );
    }
}
