//! SQL as superuser, by the simple query protocol: several statements at once, every value as text.

use std::future::poll_fn;

use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};
use transcript::Value;

/// A session. It ends when this is dropped.
pub(crate) struct Database {
    client: Client,
}

impl Database {
    pub(crate) async fn connect(dsn: &str) -> Result<Self, Error> {
        let (client, mut connection) = tokio_postgres::connect(dsn, NoTls).await?;
        // Notices are nobody's business, and what breaks it shows in the query that is under way.
        tokio::spawn(async move {
            while let Some(Ok(_)) = poll_fn(|context| connection.poll_message(context)).await {}
        });
        Ok(Self { client })
    }

    /// Runs statements; the rows of all of them, as objects of texts and nulls.
    pub(crate) async fn run(&self, sql: &str) -> Result<Value, Error> {
        let messages = self.client.simple_query(sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let cell = |index| row.try_get(index).ok().flatten().map_or(Value::Null, Value::from);
                let members = row.columns().iter().enumerate();
                Some(Value::Object(
                    members
                        .map(|(index, column)| (column.name().to_owned(), cell(index)))
                        .collect(),
                ))
            }
            _ => None,
        });
        Ok(Value::Array(rows.collect()))
    }

    pub(crate) async fn has_relation(&self, name: &str) -> Result<bool, Error> {
        Ok(self
            .client
            .query_one("select to_regclass($1) is not null", &[&name])
            .await?
            .get(0))
    }
}
