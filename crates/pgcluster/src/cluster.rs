//! One cluster: its creation, and its server from start to stop.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Error;
use crate::guard::Guard;
use crate::home::{self, Home};
use crate::installation::Installation;
use crate::pid_file::PidFile;
use crate::server_user::{ServerUser, without_postgres_settings};

/// What a cluster should be like.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Where to keep it; created if missing. If root starts the cluster and the account the server runs as cannot get
    /// there, it is kept in `/var/lib/roost-dev/<hash of this path>` instead: see [`Cluster::home`].
    pub home: PathBuf,
    /// The port on 127.0.0.1. `None`: the one of the last start if it is free, else any free one.
    pub port: Option<u16>,
    /// The password of the superuser, `postgres`, over TCP. Set anew at every start.
    pub password: String,
    /// Whether data survives a crash of the machine. Tests do without and are faster.
    pub durable: bool,
    /// Settings of the server on top of those it needs; they cannot be changed by SQL.
    pub settings: Vec<(String, String)>,
}

/// A cluster of ours. Its server is stopped on drop.
#[derive(Debug)]
pub struct Cluster {
    server: Option<Server>,
    installation: Installation,
    options: ClusterOptions,
    port: u16,
    user: ServerUser,
    /// Whether the home is removed when we die.
    is_temporary: bool,
    /// Last, for the lock goes when all else is gone.
    home: Home,
}

/// A running server.
#[derive(Debug)]
struct Server {
    /// First, to stand down before the server is reaped.
    guard: Guard,
    postmaster: Child,
}

impl Cluster {
    /// Creates the cluster unless it exists, and starts its server. Takes some seconds the first time.
    ///
    /// A server that a killed owner left behind is stopped first.
    pub fn create_or_open(installation: &Installation, options: ClusterOptions) -> Result<Cluster, Error> {
        Self::open(installation, options, false)
    }

    pub(crate) fn open(
        installation: &Installation,
        options: ClusterOptions,
        is_temporary: bool,
    ) -> Result<Cluster, Error> {
        let user = ServerUser::choose()?;
        let home = Home::claim(&options.home, &user)?;
        stop_orphan(&home);
        let mut cluster = Cluster {
            server: None,
            installation: installation.clone(),
            port: match options
                .port
                .or_else(|| home.last_port().filter(|port| is_free(*port)))
            {
                Some(port) => port,
                None => free_port()?,
            },
            options,
            user,
            is_temporary,
            home,
        };
        if !cluster.home.data().exists() {
            cluster.create()?;
        }
        cluster.start_on_some_port()?;
        cluster.home.keep_port(cluster.port)?;
        let password = cluster.options.password.replace('\'', "''");
        cluster.execute("postgres", &format!("ALTER ROLE postgres PASSWORD '{password}';"))?;
        Ok(cluster)
    }

