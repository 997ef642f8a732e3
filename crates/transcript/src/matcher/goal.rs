//! The search: goals, what they come down to, and the possibilities between them.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Arrived, POSSIBILITIES_MAX};
use crate::explain::{Mismatch, hex};
use crate::json::Value;
use crate::placeholder::{Bindings, Environment, Kind, Part, Placeholder, parts};
use crate::step::{Expectation, Expected, Numbers};

/// A name that stands for an array whose order is open.
const UNORDERED: &str = "$unordered";

/// Something that has to hold.
#[derive(Clone)]
pub(super) enum Goal<'a> {
    /// The value matches.
    Value {
        expected: &'a Value,
        actual: &'a Value,
        at: Place,
    },
    /// The parts from the one with this index match the rest of a string.
    Text {
        text: Text<'a>,
        from: usize,
        rest: &'a str,
    },
    /// A capture stands for this value.
    Bind {
        kind: Kind,
        name: Option<&'a str>,
        value: Cow<'a, Value>,
        at: Place,
    },
    /// Each of the given matches a candidate of its own.
    Assign {
        expected: Vec<Candidate<'a>>,
        given: Vec<Given<'a>>,
        at: Place,
    },
}

/// A string under comparison.
#[derive(Clone)]
pub(super) struct Text<'a> {
    parts: Rc<[Part<'a>]>,
    expected: &'a str,
    actual: &'a str,
    at: Place,
}

