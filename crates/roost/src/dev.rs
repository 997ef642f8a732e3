//! `roost dev`: a private PostgreSQL, a gateway on it, and what to paste into a frontend.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use auth::{Keys, Secret};
use database::Set;
use gateway::config::{Limits, TenantConfig, Tenants};
use gateway::server::Server;
use pgcluster::{Cluster, ClusterOptions, Installation};
use replication::Dsn;
use serde_json::Map;

use crate::cli::{DevArgs, PUBLICATION};
use crate::problems::Problems;
use crate::{serve, token};

pub(crate) fn run(args: &DevArgs) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&args.data_dir)
        .map_err(|error| format!("--data-dir {}: {error}", args.data_dir.display()))?;
    let secret = keep(&args.data_dir, SECRET_FILE)?;
    // Stops the server when it is dropped, whatever happens.
    let database = start_database(&args.data_dir)?;
    let mut problems = Vec::new();
    let part = serve::server_config(&args.server, &mut problems);
    let part = part.ok_or_else(|| Problems::check(problems, ()).expect_err("what is missing was told"))?;
    let tenant = TenantConfig {
        name: "dev".to_owned(),
        keys: Keys::new(Some(&Secret::new(secret.as_str())), None)?,
        database: database.as_ref().map(|(_, dsn)| dsn.parse::<Dsn>()).transpose()?,
        limits: Limits::unlimited(),
        private_only: false,
        presence_enabled: false,
        suspend: false,
        publication: PUBLICATION.to_owned(),
    };
    let server = Server::bind(part.with(args.listen, Tenants::Single(Box::new(tenant))))?;
    let dsn = database.as_ref().map(|(_, dsn)| dsn.as_str());
    io::stdout().write_all(welcome(server.local_addr(), &Secret::new(secret), dsn).as_bytes())?;
    serve::until_signal(server)?;
    if database.is_some() {
        progress("stopping PostgreSQL");
    }
    Ok(())
}

/// The secret an earlier start left in `data_dir`.
pub(crate) fn kept_secret(data_dir: &Path) -> Option<String> {
    fs::read_to_string(data_dir.join(SECRET_FILE)).ok()
}

/// The secret in that file, made up if there is none. Only the owner may read it.
fn keep(data_dir: &Path, name: &str) -> Result<String, Box<dyn Error>> {
    let path = data_dir.join(name);
    match fs::read_to_string(&path) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = format!(
                "{}{}",
                uuid::Uuid::new_v4().simple(),
                uuid::Uuid::new_v4().simple()
            );
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(secret.as_bytes())?;
            Ok(secret)
        }
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// Starts the cluster and sets its database up. Without PostgreSQL there is none, and a word about it.
fn start_database(data_dir: &Path) -> Result<Option<(Cluster, String)>, Box<dyn Error>> {
    let installation = match Installation::find() {
        Ok(installation) => installation,
        Err(missing) => {
            progress(&format!("{missing}"));
            progress("serving broadcast and presence without a database");
            return Ok(None);
        }
    };
    progress("starting PostgreSQL (the first time takes some seconds)");
    let cluster = Cluster::create_or_open(
        &installation,
        ClusterOptions {
            home: std::path::absolute(data_dir)?.join("postgres"),
            port: None,
            password: keep(data_dir, PASSWORD_FILE)?,
            durable: true,
            settings: Vec::new(),
        },
    )?;
    let dsn = cluster.superuser_dsn("postgres");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for set in [Set::Tenant, Set::Dev] {
        for applied in runtime.block_on(database::migrate(&dsn.parse()?, set))?.applied {
            progress(&format!("applied {applied}"));
        }
    }
    Ok(Some((cluster, dsn)))
}

fn progress(text: &str) {
    eprintln!("roost: {text}");
}

fn welcome(address: SocketAddr, secret: &Secret, dsn: Option<&str>) -> String {
    let key = |role| token::sign(role, KEY_LIFETIME, Map::new(), secret);
    let (anon, service) = (key("anon"), key("service_role"));
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
const SECRET_FILE: &str = "jwt_secret";
const PASSWORD_FILE: &str = "postgres_password";
/// How long the printed keys are valid: as good as for ever, as those of a Supabase project.
const KEY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