    /// Starts the server, unless it was started already, and waits until it accepts connections.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.server.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + START_MAX;
        loop {
            match self.launch(deadline) {
                // What a killed server left behind takes a moment to go.
                Err(Error::Start { tail, .. })
                    if says_any(&tail, &["pre-existing shared memory", "already exists"])
                        && Instant::now() < deadline =>
                {
                    thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Stops the server: fast shutdown and, if it takes too long, harder ones.
    pub fn stop(&mut self) {
        self.end(&[Signal::SIGINT, Signal::SIGQUIT]);
    }

    /// Stops the server and starts it again, on the same port.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop();
        self.start()
    }

    /// Kills the server, as a crash would; the next start recovers.
    pub fn kill(&mut self) {
        self.end(&[]);
    }

    /// Stops the server without a checkpoint: for those that will not be started again.
    pub(crate) fn abandon(&mut self) {
        self.end(&[Signal::SIGQUIT]);
    }

    /// Where the cluster is kept; see [`ClusterOptions::home`].
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the server writes its log.
    pub fn log_file(&self) -> PathBuf {
        self.home.log()
    }

    /// The address of a database, for a client that connects over TCP.
    pub fn dsn(&self, user: &str, password: &str, database: &str) -> String {
        let [user, password, database] =
            [user, password, database].map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC));
        format!(
            "postgresql://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The address of a database for the superuser.
    pub fn superuser_dsn(&self, database: &str) -> String {
        self.dsn("postgres", &self.options.password, database)
    }

    /// Runs statements as superuser and returns what they select: a line per row, `|` between columns. Stops at the
    /// first statement that fails.
    pub fn execute(&self, database: &str, sql: &str) -> Result<String, Error> {
        let program = self.installation.program("psql");
        let mut psql = Command::new(&program);
        without_postgres_settings(&mut psql);
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--no-password",
        ])
        .args([
            "--set=ON_ERROR_STOP=1",
            "--username=postgres",
            "--dbname",
            database,
        ])
        .args([
            format!("--port={}", self.port).as_ref(),
            "--host".as_ref(),
            self.home.run().as_os_str(),
        ])
        .env("PGCLIENTENCODING", "UTF8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
        let output = run_with_input(&mut psql, sql).map_err(Error::io("run", &program))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout)
                .trim_end_matches('\n')
                .to_owned())
        } else {
            Err(Error::Sql {
                output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            })
        }
    }

    /// Creates a database, empty.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        let quoted = name.replace('"', "\"\"");
        self.execute("postgres", &format!("CREATE DATABASE \"{quoted}\";"))?;
        Ok(())
    }

    /// Makes the data directory.
    fn create(&self) -> Result<(), Error> {
        let making = self.home.data_in_the_making();
        if making.exists() {
            fs::remove_dir_all(&making).map_err(Error::io("remove", &making))?;
        }
        self.user.create_private(&making)?;
        let program = self.installation.program("initdb");
        let mut initdb = self.user.command(&program, &making);
        initdb
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C"])
            // Whoever gets to the socket got through the permissions of its directory.
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .arg("--pgdata")
            .arg(&making);
        if !self.options.durable {
            initdb.arg("--no-sync");
        }
        let output = initdb.output().map_err(Error::io("run", &program))?;
        if !output.status.success() {
            return Err(Error::Create {
                output: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            });
        }
        let data = self.home.data();
        fs::rename(&making, &data).map_err(Error::io("create", &data))
    }

    /// Starts the server; unless the port is given, one that was taken meanwhile is exchanged for another.
    fn start_on_some_port(&mut self) -> Result<(), Error> {
        for _ in 1..PORTS_TRIED_MAX {
            match self.start() {
                Err(Error::Start { tail, .. })
                    if self.options.port.is_none()
                        && says_any(&tail, &["could not create any TCP/IP sockets"]) =>
                {
                    self.port = free_port()?;
                }
                other => return other,
            }
        }
        self.start()
    }

    /// Starts the server once.
    fn launch(&mut self, deadline: Instant) -> Result<(), Error> {
        let log_path = self.home.log();
        let log = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&log_path)
            .map_err(Error::io("open", &log_path))?;
        let program = self.installation.program("postgres");
        let mut command = self.user.command(&program, self.home.path());
        command.arg("-D").arg(self.home.data());
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let postmaster = command
            .stdout(log.try_clone().map_err(Error::io("open", &log_path))?)
            .stderr(log)
            .spawn()
            .map_err(Error::io("run", &program))?;
        let remove = self.is_temporary.then(|| self.home.path());
        let guard = match Guard::of(postmaster.id(), remove) {
            Ok(guard) => guard,
            Err(error) => {
                end_process(postmaster, &[]);
                return Err(Error::io("run", Path::new("/bin/sh"))(error));
            }
        };
        let mut server = Server { guard, postmaster };
        if is_ready(&mut server.postmaster, &self.home.data(), deadline) {
            self.server = Some(server);
            return Ok(());
        }
        server.end(&[Signal::SIGQUIT]);
        Err(Error::Start {
            tail: home::tail(&log_path).map_err(Error::io("read", &log_path))?,
            log: log_path,
        })
    }

    fn end(&mut self, signals: &[Signal]) {
        if let Some(server) = self.server.take() {
            server.end(signals);
        }
    }

    /// The settings of the server; of two with the same name the later one counts.
    fn settings(&self) -> Vec<(&str, String)> {
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", self.home.run().display().to_string()),
            ("timezone", "UTC".to_owned()),
            ("wal_level", "logical".to_owned()),
            ("max_replication_slots", REPLICATION_STREAMS_MAX.to_string()),
            ("max_wal_senders", REPLICATION_STREAMS_MAX.to_string()),
            ("max_connections", CONNECTIONS_MAX.to_string()),
        ];
        if !self.options.durable {
            settings.extend([
                ("fsync", "off".to_owned()),
                ("full_page_writes", "off".to_owned()),
            ]);
        }
        let added = self.options.settings.iter();
        settings.extend(added.map(|(name, value)| (name.as_str(), value.clone())));
        settings
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    fn end(self, signals: &[Signal]) {
        let Server { guard, postmaster } = self;
        drop(guard);
        end_process(postmaster, signals);
    }
}

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions")
            .field("home", &self.home)
            .field("port", &self.port)
            .field("durable", &self.durable)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Sends the signals, one after the other and each with time to work, then kills.
