//! Replication slots and what a server says about itself, in the replication grammar.
//!
//! A temporary slot lives as long as the connection that made it, so a gateway that is gone keeps no log from being
//! recycled. A durable one lives until it is dropped: what commits while nobody streams it is kept for the next
//! connection, as is the log. A new slot starts at its [`Slot::consistent_point`]; what was committed before is not
//! streamed.

use std::time::Duration;

use postgres_protocol::escape::escape_identifier;

use crate::connect::Connection;
use crate::error::{Definite, Doing, Error, protocol};
use crate::lsn::Lsn;

/// A server's identity and position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Stays the same as long as the data directory is the same, on standbys as well.
    pub identifier: String,
    /// Grows with every promotion of a standby.
    pub timeline: String,
    /// End of the log on disk.
    pub flushed: Lsn,
}

/// A new slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Every transaction that commits after it is streamed, whole.
    pub consistent_point: Lsn,
}

/// How long a slot lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As long as the connection that makes it.
    Temporary,
    /// Until it is dropped.
    Durable,
}

impl Connection {
    /// Asks who the server is and where its log ends.
    pub async fn identify_system(&mut self) -> Result<System, Error> {
        let mut row = self
            .command("IDENTIFY_SYSTEM", Doing::Command)
            .await?
            .into_iter()
            .flatten();
        match (row.next(), row.next(), row.next().map(|lsn| lsn.parse())) {
            (Some(identifier), Some(timeline), Some(Ok(flushed))) => Ok(System {
                identifier,
                timeline,
                flushed,
            }),
            _ => Err(protocol("a malformed answer to IDENTIFY_SYSTEM")),
        }
    }

    /// Creates a slot that decodes with `pgoutput`.
    ///
    /// Takes as long as transactions run that began before. The future must not be dropped before its end unless the
    /// connection is dropped as well; a slot in the making goes with it.
    ///
    /// # Errors
    ///
    /// [`Definite::SlotExists`], after which the connection can go on to stream that slot, [`Definite::WalLevel`] and
    /// [`Definite::SlotsInUse`] among others.
    pub async fn create_slot(&mut self, name: &str, durability: Durability) -> Result<Slot, Error> {
        let temporary = match durability {
            Durability::Temporary => "TEMPORARY ",
            Durability::Durable => "",
        };
        // The grammar of PostgreSQL 10 to 14, which later servers still take.
        let name_quoted = escape_identifier(name);
        let command =
            format!("CREATE_REPLICATION_SLOT {name_quoted} {temporary}LOGICAL pgoutput NOEXPORT_SNAPSHOT");
        let row = match self.command(&command, Doing::Slot { slot: name }).await {
            Ok(row) => row,
            Err(Error::Definite(Definite::Server(error))) if error.sqlstate == NOT_IN_PREREQUISITE_STATE => {
                return Err(self.explain(Definite::Server(error)).await);
            }
            Err(error) => return Err(error),
        };
        let mut row = row.into_iter().flatten();
        match (row.next(), row.next().map(|lsn| lsn.parse())) {
            (Some(name), Some(Ok(consistent_point))) => Ok(Slot {
                name,
                consistent_point,
            }),
            _ => Err(protocol("a malformed answer to CREATE_REPLICATION_SLOT")),
        }
    }

    /// Drops a slot that no connection uses.
    ///
    /// # Errors
    ///
    /// [`SlotActive`](crate::Transient::SlotActive) while a connection uses it, [`Definite::SlotMissing`].
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), Error> {
        let command = format!("DROP_REPLICATION_SLOT {}", escape_identifier(name));
        self.command(&command, Doing::Slot { slot: name }).await.map(drop)
    }

    /// How long the server waits for feedback before it gives a stream up; `None` if it waits forever.
    pub(crate) async fn sender_timeout(&mut self) -> Result<Option<Duration>, Error> {
        let value = self.show("wal_sender_timeout").await?;
        parse_duration(&value)
            .map(|timeout| Some(timeout).filter(|timeout| !timeout.is_zero()))
            .ok_or_else(|| protocol("a malformed wal_sender_timeout"))
    }

    async fn show(&mut self, setting: &'static str) -> Result<String, Error> {
        let row = self.command(&format!("SHOW {setting}"), Doing::Command).await?;
        row.into_iter()
            .flatten()
            .next()
            .ok_or_else(|| protocol("no answer to SHOW"))
    }

    /// Why a slot cannot be made; the server's reason comes in its language and covers several settings.
    async fn explain(&mut self, error: Definite) -> Error {
        match self.show("wal_level").await {
            Ok(wal_level) if wal_level != "logical" => Definite::WalLevel { wal_level }.into(),
            Ok(_) => error.into(),
            Err(error) => error,
        }
    }
}

/// The SQLSTATE of a server whose settings do not allow what is asked.
const NOT_IN_PREREQUISITE_STATE: &str = "55000";

/// A duration as settings are shown: digits and a unit, or `0`.
fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u32 = digits.parse().ok()?;
    let unit = match unit {
        "" | "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "min" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(86_400),
        _ => return None,
    };
    unit.checked_mul(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_settings_show_them() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text:?}"
            );
        };
        check("1min", Some(60_000));
        check("1500ms", Some(1500));
        check("1s", Some(1000));
        check("2h", Some(7_200_000));
        check("1d", Some(86_400_000));
        check("0", Some(0));
        check("", None);
        check("1 fortnight", None);
        check("99999999999d", None);
    }
}
