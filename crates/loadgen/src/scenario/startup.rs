//! How long a server takes to accept its first socket, and what it holds while nobody is there.

use super::{Figure, Scenario, Settings, figure, known};
use crate::Result;
use crate::goal::Goal;
use crate::server::Server;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Time for the server to settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);
const START: &str = "start to first joined socket";
const MEMORY: &str = "memory at rest";
const BINARY: &str = "stripped binary";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "startup",
    about: "start the server, join one socket, look at it at rest",
    run,
    restarts: true,
    paired: false,
    goals: &[
        Goal::at_most(START, 200.0),
        Goal::at_most(MEMORY, 15.0),
        Goal::at_most(BINARY, 20.0),
    ],
};

fn run(server: &mut Server, _settings: &Settings) -> Result<Vec<Figure>> {
    server.kill();
    let begun = Instant::now();
    server.restart()?;
    let started = begun.elapsed();
    std::thread::sleep(SETTLE);
    let mut figures = vec![figure(START, "ms", started.as_secs_f64() * 1e3)];
    figures.extend(known(
        MEMORY,
        "MB",
        server.resident_bytes()?.map(|bytes| bytes as f64 / 1e6),
    ));
    let binary = server.launch().and_then(|launch| stripped_bytes(&launch.program));
    figures.extend(known(BINARY, "MB", binary.map(|bytes| bytes as f64 / 1e6)));
    Ok(figures)
}

/// Size of the executable without symbols, through `strip`; `None` without that tool.
fn stripped_bytes(program: &Path) -> Option<u64> {
    let copy = std::env::temp_dir().join(format!("loadgen-stripped-{}", std::process::id()));
    let stripped = Command::new("strip")
        .arg("-o")
        .arg(&copy)
        .arg(program)
        .status()
        .is_ok_and(|status| status.success());
    let bytes = stripped
        .then(|| std::fs::metadata(&copy).ok().map(|file| file.len()))
        .flatten();
    // Only a leftover in the temporary folder if it fails.
    let _ = std::fs::remove_file(&copy);
    bytes
}
