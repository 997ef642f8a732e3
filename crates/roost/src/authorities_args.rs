//! Flags of verbs that speak to a server elsewhere.

use std::path::PathBuf;

use clap::Args;
use client::{Address, AuthoritiesError, Endpoint};

#[derive(Debug, Args)]
pub(crate) struct AuthoritiesArgs {
    /// Certificate authorities to trust besides those of the operating system, in PEM; for wss:// and https://.
    #[arg(long, env = "ROOST_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl AuthoritiesArgs {
    /// The server at an address.
    pub(crate) fn endpoint(&self, address: &Address) -> Result<Endpoint, AuthoritiesError> {
        Endpoint::new(address.clone(), self.ca_file.as_deref())
    }
}
