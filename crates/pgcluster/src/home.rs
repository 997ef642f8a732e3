//! The directories of a cluster, and where they can be.
//!
//! ```text
//! home/          ours
//!   lock         locked while somebody owns the cluster
//!   port         the port of the last start, tried first at the next one
//!   server.log   what the server printed since its last start
//!   data/        the server's (PGDATA)
//!   run/         the server's: its socket, unless the path would be too long for one
//! ```

use std::fs::{self, File, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, io};

use crate::error::Error;
use crate::server_user::ServerUser;

/// The home of a cluster, locked.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    run: PathBuf,
    /// Holds the lock until it is closed.
    _lock: File,
}

impl Home {
    /// Creates what is missing and takes the lock. The home is `wanted` or, if the server's user cannot get there, a
    /// directory under [`ELSEWHERE`] that depends on `wanted` only.
    pub(crate) fn claim(wanted: &Path, user: &ServerUser) -> Result<Home, Error> {
        fs::create_dir_all(wanted.parent().unwrap_or(wanted)).map_err(Error::io("create", wanted))?;
        user.create_reachable(wanted)?;
        let wanted = fs::canonicalize(wanted).map_err(Error::io("look at", wanted))?;
        let path = if user.can_reach(&wanted)? {
            wanted
        } else {
            let path = elsewhere(&wanted);
            fs::create_dir_all(ELSEWHERE).map_err(Error::io("create", Path::new(ELSEWHERE)))?;
            user.create_reachable(&path)?;
            path
        };
        let lock = lock(&path)?;
        let run = socket_directory(&path);
        user.create_private(&run)?;
        Ok(Home {
            path,
            run,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Where a cluster is created, before it is moved to where it is used: one that is half done is never used.
    pub(crate) fn data_in_the_making(&self) -> PathBuf {
        self.path.join("data.new")
    }

    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// The socket of a server that listens on `port`.
    pub(crate) fn socket(&self, port: u16) -> PathBuf {
        self.run.join(format!(".s.PGSQL.{port}"))
    }

    /// The port of the last start.
    pub(crate) fn last_port(&self) -> Option<u16> {
        fs::read_to_string(self.port_file()).ok()?.trim().parse().ok()
    }

    pub(crate) fn keep_port(&self, port: u16) -> Result<(), Error> {
        let file = self.port_file();
        fs::write(&file, format!("{port}\n")).map_err(Error::io("write", &file))
    }

    fn port_file(&self) -> PathBuf {
        self.path.join("port")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.run.starts_with(&self.path) {
            // Not empty while a server is running, and then it stays.
            _ = fs::remove_dir(&self.run);
        }
    }
}

fn lock(home: &Path) -> Result<File, Error> {
    let path = home.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            home: home.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

fn elsewhere(wanted: &Path) -> PathBuf {
    Path::new(ELSEWHERE).join(format!("{:016x}", fingerprint(wanted)))
}

/// `run` in the home, or a directory in the temporary one if the path is too long.
fn socket_directory(home: &Path) -> PathBuf {
    let usual = home.join("run");
    let longest = usual.join(".s.PGSQL.65535");
    if longest.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        usual
    } else {
        env::temp_dir().join(format!("roost-{:016x}", fingerprint(home)))
    }
}

/// FNV-1a, which is the same in every version of the standard library.
fn fingerprint(path: &Path) -> u64 {
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        })
}

/// The end of a file, for a message. At most [`TAIL_LINES`].
pub(crate) fn tail(file: &Path) -> io::Result<String> {
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

/// Homes of clusters whose server cannot get to where they should be, such as below `/root`.
const ELSEWHERE: &str = "/var/lib/roost-dev";
/// The path of a socket has to fit `sun_path`, which is 104 bytes on BSD and macOS and 108 on Linux, terminator
/// included.
const SOCKET_PATH_BYTES_MAX: usize = 103;
/// Lines of a log that are quoted.
const TAIL_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_socket_fits_whatever_the_home_is() {
        let short = Path::new("/srv/chat/.roost/postgres");
        assert_eq!(socket_directory(short), short.join("run"));
        let long = Path::new("/").join("x".repeat(90));
        let place = socket_directory(&long);
        assert_eq!(place.parent(), Some(&*env::temp_dir()));
        assert_eq!(place, socket_directory(&long), "stable");
        assert_ne!(place, socket_directory(&long.join("y")));
    }

    #[test]
    fn the_other_place_depends_on_the_wanted_one_only() {
        assert_eq!(
            elsewhere(Path::new("/root/chat/.roost/postgres")),
            Path::new("/var/lib/roost-dev/843c42d68b2aeeaf")
        );
    }
}
