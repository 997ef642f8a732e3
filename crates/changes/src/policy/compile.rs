//! From what is written to what is evaluated: names become columns and claims, and everything gets a type.
//!
//! The database prints an expression with every implicit cast in it, so operands of an operator have the types the
//! operator takes. What is accepted is what cannot fail for any row, and what the values in the log and the claims decide
//! exactly as the database would.

use super::Obstacle;
use super::condition::{Condition, Operand};
use super::row::{CellReader, Reading};
use super::security::{ClaimFunction, RowSecurity};
use super::syntax::{Syntax, TypeName, parse, parse_body};
use super::viewer::{Expression, Target, owned};
use crate::predicate::{Comparison, Datum, Scale};
use crate::table::{Shape, Table, Type};
use crate::value::oid;

/// Compiles the policies of one table for one role.
pub(super) struct Compiler<'a> {
    table: &'a Table,
    security: &'a RowSecurity,
    /// What is read of a row.
    pub(super) cells: Vec<CellReader>,
    /// What is evaluated for a viewer.
    pub(super) expressions: Vec<Expression>,
    /// Inside a sub-select or a function, where there are no columns.
    is_without_columns: bool,
    /// Functions around the place.
    calls: usize,
}

/// A part of an expression, with its type.
#[derive(Clone, Debug)]
enum Part {
    Condition(Condition),
    Value(Value),
    /// A literal that has no type yet; `None` is NULL.
    Literal(Option<String>),
    /// A literal of a type that is known by its name alone.
    Label(Option<String>),
    /// A setting that is NULL or empty, nobody knows which.
    Unset,
    Array(Vec<Part>),
}

#[derive(Clone, Debug)]
struct Value {
    kind: Kind,
    source: Source,
    collation: Collation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Scale(Scale),
    /// `json` and `jsonb` of a viewer.
    Json,
    /// A type whose values are not looked at.
    Opaque,
}

#[derive(Clone, Debug)]
enum Source {
    Column { position: usize, reading: Reading },
    Viewer(Expression),
}

/// The collation a value brings with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collation {
    Default,
    Deterministic(u32),
    Nondeterministic,
}

/// Settings that nobody sets, see [`super::Surroundings::is_ordinary`].
const UNSET: [&str; 3] = [
    "request.jwt.claim",
    "request.jwt.claim.sub",
    "request.jwt.claim.role",
];
/// The claims.
const CLAIMS: &str = "request.jwt.claims";
/// Functions inside one another.
const CALLS_MAX: usize = 4;
/// Elements of an array.
const ELEMENTS_MAX: usize = 1000;
/// Bytes of a value of type `name`.
const NAME_BYTES_MAX: usize = 63;
/// `pg_collation.oid` of `C`, which the type `name` has.
const COLLATION_C: u32 = 950;
/// A function's own search path that has nothing in it but `pg_catalog`.
const EMPTY_SEARCH_PATH: &str = r#"search_path="""#;

impl<'a> Compiler<'a> {
    pub(super) fn new(table: &'a Table, security: &'a RowSecurity) -> Self {
        Self {
            table,
            security,
            cells: Vec::new(),
            expressions: Vec::new(),
            is_without_columns: false,
            calls: 0,
        }
    }

    /// Compiles the expression of a policy.
    pub(super) fn policy(&mut self, text: &str) -> Result<Condition, Obstacle> {
        let syntax = parse(text)?;
        self.condition(&syntax)
    }

    fn condition(&mut self, syntax: &Syntax) -> Result<Condition, Obstacle> {
        let part = self.part(syntax)?;
        self.as_condition(part)
    }

