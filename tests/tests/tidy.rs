//! The shape of the house, checked: who may depend on whom, what a pure crate may know, where things are written.
//!
//! The crates stand in rings. A crate depends on inner rings only, and only on those named here; widening a row is a
//! decision about the architecture and belongs into ARCHITECTURE.md first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate and the crates of ours it may depend on, inner rings first.
const RINGS: &[(&str, &[&str])] = &[
    // vocabulary
    ("websocket", &[]),
    ("phoenix-wire", &["websocket"]),
    ("auth", &[]),
    // state machines and data
    ("presence", &["phoenix-wire"]),
    ("changes", &["phoenix-wire"]),
    ("session", &["websocket", "phoenix-wire", "auth"]),
    // fan-out
    ("hub", &["websocket", "phoenix-wire", "presence"]),
    // Postgres
    ("replication", &[]),
    ("database", &["auth", "changes", "replication"]),
    // the server
    (
        "gateway",
        &[
            "websocket",
            "phoenix-wire",
            "auth",
            "presence",
            "changes",
            "session",
            "hub",
            "replication",
            "database",
        ],
    ),
    // tools: nothing of the server depends on them
    ("pgcluster", &[]),
    ("client", &["websocket", "phoenix-wire"]),
    ("transcript", &[]),
    ("replayer", &["auth", "client", "transcript"]),
    ("scripted", &["websocket", "phoenix-wire", "transcript"]),
    ("recorder", &["websocket", "client", "transcript"]),
    (
        "loadgen",
        &[
            "websocket",
            "phoenix-wire",
            "auth",
            "client",
            "replication",
            "pgcluster",
        ],
    ),
    // the binary
    (
        "roost",
        &[
            "auth",
            "client",
            "database",
            "gateway",
            "pgcluster",
            "recorder",
            "replayer",
            "replication",
            "scripted",
            "transcript",
        ],
    ),
];

/// Crates without a runtime, a clock, an environment or I/O.
const PURE: &[&str] = &[
    "websocket",
    "phoenix-wire",
    "auth",
    "presence",
    "changes",
    "session",
    "transcript",
];

/// What pure crates may use of others: data structures, formats, cryptography.
const PURE_LIBRARIES: &[&str] = &[
    "aws-lc-rs",
    "base64",
    "bytes",
    "foldhash",
    "hashbrown",
    "jsonwebtoken",
    "memchr",
    "regex",
    "serde",
    "serde_json",
    "smallvec",
    "thiserror",
];

/// Crates in which SQL is written. The replayer is handed its statements and asks Postgres about nothing but the
/// state that transcripts start from. The load tool is the application: it owns a private server and writes the rows.
const SQL_HOMES: &[&str] = &["database", "pgcluster", "replayer", "loadgen"];

/// Beginnings of texts that clients see: rows of the table in `phoenix-wire`, which nobody else spells.
const CLIENT_TEXTS: &[&str] = &[
    "Token has expired",
    "The token provided is not a valid JWT",
    "Fields `role` and `exp`",
    "Failed to validate JWT signature",
    "Too many channels",
    "Too many joins per second",
    "Too many messages per second",
    "Client presence rate limit",
    "Track message size",
    "Presence track payload",
    "Realtime was unable to",
    "You do not have permissions to read",
    "unmatched topic",
    "payload_size_exceeded",
    "channel_crash",
    "Subscribed to PostgreSQL",
];

/// Longest source file. Lines.
const FILE_LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is a folder of the workspace")
}

fn crates() -> impl Iterator<Item = (&'static str, PathBuf)> {
    RINGS
        .iter()
        .map(|(name, _)| (*name, root().join("crates").join(name)))
}

/// Names of the dependencies in one section of a crate's manifest.
fn dependencies(krate: &Path, section: &str) -> Vec<String> {
    let manifest = fs::read_to_string(krate.join("Cargo.toml")).expect("every crate has a manifest");
    let manifest: toml::Table = manifest.parse().expect("cargo has read it too");
    let section = manifest.get(section).and_then(toml::Value::as_table);
    section
        .map(|section| section.keys().cloned().collect())
        .unwrap_or_default()
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("sources are UTF-8")
}

/// The contents of the string literals of a source, with the number of the line each begins in, up to its tests.
fn literals(source: &str) -> Vec<(usize, String)> {
    let code = source
        .split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        let (before, here) = rest.split_at(at);
        let is_word = before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let hashes = here
            .strip_prefix('r')
            .map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
        rest = if here.starts_with("//") {
            here.find('\n').map_or("", |end| &here[end..])
        } else if let Some(literal) = here.strip_prefix('"') {
            let mut escaped = false;
            let is_end = |char| {
                let was_escaped = escaped;
                escaped = char == '\\' && !was_escaped;
                char == '"' && !was_escaped
            };
            let end = literal.find(is_end).unwrap_or(literal.len());
            found.push((line_of(code, literal), literal[..end].to_owned()));
            literal.get(end + 1..).unwrap_or_default()
        } else if !is_word && here.starts_with('r') && here[1 + hashes..].starts_with('"') {
            let literal = &here[2 + hashes..];
            let close = format!("\"{}", "#".repeat(hashes));
            let end = literal.find(&close).unwrap_or(literal.len());
            found.push((line_of(code, literal), literal[..end].to_owned()));
            literal.get(end + close.len()..).unwrap_or_default()
        } else if let Some(after) = here.strip_prefix("'\"'") {
            after
        } else {
            &here[1..]
        };
    }
    found
}

/// Number of the line in which `part`, a slice of `code` that reaches some way into it, begins.
fn line_of(code: &str, part: &str) -> usize {
    1 + code[..code.len() - part.len()].matches('\n').count()
}

