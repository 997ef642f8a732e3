//! Single messages over `POST /api/broadcast` to ten subscribers, as fast as they are accepted.

use super::{Figure, OPEN_LIMIT, Scenario, Settings, WINDOW, figure, known};
use crate::goal::Goal;
use crate::measure::{Tally, Void};
use crate::message::{self, Broadcast, EVENT};
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use crate::{Result, http};
use std::time::{Duration, Instant};

const SUBSCRIBERS: usize = 10;
const CONNECTIONS: usize = 32;
const REQUESTS: &str = "requests per second";
const CPU: &str = "CPU per request and its deliveries";
/// How long deliveries may trail the last answer.
const TRAIL: Duration = Duration::from_secs(1);

pub(super) const SCENARIO: Scenario = Scenario {
    name: "http",
    about: "POST /api/broadcast, one message each, 32 connections, 10 subscribers",
    run,
    restarts: false,
    paired: false,
    goals: &[Goal::at_least(REQUESTS, 15_000.0), Goal::at_most(CPU, 90.0)],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let mut swarm = Swarm::new(&server.target)?;
    let member = Member::new(message::join("http", &server.target.token, false));
    swarm.open(std::iter::repeat_n(member, SUBSCRIBERS), WINDOW, OPEN_LIMIT)?;
    let payload = message::stamped_payload(settings.payload_bytes);
    let body = format!(r#"{{"messages":[{{"topic":"http","event":"{EVENT}","payload":{payload}}}]}}"#);
    let mut request = Broadcast::from_frame(server.target.broadcast_request(&body));

    let (address, duration) = (server.target.address, settings.stretch(4));
    let cpu_before = server.cpu_time()?;
    let epoch = Instant::now();
    let mut tally = Tally::new(epoch);
    let answered: Result<u64> = std::thread::scope(|scope| {
        let thread = scope.spawn(|| http::flood(address, &mut request, CONNECTIONS, duration, epoch));
        while !thread.is_finished() {
            swarm.pump(Duration::from_millis(50), &mut |delivery| tally.take(&delivery))?;
        }
        thread.join().map_err(|_| "the requesting thread panicked")?
    });
    let answered = answered?;
    let wall = epoch.elapsed();
    let expected = answered * SUBSCRIBERS as u64;
    let until = Instant::now() + TRAIL;
    while tally.delivered < expected && Instant::now() < until {
        swarm.pump(Duration::from_millis(50), &mut |delivery| tally.take(&delivery))?;
    }
    Void::unless(expected, tally.delivered)?;
    let cpu = cpu_before
        .zip(server.cpu_time()?)
        .map(|(before, after)| after.saturating_sub(before).as_secs_f64());
    let mut figures = vec![figure(REQUESTS, "1/s", answered as f64 / wall.as_secs_f64())];
    figures.extend(known(CPU, "µs", cpu.map(|cpu| cpu * 1e6 / answered as f64)));
    figures.push(figure(
        "latency p99",
        "ms",
        tally.latency.quantile(0.99) as f64 / 1e3,
    ));
    Ok(figures)
}
