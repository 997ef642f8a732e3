//! One measured stretch: joins that are due at times fixed beforehand, on sockets that are open already.
//!
//! Users share the sockets, so that neither connections nor their limit are measured. No two joins of a stretch are of
//! the same user. Every stretch has a gateway of its own, and the transactions of the database are counted from its
//! start to its end.

use super::{Crowd, join, schema};
use crate::staged::arrivals::Quantiles;
use crate::staged::climb::Carried;
use crate::staged::stage::{Cpu, Stage};
use crate::staged::trial::Outcome;
use crate::staged::verdict::Figure;
use crate::staged::writer::{Pace, micros_since};
use crate::swarm::{Member, Swarm};
use crate::{Result, failed, message};
use std::time::{Duration, Instant};

const SOCKETS: usize = 2000;
/// Sockets that are being opened at once.
const WINDOW: usize = 256;
/// Longest wait for all sockets.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// Joins before those that count, so that connections, plans and caches are there.
const WARM_UP: Duration = Duration::from_millis(500);
/// Silence after which joins that are not answered once all are sent are lost. A refusal waits for 5 s.
const SILENCE: Duration = Duration::from_secs(10);
/// How long answers are waited for in any case.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// After the last answer: one too many would come now, and the clocks of the processes catch up.
const COME_TO_REST: Duration = Duration::from_millis(30);
/// What a refusal by the policies begins with. Any other is a matter of load.
const UNAUTHORIZED: &str = "Unauthorized";
const NOT_YET: u32 = u32::MAX;

/// What a stretch came to.
pub(super) struct Stretch {
    joins: u64,
    /// From when the first join was due to the last answer.
    pub(super) wall: Duration,
    /// From when the first was due to the sending of the last.
    pub(super) sending: Duration,
    /// From the sending of a join to its answer.
    pub(super) took: Quantiles,
    /// From when it was due.
    pub(super) took_from_due: Quantiles,
    /// CPU time of all.
    pub(super) cpu: Cpu,
    /// Of the database, those of the warm-up included.
    transactions: u64,
    joins_with_warm_up: u64,
}

impl Carried for Stretch {
    /// Joins, from when the first was due to the last answer.
    fn per_second(&self) -> f64 {
        self.joins as f64 / self.wall.as_secs_f64().max(1e-9)
    }
}

impl Stretch {
    /// CPU time per join. Microseconds.
    pub(super) fn per_join(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.joins.max(1) as f64
    }

    /// How long a join takes, what it costs, and how many transactions a thousand of them use, where a gateway whose
    /// sockets do not join uses so many `besides`.
    pub(super) fn figures(&self, whose: &str, besides: u64) -> Vec<Figure> {
        let transactions = self.transactions.saturating_sub(besides) as f64;
        let name = |what: &str| format!("{whose}{what}");
        vec![
            Figure::new(name("a join takes, p50"), self.took.ms(0.5), "ms"),
            Figure::new(name("a join takes, p99"), self.took.ms(0.99), "ms"),
            Figure::new(
                name("gateway CPU per join"),
                self.per_join(self.cpu.gateway),
                "µs",
            ),
            Figure::new(
                name("PostgreSQL CPU per join"),
                self.per_join(self.cpu.postgres),
                "µs",
            ),
            Figure::new(
                name("transactions per 1,000 joins"),
                transactions * 1e3 / self.joins_with_warm_up.max(1) as f64,
                "",
            ),
        ]
    }
}

