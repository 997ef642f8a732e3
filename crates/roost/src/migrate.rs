//! `roost migrate`

use std::error::Error;

use database::Set;

use crate::cli::MigrateArgs;
use crate::environment::Environment;

pub(crate) fn run(args: &MigrateArgs, environment: &Environment) -> Result<(), Box<dyn Error>> {
    let dsn = environment
        .database(args.database_url.as_deref())?
        .ok_or("--database-url (or DATABASE_URL) is needed to know which database to set up")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(database::migrate(&dsn, Set::Tenant))?;
    match &report.applied[..] {
        [] => println!("nothing to do: {dsn} is up to date"),
        applied => applied.iter().for_each(|name| println!("applied {name}")),
    }
    Ok(())
}