fn end_process(mut process: Child, signals: &[Signal]) {
    for signal in signals {
        _ = kill(pid_of(&process), *signal);
        if wait_until(Instant::now() + SIGNAL_MAX, || {
            !matches!(process.try_wait(), Ok(None))
        }) {
            return;
        }
    }
    _ = process.kill();
    _ = process.wait();
}

fn pid_of(process: &Child) -> Pid {
    Pid::from_raw(process.id().cast_signed())
}

/// Waits until the server accepts connections. False if it stops or `deadline` passes before.
fn is_ready(postmaster: &mut Child, data: &Path, deadline: Instant) -> bool {
    let pid = pid_of(postmaster);
    let is_up = || PidFile::read(data).is_some_and(|file| file.pid == pid && file.is_ready);
    wait_until(deadline, || is_up() || !matches!(postmaster.try_wait(), Ok(None))) && is_up()
}

/// Stops a server that an earlier owner left behind. That it answers on a socket in our directory proves that it is
/// ours, which its process id alone would not.
fn stop_orphan(home: &Home) {
    let Some(file) = PidFile::read(&home.data()) else {
        return;
    };
    let socket = home.socket(file.port);
    let answers = || UnixStream::connect(&socket).is_ok();
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
        if !answers() {
            return;
        }
        _ = kill(file.pid, signal);
        wait_until(Instant::now() + SIGNAL_MAX, || !answers());
    }
}

/// Whether `condition` came true before `deadline`.
fn wait_until(deadline: Instant, mut condition: impl FnMut() -> bool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
}

/// Runs a program to its end. Input is written while output is read, so that neither waits for the other.
fn run_with_input(command: &mut Command, input: &str) -> io::Result<std::process::Output> {
    let mut child = command.spawn()?;
    let mut pipe = child.stdin.take().expect("standard input is piped");
    thread::scope(|scope| {
        // An error means that the program stopped reading; why, it says itself.
        scope.spawn(move || _ = pipe.write_all(input.as_bytes()));
        child.wait_with_output()
    })
}

fn says_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| Ok(listener.local_addr()?.port()))
        .map_err(Error::io("bind a port of", Path::new("127.0.0.1")))
}

/// How long a server may take to accept connections, recovery included.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a server may take to obey a signal before it gets a harder one.
const SIGNAL_MAX: Duration = Duration::from_secs(10);
/// Between two looks at something that sends no event.
const PAUSE: Duration = Duration::from_millis(10);
/// Free ports that may be lost to others before a start fails.
const PORTS_TRIED_MAX: usize = 5;
/// Replication slots, and connections that stream from them.
const REPLICATION_STREAMS_MAX: usize = 32;
/// Connections of clients.
const CONNECTIONS_MAX: usize = 200;
