//! What a scenario plays on: a private PostgreSQL with its tables, and a gateway on it.
//!
//! PostgreSQL runs with the settings it is shipped with, fsync included, but for two: no autovacuum and no checkpoint
//! by time, which would fall into one scenario and not into another.

use super::verdict::Figure;
use crate::server::{Launch, Server};
use crate::{Result, failed, process};
use pgcluster::{Installation, TestCluster};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The roles and the functions of policies, as `roost dev` sets them up.
const ROLES: &str = include_str!("../../../../migrations/dev/0001_roles.sql");
/// See [`ROLES`].
const POLICY_FUNCTIONS: &str = include_str!("../../../../migrations/dev/0002_auth.sql");

const DATABASE: &str = "bench";
/// What is looked at from here leaves no traces in the statistics of [`DATABASE`].
const ELSEWHERE: &str = "postgres";
/// Signs the tokens of gateways that are started here, which live as long as the benchmark and listen on the loopback.
const SECRET: &str = "a-secret-that-only-benchmarks-use";
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long PostgreSQL may take to notice that a gateway is gone.
const RELEASE_MAX: Duration = Duration::from_secs(30);
/// Between two looks whether it has.
const RELEASE_LOOK: Duration = Duration::from_millis(20);
/// The last two would be on and 5 minutes.
const SETTINGS: [(&str, &str); 5] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("max_wal_size", "4GB"),
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1d"),
];
/// Those that are told, as everything else hangs on them.
const TOLD: [&str; 7] = [
    "server_version",
    "wal_level",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "autovacuum",
];

/// A private PostgreSQL and, once started, a gateway on it.
pub(crate) struct Stage {
    cluster: TestCluster,
    dsn: String,
    postmaster: u32,
    engaged: Launch,
    gateway: Option<Server>,
    next_row: u64,
    /// Shorter stretches.
    pub(crate) quick: bool,
    /// What is played are short forms: searches take steps of a second.
    pub(crate) is_short: bool,
    /// Most sockets a scenario may open: the limit of open files allows no more.
    pub(crate) sockets_max: usize,
}

/// CPU time used so far, or between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// Of the gateway; nothing while there is none.
    pub(crate) gateway: Duration,
    /// Of all processes of PostgreSQL.
    pub(crate) postgres: Duration,
    /// Of this tool: listeners and writers.
    pub(crate) tool: Duration,
    /// Of the whole machine, these three included.
    pub(crate) machine: Duration,
}

impl Cpu {
    /// What was used since an earlier reading.
    pub(crate) fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            gateway: self.gateway.saturating_sub(earlier.gateway),
            postgres: self.postgres.saturating_sub(earlier.postgres),
            tool: self.tool.saturating_sub(earlier.tool),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }

    /// Of whatever else runs on the machine, and disturbs.
    pub(crate) fn others(self) -> Duration {
        self.machine
            .saturating_sub(self.gateway + self.postgres + self.tool)
    }

    /// What each used of one core in that time.
    pub(crate) fn shares(self, wall: Duration) -> Vec<Figure> {
        let of = [
            ("CPU of the gateway", self.gateway),
            ("CPU of PostgreSQL, all its processes", self.postgres),
            ("CPU of the load tool", self.tool),
            ("CPU of everything else on the machine", self.others()),
        ];
        of.map(|(name, cpu)| {
            let share = cpu.as_secs_f64() / wall.as_secs_f64().max(1e-9);
            Figure::new(name, share * 100.0, "% of a core")
        })
        .to_vec()
    }
}

