//! Expectations that are rewritten from what the server said.
//!
//! What still matches stays as it is written, placeholders and all; only the places that differ become what came. There,
//! what the server made up becomes a placeholder: a value that a name stands for the name, a UUID or a time that is
//! nowhere in the file `${uuid}` or `${time}`, the id of a binding `${int}`.

use super::{Group, Problem, Replay};
use crate::canonical::canonical;
use crate::conceal::Secrets;
use crate::explain::hex;
use crate::format::Transcript;
use crate::json::Value;
use crate::matcher::{Arrived, Matcher};
use crate::placeholder::{Bindings, Kind};
use crate::step::{Expectation, Expected, Numbers};

/// Changes to the lines of a transcript.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    edits: Vec<(usize, Edit)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Edit {
    Replace(Value),
    Remove,
    /// A line before this one.
    Before(Value),
    /// A line after this one.
    After(Value),
}

impl Edits {
    /// Whether everything stays as it is.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// How many lines are changed, removed or new.
    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// The same changes without what must not be shown.
    #[must_use]
    pub fn concealed(self, secrets: &Secrets) -> Self {
        let conceal = |value: Value| {
            let shown = value.to_string();
            let concealed = secrets.conceal(&shown);
            if concealed == shown {
                return value;
            }
            // What stands for a secret has nothing in it that would end a string.
            Value::parse(&concealed).unwrap_or(value)
        };
        let edits = self.edits.into_iter().map(|(line, edit)| {
            let edit = match edit {
                Edit::Replace(value) => Edit::Replace(conceal(value)),
                Edit::Before(value) => Edit::Before(conceal(value)),
                Edit::After(value) => Edit::After(conceal(value)),
                Edit::Remove => Edit::Remove,
            };
            (line, edit)
        });
        Self {
            edits: edits.collect(),
        }
    }

    /// The text of the file after the changes. Lines that do not change keep their text.
    pub fn apply(&self, transcript: &Transcript) -> String {
        let mut text = String::new();
        let mut put = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        for (number, line) in transcript.lines() {
            let here = || {
                self.edits
                    .iter()
                    .filter(|(at, _)| *at == number)
                    .map(|(_, edit)| edit)
            };
            for edit in here() {
                if let Edit::Before(value) = edit {
                    put(&canonical(value).to_string());
                }
            }
            match here().find(|edit| matches!(edit, Edit::Replace(_) | Edit::Remove)) {
                Some(Edit::Replace(value)) => put(&canonical(value).to_string()),
                Some(_) => {}
                None => put(line),
            }
            for edit in here() {
                if let Edit::After(value) = edit {
                    put(&canonical(value).to_string());
                }
            }
        }
        text
    }

    pub(super) fn remove(&mut self, line: usize) {
        self.edits
            .retain(|(at, edit)| *at != line || !matches!(edit, Edit::Replace(_)));
        self.edits.push((line, Edit::Remove));
    }

    fn replace(&mut self, line: usize, value: Value) {
        self.edits
            .retain(|(at, edit)| *at != line || !matches!(edit, Edit::Replace(_)));
        self.edits.push((line, Edit::Replace(value)));
    }

    /// What the line says after the changes so far.
    fn line(&self, line: usize) -> Option<&Value> {
        self.edits.iter().find_map(|(at, edit)| match edit {
            Edit::Replace(value) if *at == line => Some(value),
            _ => None,
        })
    }
}

impl<'t> Replay<'t> {
    /// The members of the line that is replayed.
    fn members(&self) -> Result<Vec<(String, Value)>, Problem> {
        let members = match self.edits.line(self.line) {
            Some(value) => value.as_object().map(<[_]>::to_vec),
            None => Value::parse(self.transcript.line(self.line))
                .map_err(|error| error.to_string())?
                .as_object()
                .map(<[_]>::to_vec),
        };
        members.ok_or_else(|| "the line is no object".into())
    }

