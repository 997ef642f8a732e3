//! Frames whose order is open, taken one at a time. Source: FORMAT.md, "Steps" (`unordered`, `optional`) and "Order".
//!
//! ```text
//!  offer(frame) ─▶ Taken          it may be one of the expected; the assignment is only settled at the end
//!               └▶ Refused        it cannot: the caller leaves it in its queue
//!  is_full ─▶ every expectation has its frame      is_satisfied ─▶ only optional ones have none
//! ```
//!
//! Which frame stands for which expectation is decided by backtracking over all that were taken, so that an expectation
//! with captures never takes the frame another one needs.

use crate::explain::Mismatch;
use crate::matcher::{Arrived, Matcher};
use crate::placeholder::Bindings;
use crate::step::Expectation;

/// The frames of one `recv`.
#[derive(Debug)]
pub struct AnyOrder<'a> {
    matcher: Matcher<'a>,
    expected: &'a [Expectation],
    before: &'a Bindings,
    taken: Vec<Arrived>,
}

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is one of the expected.
    Taken,
    /// It is not, or is one too many; it is given back with the reason.
    Refused(Arrived, Mismatch),
}

impl<'a> AnyOrder<'a> {
    /// Nothing taken yet; `before` are the names bound so far.
    pub fn new(matcher: Matcher<'a>, expected: &'a [Expectation], before: &'a Bindings) -> Self {
        Self {
            matcher,
            expected,
            before,
            taken: Vec::new(),
        }
    }

    /// With what was taken before, see [`AnyOrder::into_taken`].
    pub(crate) fn resume(
        matcher: Matcher<'a>,
        expected: &'a [Expectation],
        before: &'a Bindings,
        taken: Vec<Arrived>,
    ) -> Self {
        Self {
            taken,
            ..Self::new(matcher, expected, before)
        }
    }

    /// The frames taken so far.
    pub(crate) fn into_taken(self) -> Vec<Arrived> {
        self.taken
    }

    /// Takes the frame if it can be one of the expected, along with those taken before.
    pub fn offer(&mut self, frame: Arrived) -> Offer {
        self.taken.push(frame);
        match self
            .matcher
            .frames(self.expected, &self.taken, false, &mut self.before.clone())
        {
            Ok(()) => Offer::Taken,
            Err(mismatch) => match self.taken.pop() {
                Some(frame) => Offer::Refused(frame, mismatch),
                None => Offer::Taken,
            },
        }
    }

    /// Whether each expectation has its frame.
    pub fn is_full(&self) -> bool {
        self.taken.len() == self.expected.len()
    }

    /// Whether those without a frame are all optional.
    pub fn is_satisfied(&self) -> bool {
        self.assign().is_ok()
    }

    /// The names bound now.
    ///
    /// # Errors
    ///
    /// The first expectation that still needs a frame.
    pub fn finish(self) -> Result<Bindings, Mismatch> {
        self.assign()
    }

