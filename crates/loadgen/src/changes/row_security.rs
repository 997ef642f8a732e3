//! Five hundred users, each with a token of its own, on a table with row level security.

use super::{ROUTE, schema, writer};
use crate::staged::Scenario;
use crate::staged::arrivals::Reach;
use crate::staged::audience::Audience;
use crate::staged::climb::Carried;
use crate::staged::search::{Search, Shape};
use crate::staged::stage::{Stage, token};
use crate::staged::verdict::Figure;
use crate::{Result, message};

const CONNECTIONS: usize = 4;

pub(super) const OWN: Scenario = Scenario {
    name: "row-security-own",
    about: "500 users, policy auth.uid() = owner, every change is one user's",
    run: |stage| {
        let reach = Reach {
            sockets: 1,
            includes: |row, socket| row % schema::USERS == socket as u64,
        };
        peak(stage, schema::OWNED, schema::USERS, reach, 100.0, 300.0)
    },
};

pub(super) const SHARED: Scenario = Scenario {
    name: "row-security-shared",
    about: "500 users in 50 groups, policy exists (… members …), every change is one group's",
    run: |stage| {
        let reach = Reach {
            sockets: schema::USERS / schema::GROUPS,
            includes: |row, socket| row % schema::GROUPS == socket as u64 % schema::GROUPS,
        };
        peak(stage, schema::SHARED, schema::GROUPS, reach, 20.0, 60.0)
    },
};

fn peak(
    stage: &mut Stage,
    table: &'static str,
    keys: u64,
    reach: Reach,
    from: f64,
    goal: f64,
) -> Result<Vec<Figure>> {
    stage.start_gateway()?;
    let user = |number| {
        let token = token("authenticated", &[("sub", &schema::user(number))])?;
        Ok(message::subscription(
            &format!("bench-{number}"),
            &token,
            table,
            None,
        ))
    };
    let users = (0..schema::USERS).map(user).collect::<Result<Vec<_>>>()?;
    let writer = writer(stage, CONNECTIONS, table, keys)?;
    let search = Search {
        gather: &|stage| Audience::gather(&stage.gateway()?.target, &ROUTE, &users, 1),
        writer: &writer,
        shape: Shape::Single,
        reach,
        from,
    };
    let trial = search.highest(stage)?;
    let rows = trial.per_second();
    let mut figures = vec![Figure::new("changes/s", rows, "1/s").at_least(goal)];
    figures.extend(trial.latencies(None, None));
    figures.push(Figure::new(
        "PostgreSQL CPU per 1,000 changes, inserts included",
        trial.cpu.postgres.as_secs_f64() * 1e3 / trial.pace.rows() as f64,
        "s",
    ));
    figures.extend(trial.shares());
    Ok(figures)
}
