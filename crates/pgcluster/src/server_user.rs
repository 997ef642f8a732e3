//! Who runs the server: ourselves or, where we are root, an account that may do less.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, io};

use nix::unistd::{User, geteuid};

use crate::error::Error;

/// The user the server runs as.
#[derive(Clone, Debug)]
pub(crate) struct ServerUser {
    /// `None`: the current one.
    other: Option<Account>,
}

/// An account, without groups besides its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// The current user or, for root, `postgres`, else `nobody`.
    pub(crate) fn choose() -> Result<ServerUser, Error> {
        if !geteuid().is_root() {
            return Ok(ServerUser { other: None });
        }
        let known = |name| User::from_name(name).ok().flatten();
        let user = PREFERRED.into_iter().find_map(known).ok_or(Error::NoAccount)?;
        let other = Account {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        };
        Ok(ServerUser { other: Some(other) })
    }

    /// A program of PostgreSQL to be run as this user, in `directory`, deaf to the terminal and to settings that are
    /// meant for another server.
    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .process_group(0)
            .env("LC_ALL", "C");
        without_postgres_settings(&mut command);
        if let Some(Account { uid, gid }) = self.other {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Creates a directory nobody but this user can look into. One that exists is fine if it is this user's.
    pub(crate) fn create_private(&self, directory: &Path) -> Result<(), Error> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => self.give(directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(directory).map_err(Error::io("look at", directory))?;
                if found.is_dir() && found.uid() == self.uid() {
                    Ok(())
                } else {
                    Err(Error::ForeignDirectory {
                        path: directory.to_owned(),
                    })
                }
            }
            Err(error) => Err(Error::io("create", directory)(error)),
        }
    }

    /// Creates a directory of ours in which this user can reach what is its own.
    pub(crate) fn create_reachable(&self, directory: &Path) -> Result<(), Error> {
        let mode = if self.other.is_some() { 0o711 } else { 0o700 };
        match DirBuilder::new().mode(mode).create(directory) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(Error::io("create", directory)(error)),
        }
    }

    /// Whether this user can get to what is in `directory`, an absolute path without links.
    pub(crate) fn can_reach(&self, directory: &Path) -> Result<bool, Error> {
        let Some(account) = self.other else {
            return Ok(true);
        };
        for ancestor in directory.ancestors() {
            let found = fs::metadata(ancestor).map_err(Error::io("look at", ancestor))?;
            if !account.can_traverse(found.uid(), found.gid(), found.permissions().mode()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn give(&self, path: &Path) -> Result<(), Error> {
        match self.other {
            Some(Account { uid, gid }) => {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(Error::io("give away", path))
            }
            None => Ok(()),
        }
    }

    fn uid(&self) -> u32 {
        match self.other {
            Some(account) => account.uid,
            None => geteuid().as_raw(),
        }
    }
}

impl Account {
    /// Whether a directory of this owner, group and mode lets the account pass.
    fn can_traverse(self, uid: u32, gid: u32, mode: u32) -> bool {
        let bit = if uid == self.uid {
            0o100
        } else if gid == self.gid {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }
}

/// Removes the variables that lead clients and tools of PostgreSQL elsewhere, such as `PGHOST`.
pub(crate) fn without_postgres_settings(command: &mut Command) {
    let is_setting = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with("PG"));
    for (name, _) in env::vars_os().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
}

/// Accounts to run the server as, best first.
const PREFERRED: [&str; 2] = ["postgres", "nobody"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_passed_as_owner_or_as_group_or_as_anybody() {
        let account = Account { uid: 7, gid: 8 };
        assert!(account.can_traverse(7, 0, 0o700));
        assert!(!account.can_traverse(7, 0, 0o077));
        assert!(account.can_traverse(0, 8, 0o710));
        assert!(!account.can_traverse(0, 8, 0o701));
        assert!(account.can_traverse(0, 0, 0o711));
        assert!(!account.can_traverse(0, 0, 0o770));
    }
}