/// Joins at `pace`, to private channels or, for comparison, to public ones of the same names. An error if a join is
/// lost, or refused by the policies.
pub(super) fn run(stage: &mut Stage, crowd: &Crowd, private: bool, pace: Pace) -> Result<Outcome<Stretch>> {
    let warm_up = Pace::new(pace.rate, 1, WARM_UP);
    let joins = pace.transactions.min(schema::USERS - warm_up.transactions);
    let all = warm_up.transactions + joins;
    let frames = (0..all).map(|user| join(crowd, user, user, private));
    let frames = frames.collect::<Result<Vec<_>>>()?;
    let (first, counted) = frames.split_at(usize::try_from(warm_up.transactions)?);

    let earlier = stage.stop_and_count_transactions()?;
    let mut swarm = open(stage)?;
    let mut progress = Progress::of(0, first.len());
    progress.join(&mut swarm, first, warm_up)?;
    if let Some(reason) = progress.too_much(&swarm)? {
        return Ok(Outcome::TooMuch(reason));
    }
    let mut progress = Progress::of(warm_up.transactions, counted.len());
    let before = stage.cpu()?;
    progress.join(&mut swarm, counted, pace)?;
    let cpu = stage.cpu()?.since(before);
    if let Some(reason) = progress.too_much(&swarm)? {
        return Ok(Outcome::TooMuch(reason));
    }
    drop(swarm);
    let transactions = stage.stop_and_count_transactions()? - earlier;
    let last = |times: &[u32]| Duration::from_micros(times.iter().copied().max().unwrap_or_default().into());
    Ok(Outcome::Whole(Stretch {
        joins,
        wall: last(&progress.answered),
        sending: last(&progress.sent),
        took: progress.took(|sent, _| sent),
        took_from_due: progress
            .took(|_, number| u32::try_from(pace.due(number).as_micros()).unwrap_or(NOT_YET)),
        cpu,
        transactions,
        joins_with_warm_up: all,
    }))
}

/// The transactions that a gateway uses whose sockets do not join. Also sees to it that the policy is asked: who may
/// join does, and who may not is refused.
pub(super) fn transactions_besides(stage: &mut Stage, crowd: &Crowd) -> Result<u64> {
    let earlier = stage.stop_and_count_transactions()?;
    let mut swarm = open(stage)?;
    let at_once = Pace::unpaced(1, 1);
    let mut invited = Progress::of(0, 1);
    invited.join(&mut swarm, &[join(crowd, 0, 0, true)?], at_once)?;
    if let Some(reason) = invited.too_much(&swarm)? {
        return failed(reason);
    }
    let mut stranger = Progress::of(1, 1);
    stranger.join(&mut swarm, &[join(crowd, 1, schema::USERS - 1, true)?], at_once)?;
    if stranger.too_much(&swarm).is_ok() {
        return failed("somebody joined the topic of others");
    }
    drop(swarm);
    Ok(stage.stop_and_count_transactions()? - earlier)
}

/// Sockets on a gateway that was just started.
fn open(stage: &mut Stage) -> Result<Swarm> {
    let sockets = SOCKETS.min(stage.sockets_max);
    let target = &stage.start_gateway()?.target;
    let mut swarm = Swarm::new(target)?;
    let members = (0..sockets)
        .map(|socket| Member::new(message::join(&format!("open-{socket}"), &target.token, false)));
    swarm.open(members, WINDOW, OPEN_MAX)?;
    Ok(swarm)
}

/// How far some joins have come. Times are microseconds from when the first was due.
struct Progress {
    /// Number of the first.
    first: u64,
    sent: Vec<u32>,
    answered: Vec<u32>,
    count: usize,
    /// Answers to joins that are answered already, or are none of these.
    astray: u64,
    refusal: Option<String>,
    is_late: bool,
}

impl Progress {
    /// None has been sent yet.
    fn of(first: u64, count: usize) -> Progress {
        Progress {
            first,
            sent: Vec::with_capacity(count),
            answered: vec![NOT_YET; count],
            count: 0,
            astray: 0,
            refusal: None,
            is_late: false,
        }
    }

