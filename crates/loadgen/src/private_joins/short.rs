//! The short forms: users who are let in one after the other, beside a floor that answers without asking, and the most
//! of them per second.

use super::stretch::Stretch;
use super::sustained::{held, whole};
use super::{BY_CLAIM, schema, stretch};
use crate::Result;
use crate::goal::Goal;
use crate::scenario::Figure;
use crate::staged::climb::{Carried, Climb};
use crate::staged::short::{Floor, Short};
use crate::staged::stage::Stage;
use crate::staged::writer::Pace;

const JOINS_PER_SECOND: f64 = 1000.0;
const FROM: f64 = 2100.0;
const MOST: &str = "most joins per second";

/// A thousand joins per second.
pub static STEADY: Short = Short {
    name: "private-joins",
    about: "1,000 users/s with a token each join a private channel, a policy decides; the floor answers without asking",
    goals: &[],
    floor: Floor::Answers,
    tables: schema::tables,
    run: |stage| {
        stage.execute(&schema::put_in_force(BY_CLAIM.policy))?;
        let pace = Pace::new(JOINS_PER_SECOND, 1, stage.stretch(3.0));
        Ok(figures(&whole(stretch::run(stage, &BY_CLAIM, true, pace)?)?))
    },
};

/// The most that hold.
pub static PEAK: Short = Short {
    name: "private-joins-peak",
    about: "most joins/s of users with a token each, policy realtime.topic() = 'room:' || (auth.jwt() ->> 'room')",
    goals: &[Goal::at_least(MOST, 3000.0)],
    floor: Floor::Absent,
    tables: schema::tables,
    run: peak,
};

fn peak(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.execute(&schema::put_in_force(BY_CLAIM.policy))?;
    let climb = Climb::new(stage, "joins/s", FROM);
    let best = climb.highest(&mut |rate, duration| held(stage, &BY_CLAIM, rate, duration))?;
    let mut all = vec![Figure {
        name: MOST,
        unit: "1/s",
        value: best.per_second(),
    }];
    all.extend(figures(&best));
    Ok(all)
}

fn figures(stretch: &Stretch) -> Vec<Figure> {
    let figure = |name, unit, value| Figure { name, unit, value };
    vec![
        figure("CPU per join", "µs", stretch.per_join(stretch.cpu.gateway)),
        figure(
            "CPU of PostgreSQL per join",
            "µs",
            stretch.per_join(stretch.cpu.postgres),
        ),
        figure("a join takes, p50", "ms", stretch.took.ms(0.5)),
        figure("a join takes, p99", "ms", stretch.took.ms(0.99)),
    ]
}
