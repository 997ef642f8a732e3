//! The real binary, from its flags to its end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use auth::{ClaimValidators, Keys, Secret, verify};

/// A directory of one test, removed at its end. Anybody may write to it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("roost-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The binary, deaf to the variables of whoever runs the tests.
fn roost(program: &Path) -> Command {
    let mut command = Command::new(program);
    without_variables(&mut command);
    command
}

fn without_variables(command: &mut Command) {
    let kept = ["PATH", "HOME", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
    command.env_clear();
    command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    roost(Path::new(BINARY))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A gateway that runs; killed if a test ends before it does.
struct Running {
    process: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    _stdin: ChildStdin,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(process.stdout.take().unwrap()),
            Box::new(process.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                lines.for_each(|line| _ = sender.send(line));
            });
        }
        Running {
            _stdin: process.stdin.take().unwrap(),
            process,
            lines,
            seen: Vec::new(),
        }
    }

    /// What follows `label` in the first line that has it, printed already or to come.
    fn line(&mut self, label: &str) -> String {
        let after = |line: &String| line.split_once(label).map(|(_, rest)| rest.trim().to_owned());
        if let Some(found) = self.seen.iter().find_map(after) {
            return found;
        }
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line);
                    if let Some(found) = self.seen.last().and_then(after) {
                        return found;
                    }
                }
                Err(_) => panic!("no line with {label:?} in:\n{}", self.seen.join("\n")),
            }
        }
    }

    fn address(&mut self) -> String {
        let address = self.line("serving address=");
        address.split_whitespace().next().unwrap().to_owned()
    }

    /// Sends a signal, waits for the end and says whether it was a good one.
    fn end(mut self, signal: &str) -> bool {
        let status = Command::new("kill")
            .args(["-s", signal, &self.process.id().to_string()])
            .status();
        assert!(status.unwrap().success());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// How many processes have `text` in their command line.
#[cfg(target_os = "linux")]
fn processes_with(text: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands
        .filter(|command| String::from_utf8_lossy(command).contains(text))
        .count()
}

#[cfg(not(target_os = "linux"))]
fn processes_with(text: &str) -> usize {
    let output = Command::new("ps").args(["-A", "-o", "args="]).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

#[test]
fn every_flag_shows_its_variable() {
    let mut flags = 0;
    for command in ["serve", "dev", "migrate", "token"] {
        let help = text(&run(&[command, "--help"], &[]).stdout);
        for part in help
            .split("\n      --")
            .skip(1)
            .filter(|part| !part.starts_with("help"))
        {
            assert!(part.contains("[env: "), "{command}: --{part}");
            flags += 1;
        }
    }
    assert!(flags > 30, "{flags}");
    assert!(run(&["--help"], &[]).status.success());
    assert!(text(&run(&["--version"], &[]).stdout).starts_with("roost "));
}

#[test]
fn help_shows_no_secrets() {
    let secrets = [
        ("JWT_SECRET", "hush"),
        ("DATABASE_URL", "postgres://u:hush@h/d"),
        ("JWT_JWKS", "hush"),
    ];
    for command in ["serve", "dev", "migrate", "token"] {
        let output = run(&[command, "--help"], &secrets);
        assert!(output.status.success(), "{output:?}");
        assert!(!text(&output.stdout).contains("hush"), "{command}");
    }
}

#[test]
fn a_token_has_the_claims_that_were_asked_for_and_the_flag_wins_over_the_variable() {
    let arguments = [
        "token",
        "--role",
        "authenticated",
        "--sub",
        "ann",
        "--expires-in",
        "2h",
    ];
    let claims = [
        "--claim",
        "level=3",
        "--claim",
        "app={\"a\":[true]}",
        "--jwt-secret",
        "right",
    ];
    let output = run(&[&arguments[..], &claims].concat(), &[("JWT_SECRET", "wrong")]);
    assert!(output.status.success(), "{output:?}");
    let token = text(&output.stdout);
    let keys = |secret: &str| Keys::new(Some(&Secret::new(secret)), None).unwrap();
    let validators = ClaimValidators::default();
    let claims = verify(token.trim(), &keys("right"), &validators, 0).unwrap();
    assert_eq!(
        (claims.role(), claims.sub()),
        (Some("authenticated"), Some("ann"))
    );
    let json: serde_json::Value = serde_json::from_str(claims.json()).unwrap();
    assert_eq!(json["level"], 3);
    assert_eq!(json["app"]["a"][0], true);
    assert_eq!(
        json["exp"].as_i64().unwrap() - json["iat"].as_i64().unwrap(),
        7_200
    );

    let output = run(&arguments, &[("JWT_SECRET", "by variable")]);
    assert!(verify(text(&output.stdout).trim(), &keys("by variable"), &validators, 0).is_ok());
}

#[test]
fn mistakes_name_the_flag_and_what_to_do() {
    let check = |arguments: &[&str], expected: &str| {
        let output = run(arguments, &[]);
        assert!(!output.status.success());
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{expected} in {error}");
    };
    check(&["serve"], "--jwt-secret");
    check(&["serve", "--listen", "nowhere", "--jwt-secret", "s"], "--listen");
    check(&["serve", "--workers", "0", "--jwt-secret", "s"], "--workers");
    check(
        &["serve", "--idle-timeout-ms", "0", "--jwt-secret", "s"],
        "--idle-timeout-ms",
    );
    check(
        &["serve", "--log-level", "loud", "--jwt-secret", "s"],
        "--log-level",
    );
    check(&["token", "--role", "anon", "--jwt-secret", ""], "--jwt-secret");
    check(&["serve", "--tenants", "/nowhere.json"], "--tenants");
    check(&["migrate"], "--database-url");
    check(
        &["token", "--role", "anon", "--data-dir", "/nowhere"],
        "--jwt-secret",
    );
    check(
        &["token", "--role", "anon", "--expires-in", "soon"],
        "--expires-in",
    );
    check(&["serve", "--jwt-secret", "s", "--lisen", "x"], "--listen");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&["serve", "--listen", &address, "--jwt-secret", "s"], &address);
}

#[test]
fn a_server_without_a_database_says_what_is_off_and_ends_well() {
    for signal in ["TERM", "INT"] {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--log-format", "text"];
        let mut server = Running::start(
            roost(Path::new(BINARY))
                .args(arguments)
                .env("JWT_SECRET", "never to be seen"),
        );
        server.line("--database-url");
        let address = server.address();
        let health = get(&address, "/healthcheck");
        assert!(
            health.starts_with("HTTP/1.1 200") && health.ends_with("ok"),
            "{health}"
        );
        assert!(!server.seen.join("\n").contains("never to be seen"));
        assert!(server.end(signal), "{signal}");
    }
}

#[test]
fn empty_variables_are_as_good_as_none() {
    let empty = [
        "ROOST_LISTEN",
        "DATABASE_URL",
        "JWT_JWKS",
        "ROOST_TENANTS",
        "RUST_LOG",
    ]
    .map(|name| (name, ""));
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--jwt-secret", "s"];
    let mut server = Running::start(roost(Path::new(BINARY)).args(arguments).envs(empty));
    server.address();
    assert!(server.end("TERM"));
}

/// Hides the server's programs from one process, which takes a mount namespace and so root.
#[cfg(target_os = "linux")]
#[test]
fn development_without_postgresql_says_how_to_get_one_and_serves_what_it_can() {
    let scratch = Scratch::new("dev-without");
    let hide = "mount -t tmpfs none /usr/lib/postgresql && exec \"$@\"";
    let hidden = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        without_variables(&mut unshare);
        unshare
            .args(["--mount", "--", "/bin/sh", "-c", hide, "sh"])
            .args(command)
            .env("PATH", "/usr/sbin:/usr/bin");
        unshare
    };
    let can_hide = hidden(&["true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !can_hide || Path::new("/usr/bin/postgres").exists() {
        return;
    }
    let mut command = hidden(&[BINARY, "dev", "--listen", "127.0.0.1:0", "--data-dir"]);
    let mut dev = Running::start(command.arg(scratch.0.join("data")));
    dev.line("apt-get install postgresql");
    assert!(dev.line("database  ").starts_with("none"));
    let address = dev.address();
    assert!(get(&address, "/healthcheck").starts_with("HTTP/1.1 200"));
    assert!(dev.end("INT"));
}

#[test]
fn log_lines_can_be_json() {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--jwt-secret",
        "s",
    ];
    let mut server = Running::start(roost(Path::new(BINARY)).args(arguments));
    server.line("serving");
    for line in &server.seen {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string(), "{line}");
    }
}

