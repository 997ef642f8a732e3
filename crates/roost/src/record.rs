//! `roost record`: a proxy that records what passes through it.

use std::error::Error;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use client::{Address, Endpoint};
use recorder::{Options, Recorder, Redaction};
use tokio::time::timeout;

use crate::authorities_args::AuthoritiesArgs;
use crate::serve::stop_signal;

/// How long the server may take to be reached at the start.
const PROBE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Address and port to listen on; clients connect here instead of the server.
    #[arg(
        long,
        env = "ROOST_RECORD_LISTEN",
        default_value = "127.0.0.1:4100",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,
    /// The server to record, as clients have it: `wss://project.example/realtime/v1`, `ws://127.0.0.1:4000/socket`. A path
    /// takes the place of the one that clients have before /websocket and /api.
    #[arg(long, env = "ROOST_RECORD_UPSTREAM", value_name = "URL")]
    upstream: Address,
    #[command(flatten)]
    authorities: AuthoritiesArgs,
    /// The file to write; it must not exist.
    #[arg(long, env = "ROOST_RECORD_OUT", value_name = "FILE")]
    out: PathBuf,
    /// Values to replace by a word of their own, the same one wherever the value comes again: a path from `$`, the message,
    /// with `.name`, `[*]` and `..name`, as in `$.payload.email`, `$.payload.users[*].name` or `$..phone`. In a broadcast,
    /// `$` is also what was broadcast; in a token, its claims. May be given several times; in the variable, separated by
    /// commas.
    #[arg(long, env = "ROOST_RECORD_REDACT", value_delimiter = ',', value_name = "PATH")]
    redact: Vec<Redaction>,
}

pub(crate) fn run(args: RecordArgs) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(record(args));
    // What did not end in time must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn record(args: RecordArgs) -> Result<(), Box<dyn Error>> {
    let shutdown = stop_signal()?;
    let upstream = args.authorities.endpoint(&args.upstream)?;
    let probed = upstream.clone();
    let (server, file) = (args.upstream.authority().to_owned(), args.out.clone());
    let recorder = Recorder::bind(Options {
        listen: args.listen,
        upstream,
        out: args.out,
        redactions: args.redact,
    })
    .await?;
    let welcome = welcome(recorder.address(), &server, &file.display().to_string());
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stdout(), "{welcome}");
    let address = recorder.address();
    tokio::spawn(async move { probe(&probed).await });
    let recorded = recorder.run(shutdown).await?;
    let file = file.display();
    eprintln!("roost: {file} is complete");
    if recorded.sockets == 0 {
        eprintln!("roost: there is no conversation in it: no client opened a socket at {address}");
    }
    for key in recorded.keys {
        eprintln!("roost: a key is not in it: a replay is given it by --key {key}=VALUE");
    }
    if recorded.changes > 0 {
        eprintln!(
            "roost: changes of tables are in it ({}), and what changed them is not: `roost transcript fmt --sql {file}` \
             writes statements into it that do the same in a replay",
            recorded.changes
        );
    }
    Ok(())
}

/// Says at once what clients would be told one after the other.
async fn probe(server: &Endpoint) {
    let problem = match timeout(PROBE, server.connect()).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no connection within {PROBE:?}"),
    };
    eprintln!(
        "roost: {} cannot be reached: {problem}; until that is mended, clients are answered with 502",
        server.authority()
    );
}

fn welcome(listen: SocketAddr, server: &str, file: &str) -> String {
    let address = match listen.ip() {
        ip if !ip.is_unspecified() => listen,
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
    };
    format!(
        "
  Roost records {server} into {file}.

  Set in a frontend, with the key of {server}:

    supabase-js   createClient('http://{address}', key)
    realtime-js   new RealtimeClient('ws://{address}/realtime/v1', {{ params: {{ apikey: key }} }})
    Phoenix       new Socket('ws://{address}/socket', {{ params: {{ apikey: key }} }})

  Other requests, such as those to REST and Auth, pass and are not recorded.

  Ctrl-C ends the recording.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontend_is_told_an_address_it_can_connect_to() {
        let shown = welcome("0.0.0.0:4100".parse().unwrap(), "h", "f");
        assert!(shown.contains("http://127.0.0.1:4100'"), "{shown}");
        let shown = welcome("192.0.2.1:4100".parse().unwrap(), "h", "f");
        assert!(shown.contains("ws://192.0.2.1:4100/socket'"), "{shown}");
    }
}