/// What one of several may look like.
#[derive(Clone, Copy)]
pub(super) enum Candidate<'a> {
    Element(&'a Value),
    Member(&'a str, &'a Value),
    /// With true, it may be left over only if it is optional.
    Frame(&'a Expectation, bool),
}

/// One of several.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Element(usize, &'a Value),
    Member(&'a str, &'a Value),
    Frame(&'a Arrived),
}

/// What a goal comes down to.
pub(super) enum Reduced<'a> {
    /// All of these; none means that it holds.
    All(Vec<Goal<'a>>),
    /// All of one of these.
    AnyOf(Vec<Vec<Goal<'a>>>),
}

/// An index into [`Search::places`].
pub(super) type Place = usize;

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Index(usize),
    Member(&'a str),
}

pub(super) struct Search<'a> {
    environment: &'a Environment,
    numbers: Numbers,
    /// Where values stand: each place with the one around it.
    places: Vec<(Place, Segment<'a>)>,
    possibilities_left: usize,
    /// Goals reduced on the way to where the search is.
    solved: usize,
    /// How far the best failing possibility came, and why it failed.
    farthest: Option<(usize, Mismatch)>,
}

impl<'a> Search<'a> {
    pub(super) fn new(environment: &'a Environment, numbers: Numbers) -> Self {
        Self {
            environment,
            numbers,
            places: vec![(0, Segment::Root)],
            possibilities_left: POSSIBILITIES_MAX,
            solved: 0,
            farthest: None,
        }
    }

    pub(super) fn root(&self) -> Place {
        0
    }

    pub(super) fn value_goal(&self, expected: &'a Value, actual: &'a Value) -> Goal<'a> {
        Goal::Value {
            expected,
            actual,
            at: self.root(),
        }
    }

    pub(super) fn run(&mut self, goal: Goal<'a>, bindings: &mut Bindings) -> Result<(), Mismatch> {
        let mark = bindings.mark();
        if self.solve(vec![goal], bindings) {
            return Ok(());
        }
        bindings.rewind(mark);
        let farthest = self.farthest.take().map(|(_, mismatch)| mismatch);
        Err(farthest.unwrap_or_else(|| Mismatch::new("$".into(), "something else", "this")))
    }

    /// Works off the goals, the last first.
    fn solve(&mut self, mut goals: Vec<Goal<'a>>, bindings: &mut Bindings) -> bool {
        while let Some(goal) = goals.pop() {
            let mut alternatives = match self.reduce(goal, bindings) {
                Ok(Reduced::All(subgoals)) => vec![subgoals],
                Ok(Reduced::AnyOf(alternatives)) => alternatives,
                Err(mismatch) => {
                    self.note(self.solved, mismatch);
                    return false;
                }
            };
            self.solved += 1;
            if alternatives.len() == 1 {
                goals.extend(alternatives.remove(0).into_iter().rev());
                continue;
            }
            let (mark, solved) = (bindings.mark(), self.solved);
            for alternative in alternatives {
                let Some(left) = self.possibilities_left.checked_sub(1) else {
                    let expected = format!("fewer than {POSSIBILITIES_MAX} possibilities");
                    self.note(usize::MAX, Mismatch::new("$".into(), &expected, "more"));
                    return false;
                };
                self.possibilities_left = left;
                let mut next = goals.clone();
                next.extend(alternative.into_iter().rev());
                if self.solve(next, bindings) {
                    return true;
                }
                bindings.rewind(mark);
                self.solved = solved;
            }
            return false;
        }
        true
    }

    fn note(&mut self, solved: usize, mismatch: Mismatch) {
        if self.farthest.as_ref().is_none_or(|(best, _)| solved > *best) {
            self.farthest = Some((solved, mismatch));
        }
    }

    fn reduce(&mut self, goal: Goal<'a>, bindings: &mut Bindings) -> Result<Reduced<'a>, Mismatch> {
        match goal {
            Goal::Value { expected, actual, at } => self.reduce_value(expected, actual, at),
            Goal::Text { text, from, rest } => self.reduce_text(text, from, rest),
            Goal::Bind {
                kind,
                name,
                value,
                at,
            } => self.bind(kind, name, &value, at, bindings),
            Goal::Assign { expected, given, at } => self.reduce_assign(expected, given, at),
        }
    }

    fn reduce_value(
        &mut self,
        expected: &'a Value,
        actual: &'a Value,
        at: Place,
    ) -> Result<Reduced<'a>, Mismatch> {
        let differs = |search: &Self| {
            Err(Mismatch::new(
                search.path(at),
                &expected.to_string(),
                &actual.to_string(),
            ))
        };
        match (expected, actual) {
            (Value::Null, Value::Null) => holds(),
            (Value::Bool(one), Value::Bool(other)) if one == other => holds(),
            (Value::Number(_), Value::Number(_)) if self.is_same(expected, actual) => holds(),
            (Value::String(expected), _) => self.reduce_string(expected, actual, at),
            (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
                let pairs = expected.iter().zip(actual).enumerate();
                let goal = |(index, (expected, actual))| {
                    let at = self.place(at, Segment::Index(index));
                    Goal::Value { expected, actual, at }
                };
                Ok(Reduced::All(pairs.map(goal).collect()))
            }
            (Value::Object(members), actual) => match (members.as_slice(), actual) {
                ([(name, Value::Array(elements))], Value::Array(actual))
                    if name == UNORDERED && elements.len() == actual.len() =>
                {
                    let expected = elements.iter().map(Candidate::Element).collect();
                    let given = actual
                        .iter()
                        .enumerate()
                        .map(|(index, value)| Given::Element(index, value))
                        .collect();
                    Ok(Reduced::All(vec![Goal::Assign { expected, given, at }]))
                }
                ([(name, Value::Array(_))], _) if name == UNORDERED => differs(self),
                (_, Value::Object(actual)) => self.reduce_object(members, actual, at),
                _ => differs(self),
            },
            _ => differs(self),
        }
    }

    fn reduce_string(
        &mut self,
        expected: &'a str,
        actual: &'a Value,
        at: Place,
    ) -> Result<Reduced<'a>, Mismatch> {
        let differs = |search: &Self| {
            Err(Mismatch::new(
                search.path(at),
                &Value::text(expected).to_string(),
                &actual.to_string(),
            ))
        };
        let parts = parts(expected).map_err(|error| self.meaningless(at, &error))?;
        match (parts.as_slice(), actual) {
            ([Part::Literal(literal)], Value::String(text)) if literal == text => holds(),
            ([Part::Literal(_)], _) => differs(self),
            ([Part::Placeholder(Placeholder::Capture(kind, name))], _) if kind.accepts(actual) => {
                let value = Cow::Borrowed(actual);
                Ok(Reduced::All(vec![Goal::Bind {
                    kind: *kind,
                    name: *name,
                    value,
                    at,
                }]))
            }
            ([Part::Placeholder(Placeholder::Capture(..))], _) => differs(self),
            (_, Value::String(actual)) => {
                let text = Text {
                    parts: parts.into(),
                    expected,
                    actual,
                    at,
                };
                Ok(Reduced::All(vec![Goal::Text {
                    text,
                    from: 0,
                    rest: actual,
                }]))
            }
            _ => differs(self),
        }
    }

    fn reduce_text(&mut self, text: Text<'a>, from: usize, rest: &'a str) -> Result<Reduced<'a>, Mismatch> {
        let at = text.at;
        let (expected, actual) = (
            Value::text(text.expected).to_string(),
            Value::text(text.actual).to_string(),
        );
        let differs = |search: &Self| Err(Mismatch::new(search.path(at), &expected, &actual));
        let literal = match text.parts.get(from) {
            None if rest.is_empty() => return holds(),
            None => return differs(self),
            Some(Part::Literal(literal)) => Cow::Borrowed(*literal),
            Some(Part::Placeholder(Placeholder::Capture(kind, name))) => {
                let alternatives = ends_of(*kind, rest, text.parts.get(from + 1))
                    .into_iter()
                    .filter_map(|end| {
                        let (part, rest) = rest.split_at_checked(end)?;
                        let value = Cow::Owned(kind.read(part)?);
                        let bind = Goal::Bind {
                            kind: *kind,
                            name: *name,
                            value,
                            at,
                        };
                        Some(vec![
                            bind,
                            Goal::Text {
                                text: text.clone(),
                                from: from + 1,
                                rest,
                            },
                        ])
                    });
                let alternatives: Vec<_> = alternatives.collect();
                return if alternatives.is_empty() {
                    differs(self)
                } else {
                    Ok(Reduced::AnyOf(alternatives))
                };
            }
            Some(Part::Placeholder(placeholder)) => match placeholder.constant(self.environment) {
                Ok(text) => Cow::Owned(text.unwrap_or_default()),
                Err(error) => return Err(self.meaningless(at, &error)),
            },
        };
        match rest.strip_prefix(literal.as_ref()) {
            Some(rest) => Ok(Reduced::All(vec![Goal::Text {
                text,
                from: from + 1,
                rest,
            }])),
            None => differs(self),
        }
    }

    fn reduce_object(
        &mut self,
        expected: &'a [(String, Value)],
        actual: &'a [(String, Value)],
        at: Place,
    ) -> Result<Reduced<'a>, Mismatch> {
        let mut left: Vec<&(String, Value)> = actual.iter().collect();
        let mut goals = Vec::new();
        let mut open = Vec::new();
        for (name, value) in expected {
            if name.contains("${") {
                open.push(Candidate::Member(name, value));
                continue;
            }
            let Some(found) = left.iter().position(|(given, _)| given == name) else {
                let names: Vec<&str> = actual.iter().map(|(name, _)| name.as_str()).collect();
                let got = format!("an object of {}", list(&names));
                return Err(Mismatch::new(self.path(at), &format!("a member {name}"), &got));
            };
            let (name, actual) = left.remove(found);
            let at = self.place(at, Segment::Member(name));
            goals.push(Goal::Value {
                expected: value,
                actual,
                at,
            });
        }
        if open.len() != left.len() {
            let expected = match open.len() {
                0 => "no other members".to_owned(),
                count => format!("{count} other members"),
            };
            let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Mismatch::new(self.path(at), &expected, &list(&names)));
        }
        if !open.is_empty() {
            let given = left
                .into_iter()
                .map(|(name, value)| Given::Member(name, value))
                .collect();
            goals.push(Goal::Assign {
                expected: open,
                given,
                at,
            });
        }
        Ok(Reduced::All(goals))
    }

    fn reduce_assign(
        &mut self,
        expected: Vec<Candidate<'a>>,
        given: Vec<Given<'a>>,
        at: Place,
    ) -> Result<Reduced<'a>, Mismatch> {
        let Some((first, others)) = given.split_first() else {
            let missing = expected.iter().find_map(|candidate| match candidate {
                Candidate::Frame(expectation, true) if !expectation.optional => Some(expectation.to_string()),
                _ => None,
            });
            return match missing {
                Some(missing) => Err(Mismatch::new(self.path(at), &missing, "nothing")),
                None => holds(),
            };
        };
        let mut alternatives = Vec::new();
        let mut unfit = None;
        for (index, candidate) in expected.iter().enumerate() {
            match self.pair(*candidate, *first, at) {
                Ok(mut goals) => {
                    let mut expected = expected.clone();
                    expected.remove(index);
                    goals.push(Goal::Assign {
                        expected,
                        given: others.to_vec(),
                        at,
                    });
                    alternatives.push(goals);
                }
                Err(mismatch) => unfit = Some(mismatch),
            }
        }
        match (alternatives.is_empty(), unfit) {
            (false, _) => Ok(Reduced::AnyOf(alternatives)),
            (true, Some(mismatch)) => Err(mismatch),
            (true, None) => Err(Mismatch::new(self.path(at), "nothing more", &first.to_string())),
        }
    }

    /// What has to hold for one candidate to stand for one of the given.
    fn pair(
        &mut self,
        candidate: Candidate<'a>,
        given: Given<'a>,
        at: Place,
    ) -> Result<Vec<Goal<'a>>, Mismatch> {
        match (candidate, given) {
            (Candidate::Element(expected), Given::Element(index, actual)) => {
                let at = self.place(at, Segment::Index(index));
                Ok(vec![Goal::Value { expected, actual, at }])
            }
            (Candidate::Member(pattern, expected), Given::Member(name, actual)) => {
                let at = self.place(at, Segment::Member(name));
                let parts = parts(pattern).map_err(|error| self.meaningless(at, &error))?;
                let text = Text {
                    parts: parts.into(),
                    expected: pattern,
                    actual: name,
                    at,
                };
                Ok(vec![
                    Goal::Text {
                        text,
                        from: 0,
                        rest: name,
                    },
                    Goal::Value { expected, actual, at },
                ])
            }
            (Candidate::Frame(expectation, _), Given::Frame(frame)) => {
                let value = |expected, actual| Ok(vec![Goal::Value { expected, actual, at }]);
                match (&expectation.frame, frame) {
                    (Expected::Text(expected), Arrived::Text { json: Some(json), .. }) => {
                        value(expected, json)
                    }
                    (Expected::View(expected), Arrived::Binary { view: Some(view), .. }) => {
                        value(expected, view)
                    }
                    (Expected::Bytes(expected), Arrived::Binary { bytes, .. }) if expected == bytes => {
                        Ok(Vec::new())
                    }
                    (Expected::Bytes(expected), Arrived::Binary { bytes, .. }) => {
                        Err(Mismatch::new(self.path(at), &hex(expected), &hex(bytes)))
                    }
                    (Expected::Pong(expected), Arrived::Pong(payload)) if expected.as_bytes() == payload => {
                        Ok(Vec::new())
                    }
                    _ => Err(Mismatch::new(
                        self.path(at),
                        &expectation.to_string(),
                        &frame.to_string(),
                    )),
                }
            }
            _ => Err(Mismatch::new(self.path(at), "one of its kind", "another")),
        }
    }

    fn bind(
        &mut self,
        kind: Kind,
        name: Option<&str>,
        value: &Value,
        at: Place,
        bindings: &mut Bindings,
    ) -> Result<Reduced<'a>, Mismatch> {
        let Some(name) = name else { return holds() };
        match bindings.get(kind, name) {
            None => bindings.bind(kind, name, value.clone()),
            Some(bound) if self.is_same(bound, value) => {}
            Some(bound) => {
                let expected = format!("{bound}, which is ${{{kind}:{name}}}");
                return Err(Mismatch::new(self.path(at), &expected, &value.to_string()));
            }
        }
        holds()
    }

    /// Equality of two values without placeholders. Their nesting is bounded, see [`crate::DEPTH_MAX`].
    fn is_same(&self, one: &Value, other: &Value) -> bool {
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => match self.numbers {
                Numbers::Decimal => one.is_same_number(other),
                Numbers::Exact => one == other,
            },
            (Value::Array(one), Value::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| self.is_same(one, other))
            }
            (Value::Object(members), Value::Object(others)) => {
                let has =
                    |(name, value): &(String, Value)| other.get(name).is_some_and(|v| self.is_same(value, v));
                members.len() == others.len() && members.iter().all(has)
            }
            (one, other) => one == other,
        }
    }

    fn meaningless(&self, at: Place, error: &crate::placeholder::PlaceholderError) -> Mismatch {
        Mismatch::new(
            self.path(at),
            &error.to_string(),
            "something that cannot be compared",
        )
    }

    fn place(&mut self, within: Place, segment: Segment<'a>) -> Place {
        self.places.push((within, segment));
        self.places.len() - 1
    }

    /// A place in words: `$[4].response.status`.
    fn path(&self, mut at: Place) -> String {
        let mut segments = Vec::new();
        while let Some((within, segment)) = self.places.get(at) {
            segments.push(match segment {
                Segment::Root => break,
                Segment::Index(index) => format!("[{index}]"),
                Segment::Member(name) => format!(".{name}"),
            });
            at = *within;
        }
        segments.push("$".to_owned());
        segments.reverse();
        segments.concat()
    }
}

fn holds<'a>() -> Result<Reduced<'a>, Mismatch> {
    Ok(Reduced::All(Vec::new()))
}

/// Where a capture may end, given the part that follows it.
fn ends_of(kind: Kind, rest: &str, next: Option<&Part<'_>>) -> Vec<usize> {
    match next {
        None => vec![rest.len()],
        Some(Part::Literal(literal)) => {
            let follows = |end: &usize| rest.get(*end..).is_some_and(|after| after.starts_with(literal));
            kind.ends(rest).into_iter().filter(follows).collect()
        }
        Some(Part::Placeholder(_)) => kind.ends(rest),
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

impl std::fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Element(_, value) => write!(f, "{value}"),
            Self::Member(name, value) => write!(f, "{name}: {value}"),
            Self::Frame(frame) => write!(f, "{frame}"),
        }
    }
}