    fn conditions(&mut self, parts: &[Syntax]) -> Result<Vec<Condition>, Obstacle> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    fn part(&mut self, syntax: &Syntax) -> Result<Part, Obstacle> {
        Ok(match syntax {
            Syntax::Column(name) => Part::Value(self.column(name)?),
            Syntax::Text(text) => Part::Literal(Some(text.clone())),
            Syntax::Null => Part::Literal(None),
            Syntax::Bool(value) => Part::Value(Value::constant(Scale::Bool, Some(Datum::Bool(*value)))),
            Syntax::Number(number) => Part::Value(number_constant(number)?),
            Syntax::CurrentRole => Part::Value(Value::text(Expression::Role).of_type_name()),
            Syntax::Call {
                schema,
                name,
                arguments,
            } => self.call(schema.as_deref(), name, arguments)?,
            Syntax::Coalesce(values) => Part::Value(self.coalesce(values)?),
            Syntax::NullIf(value, null) => Part::Value(self.null_if(value, null)?),
            Syntax::Array(elements) if elements.len() > ELEMENTS_MAX => {
                return Err(Obstacle::new("it has an array of too many elements"));
            }
            Syntax::Array(elements) => {
                let elements = elements.iter().map(|element| self.part(element));
                Part::Array(elements.collect::<Result<_, _>>()?)
            }
            Syntax::Cast(of, target) => {
                let part = self.part(of)?;
                cast(part, target)?
            }
            Syntax::Select(of) => {
                let outer = std::mem::replace(&mut self.is_without_columns, true);
                let part = self.part(of);
                self.is_without_columns = outer;
                part?
            }
            Syntax::Member { of, name, as_text } => Part::Value(self.member(of, name, *as_text)?),
            Syntax::Compare(comparison, left, right) => {
                let (left, right) = (self.part(left)?, self.part(right)?);
                Part::Condition(self.compare(*comparison, left, right)?)
            }
            Syntax::Quantified {
                comparison,
                left,
                right,
                all,
            } => {
                let (left, right) = (self.part(left)?, self.part(right)?);
                let Part::Array(elements) = right else {
                    return Err(Obstacle::new("it looks into an array that is not spelled out"));
                };
                let collations = elements.iter().chain([&left]).map(Part::collation);
                if !Collation::agree(collations) {
                    return Err(Obstacle::by_collation());
                }
                let parts = elements
                    .into_iter()
                    .map(|element| self.compare(*comparison, left.clone(), element))
                    .collect::<Result<_, _>>()?;
                Part::Condition(if *all {
                    Condition::And(parts)
                } else {
                    Condition::Or(parts)
                })
            }
            Syntax::Distinct(left, right) => {
                let (left, right) = (self.part(left)?, self.part(right)?);
                let (left, right) = self.operands(Comparison::Eq, left, right)?;
                Part::Condition(Condition::Distinct(left, right))
            }
            Syntax::IsNull(of) => {
                let part = self.part(of)?;
                Part::Condition(self.is_null(part)?)
            }
            Syntax::IsTruth(of, wanted) => {
                Part::Condition(Condition::Is(Box::new(self.condition(of)?), *wanted))
            }
            Syntax::Not(of) => Part::Condition(Condition::Not(Box::new(self.condition(of)?))),
            Syntax::And(parts) => Part::Condition(Condition::And(self.conditions(parts)?)),
            Syntax::Or(parts) => Part::Condition(Condition::Or(self.conditions(parts)?)),
        })
    }

