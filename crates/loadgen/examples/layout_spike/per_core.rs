//! Thread-per-core: sockets, lists and unwritten bytes belong to one thread, so nothing of them is locked or counted
//! atomically. What is shared: how many members each worker has in a topic, and a mailbox per worker. A task per worker
//! writes what its sockets were given since it last ran, so what one turn brings a socket leaves in one write.

use crate::conversation::{Act, Conversation};
use loadgen::Result;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};

const READ_BUFFER_BYTES: usize = 4096;

enum Mail {
    Connection(TcpStream),
    Deliver(Arc<Topic>, Arc<[u8]>),
}

/// What the workers know of a topic together: the number of members each of them has.
struct Topic {
    name: String,
    members: Box<[AtomicUsize]>,
}

#[derive(Default)]
struct Directory {
    topics: Mutex<HashMap<String, Arc<Topic>>>,
}

impl Directory {
    fn topic(&self, name: String, workers: usize) -> Arc<Topic> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let members = || (0..workers).map(|_| AtomicUsize::new(0)).collect();
        let new = |name: &String| {
            Arc::new(Topic {
                name: name.clone(),
                members: members(),
            })
        };
        Arc::clone(topics.entry(name).or_insert_with_key(new))
    }
}

struct Worker {
    index: usize,
    directory: Arc<Directory>,
    mailboxes: Arc<[mpsc::UnboundedSender<Mail>]>,
    lists: RefCell<HashMap<String, Vec<Rc<Socket>>>>,
    dirty: RefCell<Vec<Rc<Socket>>>,
    has_dirty: Notify,
}

struct Socket {
    write: OwnedWriteHalf,
    unwritten: RefCell<Vec<u8>>,
    stalled: Notify,
}

/// Accepts on this thread and deals connections out to one worker per core.
pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let (mailboxes, mail): (Vec<_>, Vec<_>) = (0..cores).map(|_| mpsc::unbounded_channel()).unzip();
    let mailboxes: Arc<[_]> = mailboxes.into();
    let directory = Arc::new(Directory::default());
    for (index, mail) in mail.into_iter().enumerate() {
        let (directory, mailboxes) = (Arc::clone(&directory), Arc::clone(&mailboxes));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()?;
            let worker = Rc::new(Worker {
                index,
                directory,
                mailboxes,
                lists: RefCell::default(),
                dirty: RefCell::default(),
                has_dirty: Notify::new(),
            });
            LocalSet::new().block_on(&runtime, worker.work(mail));
            std::io::Result::Ok(())
        });
    }
    for turn in 0.. {
        let (stream, _) = listener.accept()?;
        if let Some(mailbox) = mailboxes.get(turn % cores) {
            mailbox
                .send(Mail::Connection(stream))
                .map_err(|_| "a worker is gone")?;
        }
    }
    Ok(())
}

impl Worker {
    async fn work(self: Rc<Self>, mut mail: mpsc::UnboundedReceiver<Mail>) {
        spawn_local(Rc::clone(&self).flush());
        while let Some(mail) = mail.recv().await {
            match mail {
                Mail::Connection(stream) => drop(spawn_local(Rc::clone(&self).attend(stream))),
                Mail::Deliver(topic, bytes) => self.deliver(&topic.name, None, &bytes),
            }
        }
    }

    async fn flush(self: Rc<Self>) {
        loop {
            self.has_dirty.notified().await;
            for socket in self.dirty.take() {
                socket.flush();
            }
        }
    }

    fn give(&self, socket: &Rc<Socket>, bytes: &[u8]) {
        let mut unwritten = socket.unwritten.borrow_mut();
        if unwritten.is_empty() {
            self.dirty.borrow_mut().push(Rc::clone(socket));
            self.has_dirty.notify_one();
        }
        unwritten.extend_from_slice(bytes);
    }

    async fn attend(self: Rc<Self>, stream: TcpStream) {
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_nonblocking(true));
        let Ok(stream) = prepared.and_then(|()| tokio::net::TcpStream::from_std(stream)) else {
            return;
        };
        let (read, write) = stream.into_split();
        let socket = Rc::new(Socket {
            write,
            unwritten: RefCell::default(),
            stalled: Notify::new(),
        });
        let mut joined = None;
        tokio::select! {
            () = self.listen(read, &socket, &mut joined) => {}
            () = socket.unblock() => {}
        }
        if let Some(topic) = joined {
            if let Some(members) = topic.members.get(self.index) {
                members.fetch_sub(1, Ordering::Relaxed);
            }
            if let Some(list) = self.lists.borrow_mut().get_mut(&topic.name) {
                list.retain(|member| !Rc::ptr_eq(member, &socket));
            }
        }
    }

    async fn listen(&self, mut read: OwnedReadHalf, socket: &Rc<Socket>, joined: &mut Option<Arc<Topic>>) {
        let mut conversation = Conversation::default();
        let mut buffer = [0; READ_BUFFER_BYTES];
        while let Ok(bytes @ 1..) = read.read(&mut buffer).await {
            let open = conversation.feed(buffer.get(..bytes).unwrap_or_default(), |act| match act {
                Act::Answer(answer) => self.give(socket, &answer),
                Act::Join(topic, answer) => {
                    *joined = Some(self.join(topic, socket));
                    self.give(socket, &answer);
                }
                Act::Publish(bytes) => {
                    if let Some(topic) = joined {
                        self.publish(topic, socket, &bytes);
                    }
                }
            });
            if !open {
                return;
            }
        }
    }

    fn join(&self, name: String, socket: &Rc<Socket>) -> Arc<Topic> {
        let topic = self.directory.topic(name, self.mailboxes.len());
        self.lists
            .borrow_mut()
            .entry(topic.name.clone())
            .or_default()
            .push(Rc::clone(socket));
        if let Some(members) = topic.members.get(self.index) {
            members.fetch_add(1, Ordering::Relaxed);
        }
        topic
    }

    fn publish(&self, topic: &Arc<Topic>, from: &Rc<Socket>, bytes: &Arc<[u8]>) {
        for (index, (members, mailbox)) in topic.members.iter().zip(self.mailboxes.iter()).enumerate() {
            if index != self.index && members.load(Ordering::Relaxed) > 0 {
                // Fails only while the process ends.
                let _ = mailbox.send(Mail::Deliver(Arc::clone(topic), Arc::clone(bytes)));
            }
        }
        self.deliver(&topic.name, Some(from), bytes);
    }

    fn deliver(&self, topic: &str, except: Option<&Rc<Socket>>, bytes: &[u8]) {
        let lists = self.lists.borrow();
        for member in lists.get(topic).into_iter().flatten() {
            if !except.is_some_and(|except| Rc::ptr_eq(except, member)) {
                self.give(member, bytes);
            }
        }
    }
}

impl Socket {
    fn flush(&self) {
        let mut unwritten = self.unwritten.borrow_mut();
        let written = self.write.try_write(&unwritten).unwrap_or(0);
        unwritten.drain(..written);
        if !unwritten.is_empty() {
            self.stalled.notify_one();
        }
    }

    /// Writes what the kernel did not take, whenever it takes it; returns when the socket fails.
    async fn unblock(&self) {
        loop {
            self.stalled.notified().await;
            while !self.unwritten.borrow().is_empty() {
                if self.write.writable().await.is_err() {
                    return;
                }
                let mut unwritten = self.unwritten.borrow_mut();
                match self.write.try_write(&unwritten) {
                    Ok(written) => drop(unwritten.drain(..written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        }
    }
}
