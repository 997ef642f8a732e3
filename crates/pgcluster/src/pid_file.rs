//! The file in which a running server says who it is. Source: PostgreSQL, `src/include/utils/pidfile.h`.

use std::fs;
use std::path::Path;

use nix::unistd::Pid;

/// What `postmaster.pid` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: Pid,
    pub(crate) port: u16,
    /// Whether the server accepts connections.
    pub(crate) is_ready: bool,
}

impl PidFile {
    /// Reads the one in a data directory. `None` while there is none or it is being written. It stays behind when a
    /// server crashes, so its process may be gone or be another one.
    pub(crate) fn read(data: &Path) -> Option<PidFile> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<PidFile> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(PidFile {
            // Negative in single-user mode, and then nobody is served.
            pid: Some(lines.first()?.parse().ok()?)
                .filter(|pid| *pid > 0)
                .map(Pid::from_raw)?,
            port: lines.get(3)?.parse().ok()?,
            is_ready: lines.get(7) == Some(&"ready"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_its_last_line_says_so() {
        let starting =
            "4711\n/srv/data\n1700000000\n54321\n/srv/run\n127.0.0.1\n   5432001    12345\nstarting\n";
        let file = PidFile::parse(starting).unwrap();
        assert_eq!(
            (file.pid.as_raw(), file.port, file.is_ready),
            (4711, 54321, false)
        );
        let ready = starting.replace("starting", "ready   ");
        assert!(PidFile::parse(&ready).unwrap().is_ready);
    }

    #[test]
    fn a_file_that_is_not_complete_says_nothing() {
        for text in [
            "",
            "4711\n",
            "4711\n/srv/data\n1700000000\n",
            "-1\n/\n0\n5432\n",
            "x\n/\n0\n5432\n",
        ] {
            assert_eq!(PidFile::parse(text), None, "{text:?}");
        }
    }
}