    fn assign(&self) -> Result<Bindings, Mismatch> {
        let mut bindings = self.before.clone();
        self.matcher
            .frames(self.expected, &self.taken, true, &mut bindings)?;
        Ok(bindings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;
    use crate::placeholder::{Environment, Kind};
    use crate::step::{Action, Numbers, Step};
    use std::collections::BTreeMap;

    fn expectations(recv: &str) -> Vec<Expectation> {
        match Step::parse(1, &Value::parse(recv).unwrap()).unwrap().action {
            Action::Receive { expected, .. } => expected,
            other => panic!("not a recv: {other:?}"),
        }
    }

    fn text(json: &str) -> Arrived {
        Arrived::text(json.as_bytes())
    }

    /// Offers frames until one is refused; how many were taken, and how it ended.
    fn run(recv: &str, frames: &[Arrived]) -> (usize, Result<Bindings, String>) {
        let environment = Environment {
            tenant: String::new(),
            host: String::new(),
            secret: String::new(),
            tokens: BTreeMap::new(),
        };
        let matcher = Matcher {
            environment: &environment,
            numbers: Numbers::Decimal,
        };
        let (expected, before) = (expectations(recv), Bindings::default());
        let mut order = AnyOrder::new(matcher, &expected, &before);
        let mut count = 0;
        for frame in frames {
            match order.offer(frame.clone()) {
                Offer::Taken => count += 1,
                Offer::Refused(given_back, _) => {
                    assert_eq!(&given_back, frame);
                    break;
                }
            }
        }
        assert_eq!(order.is_satisfied() && count == expected.len(), order.is_full());
        (count, order.finish().map_err(|mismatch| mismatch.to_string()))
    }

    #[test]
    fn one_frame_is_one_frame() {
        let recv = r#"{"recv":"a","text":["${int:n}"]}"#;
        let (taken, bound) = run(recv, &[text("[7]"), text("[8]")]);
        assert_eq!(taken, 1);
        assert_eq!(
            bound
                .unwrap()
                .get(Kind::Int, "n")
                .map(Value::to_string)
                .as_deref(),
            Some("7")
        );
        assert_eq!(run(recv, &[text(r#"["x"]"#)]).0, 0);
        assert!(run(recv, &[]).1.unwrap_err().ends_with("got nothing"));
    }

    #[test]
    fn frames_may_come_in_any_order() {
        let recv =
            r#"{"recv":"a","unordered":[{"text":[1]},{"pong":"p"},{"bytes":"04"},{"view":{"kind":"push"}}]}"#;
        let view = Value::parse(r#"{"kind":"push"}"#).ok();
        let frames = [
            Arrived::Binary { bytes: vec![0], view },
            Arrived::Binary {
                bytes: vec![4],
                view: None,
            },
            text("[1]"),
            Arrived::Pong(b"p".to_vec()),
        ];
        assert_eq!(run(recv, &frames).0, 4);
        assert!(run(recv, &frames).1.is_ok());
        assert!(run(recv, &frames[..3]).1.is_err());
    }

    #[test]
    fn a_general_expectation_leaves_a_frame_to_a_special_one() {
        let recv = r#"{"recv":"a","unordered":[{"text":["${any:x}"]},{"text":["b"]}]}"#;
        let (taken, bound) = run(recv, &[text(r#"["b"]"#), text(r#"["a"]"#)]);
        assert_eq!(taken, 2);
        assert_eq!(bound.unwrap().get(Kind::Any, "x"), Some(&Value::text("a")));
    }

    #[test]
    fn captures_tie_frames_together() {
        let recv = r#"{"recv":"a","unordered":[{"text":["x","${int:a}"]},{"text":["y","${int:a}"]}]}"#;
        assert_eq!(run(recv, &[text(r#"["y",1]"#), text(r#"["x",1]"#)]).0, 2);
        assert_eq!(run(recv, &[text(r#"["y",1]"#), text(r#"["x",2]"#)]).0, 1);
    }

    #[test]
    fn an_optional_frame_may_not_come() {
        let recv = r#"{"recv":"a","unordered":[{"text":[1]},{"text":[2],"optional":true}]}"#;
        for frames in [
            vec![text("[1]")],
            vec![text("[2]"), text("[1]")],
            vec![text("[1]"), text("[3]")],
        ] {
            assert!(run(recv, &frames).1.is_ok(), "{frames:?}");
        }
        assert!(run(recv, &[text("[2]")]).1.is_err());
        assert!(
            run(r#"{"recv":"a","text":[1],"optional":true}"#, &[text("[2]")])
                .1
                .is_ok()
        );
    }

    #[test]
    fn an_optional_expectation_never_takes_what_another_needs() {
        let recv = r#"{"recv":"a","unordered":[{"text":["${int}"],"optional":true},{"text":[1]}]}"#;
        let (taken, ended) = run(recv, &[text("[1]")]);
        assert!(taken == 1 && ended.is_ok());
    }

    #[test]
    fn the_end_of_a_connection_is_no_frame() {
        let (taken, ended) = run(
            r#"{"recv":"a","text":"${any}"}"#,
            &[Arrived::Closed { code: 1000 }],
        );
        assert!(taken == 0 && ended.is_err());
    }
}
