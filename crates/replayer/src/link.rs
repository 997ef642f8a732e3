//! One connection of a replay: its queue, whose head can be looked at without taking it.

use std::io;
use std::time::Duration;

use client::{Connection, Received};
use tokio::time::{Instant, timeout_at};
use transcript::{Arrived, Conversation, Ending, Frame, view};

pub(crate) struct Link {
    name: String,
    connection: Connection,
    /// What was taken from the connection and given back.
    head: Option<Arrived>,
    /// Nothing can come any more.
    is_over: bool,
}

impl Link {
    pub(crate) fn new(name: &str, connection: Connection) -> Self {
        Self {
            name: name.to_owned(),
            connection,
            head: None,
            is_over: false,
        }
    }

    /// Whether the server's end was taken from the queue.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over && self.head.is_none()
    }

    /// The next thing in the queue, or `None` if nothing comes until then.
    pub(crate) async fn next(&mut self, until: Instant, conversation: &mut Conversation) -> Option<Arrived> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        if self.is_over {
            tokio::time::sleep_until(until).await;
            return None;
        }
        let arrived = match timeout_at(until, self.connection.receive()).await.ok()?? {
            Received::Text(text) => Arrived::text(&text),
            Received::Binary(bytes) => Arrived::Binary {
                view: view(&bytes),
                bytes: bytes.to_vec(),
            },
            Received::Pong(payload) => Arrived::Pong(payload.to_vec()),
            Received::Closed { code, reason } => {
                self.is_over = true;
                conversation.received(&self.name, &format!("close {code} {reason:?}"));
                return Some(Arrived::Closed { code });
            }
        };
        conversation.received(&self.name, &arrived.to_string());
        Some(arrived)
    }

    /// Gives back what [`next`](Self::next) gave.
    pub(crate) fn put_back(&mut self, arrived: Arrived) {
        self.head = Some(arrived);
    }

    pub(crate) async fn send(&mut self, frame: Frame, bytes: &[u8]) -> io::Result<()> {
        match frame {
            Frame::Text => self.connection.send_text(bytes).await,
            Frame::Binary => self.connection.send_binary(bytes).await,
        }
    }

    pub(crate) async fn ping(&mut self, text: &str) -> io::Result<()> {
        self.connection.send_ping(text.as_bytes()).await
    }

    /// Ends the connection. With a close frame, the server has to answer with one; what else comes meanwhile does not
    /// count.
    pub(crate) async fn end(
        mut self,
        ending: Ending,
        patience: Duration,
        conversation: &mut Conversation,
    ) -> Result<(), String> {
        let code = match ending {
            Ending::Abrupt => return Ok(()),
            Ending::Code(code) => code,
        };
        self.connection
            .send_close(code)
            .await
            .map_err(|error| format!("the close could not be sent: {error}"))?;
        let until = Instant::now() + patience;
        loop {
            match self.next(until, conversation).await {
                Some(Arrived::Closed { code: 1006 }) => {
                    return Err("the server dropped TCP instead of closing".into());
                }
                Some(Arrived::Closed { .. }) => return Ok(()),
                Some(_) => {}
                None => return Err(format!("the close was not answered within {patience:?}")),
            }
        }
    }
}
