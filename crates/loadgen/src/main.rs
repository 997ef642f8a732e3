//! `loadgen`: the benchmark's command line.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use loadgen::bench::{Comparison, Contestant, compare_servers};
use loadgen::message::Wire;
use loadgen::scenario::{self, Scenario, Settings};
use loadgen::server::{self, Launch, Server};
use loadgen::staged::floor as staged_floor;
use loadgen::staged::short::{self, Player, Short};
use loadgen::staged::{self, Suite};
use loadgen::summary::Summary;
use loadgen::target::Target;
use loadgen::{Result, changes, database_broadcasts, floor, private_joins, process, report};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Ends a benchmark that hangs.
const BENCH_LIMIT: Duration = Duration::from_secs(3600);
/// 10,000 pairs, and some files besides.
const OPEN_FILES_WANTED: u64 = 20_500;
/// Open files that are no sockets of a scenario.
const OPEN_FILES_BESIDES: u64 = 200;
const ROUNDS: usize = 5;
/// Of a scenario without a database that is compared with the floor in every round; the others have one.
const ROUNDS_QUICK: usize = 3;
/// Exit status if every scenario ran but a goal is not met. Other failures are 1.
const NOT_MET: u8 = 3;
/// Signs the tokens of servers that are started here, which live as long as the benchmark and listen on the loopback.
const SECRET: &str = "a-secret-that-only-benchmarks-use";
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How the server is started unless told otherwise. Its default level logs nothing per socket or message, only starts.
const ROOST: [&str; 7] = [
    "serve",
    "--listen",
    "127.0.0.1:{port}",
    "--jwt-secret",
    "{secret}",
    "--log-level",
    "error",
];

/// Measures a realtime gateway as a ratio to a bare epoll loop.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run scenarios on the floor and on a server, in turn, and compare. The exit status is 3 if a goal is not met.
    Bench(Bench),
    /// Measure how changes of a private PostgreSQL arrive, and what they cost.
    BenchChanges(BenchChanges),
    /// Measure how fast users are let into private channels, with a private PostgreSQL.
    BenchPrivate(BenchPrivate),
    /// Measure how messages that SQL sends arrive, with a private PostgreSQL.
    BenchDbBroadcast(BenchDbBroadcast),
    /// Serve as the floor: the least a server of this shape can do.
    Floor {
        /// Where to listen.
        address: SocketAddr,
    },
    /// Serve as the floor of what a database takes part in.
    FloorStaged(FloorStaged),
}

#[derive(Args)]
struct FloorStaged {
    /// Where to listen.
    address: SocketAddr,
    /// The database to follow; without it, joins are answered and that is all.
    #[arg(requires = "publication")]
    dsn: Option<String>,
    /// The publication to follow.
    #[arg(requires = "kind")]
    publication: Option<String>,
    /// What to make of its rows.
    #[arg(requires = "payload_bytes")]
    kind: Option<staged_floor::Kind>,
    /// Size of a delivery.
    payload_bytes: Option<usize>,
}

impl FloorStaged {
    fn serve(&self) -> Result<()> {
        let source = match (&self.dsn, &self.publication, self.kind, self.payload_bytes) {
            (Some(dsn), Some(publication), Some(kind), Some(payload_bytes)) => Some(staged_floor::Source {
                dsn,
                publication,
                kind,
                payload_bytes,
            }),
            _ => None,
        };
        staged_floor::serve(self.address, source)
    }
}

/// A scenario of the whole benchmark.
#[derive(Clone, Copy)]
enum Part {
    /// A gateway alone.
    Gateway(&'static Scenario),
    /// A private PostgreSQL takes part.
    Staged(&'static Short),
}

impl Part {
    fn all() -> impl Iterator<Item = Part> {
        let gateway = scenario::ALL.iter().map(Part::Gateway);
        gateway.chain(short::ALL.into_iter().map(Part::Staged))
    }

    fn name(self) -> &'static str {
        match self {
            Part::Gateway(scenario) => scenario.name,
            Part::Staged(short) => short.name,
        }
    }

    fn about(self) -> &'static str {
        match self {
            Part::Gateway(scenario) => scenario.about,
            Part::Staged(short) => short.about,
        }
    }

    /// Whether the floor takes part in every round.
    fn is_paired(self) -> bool {
        match self {
            Part::Gateway(scenario) => scenario.paired,
            Part::Staged(short) => short.floor.takes_part(),
        }
    }

    /// Why it cannot be measured on the server that is given, if so.
    fn reason_against(self, bench: &Bench) -> Option<&'static str> {
        match self {
            Part::Gateway(scenario) if scenario.restarts && bench.url.is_some() => {
                Some("it has to start the server itself")
            }
            Part::Staged(_) if bench.url.is_some() || !bench.command.is_empty() => {
                Some("it starts roost on a PostgreSQL of its own")
            }
            _ => None,
        }
    }
}

