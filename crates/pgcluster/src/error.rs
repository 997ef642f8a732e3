//! Why there is no cluster, or no answer from it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a cluster could not be created, started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process owns the cluster.
    #[error("{} is in use by another process; stop that one first", home.display())]
    InUse {
        /// The cluster's home.
        home: PathBuf,
    },
    /// PostgreSQL refuses to run as root and there is nobody else.
    #[error("PostgreSQL does not run as root, and there is no account named postgres or nobody: add one")]
    NoAccount,
    /// The place for the socket belongs to somebody else.
    #[error("{} exists and belongs to somebody else; remove it", path.display())]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed:\n{output}")]
    Create {
        /// What it printed.
        output: String,
    },
    /// The server stopped while it was starting, or was not ready in time.
    #[error("PostgreSQL did not start; the end of its log, {}:\n{tail}", log.display())]
    Start {
        /// The log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A statement failed.
    #[error("{output}")]
    Sql {
        /// What `psql` printed.
        output: String,
    },
}

impl Error {
    /// Turns an error of the operating system into one that says what was attempted.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }
}