    pub(super) fn replace_member(&mut self, name: &str, value: Value) -> Result<(), Problem> {
        let mut members = self.members()?;
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => members.push((name.to_owned(), value)),
        }
        self.edits.replace(self.line, Value::Object(members));
        Ok(())
    }

    pub(super) fn remove_member(&mut self, name: &str) -> Result<(), Problem> {
        let mut members = self.members()?;
        let before = members.len();
        members.retain(|(known, _)| known != name);
        if members.len() < before {
            self.edits.replace(self.line, Value::Object(members));
        }
        Ok(())
    }

    /// A frame that nothing expects yet.
    pub(super) fn insert_frame(&mut self, arrived: &Arrived) -> Result<(), Problem> {
        let mut members = vec![("recv".to_owned(), Value::text(&self.party))];
        members.extend(self.expectation_of(arrived)?);
        let is_last = matches!(self.phase, super::Phase::Last(..));
        let value = Value::Object(members);
        let edit = if is_last {
            Edit::After(value)
        } else {
            Edit::Before(value)
        };
        self.edits.edits.push((self.line, edit));
        Ok(())
    }

    /// The members that expect this frame.
    fn expectation_of(&self, arrived: &Arrived) -> Result<Vec<(String, Value)>, Problem> {
        let member = |name: &str, value: Value| (name.to_owned(), value);
        Ok(match arrived {
            Arrived::Text { json: Some(json), .. } => vec![member("text", self.generalised(json))],
            Arrived::Binary { bytes, view: None } => vec![member("bytes", Value::text(hex(bytes)))],
            Arrived::Binary { view: Some(view), .. } => vec![member("view", self.generalised(view))],
            Arrived::Pong(payload) => vec![member("pong", Value::text(String::from_utf8_lossy(payload)))],
            Arrived::Text { json: None, .. } => {
                return Err(format!("a text frame that is no JSON cannot be expected: {arrived}").into());
            }
            Arrived::Closed { code } => return Err(format!("the connection ended: close {code}").into()),
        })
    }

    /// Rewrites what a `recv` expects.
    pub(super) fn rewrite_group(&mut self, group: &Group<'t>) -> Result<(), Problem> {
        let mut frames: Vec<Arrived> = group.taken.iter().chain(&group.strange).cloned().collect();
        let mut found: Vec<Option<Arrived>> = Vec::new();
        for expectation in group.expected {
            let at = frames
                .iter()
                .position(|frame| self.is_expected(expectation, frame, group.numbers));
            found.push(at.map(|at| frames.remove(at)));
        }
        let mut left = frames.into_iter();
        let mut elements: Vec<Value> = Vec::new();
        let written = self.members()?;
        let element_of = |index: usize| {
            let elements = written.iter().find(|(name, _)| name == "unordered");
            elements.and_then(|(_, elements)| elements.as_array()?.get(index).cloned())
        };
        let is_list = written.iter().any(|(name, _)| name == "unordered");
        for (index, (expectation, found)) in group.expected.iter().zip(found).enumerate() {
            let element = if is_list {
                element_of(index).unwrap_or(Value::Null)
            } else {
                Value::Object(written.clone())
            };
            match found {
                Some(_) => elements.push(element),
                None => match left.next() {
                    Some(frame) => {
                        elements.push(self.rewritten(element, expectation, &frame, group.numbers)?)
                    }
                    None if expectation.optional => elements.push(element),
                    None => {}
                },
            }
        }
        match (is_list, elements.pop()) {
            (_, None) => self.edits.remove(self.line),
            (false, Some(line)) => self.edits.replace(self.line, line),
            (true, Some(last)) => {
                elements.push(last);
                self.replace_member("unordered", Value::Array(elements))?;
            }
        }
        Ok(())
    }

    fn is_expected(&mut self, expectation: &Expectation, frame: &Arrived, numbers: Numbers) -> bool {
        let mut bindings = self.bindings.clone();
        let only = std::slice::from_ref(expectation);
        let is_expected = self
            .matcher(numbers)
            .frames(only, std::slice::from_ref(frame), true, &mut bindings)
            .is_ok();
        if is_expected {
            self.bindings = bindings;
        }
        is_expected
    }

    /// An element of a `recv`, or the whole step, with another frame.
    fn rewritten(
        &mut self,
        element: Value,
        expectation: &Expectation,
        frame: &Arrived,
        numbers: Numbers,
    ) -> Result<Value, Problem> {
        let fresh = match (&expectation.frame, frame) {
            (Expected::Text(expected), Arrived::Text { json: Some(json), .. }) => {
                vec![("text".to_owned(), self.merged(expected, json, numbers))]
            }
            (Expected::View(expected), Arrived::Binary { view: Some(view), .. }) => {
                vec![("view".to_owned(), self.merged(expected, view, numbers))]
            }
            _ => self.expectation_of(frame)?,
        };
        let mut members = element.as_object().unwrap_or_default().to_vec();
        members.retain(|(name, _)| !["text", "bytes", "view", "pong", "sample"].contains(&name.as_str()));
        members.extend(fresh);
        Ok(Value::Object(members))
    }

    /// What is expected from now on: the former expectation where it matches, and what came where not.
    pub(super) fn merged(&mut self, expected: &Value, got: &Value, numbers: Numbers) -> Value {
        let mut bindings = std::mem::take(&mut self.bindings);
        let merge = Merge {
            matcher: self.matcher(numbers),
            transcript: self.transcript,
        };
        let merged = merge.values(expected, got, &mut bindings);
        self.bindings = bindings;
        merged
    }

    pub(super) fn generalised(&self, got: &Value) -> Value {
        let merge = Merge {
            matcher: self.matcher(Numbers::Decimal),
            transcript: self.transcript,
        };
        merge.generalise(got, &self.bindings)
    }
}

