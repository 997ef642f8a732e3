//! `roost dev`: a private PostgreSQL, a gateway on it, and what to paste into a frontend.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use auth::Keys;
use database::Set;
use gateway::config::{Limits, TenantConfig, Tenants};
use gateway::server::Server;
use pgcluster::{Cluster, ClusterOptions, Installation};
use replication::Dsn;

use crate::cli::DevArgs;
use crate::kept::Kept;
use crate::problems::Problems;
use crate::serve;

pub(crate) fn run(args: &DevArgs) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&args.data_dir)
        .map_err(|error| format!("--data-dir {}: {error}", args.data_dir.display()))?;
    let mut problems = Vec::new();
    let part = serve::server_config(&args.server, &mut problems);
    let part = part.ok_or_else(|| Problems::check(problems, ()).expect_err("what is missing was told"))?;
    let kept = Kept::open(&args.data_dir)?;
    // Stops the server when it is dropped, whatever happens.
    let database = start_database(&args.data_dir, &kept.password)?;
    let tenant = TenantConfig {
        name: "dev".to_owned(),
        keys: Keys::new(Some(&kept.secret), None)?,
        database: database.as_ref().map(|(_, dsn)| dsn.parse::<Dsn>()).transpose()?,
        limits: Limits::unlimited(),
        private_only: false,
        presence_enabled: false,
        suspend: false,
        changes: args.changes.config(None),
        private: args.private.config(false),
        api_keys: Vec::new(),
    };
    let server = Server::bind(part.with(args.listen, Tenants::Single(Box::new(tenant))))?;
    let dsn = database.as_ref().map(|(_, dsn)| dsn.as_str());
    io::stdout().write_all(welcome(server.local_addr(), &kept, dsn).as_bytes())?;
    serve::until_signal(server)?;
    if database.is_some() {
        progress("stopping PostgreSQL");
    }
    Ok(())
}

/// Starts the cluster and sets its database up. Without PostgreSQL there is none, and a word about it.
fn start_database(data_dir: &Path, password: &str) -> Result<Option<(Cluster, String)>, Box<dyn Error>> {
    let installation = match Installation::find() {
        Ok(installation) => installation,
        Err(missing) => {
            progress(&format!("{missing}"));
            progress("serving broadcast and presence without a database");
            return Ok(None);
        }
    };
    progress("starting PostgreSQL (the first time takes some seconds)");
    let home = std::path::absolute(data_dir)?.join("postgres");
    let cluster = Cluster::create_or_open(
        &installation,
        ClusterOptions {
            home: home.clone(),
            port: None,
            password: password.to_owned(),
            durable: true,
            settings: Vec::new(),
        },
    )?;
    if fs::canonicalize(&home)? != cluster.home() {
        let place = cluster.home().display();
        progress(&format!(
            "PostgreSQL cannot get to {}; its data is in {place}",
            home.display()
        ));
    }
    let dsn = cluster.superuser_dsn("postgres");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for applied in runtime
        .block_on(database::migrate(&dsn.parse()?, Set::Dev))?
        .applied
    {
        progress(&format!("applied {applied}"));
    }
    Ok(Some((cluster, dsn)))
}

fn progress(text: &str) {
    eprintln!("roost: {text}");
}

fn welcome(address: SocketAddr, kept: &Kept, dsn: Option<&str>) -> String {
    let Kept {
        anon_key: anon,
        service_key: service,
        ..
    } = kept;
    let url = format!("http://{address}");
    let database = dsn.unwrap_or("none: install PostgreSQL for Postgres changes");
    let changes = if dsn.is_some() { CHANGES_SNIPPET } else { "" };
    format!(
        "
  Roost is ready.

  URL               {url}
  anon key          {anon}
  service_role key  {service}
  database          {database}

  Paste into a frontend:

    import {{ createClient }} from '@supabase/supabase-js'
    const supabase = createClient('{url}', '{anon}')
    supabase.channel('room')
      .on('broadcast', {{ event: '*' }}, message => console.log(message))
{changes}      .subscribe(status => console.log(status))

  Ctrl-C stops everything.

"
    )
}

const CHANGES_SNIPPET: &str = "      .on('postgres_changes', { event: '*', schema: 'public', table: 'room_messages' }, change => console.log(change))
";
