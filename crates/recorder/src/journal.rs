//! From the connections to the file: a queue, and the thread that empties it.
//!
//! Invariants: the queue holds at most [`BYTES_MAX`] bytes, and whoever has more to tell waits, and with it the side that
//! sent it; lines that become complete together are written and synced together, so a slow disk makes for longer writes and
//! not for a longer queue.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::file::RecordFile;
use crate::scribe::{Event, Recorded, Scribe};

/// Bytes that wait to be recorded. A single message that is longer waits alone.
const BYTES_MAX: u32 = 32 << 20;
/// How often lines that wait for others are looked after.
const LOOK: Duration = Duration::from_millis(25);
/// Events that are taken before what they made is written.
const BATCH_MAX: usize = 1_000;

/// Where connections tell what happens. Clones tell the same.
#[derive(Clone)]
pub(crate) struct Journal {
    entries: Sender<Entry>,
    room: Arc<Semaphore>,
    start: Instant,
}

struct Entry {
    at_ms: u64,
    event: Event,
    /// Its room in the queue.
    _room: OwnedSemaphorePermit,
}

/// What ends a recording.
pub(crate) struct Ending {
    thread: JoinHandle<io::Result<Recorded>>,
    /// Is there when the thread has given up.
    pub(crate) failed: oneshot::Receiver<()>,
}

impl Journal {
    /// Starts the thread that writes.
    pub(crate) fn start(scribe: Scribe, file: RecordFile) -> io::Result<(Self, Ending)> {
        let (entries, told) = channel();
        let start = Instant::now();
        let (gave_up, failed) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let outcome = write(scribe, file, &told, start);
                if outcome.is_err() {
                    // Nobody waits for it if the recording ends at the same moment.
                    let _ = gave_up.send(());
                }
                outcome
            })?;
        let journal = Self {
            entries,
            room: Arc::new(Semaphore::new(BYTES_MAX as usize)),
            start,
        };
        Ok((journal, Ending { thread, failed }))
    }

    /// Tells what happened; waits for room.
    pub(crate) async fn tell(&self, event: Event) {
        let bytes = u32::try_from(event.bytes()).unwrap_or(BYTES_MAX).min(BYTES_MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(bytes).await else {
            return;
        };
        let entry = Entry {
            at_ms: since(self.start),
            event,
            _room: room,
        };
        // If the thread has given up, the proxy ends.
        let _ = self.entries.send(entry);
    }
}

impl Ending {
    /// Waits for the last line, after every journal was dropped.
    pub(crate) fn wait(self) -> io::Result<Recorded> {
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn write(
    mut scribe: Scribe,
    mut file: RecordFile,
    told: &Receiver<Entry>,
    start: Instant,
) -> io::Result<Recorded> {
    loop {
        let next = if scribe.is_idle() {
            told.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            told.recv_timeout(LOOK)
        };
        let is_over = matches!(next, Err(RecvTimeoutError::Disconnected));
        for Entry { at_ms, event, .. } in next.into_iter().chain(told.try_iter()).take(BATCH_MAX) {
            scribe.hear(at_ms, event);
        }
        let lines = if is_over {
            scribe.finish()
        } else {
            scribe.take(since(start))
        };
        if is_over || !lines.is_empty() {
            // A name stands in the header before a line uses it.
            file.replace_header(scribe.header(if is_over { since(start).max(1) } else { 0 }))?;
            file.append(&lines)?;
        }
        if is_over {
            return Ok(scribe.recorded());
        }
    }
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
