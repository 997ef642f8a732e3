//! Clusters for tests.

use std::fs::DirBuilder;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, io, process};

use crate::cluster::{Cluster, ClusterOptions};
use crate::installation::Installation;

/// A cluster in a temporary directory, removed with all its data on drop or when the process ends, however it ends.
///
/// The superuser is `postgres` with password `postgres`. Whatever goes wrong panics, as is right in a test.
#[derive(Debug)]
pub struct TestCluster {
    cluster: Cluster,
}

impl TestCluster {
    /// The one of this process, started by the first test that asks. It has no settings of its own, nobody stops it,
    /// and tests keep apart by databases and roles of different names.
    pub fn shared() -> &'static TestCluster {
        static SHARED: OnceLock<TestCluster> = OnceLock::new();
        SHARED.get_or_init(|| TestCluster::start(&[]))
    }

    /// One for a test that stops it, kills it or needs settings.
    pub fn start(settings: &[(&str, &str)]) -> TestCluster {
        let installation = Installation::find().expect("tests need a PostgreSQL server: run `make deps`");
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = ClusterOptions {
            home: create_directory().expect("the temporary directory can be written to"),
            port: None,
            password: "postgres".to_owned(),
            durable: false,
            settings: settings.collect(),
        };
        let cluster = Cluster::open(&installation, options, true).expect("a cluster starts");
        TestCluster { cluster }
    }

    /// Creates a database, empty, and returns its address for the superuser.
    pub fn create_database(&self, name: &str) -> String {
        self.cluster
            .create_database(name)
            .expect("a database of that name is new");
        self.cluster.superuser_dsn(name)
    }
}

impl Deref for TestCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for TestCluster {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.cluster.abandon();
        _ = fs::remove_dir_all(self.cluster.home());
    }
}

/// Creates a directory that nobody had before.
fn create_directory() -> io::Result<PathBuf> {
    for number in 0.. {
        let path = env::temp_dir().join(format!("roost-test-{}-{number}", process::id()));
        match DirBuilder::new().create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|()| path),
        }
    }
    unreachable!("a directory does not exist 2^31 times")
}
