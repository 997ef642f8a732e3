//! What arrives on a connection, against what is expected there.

use std::time::Duration;

use super::{Event, Group, Moment, Problem, Progress, Replay, Waiting};
use crate::json::Value;
use crate::matcher::Arrived;
use crate::order::{AnyOrder, Offer};
use crate::step::{Expectation, Expected, Numbers};

/// How long to wait for a frame that may also not come. Source: FORMAT.md, "Steps".
const OPTIONAL_WAIT: Duration = Duration::from_millis(1_500);

/// Where a group of frames stands.
#[derive(Clone, Copy)]
struct Standing {
    is_full: bool,
    /// Whether those that are missing may be missing.
    is_satisfied: bool,
}

impl<'t> Replay<'t> {
    /// Waits for the next frame of the group.
    pub(super) fn listen_for_group(&mut self, now: Moment, connection: &str) -> Result<Progress, Problem> {
        let Waiting::Frames(group) = &self.waiting else {
            return Ok(Progress::Next);
        };
        let until = if self.standing(group).is_satisfied {
            now.elapsed + OPTIONAL_WAIT
        } else {
            group.until
        };
        self.listen(connection, until)
    }

    fn standing(&self, group: &Group<'t>) -> Standing {
        let order = self.order(group);
        Standing {
            is_full: order.is_full() || group.taken.len() + group.strange.len() == group.expected.len(),
            is_satisfied: order.is_satisfied(),
        }
    }

    fn order<'a>(&'a self, group: &Group<'a>) -> AnyOrder<'a> {
        let matcher = self.matcher(group.numbers);
        AnyOrder::resume(matcher, group.expected, &self.bindings, group.taken.clone())
    }

    pub(super) fn take_frame(
        &mut self,
        now: Moment,
        mut group: Group<'t>,
        event: Event,
    ) -> Result<Progress, Problem> {
        let connection = self.party.clone();
        let Event::Arrived(arrived) = event else {
            return self.settle(&group, None);
        };
        let matcher = self.matcher(group.numbers);
        let taken = std::mem::take(&mut group.taken);
        let mut order = AnyOrder::resume(matcher, group.expected, &self.bindings, taken);
        let offer = order.offer(arrived);
        group.taken = order.into_taken();
        if let Offer::Refused(arrived, mismatch) = offer {
            let is_wanted = !self.standing(&group).is_satisfied;
            if self.settings.is_updating && is_wanted && !matches!(arrived, Arrived::Closed { .. }) {
                group.strange.push(arrived);
            } else {
                let mut problem = Problem::differs("something else arrived", mismatch);
                problem.contrast = self.closest(&group, &arrived);
                self.queue(&connection)?.head = Some(arrived);
                return self.settle(&group, Some(problem));
            }
        }
        if self.standing(&group).is_full {
            return self.settle(&group, None);
        }
        self.waiting = Waiting::Frames(group);
        self.listen_for_group(now, &connection)
    }

    /// Nothing more is taken for the group.
    fn settle(&mut self, group: &Group<'t>, problem: Option<Problem>) -> Result<Progress, Problem> {
        match (self.order(group).finish(), problem) {
            (Ok(bindings), _) if group.strange.is_empty() => {
                self.bindings = bindings;
                Ok(Progress::Next)
            }
            _ if self.settings.is_updating => {
                self.rewrite_group(group)?;
                Ok(Progress::Next)
            }
            (_, Some(problem)) => Err(problem),
            (Err(missing), None) => {
                let problem = format!("nothing arrived within {:?}", group.patience);
                Err(Problem::differs(&problem, missing))
            }
            (Ok(_), None) => Ok(Progress::Next),
        }
    }

    /// The frame beside the expected one that it resembles most.
    fn closest(&self, group: &Group<'t>, arrived: &Arrived) -> Vec<String> {
        let beside = |expectation: &Expectation| {
            let (expected, got) = match (&expectation.frame, arrived) {
                (Expected::Text(expected), Arrived::Text { json: Some(json), .. }) => (expected, json),
                (Expected::View(expected), Arrived::Binary { view: Some(view), .. }) => (expected, view),
                _ => return None,
            };
            Some(self.contrast(group.numbers, expected, got))
        };
        let contrasts = group.expected.iter().filter_map(beside);
        let differing = |lines: &Vec<String>| lines.iter().filter(|line| !line.starts_with(' ')).count();
        contrasts.min_by_key(differing).unwrap_or_default()
    }

    /// Something arrived where nothing should.
    pub(super) fn take_surprise(&mut self, arrived: &Arrived, place: &str) -> Result<(), Problem> {
        if self.settings.is_updating && !matches!(arrived, Arrived::Closed { .. }) {
            return self.insert_frame(arrived);
        }
        Err(format!("{place}: {arrived}").into())
    }

    pub(super) fn take_close_answer(
        &mut self,
        until: Duration,
        patience: Duration,
        event: Event,
    ) -> Result<Progress, Problem> {
        let connection = self.party.clone();
        match event {
            Event::Arrived(Arrived::Closed { code: 1006 }) => {
                Err("the server dropped TCP instead of closing".into())
            }
            Event::Arrived(Arrived::Closed { .. }) => {
                self.connections.remove(&connection);
                Ok(super::Progress::Task(super::Task::Drop { connection }))
            }
            // What comes meanwhile does not count.
            Event::Arrived(_) => {
                self.waiting = Waiting::CloseAnswer(until, patience);
                self.listen(&connection, until)
            }
            _ => Err(format!("the close was not answered within {patience:?}").into()),
        }
    }

    pub(super) fn take_closed(
        &mut self,
        now: Moment,
        codes: &'t [u16],
        patience: Duration,
        event: Event,
    ) -> Result<Progress, Problem> {
        match event {
            Event::Arrived(Arrived::Closed { code }) if codes.contains(&code) => Ok(Progress::Next),
            Event::Arrived(Arrived::Closed { code }) if self.settings.is_updating => {
                self.replace_member("code", u64::from(code).into())?;
                Ok(Progress::Next)
            }
            Event::Arrived(arrived) if self.settings.is_updating => {
                self.insert_frame(&arrived)?;
                self.waiting = Waiting::Closed(codes, patience);
                let connection = self.party.clone();
                self.listen(&connection, now.elapsed + patience)
            }
            Event::Arrived(other) => Err(format!("not a close with {codes:?} but: {other}").into()),
            _ if self.settings.is_updating => {
                self.edits.remove(self.line);
                Ok(Progress::Next)
            }
            _ => Err(format!("the connection was not closed within {patience:?}").into()),
        }
    }

    /// Whether the value is what is expected; binds names if so.
    pub(super) fn fits(&mut self, expected: &Value, got: &Value) -> Result<(), crate::explain::Mismatch> {
        let mut bindings = self.bindings.clone();
        self.matcher(Numbers::Decimal)
            .value(expected, got, &mut bindings)?;
        self.bindings = bindings;
        Ok(())
    }
}