#[derive(Args)]
struct Bench {
    /// Scenarios; without any, all.
    #[arg(value_parser = parts())]
    scenarios: Vec<Part>,
    /// Few rounds, short stretches, fewer sockets.
    #[arg(long)]
    quick: bool,
    /// Rounds per scenario; 5, or with --quick 3 where ratios to the floor are judged and otherwise 1.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// How broadcasts travel.
    #[arg(long, default_value = "binary")]
    wire: Wire,
    /// JSON payload of a broadcast, in bytes.
    #[arg(long, default_value_t = 200)]
    payload_bytes: usize,
    /// Also write everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the table of the goals to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// A running server to measure instead of starting one, as ws://host:port/path.
    #[arg(long, requires = "token", conflicts_with = "command")]
    url: Option<String>,
    /// The token sockets connect to it with.
    #[arg(long, requires = "url")]
    token: Option<String>,
    /// Its process: without it neither CPU nor memory is known.
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// A further server to compare with in the same rounds, started with the same arguments; may be given several times.
    #[arg(long, value_name = "PROGRAM")]
    against: Vec<PathBuf>,
    /// How to start the server; {port} and {secret} are filled in. Without it, the `roost` beside this program.
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct BenchChanges {
    #[command(flatten)]
    length: Length,
    /// Only this scenario; may be given several times.
    #[arg(long, value_parser = scenarios_of(&changes::SUITE), value_name = "NAME")]
    only: Vec<&'static staged::Scenario>,
}

#[derive(Args)]
struct BenchPrivate {
    #[command(flatten)]
    length: Length,
    /// Only this scenario; may be given several times.
    #[arg(long, value_parser = scenarios_of(&private_joins::SUITE), value_name = "NAME")]
    only: Vec<&'static staged::Scenario>,
}

#[derive(Args)]
struct BenchDbBroadcast {
    #[command(flatten)]
    length: Length,
    /// Only this scenario; may be given several times.
    #[arg(long, value_parser = scenarios_of(&database_broadcasts::SUITE), value_name = "NAME")]
    only: Vec<&'static staged::Scenario>,
}

#[derive(Args)]
struct Length {
    /// Shorter stretches.
    #[arg(long)]
    quick: bool,
}

fn scenarios_of(suite: &'static Suite) -> impl TypedValueParser<Value = &'static staged::Scenario> {
    let names = suite
        .scenarios
        .iter()
        .map(|scenario| PossibleValue::new(scenario.name).help(scenario.about));
    PossibleValuesParser::new(names).map(|name| {
        suite
            .named(&name)
            .expect("only names of scenarios are possible values")
    })
}

fn parts() -> impl TypedValueParser<Value = Part> {
    let names = Part::all().map(|part| PossibleValue::new(part.name()).help(part.about()));
    PossibleValuesParser::new(names).map(|name| {
        Part::all()
            .find(|part| part.name() == name)
            .expect("only names of scenarios are possible values")
    })
}

fn main() -> Result<ExitCode> {
    match Cli::parse().verb {
        Verb::Floor { address } => floor::serve(floor::listen(address)?)?,
        Verb::FloorStaged(floor) => floor.serve()?,
        Verb::Bench(bench) => return run(&bench),
        Verb::BenchChanges(bench) => play(&changes::SUITE, &bench.length, bench.only)?,
        Verb::BenchPrivate(bench) => play(&private_joins::SUITE, &bench.length, bench.only)?,
        Verb::BenchDbBroadcast(bench) => play(&database_broadcasts::SUITE, &bench.length, bench.only)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn play(suite: &Suite, length: &Length, only: Vec<&'static staged::Scenario>) -> Result<()> {
    server::guard(BENCH_LIMIT)?;
    let open_files = process::raise_open_files(OPEN_FILES_WANTED)?;
    let void = suite.play(staged::Options {
        roost: std::env::current_exe()?.with_file_name("roost"),
        only,
        quick: length.quick,
        sockets_max: usize::try_from(open_files.saturating_sub(OPEN_FILES_BESIDES))?,
    })?;
    if void > 0 {
        return loadgen::failed(format!("void scenarios: {void}"));
    }
    Ok(())
}

fn run(bench: &Bench) -> Result<ExitCode> {
    server::guard(BENCH_LIMIT)?;
    let open_files = process::raise_open_files(OPEN_FILES_WANTED)?;
    let settings = Settings {
        wire: bench.wire,
        payload_bytes: bench.payload_bytes,
        quick: bench.quick,
        sockets_max: usize::try_from(open_files.saturating_sub(OPEN_FILES_BESIDES))?,
    };
    let mut contestants = vec![yardstick()?, subject(bench)?];
    for program in &bench.against {
        let launch = Launch {
            program: program.clone(),
            ..launch(&bench.command)?
        };
        contestants.push(started(&launch)?);
    }
    number(&mut contestants);
    let names: Vec<String> = contestants
        .iter()
        .map(|contestant| contestant.name.clone())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut comparisons: Vec<Comparison> = Vec::new();
    let mut player = Player::new(programs(bench)?, settings.sockets_max, bench.quick);
    for part in chosen(bench) {
        if let Some(reason) = part.reason_against(bench) {
            eprintln!("loadgen: {} is left out: {reason}", part.name());
            continue;
        }
        let rounds = rounds(bench, part);
        let comparison = match part {
            Part::Gateway(scenario) => compare_servers(scenario, &mut contestants, rounds, &settings),
            Part::Staged(short) => player.compare(short, rounds, &names),
        };
        println!("{}", report::table(&comparison, &names));
        if comparison.failure.is_some() {
            // Whatever it did to the servers is not to disturb the next.
            for contestant in &mut contestants {
                if let Err(error) = contestant.server.renew() {
                    eprintln!("loadgen: {} does not start again: {error}", contestant.name);
                }
            }
        }
        comparisons.push(comparison);
    }
    let summary = Summary::of(&comparisons, &names);
    print!("{}", summary.text());
    if let Some(path) = &bench.json {
        std::fs::write(path, format!("{:#}\n", summary.json()))?;
    }
    if let Some(path) = &bench.markdown {
        std::fs::write(path, summary.markdown())?;
    }
    Ok(match summary.not_met() {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("loadgen: goals not met: {count}");
            ExitCode::from(NOT_MET)
        }
    })
}

fn chosen(bench: &Bench) -> Vec<Part> {
    if bench.scenarios.is_empty() {
        Part::all().collect()
    } else {
        bench.scenarios.clone()
    }
}

fn rounds(bench: &Bench, part: Part) -> usize {
    match bench.rounds {
        Some(rounds) => usize::from(rounds),
        None if !bench.quick => ROUNDS,
        // The database takes its time to start what is compared.
        None if part.is_paired() && matches!(part, Part::Gateway(_)) => ROUNDS_QUICK,
        None => 1,
    }
}

/// The gateways that are started on a database.
fn programs(bench: &Bench) -> Result<Vec<PathBuf>> {
    let mut programs = vec![std::env::current_exe()?.with_file_name("roost")];
    programs.extend(bench.against.iter().cloned());
    Ok(programs)
}

fn yardstick() -> Result<Contestant> {
    let arguments = ["floor", "127.0.0.1:{port}"].map(str::to_owned).to_vec();
    let launch = Launch {
        program: std::env::current_exe()?,
        arguments,
        token: "none".to_owned(),
    };
    Ok(Contestant {
        name: "floor".to_owned(),
        server: Server::start(&launch)?,
    })
}

fn subject(bench: &Bench) -> Result<Contestant> {
    if let Some((url, token)) = bench.url.as_deref().zip(bench.token.as_deref()) {
        let server = Server::running(Target::parse(url, token)?, bench.pid);
        return Ok(Contestant {
            name: "server".to_owned(),
            server,
        });
    }
    started(&launch(&bench.command)?)
}

fn started(launch: &Launch) -> Result<Contestant> {
    let name = launch.program.file_name().unwrap_or_default();
    Ok(Contestant {
        name: name.to_string_lossy().into_owned(),
        server: Server::start(launch)?,
    })
}

/// Several servers of one name are told apart by a number.
fn number(contestants: &mut [Contestant]) {
    for at in 1..contestants.len() {
        let (before, rest) = contestants.split_at_mut(at);
        if let [contestant, ..] = rest {
            let earlier = before
                .iter()
                .filter(|other| other.name.split(' ').next() == Some(&contestant.name));
            match earlier.count() {
                0 => {}
                count => contestant.name = format!("{} {}", contestant.name, count + 1),
            }
        }
    }
}

fn launch(command: &[String]) -> Result<Launch> {
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) => (PathBuf::from(program), arguments.to_vec()),
        None => (
            std::env::current_exe()?.with_file_name("roost"),
            ROOST.map(str::to_owned).to_vec(),
        ),
    };
    let arguments = arguments
        .iter()
        .map(|argument| argument.replace("{secret}", SECRET))
        .collect();
    Ok(Launch {
        program,
        arguments,
        token: token()?,
    })
}

fn token() -> Result<String> {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + TOKEN_LIFE;
    let claims = [
        ("role", Value::from("anon")),
        ("exp", Value::from(expires.as_secs())),
    ];
    let claims: Map<String, Value> = claims
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Ok(auth::sign(&claims, &auth::Secret::new(SECRET)))
}
