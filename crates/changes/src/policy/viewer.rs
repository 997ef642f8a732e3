//! Whoever looks at rows, and what expressions make of its claims.
//!
//! An expression without columns has the same value for every row, so it is evaluated once for a viewer. A failure is
//! never an answer: whether the database would have come to the point of failing is its own affair.

use std::borrow::Cow;

use super::claims::Json;
use crate::predicate::{Datum, Scale};

/// A subscriber in the eyes of the policies.
#[derive(Clone, Debug)]
pub struct Viewer {
    role: Box<str>,
    /// The value of `request.jwt.claims`.
    text: Box<str>,
    /// `None` if there is any doubt about what the database makes of them.
    claims: Option<Json>,
}

impl Viewer {
    /// A subscriber with a role and the claims that `request.jwt.claims` is set to. Nothing else is set.
    pub fn new(role: &str, claims: &str) -> Self {
        Self {
            role: role.into(),
            text: claims.into(),
            claims: Json::parse(claims).filter(|claims| matches!(claims, Json::Object(_))),
        }
    }

    /// Its role.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Whether its claims are understood at all.
    pub(super) fn is_understood(&self) -> bool {
        self.claims.is_some()
    }
}

/// An expression without columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// `None` is NULL.
    Constant(Option<Datum<'static>>),
    /// `CURRENT_USER`.
    Role,
    /// The text of `request.jwt.claims`.
    Claims,
    /// `->`
    Member(Box<Expression>, Box<str>),
    /// `->>`
    MemberText(Box<Expression>, Box<str>),
    Cast(Box<Expression>, Target),
    Coalesce(Vec<Expression>),
    NullIf(Box<Expression>, Box<Expression>),
}

/// What a value is cast to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Json,
    Text,
    Scale(Scale),
}

/// The value of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Datum(Datum<'static>),
    Json(Json),
}

impl Expression {
    /// The value for a viewer: `Some(None)` is NULL, `None` that the database has to be asked.
    pub(super) fn value(&self, viewer: &Viewer) -> Option<Option<Scalar>> {
        Some(match self {
            Self::Constant(value) => value.clone().map(Scalar::Datum),
            Self::Role => Some(text(&viewer.role)),
            Self::Claims => Some(text(&viewer.text)),
            Self::Member(of, name) => match of.value(viewer)? {
                Some(Scalar::Json(json)) => json.member(name).cloned().map(Scalar::Json),
                Some(Scalar::Datum(_)) => return None,
                None => None,
            },
            Self::MemberText(of, name) => match of.value(viewer)? {
                Some(Scalar::Json(json)) => match json.member(name) {
                    Some(found) => found.text()?.map(|found| text(&found)),
                    None => None,
                },
                Some(Scalar::Datum(_)) => return None,
                None => None,
            },
            Self::Cast(of, target) => match of.value(viewer)? {
                Some(value) => Some(target.cast(value, viewer)?),
                None => None,
            },
            // All of them, that none of them fails.
            Self::Coalesce(values) => {
                let values = values.iter().map(|value| value.value(viewer));
                values.collect::<Option<Vec<_>>>()?.into_iter().flatten().next()
            }
            Self::NullIf(value, null) => {
                let (value, null) = (value.value(viewer)?, null.value(viewer)?);
                if value == null { None } else { value }
            }
        })
    }
}

impl Target {
    /// `None` if the value cannot be cast, or not here.
    fn cast(&self, value: Scalar, viewer: &Viewer) -> Option<Scalar> {
        Some(match (self, value) {
            (Self::Json, Scalar::Json(json)) => Scalar::Json(json),
            (Self::Json, Scalar::Datum(Datum::Text(text))) => Scalar::Json(if *text == *viewer.text {
                viewer.claims.clone()?
            } else {
                Json::parse(&text)?
            }),
            (Self::Text, Scalar::Datum(datum)) => text(&print(&datum)?),
            // There are such casts of `jsonb`, which fail for all other kinds of values.
            (Self::Scale(Scale::Bool), Scalar::Json(Json::Bool(value))) => Scalar::Datum(Datum::Bool(value)),
            (Self::Scale(scale @ Scale::Integer { .. }), Scalar::Json(Json::Number(number)))
                if !number.contains('.') =>
            {
                Scalar::Datum(owned(scale.read(&number)?))
            }
            (Self::Scale(scale), Scalar::Datum(Datum::Text(text))) if text.is_ascii() => {
                Scalar::Datum(owned(scale.read(&text)?))
            }
            (Self::Scale(scale), Scalar::Datum(datum @ Datum::Integer(_))) => {
                Scalar::Datum(owned(scale.read(&print(&datum)?)?))
            }
            (Self::Scale(Scale::Bool), Scalar::Datum(Datum::Bool(value))) => {
                Scalar::Datum(Datum::Bool(value))
            }
            (Self::Scale(Scale::Uuid), Scalar::Datum(Datum::Uuid(value))) => {
                Scalar::Datum(Datum::Uuid(value))
            }
            _ => return None,
        })
    }
}

fn text(value: &str) -> Scalar {
    Scalar::Datum(Datum::Text(Cow::Owned(value.to_owned())))
}

/// The value as the database casts it to text; `None` for what depends on settings.
fn print(value: &Datum<'_>) -> Option<String> {
    Some(match value {
        Datum::Text(text) => text.clone().into_owned(),
        Datum::Integer(value) => value.to_string(),
        Datum::Bool(value) => value.to_string(),
        Datum::Uuid(value) => {
            let digits = format!("{value:032x}");
            let groups =
                [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| digits.get(group).unwrap_or_default());
            groups.join("-")
        }
        Datum::Numeric(_) | Datum::Float(_) | Datum::Time(_) => return None,
    })
}

/// The value without what it was read from.
pub(super) fn owned(value: Datum<'_>) -> Datum<'static> {
    match value {
        Datum::Integer(value) => Datum::Integer(value),
        Datum::Numeric(value) => Datum::Numeric(value),
        Datum::Float(value) => Datum::Float(value),
        Datum::Bool(value) => Datum::Bool(value),
        Datum::Text(value) => Datum::Text(Cow::Owned(value.into_owned())),
        Datum::Uuid(value) => Datum::Uuid(value),
        Datum::Time(value) => Datum::Time(value),
    }
}
