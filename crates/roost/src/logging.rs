//! Where log lines go.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::{LogFormat, LoggingArgs};

/// Starts logging to stderr. A filter that cannot be read is replaced by `info`, with a word about it.
pub(crate) fn start(args: &LoggingArgs) {
    let filter = EnvFilter::try_new(&args.log_level);
    let mistake = filter.as_ref().err().map(ToString::to_string);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_ansi(std::io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(mistake) = mistake {
        tracing::warn!("--log-level: {mistake}; logging at info");
    }
}
