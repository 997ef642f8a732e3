//! One work-stealing runtime: any thread may run any socket's task, so lists and unwritten bytes are locked.

use crate::conversation::{Act, Conversation};
use loadgen::Result;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

const READ_BUFFER_BYTES: usize = 4096;
const SHARDS: usize = 64;
/// Frames that wait for a socket's own task, and the most it takes at once.
const CHANNEL_FRAMES: usize = 1024;
const BATCH_FRAMES: usize = 64;

/// Who writes to a socket.
#[derive(Clone, Copy)]
pub(crate) enum Writing {
    /// A task of its own, woken through a channel.
    ByTask,
    /// Whoever publishes, once what was read is taken in whole.
    ByPublisher,
}

type Members = Arc<RwLock<Vec<Arc<Socket>>>>;

struct Topics {
    hasher: RandomState,
    shards: [RwLock<HashMap<String, Members>>; SHARDS],
}

enum Socket {
    Channel(mpsc::Sender<Arc<[u8]>>),
    Direct(Direct),
}

struct Direct {
    write: OwnedWriteHalf,
    unwritten: Mutex<Vec<u8>>,
    stalled: Notify,
}

/// Accepts on this thread; the runtime has a worker per core.
pub(crate) fn serve(listener: &TcpListener, writing: Writing) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    let shards = std::array::from_fn(|_| RwLock::default());
    let topics = Arc::new(Topics {
        hasher: RandomState::new(),
        shards,
    });
    loop {
        let (stream, _) = listener.accept()?;
        runtime.spawn(attend(Arc::clone(&topics), stream, writing));
    }
}

async fn attend(topics: Arc<Topics>, stream: TcpStream, writing: Writing) {
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_nonblocking(true));
    let Ok(stream) = prepared.and_then(|()| tokio::net::TcpStream::from_std(stream)) else {
        return;
    };
    let (read, write) = stream.into_split();
    let (socket, writer) = match writing {
        Writing::ByTask => {
            let (sender, frames) = mpsc::channel(CHANNEL_FRAMES);
            (
                Socket::Channel(sender),
                Some(tokio::spawn(write_frames(write, frames))),
            )
        }
        Writing::ByPublisher => (
            Socket::Direct(Direct {
                write,
                unwritten: Mutex::default(),
                stalled: Notify::new(),
            }),
            None,
        ),
    };
    let socket = Arc::new(socket);
    let mut joined = None;
    match &*socket {
        Socket::Channel(_) => listen(&topics, read, &socket, &mut joined).await,
        Socket::Direct(direct) => tokio::select! {
            () = listen(&topics, read, &socket, &mut joined) => {}
            () = direct.unblock() => {}
        },
    }
    if let Some(members) = joined {
        members
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|member| !Arc::ptr_eq(member, &socket));
    }
    if let Some(writer) = writer {
        writer.abort();
    }
}

async fn listen(
    topics: &Topics,
    mut read: OwnedReadHalf,
    socket: &Arc<Socket>,
    joined: &mut Option<Members>,
) {
    let mut conversation = Conversation::default();
    let mut buffer = [0; READ_BUFFER_BYTES];
    let mut dirty = Vec::new();
    while let Ok(bytes @ 1..) = read.read(&mut buffer).await {
        let open = conversation.feed(buffer.get(..bytes).unwrap_or_default(), |act| match act {
            Act::Answer(answer) => socket.give(&answer.into(), &mut dirty),
            Act::Join(topic, answer) => {
                let members = topics.members(topic);
                members
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Arc::clone(socket));
                *joined = Some(members);
                socket.give(&answer.into(), &mut dirty);
            }
            Act::Publish(bytes) => {
                if let Some(members) = joined {
                    publish(members, socket, &bytes, &mut dirty);
                }
            }
        });
        for socket in dirty.drain(..) {
            socket.flush();
        }
        if !open {
            return;
        }
    }
}

fn publish(members: &Members, from: &Arc<Socket>, bytes: &Arc<[u8]>, dirty: &mut Vec<Arc<Socket>>) {
    for member in members.read().unwrap_or_else(PoisonError::into_inner).iter() {
        if !Arc::ptr_eq(member, from) {
            member.give(bytes, dirty);
        }
    }
}

impl Topics {
    fn members(&self, topic: String) -> Members {
        let shard = self.hasher.hash_one(&topic) as usize % SHARDS;
        let mut shard = self.shards[shard].write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shard.entry(topic).or_default())
    }
}

impl Socket {
    /// Queues a frame; a socket that nobody is about to write to becomes `dirty`.
    fn give(self: &Arc<Self>, bytes: &Arc<[u8]>, dirty: &mut Vec<Arc<Socket>>) {
        match &**self {
            // A frame that finds the channel full is lost, and the run is void.
            Socket::Channel(frames) => drop(frames.try_send(Arc::clone(bytes))),
            Socket::Direct(direct) => {
                let mut unwritten = direct.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                if unwritten.is_empty() {
                    dirty.push(Arc::clone(self));
                }
                unwritten.extend_from_slice(bytes);
            }
        }
    }

    fn flush(&self) {
        if let Socket::Direct(direct) = self {
            direct.flush();
        }
    }
}

async fn write_frames(mut write: OwnedWriteHalf, mut frames: mpsc::Receiver<Arc<[u8]>>) {
    let (mut batch, mut joined) = (Vec::with_capacity(BATCH_FRAMES), Vec::new());
    while frames.recv_many(&mut batch, BATCH_FRAMES).await > 0 {
        let written = match batch.as_slice() {
            [frame] => write.write_all(frame).await,
            frames => {
                joined.clear();
                frames.iter().for_each(|frame| joined.extend_from_slice(frame));
                write.write_all(&joined).await
            }
        };
        batch.clear();
        if written.is_err() {
            return;
        }
    }
}

impl Direct {
    fn flush(&self) {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write.try_write(&unwritten).unwrap_or(0);
        unwritten.drain(..written);
        if !unwritten.is_empty() {
            self.stalled.notify_one();
        }
    }

    fn is_blocked(&self) -> bool {
        !self
            .unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Writes what the kernel did not take, whenever it takes it; returns when the socket fails.
    async fn unblock(&self) {
        loop {
            self.stalled.notified().await;
            while self.is_blocked() {
                if self.write.writable().await.is_err() {
                    return;
                }
                let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                match self.write.try_write(&unwritten) {
                    Ok(written) => drop(unwritten.drain(..written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        }
    }
}
