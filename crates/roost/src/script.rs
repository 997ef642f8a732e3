//! `roost serve --script`: files are played instead of a database being served.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::BoolishValueParser;
use scripted::{Rules, Script, Server, Stage};
use tracing::warn;

use crate::problems::Problems;
use crate::serve;

/// Which files are played, and how.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Scripts")]
pub(crate) struct ScriptArgs {
    /// Play the server's side of these transcripts, for tests of a frontend: no database, no keys, and of the other flags
    /// only the address counts. Several files: a client gets the one that joins its topics, or asks for one with
    /// `?script=NAME`.
    #[arg(
        long = "script",
        env = "ROOST_SCRIPT",
        num_args = 1..,
        value_delimiter = ',',
        value_name = "FILE"
    )]
    pub(crate) files: Vec<PathBuf>,
    /// Disconnect a client that says something a file does not have, with code 1008; otherwise that is only logged.
    #[arg(long = "script-strict", env = "ROOST_SCRIPT_STRICT", value_parser = BoolishValueParser::new())]
    pub(crate) is_strict: bool,
    /// Leave the pauses of a recording out. Those that a file has as faults stay.
    #[arg(long = "script-no-pauses", env = "ROOST_SCRIPT_NO_PAUSES", value_parser = BoolishValueParser::new())]
    pub(crate) has_no_pauses: bool,
}

/// Plays the files until SIGINT or SIGTERM.
pub(crate) fn run(args: &ScriptArgs, listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut problems = Vec::new();
    let scripts: Vec<Script> = args
        .files
        .iter()
        .filter_map(|file| read(file).map_err(|problem| problems.push(problem)).ok())
        .collect();
    let scripts = Problems::check(problems, scripts)?;
    for script in &scripts {
        for (line, reason) in script.passed_over() {
            warn!("{}:{line}: {reason}", script.file());
        }
    }
    let rules = Rules {
        is_strict: args.is_strict,
        has_pauses: !args.has_no_pauses,
    };
    let server = Server::bind(listen, Stage::new(scripts, rules)?)?;
    io::stdout().write_all(welcome(server.address()?, server.stage()).as_bytes())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async { server.run(serve::stop_signal()?).await })?)
}

fn read(file: &Path) -> Result<Script, String> {
    let shown = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| format!("--script {shown}: {error}"))?;
    Script::parse(&shown, &text).map_err(|error| format!("--script {error}"))
}

fn welcome(address: SocketAddr, stage: &Stage) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}", SocketAddr::new(host, address.port()));
    let mut text = format!("\n  Roost plays the server's side of these files on {url}\n\n");
    let scripts: Vec<&Script> = stage.scripts().collect();
    for script in &scripts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {}  {}", script.file(), script.topics().join(", "));
    }
    let options = match scripts.as_slice() {
        [first, _, ..] => format!(
            "\n    // a file by its name, where topics do not tell it:\n    createClient('{url}', 'any key', {{ realtime: {{ \
             params: {{ script: '{}' }} }} }})",
            first.name()
        ),
        _ => String::new(),
    };
    text.push_str(&format!(
        "\n  Paste into a test:\n\n    import {{ createClient }} from '@supabase/supabase-js'\n    \
         const supabase = createClient('{url}', 'any key'){options}\n\n  Ctrl-C stops it.\n\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(name: &str) -> Script {
        let header = r#"{"transcript":1,"name":"n","area":"a","title":"t","shows":"s","reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5}"#;
        let steps =
            "{\"open\":\"a\"}\n{\"send\":\"a\",\"text\":[\"1\",\"1\",\"realtime:room\",\"phx_join\",{}]}";
        Script::parse(&format!("fixtures/{name}.jsonl"), &format!("{header}\n{steps}")).unwrap()
    }

    #[test]
    fn the_welcome_says_where_it_listens_what_it_plays_and_what_to_paste() {
        let stage = |names: &[&str]| {
            Stage::new(names.iter().map(|name| script(name)).collect(), Rules::default()).unwrap()
        };
        let text = welcome("0.0.0.0:4000".parse().unwrap(), &stage(&["one"]));
        assert!(text.contains("fixtures/one.jsonl  realtime:room"), "{text}");
        assert!(
            text.contains("createClient('http://127.0.0.1:4000', 'any key')"),
            "{text}"
        );
        assert!(!text.contains("params"));
        let text = welcome("[::1]:1".parse().unwrap(), &stage(&["one", "two"]));
        assert!(
            text.contains("http://[::1]:1") && text.contains("params: { script: 'one' }"),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let problem = read(Path::new("/nowhere/x.jsonl")).unwrap_err();
        assert!(problem.starts_with("--script /nowhere/x.jsonl: "), "{problem}");
    }
}