/// Makes expectations of values.
struct Merge<'a> {
    matcher: Matcher<'a>,
    transcript: &'a Transcript,
}

impl Merge<'_> {
    fn values(&self, expected: &Value, got: &Value, bindings: &mut Bindings) -> Value {
        if self.matcher.value(expected, got, bindings).is_ok() {
            return expected.clone();
        }
        match (expected, got) {
            (Value::Object(members), Value::Object(others)) => {
                let mut merged = Vec::new();
                for (name, value) in members {
                    if let Some(other) = got.get(name) {
                        merged.push((name.clone(), self.values(value, other, bindings)));
                    }
                }
                let new = others.iter().filter(|(name, _)| expected.get(name).is_none());
                merged.extend(new.map(|(name, value)| self.member(got, name, value, bindings)));
                Value::Object(merged)
            }
            (Value::Array(elements), Value::Array(others)) => {
                let pairs = elements.iter().zip(others);
                let mut merged: Vec<_> = pairs
                    .map(|(one, other)| self.values(one, other, bindings))
                    .collect();
                let new = others.iter().skip(elements.len());
                merged.extend(new.map(|other| self.generalise(other, bindings)));
                Value::Array(merged)
            }
            _ => self.generalise(got, bindings),
        }
    }

    /// What a server made up becomes a placeholder.
    fn generalise(&self, got: &Value, bindings: &Bindings) -> Value {
        match got {
            Value::String(text) => Value::text(self.text(text, bindings)),
            Value::Array(elements) => {
                Value::Array(elements.iter().map(|it| self.generalise(it, bindings)).collect())
            }
            Value::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| self.member(got, name, value, bindings));
                Value::Object(members.collect())
            }
            plain => plain.clone(),
        }
    }

    /// A member of `object`. The id of a binding for changes is made up, and so are the ids that a change lists.
    fn member(&self, object: &Value, name: &str, value: &Value, bindings: &Bindings) -> (String, Value) {
        let made_up = || Value::text("${int}");
        let is_binding = object.get("event").is_some() && object.get("schema").is_some();
        let value = match (name, value) {
            ("id", Value::Number(_)) if is_binding => made_up(),
            ("ids", Value::Array(ids)) if ids.iter().all(|id| matches!(id, Value::Number(_))) => {
                Value::Array(ids.iter().map(|_| made_up()).collect())
            }
            _ => self.generalise(value, bindings),
        };
        (self.text(name, bindings), value)
    }

    fn text(&self, text: &str, bindings: &Bindings) -> String {
        let value = Value::text(text);
        let is_made_up = |kind: Kind| matches!(kind, Kind::Uuid | Kind::Ref | Kind::Time);
        let bound = bindings
            .iter()
            .find(|(kind, _, bound)| is_made_up(*kind) && **bound == value);
        if let Some((kind, name, _)) = bound {
            return format!("${{{kind}:{name}}}");
        }
        // What the client said itself may well come back.
        let is_known = || self.transcript.lines().any(|(_, line)| line.contains(text));
        for kind in [Kind::Uuid, Kind::Time] {
            if kind.accepts(&value) && !is_known() {
                return format!("${{{kind}}}");
            }
        }
        // What looks like a placeholder cannot be written literally.
        if text.contains("${") {
            "${text}".to_owned()
        } else {
            text.to_owned()
        }
    }
}
