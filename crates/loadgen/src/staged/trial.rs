//! One measured stretch: somebody writes, everybody listens, and the CPU of all is read before and after.

use super::arrivals::{Quantiles, Reach};
use super::audience::Audience;
use super::climb::Carried;
use super::stage::{Cpu, Stage};
use super::verdict::Figure;
use super::writer::{Commit, Pace, Writer};
use crate::{Result, failed, scenario};
use std::time::{Duration, Instant};

/// Silence after which rows that are missing once everything is written are lost.
const SILENCE: Duration = Duration::from_secs(5);
/// How long missing rows are waited for in any case.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// After the last expected row: one too many would come now, and the clocks of the processes catch up.
const COME_TO_REST: Duration = Duration::from_millis(30);
/// Load before a measurement, so that plans, caches and buffers are warm; not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// The p50 that [`Trial::brief`] tells.
pub(crate) const P50: &str = "commit to socket, p50";
/// The p99 that it tells.
pub(crate) const P99: &str = "commit to socket, p99";

/// What a stretch came to.
pub(crate) struct Trial {
    /// What was to be written.
    pub(crate) pace: Pace,
    /// Sockets that heard of each row.
    pub(crate) sockets: u64,
    /// From the first transaction to the last arrival.
    pub(crate) wall: Duration,
    /// From the return of the commit to the arrival.
    pub(crate) from_commit: Quantiles,
    /// From the sending of the transaction to the arrival.
    pub(crate) from_send: Quantiles,
    /// From the first transaction to the last commit.
    pub(crate) writing: Duration,
    /// CPU time of all.
    pub(crate) cpu: Cpu,
    /// Payload bytes of a delivery, on average.
    pub(crate) bytes_each: f64,
}

/// How a stretch went.
pub(crate) enum Outcome<T> {
    /// Everything happened as it should have.
    Whole(T),
    /// The load was too much: things still happened long after they were due, or sockets were closed.
    TooMuch(String),
}

/// Writes at `pace`, after a short warm-up. An error if a row is lost, and also if the load is too much.
pub(crate) fn measure(
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
pub(crate) fn run(
    stage: &mut Stage,
    audience: &mut Audience,
    writer: &Writer,
    pace: Pace,
    reach: &Reach,
) -> Result<Outcome<Trial>> {
    let expected = pace.rows() * reach.sockets;
    let first = stage.take_rows(pace.rows());
    let before = stage.cpu()?;
    let epoch = Instant::now();
    let mut arrivals = audience.arrivals(first, epoch);
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
        bytes_each: arrivals.bytes_each(),
    }))
}

impl Trial {
    /// Gateway CPU per delivery. Microseconds.
    pub(crate) fn gateway_us_per_delivery(&self) -> f64 {
        self.cpu.gateway.as_secs_f64() * 1e6 / (self.pace.rows() * self.sockets).max(1) as f64
    }

    /// What can be compared with a floor.
    pub(crate) fn brief(&self) -> Vec<scenario::Figure> {
        let figure = |name, unit, value| scenario::Figure { name, unit, value };
        vec![
            figure("CPU per delivery", "µs", self.gateway_us_per_delivery()),
            figure(P50, "ms", self.from_commit.ms(0.5)),
            figure(P99, "ms", self.from_commit.ms(0.99)),
            figure("payload per delivery", "B", self.bytes_each),
        ]
    }

    /// The rate that held, under that name, and what it took.
    pub(crate) fn peak(&self, name: &'static str) -> Vec<scenario::Figure> {
        let peak = scenario::Figure {
            name,
            unit: "1/s",
            value: self.per_second(),
        };
        std::iter::once(peak).chain(self.brief()).collect()
    }

    /// What each process used of one core.
    pub(crate) fn shares(&self) -> Vec<Figure> {
        self.cpu.shares(self.wall)
    }

    /// p50 and p99 from the commit, with the most they may be in milliseconds if that is asked, and from the sending.
    pub(crate) fn latencies(&self, p50_max: Option<f64>, p99_max: Option<f64>) -> Vec<Figure> {
        let figure = |from: &str, latency: &Quantiles, name: &str, share| {
            Figure::new(format!("{from} to socket, {name}"), latency.ms(share), "ms")
        };
        let bounded = |figure: Figure, most: Option<f64>| match most {
            Some(most) => figure.at_most(most),
            None => figure,
        };
        let sending = "sending of the transaction";
        vec![
            bounded(figure("commit", &self.from_commit, "p50", 0.5), p50_max),
            bounded(figure("commit", &self.from_commit, "p99", 0.99), p99_max),
            figure(sending, &self.from_send, "p50", 0.5),
            figure(sending, &self.from_send, "p99", 0.99),
        ]
    }
}

impl Carried for Trial {
    /// Rows, from the first transaction to the last arrival.
    fn per_second(&self) -> f64 {
        self.pace.rows() as f64 / self.wall.as_secs_f64().max(1e-9)
    }
}
