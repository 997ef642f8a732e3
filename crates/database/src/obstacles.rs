//! What stands in the way of streaming changes, for an operator to read before anybody subscribes.

use replication::Definite;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Pool;

impl Pool {
    /// Everything an operator has to change before the changes of `publication` can be streamed; empty if all is well.
    pub async fn obstacles(&self, publication: &str) -> Result<Vec<Definite>, Error> {
        let rows = self.query(OBSTACLES, &[(&publication, Type::TEXT)]).await?;
        let row = rows.first().ok_or_else(|| Error::Answer("no settings".into()))?;
        let wal_level: String = row.try_get("wal_level")?;
        let user: String = row.try_get("user_name")?;
        let may_replicate: bool = row.try_get("may_replicate")?;
        let is_published: bool = row.try_get("is_published")?;

        let mut obstacles = Vec::new();
        if wal_level != "logical" {
            obstacles.push(Definite::WalLevel { wal_level });
        }
        if !may_replicate {
            obstacles.push(Definite::ReplicationRole { user });
        }
        if !is_published {
            let publication = publication.to_owned();
            obstacles.push(Definite::PublicationMissing { publication });
        }
        Ok(obstacles)
    }
}

const OBSTACLES: &str = "
select current_setting('wal_level') as wal_level, session_user::text as user_name,
  r.rolreplication or r.rolsuper as may_replicate,
  exists (select from pg_publication where pubname = $1) as is_published
from pg_roles r where r.rolname = session_user";