    fn column(&self, name: &str) -> Result<Value, Obstacle> {
        let position = self.table.position(name).filter(|_| !self.is_without_columns);
        let found = position.and_then(|position| Some((position, self.table.columns.get(position)?)));
        let Some((position, column)) = found else {
            return Err(Obstacle::new(&format!("it reads {name}")));
        };
        let (kind, reading) = match (Scale::of(&column.r#type), &column.r#type.base().shape) {
            (Some(scale), Shape::Enum { labels }) => (Kind::Scale(scale), Reading::Label(labels.clone())),
            (Some(scale), _) => (Kind::Scale(scale.clone()), Reading::Scale(scale)),
            (None, _) => (Kind::Opaque, Reading::Presence),
        };
        let mut collations = self.security.collations.iter();
        let collation = match collations.find(|collation| *collation.column == *name) {
            None => Collation::Default,
            Some(collation) if collation.is_deterministic => Collation::Deterministic(collation.oid),
            Some(_) => Collation::Nondeterministic,
        };
        Ok(Value {
            kind,
            source: Source::Column { position, reading },
            collation,
        })
    }

    fn call(&mut self, schema: Option<&str>, name: &str, arguments: &[Syntax]) -> Result<Part, Obstacle> {
        match (schema, name, arguments) {
            (None | Some("pg_catalog"), "current_setting", [setting, more @ ..])
                if matches!(more, [] | [Syntax::Bool(true)]) =>
            {
                let setting = self.part(setting)?;
                let setting = constant_text(&setting).unwrap_or_default();
                if setting == CLAIMS {
                    Ok(Part::Value(Value::text(Expression::Claims)))
                } else if UNSET.contains(&setting) && !more.is_empty() {
                    Ok(Part::Unset)
                } else {
                    Err(Obstacle::new(&format!("it reads the setting {setting}")))
                }
            }
            (Some("auth"), _, []) => {
                let security = self.security;
                let mut functions = security.surroundings.functions.iter();
                match functions.find(|function| *function.name == *name) {
                    Some(function) => self.claim_function(function).map(Part::Value),
                    None => Err(Obstacle::call("auth", name)),
                }
            }
            _ => Err(Obstacle::call(schema.unwrap_or("pg_catalog"), name)),
        }
    }

    /// What is in the body of a function instead of its call.
    fn claim_function(&mut self, function: &ClaimFunction) -> Result<Value, Obstacle> {
        let unknown = || Obstacle::new(&format!("auth.{}() is not defined in a known way", function.name));
        if !function.is_callable {
            return Err(Obstacle::new(&format!(
                "the role may not call auth.{}()",
                function.name
            )));
        }
        let is_plain = &*function.language == "sql"
            && function.kind == 'f'
            // Of an immutable function the database may remember what it said of other claims.
            && function.volatility != 'i'
            && !function.is_security_definer
            && !function.returns_set
            && function.settings.iter().all(|setting| **setting == *EMPTY_SEARCH_PATH)
            && self.calls < CALLS_MAX;
        if !is_plain {
            return Err(unknown());
        }
        let body = parse_body(&function.source).map_err(|_| unknown())?;
        let outer = std::mem::replace(&mut self.is_without_columns, true);
        self.calls += 1;
        let part = self.part(&body);
        self.calls -= 1;
        self.is_without_columns = outer;
        match part.map_err(|_| unknown())? {
            Part::Value(value) if Some(&value.kind) == Kind::of(function.returns).as_ref() => Ok(value),
            _ => Err(unknown()),
        }
    }

    fn coalesce(&mut self, values: &[Syntax]) -> Result<Value, Obstacle> {
        let parts = values.iter().map(|value| self.part(value));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let kind = parts.iter().find_map(|part| match part {
            Part::Value(value) => Some(value.kind.clone()),
            _ => None,
        });
        let kind = kind.ok_or_else(|| Obstacle::new("it has a COALESCE without a type"))?;
        let values = parts.into_iter().map(|part| viewer_value(part, &kind));
        Ok(Value::own(
            kind.clone(),
            Expression::Coalesce(values.collect::<Result<_, _>>()?),
        ))
    }

    fn null_if(&mut self, value: &Syntax, null: &Syntax) -> Result<Value, Obstacle> {
        let (value, null) = (self.part(value)?, self.part(null)?);
        if matches!(value, Part::Unset) && constant_text(&null) == Some("") {
            return Ok(Value::constant(Scale::Text, None));
        }
        let text = Kind::Scale(Scale::Text);
        let (value, null) = (viewer_value(value, &text)?, viewer_value(null, &text)?);
        Ok(Value::text(Expression::NullIf(Box::new(value), Box::new(null))))
    }

    fn member(&mut self, of: &Syntax, name: &Syntax, as_text: bool) -> Result<Value, Obstacle> {
        let of = viewer_value(self.part(of)?, &Kind::Json)?;
        let name = self.part(name)?;
        let name = constant_text(&name).ok_or_else(|| Obstacle::new("it looks into JSON by a number"))?;
        let (of, name) = (Box::new(of), name.into());
        Ok(if as_text {
            Value::text(Expression::MemberText(of, name))
        } else {
            Value::own(Kind::Json, Expression::Member(of, name))
        })
    }

    fn compare(&mut self, comparison: Comparison, left: Part, right: Part) -> Result<Condition, Obstacle> {
        let (left, right) = self.operands(comparison, left, right)?;
        // The planner of the database fails where such a clause stands alone.
        if matches!(left, Operand::Own(_)) && left == right {
            return Err(Obstacle::new("it compares a claim with itself"));
        }
        Ok(Condition::Compare(comparison, left, right))
    }

    /// Two values that can be compared.
    fn operands(
        &mut self,
        comparison: Comparison,
        left: Part,
        right: Part,
    ) -> Result<(Operand, Operand), Obstacle> {
        let (left, right) = match (left, right) {
            (Part::Value(left), Part::Value(right)) => (left, right),
            (Part::Value(left), right) => {
                let right = typed(right, &left)?;
                (left, right)
            }
            (left, Part::Value(right)) => (typed(left, &right)?, right),
            _ => return Err(Obstacle::new("it compares what has no type")),
        };
        let (Kind::Scale(of_left), Kind::Scale(of_right)) = (&left.kind, &right.kind) else {
            return Err(Obstacle::new(
                "it compares values of a type that is not compared here",
            ));
        };
        if !are_comparable(of_left, of_right) {
            return Err(Obstacle::new("it compares values of different types"));
        }
        if comparison.needs_order() && !of_left.is_ordered() {
            return Err(Obstacle::new(
                "it asks for the order of texts, which depends on a collation",
            ));
        }
        if !Collation::agree([left.collation, right.collation]) {
            return Err(Obstacle::by_collation());
        }
        Ok((self.operand(left), self.operand(right)))
    }

    fn is_null(&mut self, part: Part) -> Result<Condition, Obstacle> {
        let value = match part {
            Part::Value(value) => value,
            Part::Condition(condition) => return Ok(Condition::Is(Box::new(condition), None)),
            _ => return Err(Obstacle::new("it asks whether a literal is NULL")),
        };
        let operand = match value.source {
            Source::Column { position, .. } => {
                let r#type = self
                    .table
                    .columns
                    .get(position)
                    .map(|column| column.r#type.base());
                // A composite of NULLs is NULL.
                if r#type.is_none_or(|r#type| matches!(r#type.shape, Shape::Composite { .. })) {
                    return Err(Obstacle::new("it asks whether a composite is NULL"));
                }
                self.cell(CellReader {
                    position,
                    reading: Reading::Presence,
                })
            }
            Source::Viewer(_) => self.operand(value),
        };
        Ok(Condition::IsNull(operand))
    }

    fn as_condition(&mut self, part: Part) -> Result<Condition, Obstacle> {
        match part {
            Part::Condition(condition) => Ok(condition),
            Part::Value(value) if value.kind == Kind::Scale(Scale::Bool) => {
                Ok(Condition::Value(self.operand(value)))
            }
            _ => Err(Obstacle::new("it takes for a condition what is not boolean")),
        }
    }

    fn operand(&mut self, value: Value) -> Operand {
        match value.source {
            Source::Column { position, reading } => self.cell(CellReader { position, reading }),
            Source::Viewer(Expression::Constant(value)) => Operand::Constant(value),
            Source::Viewer(expression) => Operand::Own(place(&mut self.expressions, expression)),
        }
    }

    fn cell(&mut self, reader: CellReader) -> Operand {
        Operand::Cell(place(&mut self.cells, reader))
    }
}

impl Value {
    fn own(kind: Kind, expression: Expression) -> Self {
        Self {
            kind,
            source: Source::Viewer(expression),
            collation: Collation::Default,
        }
    }