/// What a development server prints, and that it leaves nothing running.
fn develop(mut command: Command, data: &Path) -> [String; 4] {
    let mut dev = Running::start(
        command
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data),
    );
    let database = dev.line("database  ");
    let address = dev.address();
    assert!(get(&address, "/healthcheck").starts_with("HTTP/1.1 200"));
    let keys = ["anon key  ", "service_role key  "].map(|label| dev.line(label));
    let [anon, service] = keys.clone();
    let snippet = dev.line("createClient('");
    assert!(snippet.contains(&address) && snippet.contains(&anon), "{snippet}");
    let home = cluster_home(data);
    assert!(processes_with(&home) > 0, "the database runs");
    assert!(dev.end("INT"));
    assert_eq!(processes_with(&home), 0, "nothing is left running");
    [database, address, anon, service]
}

/// What command lines of the database have in them.
fn cluster_home(data: &Path) -> String {
    format!("{}/postgres/data", fs::canonicalize(data).unwrap().display())
}

fn check_development(command: impl Fn() -> Command, scratch: &Scratch) {
    let data = scratch.0.join("data");
    let [database, _, anon, service] = develop(command(), &data);
    assert!(database.starts_with("postgresql://postgres:"), "{database}");
    assert_ne!(anon, service);
    for entry in fs::read_dir(&data).unwrap().flatten() {
        let found = entry.metadata().unwrap();
        if found.is_file() {
            assert_eq!(
                found.mode() & 0o077,
                0,
                "{:?} is for its owner only",
                entry.path()
            );
        }
    }

    // Not only the same within the second a token is dated with.
    assert_eq!(fs::read_to_string(data.join("anon_key")).unwrap().trim(), anon);
    let second = develop(command(), &data);
    assert_eq!(
        [&second[0], &second[2], &second[3]],
        [&database, &anon, &service],
        "all is kept"
    );

    // Its own tokens verify with the secret it keeps.
    let output = command()
        .args(["token", "--role", "anon", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let secret = fs::read_to_string(data.join("jwt_secret")).unwrap();
    let keys = Keys::new(Some(&Secret::new(secret.trim())), None).unwrap();
    for token in [&text(&output.stdout), &anon, &service] {
        let claims = verify(token.trim(), &keys, &ClaimValidators::default(), 0).unwrap();
        assert!(claims.role().is_some());
    }
}

#[test]
fn development_starts_stops_and_keeps_what_it_made() {
    let scratch = Scratch::new("dev");
    check_development(|| roost(Path::new(BINARY)), &scratch);
}

/// Where we are no root the test above shows this already.
#[test]
fn an_ordinary_user_can_develop_too() {
    let scratch = Scratch::new("dev-user");
    if fs::metadata(&scratch.0).unwrap().uid() != 0 {
        return;
    }
    // The binary may lie where only root gets.
    let program = scratch.0.join("roost");
    fs::copy(BINARY, &program).unwrap();
    let command = || {
        let mut command = Command::new("setpriv");
        without_variables(&mut command);
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .arg(&program)
            .current_dir("/");
        command
    };
    check_development(command, &scratch);
    assert_eq!(
        fs::metadata(scratch.0.join("data/postgres/data")).unwrap().uid(),
        65534
    );
}

const BINARY: &str = env!("CARGO_BIN_EXE_roost");
/// How long a line may take, the creation of a database included.
const PATIENCE: Duration = Duration::from_secs(120);
