//! The recorded conversations themselves.

use std::fs;
use std::path::{Path, PathBuf};

use transcript::{Transcript, Value, canonical};

/// How many there are of the reference.
const COUNT: usize = 153;
/// How many there are of what only Roost has.
const OWN_COUNT: usize = 5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol-spec/transcripts")
}

fn all() -> Vec<Transcript> {
    [of(&folder()), of(&folder().join("roost"))].concat()
}

fn of(folder: &Path) -> Vec<Transcript> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is part of the repository")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    files.iter().map(|path| parse(path)).collect()
}

fn parse(path: &Path) -> Transcript {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(path).expect("transcripts are text");
    Transcript::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_file_is_understood() {
    for transcript in &all() {
        assert_eq!(format!("{}.jsonl", transcript.header.name), transcript.file);
        assert!(!transcript.steps.is_empty(), "{}", transcript.file);
    }
}

#[test]
fn every_file_says_where_it_comes_from() {
    let (reference, own) = (of(&folder()), of(&folder().join("roost")));
    assert_eq!((reference.len(), own.len()), (COUNT, OWN_COUNT));
    for transcript in reference {
        let reference = &transcript.header.reference;
        assert_eq!(reference.server, "supabase/realtime", "{}", transcript.file);
        assert_eq!(reference.commit, "833cf36c", "{}", transcript.file);
    }
    for transcript in own {
        assert_eq!(transcript.header.reference.server, "roost", "{}", transcript.file);
        assert_eq!(transcript.header.area, "roost", "{}", transcript.file);
    }
}

#[test]
fn every_file_is_in_the_index_under_its_area() {
    let index = fs::read_to_string(folder().join("INDEX.md")).unwrap();
    for transcript in all() {
        let section = format!("## {}\n", transcript.header.area);
        let (_, after) = index.split_once(&section).unwrap_or_else(|| panic!("{section}"));
        let section = after.split("\n## ").next().unwrap();
        let name = &transcript.header.name;
        let folder = if transcript.header.area == "roost" {
            "roost/"
        } else {
            ""
        };
        let link = format!("[{name}]({folder}{name}.jsonl)");
        assert!(section.contains(&link), "{}", transcript.file);
    }
}

#[test]
fn every_file_makes_sense() {
    for transcript in all() {
        let problems: Vec<String> = transcript.problems().iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "{problems:#?}");
    }
}

#[test]
fn every_file_is_in_canonical_form() {
    for transcript in all() {
        let numbers = std::iter::once(1).chain(transcript.steps.iter().map(|step| step.line));
        for number in numbers {
            let line = transcript.line(number);
            let value = Value::parse(line).unwrap();
            assert_eq!(
                line,
                canonical(&value).to_string(),
                "{}:{number}",
                transcript.file
            );
        }
    }
}