    fn text(expression: Expression) -> Self {
        Self::own(Kind::Scale(Scale::Text), expression)
    }

    /// The type `name` has a collation of its own.
    fn of_type_name(mut self) -> Self {
        self.collation = Collation::Deterministic(COLLATION_C);
        self
    }

    fn constant(scale: Scale, value: Option<Datum<'static>>) -> Self {
        Self::own(Kind::Scale(scale), Expression::Constant(value))
    }

    /// The value as one of another type.
    fn cast(self, to: u32) -> Result<Self, Obstacle> {
        let refused = || Obstacle::new("it has a cast that is not done here");
        let target = Kind::of(to).ok_or_else(refused)?;
        // A text would be cut off.
        if to == oid::NAME {
            return Err(refused());
        }
        let kind = self.kind.clone();
        let source = match self.source {
            Source::Column { position, reading } => Source::Column {
                position,
                reading: cast_column(&kind, reading, &target).ok_or_else(refused)?,
            },
            Source::Viewer(expression) => {
                Source::Viewer(cast_own(&kind, expression, &target).ok_or_else(refused)?)
            }
        };
        Ok(Self {
            kind: target,
            source,
            collation: self.collation,
        })
    }
}

/// How a column is read to be of another type; `None` for casts that may fail or are not exact.
fn cast_column(kind: &Kind, reading: Reading, target: &Kind) -> Option<Reading> {
    let (Kind::Scale(from), Kind::Scale(to)) = (kind, target) else {
        return None;
    };
    Some(match (from, to) {
        (from, to) if from == to => reading,
        (Scale::PaddedText | Scale::Enum, Scale::Text) | (Scale::Float4, Scale::Float8) => reading,
        (Scale::Uuid | Scale::Integer { .. }, Scale::Text) => Reading::Scale(Scale::Text),
        (Scale::Bool, Scale::Text) => Reading::BoolText,
        (Scale::Integer { bits: from }, Scale::Integer { bits }) if from <= bits => {
            Reading::Scale(Scale::Integer { bits: *bits })
        }
        (Scale::Integer { .. }, Scale::Numeric) => Reading::Scale(Scale::Numeric),
        _ => return None,
    })
}

/// How a viewer's value becomes one of another type. Such a cast may fail.
fn cast_own(kind: &Kind, value: Expression, target: &Kind) -> Option<Expression> {
    let to = match (kind, target) {
        (from, to) if from == to => return Some(value),
        (Kind::Scale(Scale::Text), Kind::Json) => Target::Json,
        (Kind::Scale(Scale::Uuid | Scale::Integer { .. } | Scale::Bool), Kind::Scale(Scale::Text)) => {
            Target::Text
        }
        (Kind::Json, Kind::Scale(to @ (Scale::Bool | Scale::Integer { .. })))
        | (Kind::Scale(Scale::Text), Kind::Scale(to @ (Scale::Uuid | Scale::Bool | Scale::Integer { .. })))
        | (Kind::Scale(Scale::Integer { .. }), Kind::Scale(to @ (Scale::Integer { .. } | Scale::Numeric))) => {
            Target::Scale(to.clone())
        }
        _ => return None,
    };
    Some(Expression::Cast(Box::new(value), to))
}

impl Kind {
    /// The kind of a type of `pg_catalog`.
    fn of(oid: u32) -> Option<Self> {
        if matches!(oid, oid::JSON | oid::JSONB) {
            return Some(Self::Json);
        }
        let r#type = Type {
            oid,
            name: Box::default(),
            sql: Box::default(),
            shape: Shape::Scalar,
        };
        Scale::of(&r#type).map(Self::Scale)
    }
}

impl Collation {
    /// Whether these values are compared byte by byte. Columns of different collations are not compared at all.
    fn agree(values: impl IntoIterator<Item = Self>) -> bool {
        let mut found = Self::Default;
        for value in values {
            match (found, value) {
                (_, Self::Nondeterministic) => return false,
                (_, Self::Default) => {}
                (Self::Default, value) => found = value,
                (found, value) if found == value => {}
                _ => return false,
            }
        }
        true
    }
}

impl Part {
    fn collation(&self) -> Collation {
        match self {
            Self::Value(value) => value.collation,
            _ => Collation::Default,
        }
    }
}

fn are_comparable(left: &Scale, right: &Scale) -> bool {
    match (left, right) {
        (Scale::Integer { .. }, Scale::Integer { .. }) => true,
        (Scale::Float4 | Scale::Float8, Scale::Float4 | Scale::Float8) => true,
        (left, right) => left == right,
    }
}

fn cast(part: Part, target: &TypeName) -> Result<Part, Obstacle> {
    Ok(match (part, target) {
        (Part::Array(elements), TypeName::Array(target)) => {
            let elements = elements.into_iter().map(|element| cast(element, target));
            Part::Array(elements.collect::<Result<_, _>>()?)
        }
        (Part::Literal(text), TypeName::Other(_)) => Part::Label(text),
        (Part::Literal(text), TypeName::Known(oid)) => Part::Value(literal(text, *oid)?),
        (Part::Value(value), TypeName::Known(oid)) => Part::Value(value.cast(*oid)?),
        (Part::Condition(condition), TypeName::Known(oid::BOOL)) => Part::Condition(condition),
        (_, TypeName::Other(name)) => return Err(Obstacle::new(&format!("it casts to {name}"))),
        _ => return Err(Obstacle::new("it has a cast that is not done here")),
    })
}

/// A literal of a type of `pg_catalog`.
fn literal(text: Option<String>, oid: u32) -> Result<Value, Obstacle> {
    let refused = || Obstacle::new("it has a literal that is not read here");
    let kind = Kind::of(oid).ok_or_else(refused)?;
    let Some(text) = text else {
        return Ok(Value::own(kind, Expression::Constant(None)));
    };
    if oid == oid::NAME && text.len() > NAME_BYTES_MAX {
        return Err(refused());
    }
    match &kind {
        Kind::Json => {
            let text = Expression::Constant(Some(Datum::Text(text.into())));
            Ok(Value::own(kind, Expression::Cast(Box::new(text), Target::Json)))
        }
        Kind::Scale(scale) => {
            let value = scale.read(&text).map(owned).ok_or_else(refused)?;
            let is_finite = || text.parse::<f64>().is_ok_and(f64::is_finite);
            if matches!(scale, Scale::Float4 | Scale::Float8 | Scale::Numeric) && !is_finite() {
                return Err(refused());
            }
            let value = Value::constant(scale.clone(), Some(value));
            Ok(if oid == oid::NAME {
                value.of_type_name()
            } else {
                value
            })
        }
        Kind::Opaque => Err(refused()),
    }
}

/// A number without quotes: the smallest integer type it fits, or `numeric`.
fn number_constant(number: &str) -> Result<Value, Obstacle> {
    let oid = if number.parse::<i32>().is_ok() {
        oid::INT4
    } else if number.parse::<i64>().is_ok() {
        oid::INT8
    } else {
        oid::NUMERIC
    };
    literal(Some(number.to_owned()), oid)
}

/// What has no type of its own, as a value that `other` is compared with.
fn typed(part: Part, other: &Value) -> Result<Value, Obstacle> {
    let refused = || Obstacle::new("it compares with what is not read here");
    match (part, &other.kind, &other.source) {
        (
            Part::Label(label),
            Kind::Scale(Scale::Enum),
            Source::Column {
                reading: Reading::Label(labels),
                ..
            },
        ) => {
            let is_known = |label: &String| labels.iter().any(|known| **known == **label);
            if !label.as_ref().is_none_or(is_known) {
                return Err(refused());
            }
            Ok(Value::constant(
                Scale::Enum,
                label.map(|label| Datum::Text(label.into())),
            ))
        }
        (Part::Literal(text), Kind::Scale(scale), _) if *scale != Scale::Enum => {
            let value = match &text {
                Some(text) => Some(scale.read(text).map(owned).ok_or_else(refused)?),
                None => None,
            };
            Ok(Value::constant(scale.clone(), value))
        }
        _ => Err(refused()),
    }
}

/// A value of a viewer of this kind.
fn viewer_value(part: Part, kind: &Kind) -> Result<Expression, Obstacle> {
    let refused = || Obstacle::new("it does with a column what is done with claims only");
    match (part, kind) {
        (Part::Value(value), _) if value.kind == *kind && value.collation == Collation::Default => {
            match value.source {
                Source::Viewer(expression) => Ok(expression),
                Source::Column { .. } => Err(refused()),
            }
        }
        (Part::Literal(None), _) => Ok(Expression::Constant(None)),
        (Part::Literal(Some(text)), Kind::Scale(Scale::Text)) => {
            Ok(Expression::Constant(Some(Datum::Text(text.into()))))
        }
        _ => Err(refused()),
    }
}

/// The text of a literal, whether it has been given the type or not.
fn constant_text(part: &Part) -> Option<&str> {
    match part {
        Part::Literal(Some(text)) => Some(text),
        Part::Value(Value {
            kind: Kind::Scale(Scale::Text),
            source: Source::Viewer(Expression::Constant(Some(Datum::Text(text)))),
            ..
        }) => Some(text),
        _ => None,
    }
}

/// The place of an item in a list, which it is added to if it is not there.
fn place<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    if let Some(found) = list.iter().position(|found| *found == item) {
        return found;
    }
    list.push(item);
    list.len() - 1
}
