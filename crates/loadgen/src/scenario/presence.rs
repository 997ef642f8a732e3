//! A thousand members join one topic within ten seconds, each tracking itself: how many frames that is for a client,
//! and how soon after the last arrival everyone sees everyone.

use super::{Figure, Scenario, Settings, figure, known};
use crate::goal::Goal;
use crate::message::{self, members_of};
use crate::pacer::Schedule;
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use crate::{Result, failed};
use std::time::{Duration, Instant};

const MEMBERS: usize = 1_000;
const ARRIVAL: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(60);
const FRAMES: &str = "most frames to one client";
const VISIBLE: &str = "last member visible to all after";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "presence",
    about: "1,000 members join and track on one topic within 10 s",
    run,
    restarts: false,
    paired: false,
    goals: &[Goal::at_most(FRAMES, 100.0), Goal::at_most(VISIBLE, 1.0)],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let members = MEMBERS.min(settings.sockets_max);
    let arrivals = Schedule {
        rate: members as f64 / ARRIVAL.as_secs_f64(),
        burst: 1,
        total: members as u64,
    };
    let cpu_before = server.cpu_time()?;
    let mut swarm = Swarm::new(&server.target)?;
    let mut seen = Sightings::new(members);
    let begun = Instant::now();
    let mut started = 0;
    let mut last_start = begun;
    while !seen.complete() {
        let due = arrivals.due_by(begun.elapsed());
        while started < due {
            let mut member = Member::new(message::join("presence", &server.target.token, true));
            member.then = message::track("presence", started as usize);
            swarm.start(member)?;
            started += 1;
            last_start = Instant::now();
        }
        let wait = if started < arrivals.total {
            arrivals.due(started).saturating_sub(begun.elapsed())
        } else {
            Duration::from_millis(50)
        };
        swarm.pump(wait, &mut |delivery| seen.take(delivery.socket, delivery.payload))?;
        if swarm.counts().closed > 0 {
            return failed(swarm.counts().first_failure.clone().unwrap_or_default());
        }
        if begun.elapsed() > LIMIT {
            return failed(format!(
                "{} of {} sightings after {LIMIT:?}",
                seen.total,
                members * members
            ));
        }
    }
    let visible = last_start.elapsed();
    let cpu = cpu_before
        .zip(server.cpu_time()?)
        .map(|(before, after)| after.saturating_sub(before).as_secs_f64());
    let mut figures = vec![
        figure(FRAMES, "", seen.frames.iter().copied().max().unwrap_or(0) as f64),
        figure(VISIBLE, "s", visible.as_secs_f64()),
    ];
    figures.extend(known("CPU", "s", cpu));
    Ok(figures)
}

/// Which member has seen which.
struct Sightings {
    members: usize,
    seen: Vec<bool>,
    total: usize,
    frames: Vec<u64>,
}

impl Sightings {
    fn new(members: usize) -> Sightings {
        Sightings {
            members,
            seen: vec![false; members * members],
            total: 0,
            frames: vec![0; members],
        }
    }

    fn take(&mut self, observer: usize, payload: &[u8]) {
        if let Some(frames) = self.frames.get_mut(observer) {
            *frames += 1;
        }
        for member in members_of(payload).filter(|member| *member < self.members as u64) {
            if let Some(seen) = self.seen.get_mut(observer * self.members + member as usize) {
                self.total += usize::from(!std::mem::replace(seen, true));
            }
        }
    }

    fn complete(&self) -> bool {
        self.total == self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_to_see_everyone_and_repeats_do_not_count() {
        let mut seen = Sightings::new(2);
        seen.take(0, b"member=000000 member=000001 member=000001 member=000007");
        seen.take(1, b"member=000000");
        assert!(!seen.complete());
        seen.take(1, b"member=000001");
        assert!(seen.complete());
        assert_eq!(seen.frames, [1, 2]);
    }
}
