//! The most joins per second that hold, and what a join takes at half of them and all alone.

use super::stretch::{self, Stretch};
use super::{BY_CLAIM, BY_MEMBERSHIP, Crowd, schema};
use crate::staged::Scenario;
use crate::staged::climb::{self, Carried, Climb};
use crate::staged::stage::Stage;
use crate::staged::trial::Outcome;
use crate::staged::verdict::Figure;
use crate::staged::writer::Pace;
use crate::{Result, failed};
use std::time::Duration;

const FROM: f64 = 2100.0;
const GOAL: f64 = 3000.0;
/// So few that none waits for another.
const LONE: f64 = 20.0;

pub(super) const CLAIMS: Scenario = Scenario {
    name: "claims",
    about: "most joins/s of users with a token each, policy realtime.topic() = 'room:' || (auth.jwt() ->> 'room')",
    run: |stage| sustained(stage, &BY_CLAIM),
};

pub(super) const MEMBERS: Scenario = Scenario {
    name: "members",
    about: "most joins/s of users with a token each, policy exists (… members …), a table of 100,000",
    run: |stage| sustained(stage, &BY_MEMBERSHIP),
};

fn sustained(stage: &mut Stage, crowd: &Crowd) -> Result<Vec<Figure>> {
    stage.stop_gateway()?;
    stage.execute(&schema::put_in_force(crowd.policy))?;
    let besides = stretch::transactions_besides(stage, crowd)?;
    let climb = Climb::new(stage, "joins/s", FROM);
    let best = climb.highest(&mut |rate, duration| held(stage, crowd, rate, duration))?;
    let half = Pace::new(best.per_second() / 2.0, 1, stage.stretch(6.0));
    let at_half = whole(stretch::run(stage, crowd, true, half)?)?;
    let lone = Pace::new(LONE, 1, stage.stretch(9.0));
    let alone = whole(stretch::run(stage, crowd, true, lone)?)?;
    let public = whole(stretch::run(stage, crowd, false, half)?)?;

    let mut figures = vec![Figure::new("joins/s", best.per_second(), "1/s").at_least(GOAL)];
    figures.extend(best.figures("", besides));
    figures.extend(best.cpu.shares(best.wall));
    figures.push(Figure::new(
        "at half of that: joins/s",
        at_half.per_second(),
        "1/s",
    ));
    figures.extend(at_half.figures("there: ", besides));
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let took = alone.took.ms(share);
        figures.push(Figure::new(
            format!("at {LONE} joins/s: a join takes, {name}"),
            took,
            "ms",
        ));
    }
    figures.push(Figure::new(
        "floor: a join of a public channel takes, p50",
        public.took.ms(0.5),
        "ms",
    ));
    figures.push(Figure::new(
        "floor: gateway CPU per join of a public channel",
        public.per_join(public.cpu.gateway),
        "µs",
    ));
    Ok(figures)
}

/// The stretch at that rate, if it holds.
pub(super) fn held(
    stage: &mut Stage,
    crowd: &Crowd,
    rate: f64,
    duration: Duration,
) -> Result<Option<Stretch>> {
    match stretch::run(stage, crowd, true, Pace::new(rate, 1, duration))? {
        Outcome::TooMuch(reason) => {
            eprintln!("loadgen: {rate:.0} joins/s do not hold: {reason}");
            Ok(None)
        }
        Outcome::Whole(stretch) => {
            let p99 = stretch.took_from_due.ms(0.99);
            let holds = climb::holds(p99, stretch.sending, stretch.wall);
            if !holds {
                eprintln!(
                    "loadgen: {rate:.0} joins/s do not hold: sent in {:.2?}, answered in {:.2?}, p99 {p99:.0} ms",
                    stretch.sending, stretch.wall
                );
            }
            Ok(holds.then_some(stretch))
        }
    }
}

pub(super) fn whole(outcome: Outcome<Stretch>) -> Result<Stretch> {
    match outcome {
        Outcome::Whole(stretch) => Ok(stretch),
        Outcome::TooMuch(reason) => failed(reason),
    }
}
