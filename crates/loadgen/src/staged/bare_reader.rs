//! The floor: somebody who follows a publication as the gateway does and does nothing with what comes.

use super::arrivals::Quantiles;
use super::stage::Stage;
use super::writer::{Commit, Pace, Writer, micros_since};
use crate::Result;
use nix::time::{ClockId, clock_gettime};
use replication::{Connection, Dsn, Durability, Event, Lsn};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SLOT: &str = "bench_bare_reader";
/// Longest wait for the next message, the connection included.
const MESSAGE_MAX: Duration = Duration::from_secs(60);
/// Tags of pgoutput.
const INSERT: u8 = b'I';
const COMMIT: u8 = b'C';

/// What a bare reader saw.
pub(crate) struct Reading {
    /// When each transaction was written.
    pub(crate) commits: Vec<Commit>,
    /// When each row came, in microseconds since the epoch of the run.
    pub(crate) rows: Vec<u32>,
    /// CPU time of reading.
    pub(crate) cpu: Duration,
}

impl Reading {
    /// Microseconds from the return of a commit to the arrival of its row, if each row is a transaction. With several writers, whose
    /// commits may return in another order than they are told of, this is right to within their differences.
    pub(crate) fn delays(&self) -> Quantiles {
        let mut returned: Vec<u32> = self.commits.iter().map(|commit| commit.returned).collect();
        returned.sort_unstable();
        let delays = self.rows.iter().zip(returned);
        Quantiles::of(delays.map(|(at, returned)| at.saturating_sub(returned)).collect())
    }

    /// Rows per second, from the first transaction to the last arrival.
    pub(crate) fn rows_per_second(&self) -> f64 {
        let begun = self.commits.iter().map(|commit| commit.sent).min();
        let wall = self.rows.last().copied().unwrap_or_default();
        let wall = wall.saturating_sub(begun.unwrap_or_default()).max(1);
        self.rows.len() as f64 * 1e6 / f64::from(wall)
    }
}

/// Writes at `pace` while a bare reader follows the publication.
pub(crate) fn read(
    stage: &mut Stage,
    publication: &'static str,
    writer: &Writer,
    pace: Pace,
) -> Result<Reading> {
    let epoch = Instant::now();
    let (ready, is_ready) = channel();
    let dsn: Dsn = stage.dsn().parse()?;
    let rows = usize::try_from(pace.rows())?;
    let thread = std::thread::spawn(move || follow(&dsn, publication, rows, epoch, ready));
    let begun = wait(&is_ready);
    let commits = match begun {
        Ok(()) => writer.write(pace, stage.take_rows(pace.rows()), epoch)?,
        // The thread says why.
        Err(_) => Vec::new(),
    };
    let (rows, cpu) = end(thread)?;
    Ok(Reading { commits, rows, cpu })
}

fn wait(is_ready: &Receiver<()>) -> Result<()> {
    Ok(is_ready.recv_timeout(MESSAGE_MAX)?)
}

fn end(thread: JoinHandle<Result<(Vec<u32>, Duration)>>) -> Result<(Vec<u32>, Duration)> {
    thread.join().map_err(|_| "the bare reader panicked")?
}

/// Follows until `rows` rows have come, and says when the stream runs.
fn follow(
    dsn: &Dsn,
    publication: &str,
    rows: usize,
    epoch: Instant,
    ready: Sender<()>,
) -> Result<(Vec<u32>, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut connection = Connection::open(dsn).await?;
        connection.create_slot(SLOT, Durability::Temporary).await?;
        let mut stream = connection
            .start_replication(SLOT, Lsn::ZERO, &[publication])
            .await?;
        // Nobody waits any more if this took too long.
        _ = ready.send(());
        let before = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
        let mut seen = Vec::with_capacity(rows);
        while seen.len() < rows {
            let event = tokio::time::timeout(MESSAGE_MAX, stream.next()).await??;
            if let Event::XLogData { position, data } = event {
                match data.first() {
                    Some(&INSERT) => seen.push(micros_since(epoch)),
                    Some(&COMMIT) => stream.acknowledge(position),
                    _ => {}
                }
            }
        }
        let cpu = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
        Ok((seen, cpu.saturating_sub(before.into())))
    })
}
