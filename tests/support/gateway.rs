//! The real binary, started for one test and stopped again with it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long the binary may take to start or to stop.
const LIMIT: Duration = Duration::from_secs(30);

/// A running `roost serve`. Killed on drop.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// `127.0.0.1:port`.
    address: String,
    lines: mpsc::Receiver<String>,
}

impl Gateway {
    /// Starts `roost serve` on a free port with these flags besides, and waits until it serves.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn serve(flags: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(flags)
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; build it first: cargo build --bin roost",
                    binary().display()
                )
            });
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads to the end even if nobody listens any more, so that the binary can go on logging.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut gateway = Self {
            child,
            address: String::new(),
            lines,
        };
        gateway.address = gateway.wait_for_log("serving", "address");
        gateway
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for a log line with this message, and returns one of its fields as text.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub fn wait_for_log(&self, message: &str, field: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].clone();
            if fields["message"].as_str() == Some(message) {
                return fields[field].as_str().unwrap_or_default().to_owned();
            }
            seen.push(line);
        }
        panic!("no {message:?} in the log:\n{}", seen.join("\n"))
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).expect("it runs");
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, beside the test that runs: `target/<profile>/deps/live-…` and `target/<profile>/roost`.
///
/// # Panics
///
/// If the test is somewhere else.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    test.ancestors()
        .nth(2)
        .expect("a test is in a folder of a folder")
        .join("roost")
}
