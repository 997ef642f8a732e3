//! What was found out, in words for an operator, with a code for tools.

use changes::{Action, EventFilter};

/// Everything that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Question by question.
    pub sections: Vec<Section>,
    /// The row that was looked at: an object of JSON text.
    pub row: Option<String>,
    /// The `data` that an INSERT of that row would be told with: an object of JSON text. `None` if it would not be told, or
    /// there is no such row.
    pub data: Option<String>,
    /// What becomes of each action that was asked about.
    pub verdicts: Vec<Verdict>,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `publication`, `identity`, `privileges`, `policies`, `binding` or `row`.
    pub name: &'static str,
    /// What was found out, in the order of looking.
    pub findings: Vec<Finding>,
}

/// One thing that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub level: Level,
    /// Names it, in lower case with hyphens.
    pub code: &'static str,
    /// The same in words.
    pub text: String,
    /// What to do about it: a statement to run, or words.
    pub next: Option<String>,
    /// Changes that are not delivered because of it.
    pub stops: Vec<Action>,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It is as it has to be.
    Good,
    /// It is worth knowing.
    Note,
    /// Because of it, changes are not delivered.
    Stop,
    /// The gateway is wrong.
    Bug,
}

/// Whether a change would be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to the row.
    pub action: Action,
    /// The codes of the findings that stand in the way; none if it would be delivered.
    pub obstacles: Vec<&'static str>,
}

impl Report {
    /// Whether every action that was asked about would be delivered.
    pub fn is_delivered(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.obstacles.is_empty())
    }

    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            sections: Vec::new(),
            row: None,
            data: None,
            verdicts: Vec::new(),
        }
    }

    /// Draws the conclusion for the actions that `event` stands for.
    pub(super) fn conclude(&mut self, event: EventFilter) {
        let findings = || self.sections.iter().flat_map(|section| &section.findings);
        let verdict = |action| Verdict {
            action,
            obstacles: findings()
                .filter(|finding| finding.stops.contains(&action))
                .map(|finding| finding.code)
                .collect(),
        };
        let asked = EVERY.into_iter().filter(|action| event.covers(*action));
        self.verdicts = asked.map(verdict).collect();
    }
}

impl Section {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            findings: Vec::new(),
        }
    }

    pub(super) fn good(&mut self, code: &'static str, text: impl Into<String>) {
        self.push(Level::Good, code, text.into(), &[]);
    }

    pub(super) fn note(&mut self, code: &'static str, text: impl Into<String>) -> &mut Finding {
        self.push(Level::Note, code, text.into(), &[])
    }

    pub(super) fn stop(
        &mut self,
        code: &'static str,
        stops: &[Action],
        text: impl Into<String>,
    ) -> &mut Finding {
        self.push(Level::Stop, code, text.into(), stops)
    }

    pub(super) fn bug(&mut self, code: &'static str, stops: &[Action], text: impl Into<String>) {
        self.push(Level::Bug, code, text.into(), stops);
    }

    fn push(&mut self, level: Level, code: &'static str, text: String, stops: &[Action]) -> &mut Finding {
        self.findings.push(Finding {
            level,
            code,
            text,
            next: None,
            stops: stops.to_vec(),
        });
        self.findings.last_mut().expect("one has just been pushed")
    }
}

impl Finding {
    /// Says what to do about it.
    pub(super) fn next(&mut self, next: impl Into<String>) {
        self.next = Some(next.into());
    }
}

/// All actions.
pub(super) const EVERY: [Action; 3] = [Action::Insert, Action::Update, Action::Delete];
/// Those that leave a row.
pub(super) const OF_ROWS: [Action; 2] = [Action::Insert, Action::Update];
