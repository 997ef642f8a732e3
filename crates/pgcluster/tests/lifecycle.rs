//! A cluster from creation to removal, also when its owner dies on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pgcluster::{Cluster, ClusterOptions, Error, Installation, TestCluster};

/// A directory of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("roost-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(fs::canonicalize(path).unwrap())
    }

    fn home(&self) -> PathBuf {
        self.0.join("postgres")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that owns a cluster until it is killed.
struct Owner {
    process: Child,
    dsn: String,
}

impl Owner {
    fn start(command: &mut Command) -> Owner {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut dsn = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut dsn)
            .unwrap();
        Owner { process, dsn }
    }

    fn of(home: &Path) -> Owner {
        Owner::start(Command::new(PROGRAM).arg(home))
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn options(home: PathBuf) -> ClusterOptions {
    ClusterOptions {
        home,
        port: None,
        password: "it's a \"secret\"".to_owned(),
        durable: false,
        settings: vec![("work_mem".to_owned(), "7MB".to_owned())],
    }
}

fn open(home: PathBuf) -> Cluster {
    Cluster::create_or_open(&Installation::find().unwrap(), options(home)).unwrap()
}

/// Whether a server answers on the cluster's socket.
fn is_up(home: &Path) -> bool {
    let sockets = fs::read_dir(home.join("run")).into_iter().flatten().flatten();
    sockets
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_none_or(|extension| extension != "lock")
        })
        .any(|entry| UnixStream::connect(entry.path()).is_ok())
}

/// Waits for something no event tells of; fails if it does not come at all.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn data_and_port_survive_a_stop_a_crash_and_another_owner() {
    let scratch = Scratch::new("survive");
    let mut cluster = open(scratch.home());
    let port = cluster.port();
    cluster
        .execute(
            "postgres",
            "CREATE TABLE eggs (n int); INSERT INTO eggs VALUES (1);",
        )
        .unwrap();
    cluster.restart().unwrap();
    cluster
        .execute("postgres", "INSERT INTO eggs VALUES (2);")
        .unwrap();
    cluster.kill();
    assert!(cluster.execute("postgres", "SELECT 1;").is_err());
    cluster.start().unwrap();
    cluster
        .execute("postgres", "INSERT INTO eggs VALUES (3);")
        .unwrap();
    drop(cluster);
    assert!(!is_up(&scratch.home()));

    let cluster = open(scratch.home());
    assert_eq!(cluster.port(), port);
    assert_eq!(
        cluster
            .execute("postgres", "SELECT n FROM eggs ORDER BY n;")
            .unwrap(),
        "1\n2\n3"
    );
}

#[test]
fn the_server_is_set_up_for_logical_replication_and_as_asked() {
    let scratch = Scratch::new("settings");
    let cluster = open(scratch.home());
    let show = |name: &str| cluster.execute("postgres", &format!("SHOW {name};")).unwrap();
    assert_eq!(show("wal_level"), "logical");
    assert_eq!(show("timezone"), "UTC");
    assert_eq!(show("work_mem"), "7MB");
    assert_eq!(show("fsync"), "off");
    assert_eq!(show("server_encoding"), "UTF8");
}

