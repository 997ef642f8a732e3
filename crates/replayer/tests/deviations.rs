//! The list of deviations against the recordings it speaks of.

use std::fs;
use std::path::Path;

use replayer::Deviations;
use transcript::Transcript;

fn spec() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol-spec")
}

#[test]
fn deviations_name_transcripts_that_exist() {
    let text = fs::read_to_string(spec().join("deviations.toml")).expect("it is part of the repository");
    let deviations = Deviations::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    for place in deviations.iter().flat_map(|deviation| &deviation.transcripts) {
        let file = spec()
            .join("transcripts")
            .join(format!("{}.jsonl", place.transcript));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let transcript =
            Transcript::parse(&place.transcript, &text).unwrap_or_else(|error| panic!("{error}"));
        if let Some(line) = place.line {
            assert!(
                transcript.steps.iter().any(|step| step.line == line),
                "{}:{line}",
                place.transcript
            );
        }
    }
}