impl Stage {
    /// Starts a cluster, and sets a database up with `roost migrate` and the tables of the scenarios.
    pub(crate) fn set(roost: PathBuf, tables: &str, sockets_max: usize, quick: bool) -> Result<Stage> {
        Installation::find()?;
        let cluster = TestCluster::start(&SETTINGS);
        let dsn = cluster.create_database(DATABASE);
        for sql in [ROLES, POLICY_FUNCTIONS] {
            cluster.execute(DATABASE, sql)?;
        }
        let migration = Command::new(&roost)
            .args(["migrate", "--log-level", "warn", "--database-url", &dsn])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("{}: {error}", roost.display()))?;
        if !migration.success() {
            return failed("the database could not be set up");
        }
        cluster.execute(DATABASE, tables)?;
        let directory = cluster.execute(DATABASE, "show data_directory")?;
        let pid_file = std::fs::read_to_string(PathBuf::from(directory).join("postmaster.pid"))?;
        let postmaster = pid_file.lines().next().unwrap_or_default().trim().parse()?;
        Ok(Stage {
            engaged: gateway(&roost, &dsn)?,
            cluster,
            dsn,
            postmaster,
            gateway: None,
            next_row: 0,
            quick,
            is_short: false,
            sockets_max,
        })
    }

    /// The settings of PostgreSQL everything else hangs on, in a line.
    pub(crate) fn settings(&self) -> Result<String> {
        let shows = TOLD.map(|name| format!("select '{name} ' || current_setting('{name}');"));
        Ok(self.execute(&shows.concat())?.replace('\n', ", "))
    }

    /// The address of the database.
    pub(crate) fn dsn(&self) -> &str {
        &self.dsn
    }

    /// Runs statements as superuser; see [`pgcluster::Cluster::execute`].
    pub(crate) fn execute(&self, sql: &str) -> Result<String> {
        Ok(self.cluster.execute(DATABASE, sql)?)
    }

    /// What PostgreSQL has logged so far.
    pub(crate) fn log(&self) -> Result<String> {
        let log = std::fs::read(self.cluster.home().join("server.log"))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Starts a new gateway, in the place of one that is running.
    pub(crate) fn start_gateway(&mut self) -> Result<&Server> {
        self.stop_gateway()?;
        Ok(self.gateway.insert(Server::start(&self.engaged)?))
    }

    /// How a gateway is started on this database.
    pub(crate) fn launch(&self, program: &Path) -> Result<Launch> {
        gateway(program, &self.dsn)
    }

    /// From now on this is started as the gateway.
    pub(crate) fn engage(&mut self, launch: Launch) {
        self.engaged = launch;
    }

    /// Kills the gateway, waits until PostgreSQL has noticed, and drops the slots it left behind: the next one begins
    /// where it is started.
    pub(crate) fn stop_gateway(&mut self) -> Result<()> {
        self.gateway = None;
        self.wait_until_none("from pg_replication_slots where active")?;
        self.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")?;
        Ok(())
    }

    /// Kills the gateway and counts the transactions of the database so far, committed or rolled back, our own included:
    /// those of a connection are known for certain once it is closed. Nobody else may be connected.
    pub(crate) fn stop_and_count_transactions(&mut self) -> Result<u64> {
        self.gateway = None;
        self.wait_until_none(&format!(
            "from pg_stat_activity where datname = '{DATABASE}' and backend_type in ('client backend', 'walsender')"
        ))?;
        let counted = self.cluster.execute(
            ELSEWHERE,
            &format!("select xact_commit + xact_rollback from pg_stat_database where datname = '{DATABASE}'"),
        )?;
        self.stop_gateway()?;
        Ok(counted.parse()?)
    }

    /// Waits until a query finds no row.
    fn wait_until_none(&self, rows: &str) -> Result<()> {
        let begun = Instant::now();
        while self
            .cluster
            .execute(ELSEWHERE, &format!("select count(*) {rows}"))?
            != "0"
        {
            if begun.elapsed() > RELEASE_MAX {
                return failed(format!(
                    "PostgreSQL does not notice that the gateway is gone: rows {rows}"
                ));
            }
            std::thread::sleep(RELEASE_LOOK);
        }
        Ok(())
    }

    /// The gateway that was started last.
    pub(crate) fn gateway(&self) -> Result<&Server> {
        self.gateway
            .as_ref()
            .ok_or_else(|| "no gateway was started".into())
    }

    /// The first of `count` numbers of rows that nobody had before.
    pub(crate) fn take_rows(&mut self, count: u64) -> u64 {
        let first = self.next_row;
        self.next_row += count;
        first
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let gateway = self.gateway.as_ref().map(Server::cpu_time).transpose()?;
        Ok(Cpu {
            gateway: gateway.flatten().unwrap_or_default(),
            postgres: process::family_cpu_time(self.postmaster)?,
            tool: process::cpu_time(std::process::id())?,
            machine: process::machine_cpu_time()?,
        })
    }

    /// A stretch of `seconds`, or a third of it in the quick benchmark.
    pub(crate) fn stretch(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { seconds / 3.0 } else { seconds })
    }
}

fn gateway(program: &Path, dsn: &str) -> Result<Launch> {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:{port}",
        "--database-url",
        dsn,
        "--jwt-secret",
        SECRET,
        "--log-level",
        "error",
        // Listeners say nothing in a long scenario.
        "--idle-timeout-ms",
        "86400000",
    ];
    Ok(Launch {
        program: program.to_owned(),
        arguments: arguments.map(str::to_owned).to_vec(),
        token: token("anon", &[])?,
    })
}

/// A token of that role with these claims besides.
pub(crate) fn token(role: &str, claims: &[(&str, &str)]) -> Result<String> {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + TOKEN_LIFE;
    let mut all = Map::from_iter([
        ("role".to_owned(), Value::from(role)),
        ("exp".to_owned(), Value::from(expires.as_secs())),
    ]);
    all.extend(
        claims
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value))),
    );
    Ok(auth::sign(&all, &auth::Secret::new(SECRET)))
}