#[test]
fn over_tcp_the_password_is_asked_for() {
    let scratch = Scratch::new("password");
    let cluster = open(scratch.home());
    let connect = |dsn: &str| {
        let psql = Installation::find().unwrap().program("psql");
        let output = Command::new(psql)
            .args(["-X", "-A", "-t", "-w", "-c", "SELECT 'in'", dsn])
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(
        connect(&cluster.superuser_dsn("postgres")),
        (true, "in\n".to_owned())
    );
    assert_eq!(
        connect(&cluster.dsn("postgres", "guess", "postgres")),
        (false, String::new())
    );
    assert!(!format!("{cluster:?}").contains("secret"));
}

#[test]
fn a_cluster_has_one_owner() {
    let scratch = Scratch::new("owner");
    let first = open(scratch.home());
    let second = Cluster::create_or_open(&Installation::find().unwrap(), options(scratch.home()));
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    assert_eq!(first.execute("postgres", "SELECT 1;").unwrap(), "1");
}

#[test]
fn a_statement_that_fails_says_why_and_ends_the_rest() {
    let cluster = TestCluster::shared();
    cluster.create_database("fails");
    let error = cluster
        .execute("fails", "CREATE TABLE a (); SELECT nonsense; CREATE TABLE b ();")
        .unwrap_err();
    assert!(
        error.to_string().contains("\"nonsense\" does not exist"),
        "{error}"
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename IN ('a', 'b');";
    assert_eq!(cluster.execute("fails", tables).unwrap(), "1");
}

#[test]
fn much_input_and_much_output_do_not_block_each_other() {
    let cluster = TestCluster::shared();
    let sql = "SELECT repeat('x', 100000);\n".repeat(20) + &"-- silence\n".repeat(100_000);
    assert_eq!(cluster.execute("postgres", &sql).unwrap().len(), 20 * 100_001 - 1);
}

#[test]
fn databases_have_any_name() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("a \"b\"/c");
    assert!(dsn.ends_with("/a%20%22b%22%2Fc"), "{dsn}");
    assert_eq!(
        cluster
            .execute("a \"b\"/c", "SELECT current_database();")
            .unwrap(),
        "a \"b\"/c"
    );
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let scratch = Scratch::new("broken");
    let broken = ClusterOptions {
        settings: vec![("shared_buffers".to_owned(), "much".to_owned())],
        ..options(scratch.home())
    };
    let error = Cluster::create_or_open(&Installation::find().unwrap(), broken).unwrap_err();
    assert!(error.to_string().contains("shared_buffers"), "{error}");
    assert_eq!(
        open(scratch.home()).execute("postgres", "SELECT 1;").unwrap(),
        "1"
    );
}

#[test]
fn a_creation_that_was_interrupted_is_begun_anew() {
    let scratch = Scratch::new("interrupted");
    fs::create_dir_all(scratch.home().join("data.new/base")).unwrap();
    assert_eq!(
        open(scratch.home()).execute("postgres", "SELECT 1;").unwrap(),
        "1"
    );
}

#[test]
fn a_temporary_cluster_leaves_nothing_behind() {
    let cluster = TestCluster::start(&[]);
    let home = cluster.home().to_owned();
    assert!(is_up(&home));
    drop(cluster);
    assert!(!home.exists());
}

#[test]
fn the_server_stops_when_its_owner_is_killed() {
    let scratch = Scratch::new("killed");
    let mut owner = Owner::of(&scratch.home());
    assert!(
        owner.dsn.starts_with("postgresql://postgres:postgres@127.0.0.1:"),
        "{}",
        owner.dsn
    );
    assert!(is_up(&scratch.home()));
    owner.kill();
    eventually("the server stops", || !is_up(&scratch.home()));
    // A clean stop, not a crash.
    eventually("the server is done", || {
        !scratch.home().join("data/postmaster.pid").exists()
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_lost_owner_and_guard_is_stopped_by_the_next_owner() {
    let scratch = Scratch::new("orphan");
    let mut owner = Owner::of(&scratch.home());
    for child in children(owner.process.id()) {
        let command = fs::read(format!("/proc/{child}/cmdline")).unwrap();
        if command.starts_with(b"/bin/sh") {
            assert!(
                Command::new("kill")
                    .args(["-KILL", &child.to_string()])
                    .status()
                    .unwrap()
                    .success()
            );
        }
    }
    owner.kill();
    assert!(is_up(&scratch.home()), "the server has become an orphan");
    let old = fs::read_to_string(scratch.home().join("data/postmaster.pid")).unwrap();
    let cluster = open(scratch.home());
    assert_eq!(cluster.execute("postgres", "SELECT 1;").unwrap(), "1");
    let pid = old.lines().next().unwrap();
    eventually("the orphan is gone", || !Path::new("/proc").join(pid).exists());
}

#[cfg(target_os = "linux")]
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn root_gives_up_its_privileges_and_keeps_what_the_server_cannot_reach_elsewhere() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scratch = Scratch::new("private");
    let is_root = fs::metadata(&scratch.0).unwrap().uid() == 0;
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
    let cluster = open(scratch.home());
    let data = fs::metadata(cluster.home().join("data")).unwrap();
    if is_root {
        assert_ne!(data.uid(), 0);
        assert!(cluster.home().starts_with("/var/lib/roost-dev"));
        let home = cluster.home().to_owned();
        drop(cluster);
        assert_eq!(open(scratch.home()).home(), home, "the same place every time");
        fs::remove_dir_all(home).unwrap();
    } else {
        assert_eq!(cluster.home(), scratch.home());
    }
}

/// Where we are no root the other tests show this already.
#[test]
fn an_ordinary_user_has_a_cluster_too() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scratch = Scratch::new("ordinary");
    if fs::metadata(&scratch.0).unwrap().uid() != 0 {
        return;
    }
    // The program may lie where only root gets.
    let program = scratch.0.join("pgcluster");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    let mut owner = Owner::start(command.arg(&program).arg(scratch.home()).current_dir("/"));
    assert!(is_up(&scratch.home()));
    assert_eq!(fs::metadata(scratch.home().join("data")).unwrap().uid(), 65534);
    // Standard input ends: the owner stops its server and ends.
    drop(owner.process.stdin.take());
    assert!(owner.process.wait().unwrap().success());
    assert!(!is_up(&scratch.home()));
    let mut rest = String::new();
    _ = owner
        .process
        .stderr
        .take()
        .map(|mut stderr| stderr.read_to_string(&mut rest));
    assert_eq!(rest, "");
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_pgcluster");
