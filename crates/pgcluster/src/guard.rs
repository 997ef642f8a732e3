//! A process that stops the server when its owner dies without a word.
//!
//! It waits on a pipe whose other end the owner holds, so that the operating system tells it of every kind of death.
//! Invariant: the guard stands down before the owner reaps the server, so the process id it knows is never another
//! process's.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The guard of one run of a server.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    /// Guards the process `pid`; after the owner's death `remove` is removed too.
    pub(crate) fn of(pid: u32, remove: Option<&Path>) -> io::Result<Guard> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(pid.to_string())
            .args(remove)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What the terminal sends to the owner is not for the guard.
            .process_group(0)
            .spawn()?;
        Ok(Guard { shell })
    }
}

impl Drop for Guard {
    /// Stands down.
    fn drop(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            _ = pipe.write_all(b"stand down\n");
        }
        _ = self.shell.wait();
    }
}

/// Fast shutdown, then immediate shutdown, then kill: ten seconds each.
const SCRIPT: &str = r#"
read -r order && exit
for signal in INT QUIT KILL; do
    kill -s "$signal" "$1" || break
    tenths=0
    while kill -s 0 "$1" && [ "$tenths" -lt 100 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
done
[ -z "$2" ] || rm -rf -- "$2"
"#;