/// Fails with the list of complaints, if there are any.
fn check(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The literals in the product code of every crate outside `homes` about which `is_wrong` complains.
fn check_literals(homes: &[&str], is_wrong: impl Fn(&str) -> bool) {
    let files = crates()
        .filter(|(name, _)| !homes.contains(name))
        .flat_map(|(_, folder)| sources(&folder.join("src")));
    check(files.flat_map(|file| {
        let wrong = literals(&read(&file))
            .into_iter()
            .filter(|(_, text)| is_wrong(text));
        wrong
            .map(|(line, text)| format!("{}:{line}: {text:?}", file.display()))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn every_crate_has_its_place_in_the_rings() {
    let known: BTreeSet<_> = RINGS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folders = fs::read_dir(root().join("crates")).expect("there are crates");
    let folders: BTreeSet<_> = folders
        .map(|folder| {
            folder
                .expect("the folder can be listed")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(folders, known);
}

#[test]
fn a_crate_depends_on_inner_rings_and_only_where_it_may() {
    let mut inner = BTreeSet::from(["pgcluster"]);
    for (name, allowed) in RINGS {
        let outside: Vec<_> = allowed.iter().filter(|other| !inner.contains(*other)).collect();
        assert!(
            outside.is_empty(),
            "the row of {name} reaches outwards: {outside:?}"
        );
        inner.insert(name);
    }
    check(RINGS.iter().flat_map(|(name, allowed)| {
        let folder = root().join("crates").join(name);
        let ours = |dependency: &String| RINGS.iter().any(|(ours, _)| ours == dependency);
        let used = ["dependencies", "build-dependencies"]
            .map(|section| dependencies(&folder, section))
            .concat();
        let wrong = used
            .into_iter()
            .filter(ours)
            .filter(|used| !allowed.contains(&used.as_str()));
        wrong
            .map(move |used| format!("{name} may not depend on {used}"))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn pure_crates_use_nothing_that_could_wait_read_a_clock_or_open_a_socket() {
    check(PURE.iter().flat_map(|name| {
        let used = dependencies(&root().join("crates").join(name), "dependencies");
        let wrong = used.into_iter().filter(|used| {
            let is_ours = RINGS.iter().any(|(ours, _)| ours == used);
            !is_ours && !PURE_LIBRARIES.contains(&used.as_str())
        });
        wrong
            .map(move |used| format!("{name} is pure and may not use {used}"))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn pure_crates_depend_on_pure_crates() {
    for (name, allowed) in RINGS.iter().filter(|(name, _)| PURE.contains(name)) {
        assert!(allowed.iter().all(|other| PURE.contains(other)), "{name}");
    }
}

#[test]
fn pure_crates_forbid_the_clock_and_the_environment() {
    let bans = [
        "std::time::Instant::now",
        "std::time::SystemTime::now",
        "std::env::var",
    ];
    check(PURE.iter().filter_map(|name| {
        let config =
            fs::read_to_string(root().join("crates").join(name).join("clippy.toml")).unwrap_or_default();
        let missing: Vec<_> = bans
            .iter()
            .filter(|ban| !config.contains(&format!("\"{ban}\"")))
            .collect();
        (!missing.is_empty()).then(|| format!("crates/{name}/clippy.toml does not ban {missing:?}"))
    }));
}

#[test]
fn every_source_file_says_what_it_is_and_is_of_a_readable_length() {
    let ours = crates().map(|(_, folder)| folder).chain([root().join("tests")]);
    let files =
        ours.flat_map(|folder| [sources(&folder.join("src")), sources(&folder.join("tests"))].concat());
    let support = sources(&root().join("tests/support"));
    check(files.chain(support).flat_map(|file| {
        let text = read(&file);
        let lines = text.lines().count();
        let long = (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", file.display()));
        let silent = (!text.starts_with("//!")).then(|| format!("{}: no module doc", file.display()));
        [long, silent].into_iter().flatten().collect::<Vec<_>>()
    }));
}

#[test]
fn sql_is_written_where_privilege_is_kept() {
    let is_sql = |text: &str| {
        let text = text
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_ascii_lowercase();
        let words =
            |first: &str, second: &str| text.strip_prefix(first).is_some_and(|rest| rest.contains(second));
        words("select ", " from ")
            || words("insert into ", "")
            || words("delete from ", "")
            || words("update ", " set ")
    };
    check_literals(SQL_HOMES, is_sql);
}

#[test]
fn texts_that_clients_see_are_spelled_once() {
    let is_text = |text: &str| CLIENT_TEXTS.iter().any(|known| text.contains(known));
    check_literals(&["phoenix-wire"], is_text);
    let vocabulary = sources(&root().join("crates/phoenix-wire/src"));
    let known = vocabulary
        .iter()
        .flat_map(|file| literals(&read(file)))
        .map(|(_, text)| text)
        .collect::<Vec<_>>();
    check(
        CLIENT_TEXTS
            .iter()
            .filter(|text| !known.iter().any(|known| known.contains(*text)))
            .map(|text| format!("the vocabulary does not know {text:?} any more")),
    );
}

#[test]
fn literals_are_found_in_all_their_forms_and_comments_are_not() {
    let source = "// \"no\"\nlet a = \"o\\\"ne\"; let b = 'x'; let c = '\"';\nlet d = r#\"t\"wo\"#; for r in x {}\n\
                  #[cfg(test)]\nmod tests { \"no\" }";
    assert_eq!(
        literals(source),
        [(2, "o\\\"ne".to_owned()), (3, "t\"wo".to_owned())]
    );
}
