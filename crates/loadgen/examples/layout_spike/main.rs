//! Which runtime layout a fan-out server should have: thread-per-core, or one work-stealing runtime.
//!
//! Three small servers do the same work as the floor on tokio; nothing differs but who owns a socket and who writes to
//! it. They take turns under the scenarios of `loadgen`.
//!
//! ```text
//! cargo run --release -p loadgen --example layout_spike [ROUNDS [SCENARIO…]]
//! ```
//!
//! - `per-core` ([`per_core`]): every worker is a single-threaded runtime that owns its sockets and lists; a
//!   publication crosses to another worker once, by mail.
//! - `shared-task` ([`shared`]): one work-stealing runtime, a shared topic map, and per socket a task that writes what
//!   the publisher put into its channel.
//! - `shared-direct` ([`shared`]): the same, but the publisher writes to each socket itself, under a lock.

mod conversation;
mod per_core;
mod shared;

use loadgen::bench::{Contestant, compare_servers};
use loadgen::message::Wire;
use loadgen::scenario::{self, Settings};
use loadgen::server::{self, Launch, Server};
use loadgen::{Result, failed, floor, process, report};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const ROUNDS: usize = 15;
const LIMIT: Duration = Duration::from_secs(1800);
const LAYOUTS: [&str; 4] = ["floor", "per-core", "shared-task", "shared-direct"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["serve", layout, address] => serve(layout, address.parse()?),
        [] => measure(ROUNDS, &["fanout", "pairs"]),
        [rounds] => measure(rounds.parse()?, &["fanout", "pairs"]),
        [rounds, scenarios @ ..] => measure(rounds.parse()?, scenarios),
    }
}

fn serve(layout: &str, address: SocketAddr) -> Result<()> {
    if layout == "floor" {
        return Ok(floor::serve(floor::listen(address)?)?);
    }
    let listener: TcpListener = floor::listen(address)?.into();
    listener.set_nonblocking(false)?;
    match layout {
        "per-core" => per_core::serve(&listener),
        "shared-task" => shared::serve(&listener, shared::Writing::ByTask),
        "shared-direct" => shared::serve(&listener, shared::Writing::ByPublisher),
        _ => failed(format!("{layout} is none of {LAYOUTS:?}")),
    }
}

fn measure(rounds: usize, scenarios: &[&str]) -> Result<()> {
    server::guard(LIMIT)?;
    let open_files = process::raise_open_files(20_000)?;
    let settings = Settings {
        wire: Wire::Binary,
        payload_bytes: 200,
        quick: false,
        sockets_max: usize::try_from(open_files)?.saturating_sub(200),
    };
    let start = |layout: &str| -> Result<Contestant> {
        let arguments = ["serve", layout, "127.0.0.1:{port}"].map(str::to_owned).to_vec();
        let launch = Launch {
            program: std::env::current_exe()?,
            arguments,
            token: "none".to_owned(),
        };
        Ok(Contestant {
            name: layout.to_owned(),
            server: Server::start(&launch)?,
        })
    };
    let mut contestants = LAYOUTS.into_iter().map(start).collect::<Result<Vec<_>>>()?;
    for name in scenarios {
        let Some(scenario) = scenario::named(name) else {
            return failed(format!("{name} is no scenario"));
        };
        println!(
            "{}",
            report::table(
                &compare_servers(scenario, &mut contestants, rounds, &settings),
                &LAYOUTS
            )
        );
    }
    Ok(())
}
