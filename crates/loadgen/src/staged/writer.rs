//! Whoever writes to the database: transactions that are due at times fixed beforehand, whatever became of those
//! before them, over one or several connections.

use super::stage::Stage;
use crate::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

/// Longest wait for one transaction.
const TRANSACTION_MAX: Duration = Duration::from_secs(60);

/// When transactions are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Rows per second. Infinite: as fast as they go.
    pub(crate) rate: f64,
    /// Rows of one transaction.
    pub(crate) rows_each: u64,
    /// How many.
    pub(crate) transactions: u64,
}

impl Pace {
    /// Rows at `rate` for `duration`, so many in a transaction; at least one transaction.
    pub(crate) fn new(rate: f64, rows_each: u64, duration: Duration) -> Pace {
        let transactions = (rate * duration.as_secs_f64() / rows_each as f64).round() as u64;
        Pace {
            rate,
            rows_each,
            transactions: transactions.max(1),
        }
    }

    /// So many transactions, one after the other.
    pub(crate) fn unpaced(rows_each: u64, transactions: u64) -> Pace {
        Pace {
            rate: f64::INFINITY,
            rows_each,
            transactions,
        }
    }

    /// Rows in all.
    pub(crate) fn rows(&self) -> u64 {
        self.rows_each * self.transactions
    }

    /// When a transaction is due, from the first one on.
    pub(crate) fn due(&self, transaction: u64) -> Duration {
        Duration::from_secs_f64((transaction * self.rows_each) as f64 / self.rate)
    }
}

/// When a transaction was sent and when the database said that it is committed. Microseconds since the epoch of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Right before it was sent.
    pub(crate) sent: u32,
    /// Right after the answer.
    pub(crate) returned: u32,
}

/// Connections with their statement prepared.
pub(crate) struct Writer {
    runtime: Runtime,
    clients: Vec<(Arc<Client>, Statement)>,
}

impl Writer {
    /// Opens connections that run `statement`, which takes the numbers of the first and the last row.
    pub(crate) fn open(dsn: &str, connections: usize, statement: &str) -> Result<Writer> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let clients = runtime.block_on(async {
            let mut clients = Vec::with_capacity(connections);
            for _ in 0..connections {
                let (client, connection) = tokio_postgres::connect(dsn, NoTls).await?;
                // It ends with the client, and an error shows there.
                tokio::spawn(async { _ = connection.await });
                let statement = client.prepare(statement).await?;
                clients.push((Arc::new(client), statement));
            }
            Ok::<_, tokio_postgres::Error>(clients)
        })?;
        Ok(Writer { runtime, clients })
    }

    /// Writes the rows from number `first` on and returns when each transaction was sent and committed.
    pub(crate) fn write(&self, pace: Pace, first: u64, epoch: Instant) -> Result<Vec<Commit>> {
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for (client, statement) in &self.clients {
                let (client, statement, next) = (client.clone(), statement.clone(), next.clone());
                tasks.spawn(async move {
                    let mut done = Vec::new();
                    loop {
                        let transaction = next.fetch_add(1, Ordering::Relaxed);
                        if transaction >= pace.transactions {
                            return Ok(done);
                        }
                        tokio::time::sleep_until((begun + pace.due(transaction)).into()).await;
                        let row = first + transaction * pace.rows_each;
                        let (row, last) = (row.cast_signed(), (row + pace.rows_each - 1).cast_signed());
                        let sent = micros_since(epoch);
                        tokio::time::timeout(TRANSACTION_MAX, client.execute(&statement, &[&row, &last]))
                            .await??;
                        let returned = micros_since(epoch);
                        done.push((transaction, Commit { sent, returned }));
                    }
                });
            }
            let mut commits = vec![Commit::default(); usize::try_from(pace.transactions)?];
            while let Some(done) = tasks.join_next().await {
                let done: Result<Vec<_>> = done?;
                for (transaction, commit) in done? {
                    if let Some(slot) = commits.get_mut(usize::try_from(transaction)?) {
                        *slot = commit;
                    }
                }
            }
            Ok(commits)
        })
    }

    /// Rows per second with nobody following.
    pub(crate) fn alone(&self, stage: &mut Stage, pace: Pace) -> Result<f64> {
        stage.stop_gateway()?;
        let first = stage.take_rows(pace.rows());
        let begun = Instant::now();
        self.write(pace, first, begun)?;
        Ok(pace.rows() as f64 / begun.elapsed().as_secs_f64())
    }
}

/// Microseconds since `epoch`; good for an hour.
pub(crate) fn micros_since(epoch: Instant) -> u32 {
    u32::try_from(epoch.elapsed().as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_due_at_the_rate_of_their_rows() {
        let pace = Pace::new(1000.0, 10, Duration::from_secs(2));
        assert_eq!((pace.transactions, pace.rows()), (200, 2000));
        assert_eq!(
            (pace.due(0), pace.due(100)),
            (Duration::ZERO, Duration::from_secs(1))
        );
    }

    #[test]
    fn without_a_pace_everything_is_due_at_once() {
        let pace = Pace::unpaced(5, 7);
        assert_eq!((pace.rows(), pace.due(6)), (35, Duration::ZERO));
    }
}
