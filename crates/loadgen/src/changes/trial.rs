//! One measured stretch: somebody writes, everybody listens, and the CPU of all is read before and after.

use super::arrivals::{Arrivals, Quantiles, Reach};
use super::audience::Audience;
use super::stage::{Cpu, Stage};
use super::verdict::Figure;
use super::writer::{Commit, Pace, Writer};
use crate::{Result, failed};
use std::time::{Duration, Instant};

/// Silence after which rows that are missing once everything is written are lost.
const SILENCE: Duration = Duration::from_secs(5);
/// How long missing rows are waited for in any case.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// After the last expected row: one too many would come now, and the clocks of the processes catch up.
const COME_TO_REST: Duration = Duration::from_millis(30);
/// Load before a measurement, so that plans, caches and buffers are warm; not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// What a stretch came to.
pub(super) struct Trial {
    /// What was to be written.
    pub(super) pace: Pace,
    /// Sockets that heard of each row.
    pub(super) sockets: u64,
    /// From the first transaction to the last arrival.
    pub(super) wall: Duration,
    /// From the return of the commit to the arrival.
    pub(super) from_commit: Quantiles,
    /// From the sending of the transaction to the arrival.
    pub(super) from_send: Quantiles,
    /// From the first transaction to the last commit.
    pub(super) writing: Duration,
    /// CPU time of all.
    pub(super) cpu: Cpu,
}

/// How a stretch went.
pub(super) enum Outcome {
    /// Every row arrived where it should have.
    Whole(Trial),
    /// The load was too much: rows were still coming long after they were written, or sockets were closed.
    TooMuch(String),
}

/// Writes at `pace`, after a short warm-up. An error if a row is lost, and also if the load is too much.
pub(super) fn measure(
    stage: &mut Stage,
    audience: &mut Audience,
    writer: &Writer,
    pace: Pace,
    reach: &Reach,
) -> Result<Trial> {
    let warm_up = Pace::new(pace.rate, pace.rows_each, WARM_UP);
    for pace in [warm_up, pace] {
        let outcome = run(stage, audience, writer, pace, reach)?;
        match outcome {
            Outcome::Whole(trial) if pace.transactions != warm_up.transactions => return Ok(trial),
            Outcome::Whole(_) => {}
            Outcome::TooMuch(reason) => return failed(reason),
        }
    }
    failed("the stretch is as short as its warm-up")
}

/// Writes at `pace`. An error if a row is lost.
pub(super) fn run(
    stage: &mut Stage,
    audience: &mut Audience,
    writer: &Writer,
    pace: Pace,
    reach: &Reach,
) -> Result<Outcome> {
    let expected = pace.rows() * reach.sockets;
    let first = stage.take_rows(pace.rows());
    let before = stage.cpu()?;
    let epoch = Instant::now();
    let mut arrivals = Arrivals::new(first, epoch);
    let mut is_late = false;
    let commits = std::thread::scope(|scope| {
        let writing = scope.spawn(|| writer.write(pace, first, epoch));
        let mut written: Option<Instant> = None;
        while arrivals.count() < expected && audience.closed().is_none() {
            audience.listen(Duration::from_millis(50), &mut arrivals)?;
            if writing.is_finished() {
                let since = *written.get_or_insert_with(Instant::now);
                is_late = since.elapsed() > DRAIN_MAX;
                if is_late || since.max(arrivals.last()).elapsed() > SILENCE {
                    break;
                }
            }
        }
        writing.join().map_err(|_| "the writing thread panicked")?
    })?;
    let rest = Instant::now() + COME_TO_REST;
    while let Some(left) = rest.checked_duration_since(Instant::now()) {
        audience.listen(left, &mut arrivals)?;
    }
    let cpu = stage.cpu()?.since(before);
    if let Some(reason) = audience.closed() {
        return Ok(Outcome::TooMuch(format!("a socket was closed: {reason}")));
    }
    if is_late {
        let rows = pace.rows();
        return Ok(Outcome::TooMuch(format!(
            "{rows} rows did not arrive in {DRAIN_MAX:?}"
        )));
    }
    arrivals.check(pace.rows(), reach)?;
    let latency = |from: fn(&Commit) -> u32| arrivals.latency(&commits, pace.rows_each, from);
    let last_commit = commits.iter().map(|commit| commit.returned).max();
    Ok(Outcome::Whole(Trial {
        pace,
        sockets: reach.sockets,
        wall: arrivals.last().duration_since(epoch),
        from_commit: latency(|commit| commit.returned),
        from_send: latency(|commit| commit.sent),
        writing: Duration::from_micros(last_commit.unwrap_or_default().into()),
        cpu,
    }))
}

impl Trial {
    /// Rows per second, from the first transaction to the last arrival.
    pub(super) fn rows_per_second(&self) -> f64 {
        self.pace.rows() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// Gateway CPU per delivery. Microseconds.
    pub(super) fn gateway_us_per_delivery(&self) -> f64 {
        self.cpu.gateway.as_secs_f64() * 1e6 / (self.pace.rows() * self.sockets).max(1) as f64
    }

    /// What each process used of one core.
    pub(super) fn shares(&self) -> Vec<Figure> {
        let of = [
            ("CPU of the gateway", self.cpu.gateway),
            ("CPU of PostgreSQL, all its processes", self.cpu.postgres),
            ("CPU of the load tool", self.cpu.tool),
            ("CPU of everything else on the machine", self.cpu.others()),
        ];
        of.map(|(name, cpu)| {
            let share = cpu.as_secs_f64() / self.wall.as_secs_f64().max(1e-9);
            Figure::new(name, share * 100.0, "% of a core")
        })
        .to_vec()
    }

    /// p50 and p99 from the commit, with goals if they are asked for, and from the sending.
    pub(super) fn latencies(&self, goals: Option<(f64, f64)>) -> Vec<Figure> {
        let mut p50 = Figure::new("commit to socket, p50", self.from_commit.ms(0.5), "ms");
        let mut p99 = Figure::new("commit to socket, p99", self.from_commit.ms(0.99), "ms");
        if let Some((median, slowest)) = goals {
            p50 = p50.at_most(median);
            p99 = p99.at_most(slowest);
        }
        vec![
            p50,
            p99,
            Figure::new(
                "sending of the transaction to socket, p50",
                self.from_send.ms(0.5),
                "ms",
            ),
            Figure::new(
                "sending of the transaction to socket, p99",
                self.from_send.ms(0.99),
                "ms",
            ),
        ]
    }
}