    /// Sends them all, one socket after the other, and waits for the answers as long as there is hope.
    fn join(&mut self, swarm: &mut Swarm, frames: &[Vec<u8>], pace: Pace) -> Result<()> {
        let sockets = swarm.counts().joined.max(1);
        let epoch = Instant::now();
        let (mut all_sent, mut last_answer) = (None, epoch);
        while self.count < frames.len() && swarm.counts().closed == 0 {
            let mut wait = Duration::from_millis(50);
            while let Some(frame) = frames.get(self.sent.len()) {
                let due = pace.due(self.sent.len() as u64);
                let elapsed = epoch.elapsed();
                if due > elapsed {
                    wait = wait.min(due - elapsed);
                    break;
                }
                swarm.send(self.sent.len() % sockets, frame)?;
                self.sent.push(micros_since(epoch));
            }
            let before = self.count;
            swarm.pump(wait, &mut |delivery| {
                if let Some((number, is_ok)) = message::join_answer(delivery.payload) {
                    let at = delivery.at.duration_since(epoch).as_micros();
                    self.note(number, u32::try_from(at).unwrap_or(NOT_YET - 1));
                    if !is_ok {
                        let text = String::from_utf8_lossy(delivery.payload).into_owned();
                        self.refusal.get_or_insert(text);
                    }
                }
            })?;
            if self.count > before {
                last_answer = Instant::now();
            }
            if self.sent.len() == frames.len() {
                let since = *all_sent.get_or_insert_with(Instant::now);
                self.is_late = since.elapsed() > DRAIN_MAX;
                if self.is_late || since.max(last_answer).elapsed() > SILENCE {
                    break;
                }
            }
        }
        let rest = Instant::now() + COME_TO_REST;
        swarm.pump_until(rest, &mut |delivery| {
            self.astray += u64::from(message::join_answer(delivery.payload).is_some());
        })?;
        Ok(())
    }

    fn note(&mut self, number: u64, at: u32) {
        let place = number
            .checked_sub(self.first)
            .and_then(|place| self.answered.get_mut(usize::try_from(place).ok()?));
        match place {
            Some(place) if *place == NOT_YET => {
                *place = at;
                self.count += 1;
            }
            _ => self.astray += 1,
        }
    }

    /// Why the load was too much, if it was. An error if something went wrong that no load explains.
    fn too_much(&self, swarm: &Swarm) -> Result<Option<String>> {
        if let Some(refusal) = &self.refusal {
            return if refusal.contains(UNAUTHORIZED) {
                failed(format!("a user was refused: {refusal}"))
            } else {
                Ok(Some(refusal.clone()))
            };
        }
        if swarm.counts().closed > 0 {
            let reason = swarm.counts().first_failure.as_deref().unwrap_or_default();
            return Ok(Some(format!("a socket was closed: {reason}")));
        }
        if self.is_late {
            return Ok(Some(format!("joins were not answered in {DRAIN_MAX:?}")));
        }
        if self.count != self.answered.len() || self.astray > 0 {
            return failed(format!(
                "{} of {} joins were answered, and {} answers were to others",
                self.count,
                self.answered.len(),
                self.astray
            ));
        }
        Ok(None)
    }

    /// From a time of a join, made of when it was sent and of its place, to its answer.
    fn took(&self, from: impl Fn(u32, u64) -> u32) -> Quantiles {
        let times = self.answered.iter().zip(&self.sent).zip(0..);
        Quantiles::of(
            times
                .map(|((answered, sent), place)| answered.saturating_sub(from(*sent, place)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_twice_or_to_nobody_is_astray() {
        let mut progress = Progress::of(10, 2);
        for (number, at) in [(10, 5), (11, 7), (11, 8), (9, 8), (12, 8)] {
            progress.note(number, at);
        }
        assert_eq!((progress.count, progress.astray), (2, 3));
        assert_eq!(progress.answered, [5, 7]);
    }

    #[test]
    fn a_join_takes_from_its_sending_or_from_when_it_was_due() {
        let mut progress = Progress::of(0, 2);
        progress.sent = vec![100, 300];
        progress.note(0, 150);
        progress.note(1, 320);
        assert_eq!(progress.took(|sent, _| sent).at(1.0), 50);
        assert_eq!(progress.took(|_, place| place as u32 * 200).at(1.0), 150);
    }
}
