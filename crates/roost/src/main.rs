//! `roost`: the command line of the gateway.

mod api_keys;
mod authorities_args;
mod changes_args;
mod cli;
mod dev;
mod environment;
mod explain;
mod kept;
mod lifetime;
mod logging;
mod migrate;
mod private_args;
mod problems;
mod record;
mod replay;
mod script;
mod serve;
mod tenants_file;
mod token;
mod transcript;

use std::error::Error;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::environment::Environment;

fn main() -> ExitCode {
    let cli = Cli::of_process();
    logging::start(&cli.logging);
    let environment = Environment::of_process();
    match run(cli.command, &environment) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("roost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, environment: &Environment) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Dev(args) => dev::run(&args)?,
        Command::Serve(args) => serve::run(&args, environment)?,
        Command::Migrate(args) => migrate::run(&args, environment)?,
        Command::Token(args) => token::run(&args, environment)?,
        Command::Record(args) => record::run(args)?,
        Command::Replay(args) => return Ok(replay::run(&args, environment)),
        Command::Transcript(args) => return Ok(transcript::run(&args)),
        Command::ExplainChange(args) => return Ok(explain::run(&args, environment)),
    }
    Ok(ExitCode::SUCCESS)
}
