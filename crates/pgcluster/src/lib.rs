//! A private PostgreSQL cluster: created, started and stopped by the process that needs it.
//!
//! `roost dev` keeps its data in one, and tests run against one. Invariants:
//!
//! - Nothing is shared with a PostgreSQL the machine may already run: own directory, own port, own socket.
//! - A cluster has one owner at a time, guarded by a lock on its home.
//! - The server does not outlive its owner. A [`Cluster`] stops it on drop; when the owner dies without dropping, a
//!   guard process does; when the guard is killed too, the next owner stops what it finds before it starts anew.
//! - PostgreSQL refuses to run as root, so root runs it as an unprivileged account. Root itself writes only where that
//!   account cannot plant a link.
//!
//! What is not here: no database client. SQL goes through `psql`; whoever wants more connects to [`Cluster::dsn`].

mod cluster;
mod error;
mod guard;
mod home;
mod installation;
mod pid_file;
mod server_user;
mod test_cluster;

pub use cluster::{Cluster, ClusterOptions};
pub use error::Error;
pub use installation::{Installation, NotFound};
pub use test_cluster::TestCluster;
