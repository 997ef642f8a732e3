//! `roost migrate`

use std::error::Error;

use database::{DAYS_AHEAD, Pool, Set};

use crate::cli::MigrateArgs;
use crate::environment::Environment;

pub(crate) fn run(args: &MigrateArgs, environment: &Environment) -> Result<(), Box<dyn Error>> {
    let dsn = environment
        .database(args.database_url.as_deref())?
        .ok_or("--database-url (or DATABASE_URL) is needed to know which database to set up")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (report, partitions) = runtime.block_on(async {
        let report = database::migrate(&dsn, Set::Tenant).await?;
        // So that SQL may send messages before a gateway is there. It keeps house from then on.
        let pool = Pool::new(dsn.clone(), 1);
        let partitions = pool.maintain_partitions(None, DAYS_AHEAD, KEEP_HOURS).await;
        Ok::<_, database::Error>((report, partitions))
    })?;
    match &report.applied[..] {
        [] => println!("nothing to do: {dsn} is up to date"),
        applied => applied.iter().for_each(|name| println!("applied {name}")),
    }
    match partitions {
        Ok(done) => done
            .created
            .iter()
            .for_each(|name| println!("made realtime.{name}")),
        Err(reason) => println!("partitions of realtime.messages are left to their owner: {reason}"),
    }
    Ok(())
}

/// A hundred years: what is old is for a gateway to drop.
const KEEP_HOURS: u32 = 876_000;
