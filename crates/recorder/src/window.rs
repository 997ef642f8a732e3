//! The order of lines: what the protocol leaves open is written as open.
//!
//! What clients do stands in the order in which it passed, and what was received before it stands before it. In between,
//! frames that reached one connection are collected: frames of one stream (say, the replies on a topic) keep their order,
//! those of several streams come from different processes of a server and are written as `unordered`.
//!
//! Three things wait for a moment, and what comes after them with them: received frames, for others that belong to them; a
//! client's close, because frames that were under way are written before it, as optional; and a request, which is written
//! with its answer but stands where it was asked. Invariant: no more than [`PENDING_MAX`] entries and [`BYTES_MAX`] bytes
//! wait, and none longer than [`CALL_MS_MAX`].

use std::collections::{HashMap, VecDeque};

use transcript::Value;

/// Entries that wait. Above, they are written as they are.
pub(crate) const PENDING_MAX: usize = 256;
/// Bytes of messages that wait.
pub(crate) const BYTES_MAX: usize = 8 << 20;
/// Requests without an answer that are still remembered when they have waited long enough.
pub(crate) const LATE_MAX: usize = 64;
/// Frames of one group: a matcher tries them against each other.
pub(crate) const GROUP_MAX: usize = 32;
/// A group is complete when nothing more came for so long. Milliseconds.
const GROUP_QUIET_MS: u64 = 100;
/// Or when it has been collected for so long. Milliseconds.
const GROUP_MS_MAX: u64 = 500;
/// How long the server may take to answer a close. Milliseconds.
const CLOSE_MS_MAX: u64 = 500;
/// How long an answer is waited for; a later one stands where it came. Milliseconds.
const CALL_MS_MAX: u64 = 5_000;

/// Frames of one stream keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What a channel says: replies, notices, its state and end.
    Channel(String),
    /// Broadcasts on a topic by one sender, who is told apart by the number.
    Broadcast(String, u64),
    /// Presences that come and go.
    Presence(String),
    /// Changes of tables.
    Changes(String),
    /// Pongs.
    Pong,
}

/// The members of a JSON object.
pub(crate) type Members = Vec<(String, Value)>;

/// Lines on their way into the file.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pending: VecDeque<Pending>,
    bytes: usize,
    /// The time of the last line that was written; lines never go back in time.
    written_ms: u64,
    lines: String,
    /// Requests whose answer was not waited for any longer.
    late: HashMap<u64, Members>,
}

#[derive(Debug)]
struct Pending {
    at_ms: u64,
    bytes: usize,
    entry: Entry,
}

#[derive(Debug)]
enum Entry {
    Step(Members),
    Close(String, Members),
    Call(u64, Members),
    Group(Group),
}

#[derive(Debug)]
struct Group {
    connection: String,
    is_optional: bool,
    /// The close it stands before is complete.
    is_settled: bool,
    last_ms: u64,
    frames: Vec<(u64, Stream, Members)>,
}

impl Window {
    /// Something a client did, or the end of a connection.
    pub(crate) fn step(&mut self, at_ms: u64, bytes: usize, step: Members) {
        self.push(at_ms, bytes, Entry::Step(step));
    }

    /// A client closed a connection; the server has still to answer.
    pub(crate) fn close(&mut self, at_ms: u64, connection: &str, step: Members) {
        self.push(at_ms, 0, Entry::Close(connection.to_owned(), step));
    }

    /// The server has answered the close, or the connection has ended otherwise.
    pub(crate) fn closed(&mut self, connection: &str) {
        for pending in &mut self.pending {
            match &mut pending.entry {
                Entry::Close(closing, step) if closing == connection => {
                    pending.entry = Entry::Step(std::mem::take(step));
                }
                Entry::Group(group) if group.connection == connection => group.is_settled = true,
                _ => {}
            }
        }
    }

    /// A request was made.
    pub(crate) fn call(&mut self, at_ms: u64, call: u64, bytes: usize, step: Members) {
        self.push(at_ms, bytes, Entry::Call(call, step));
    }

    /// The answer to a request is there; `expect` is what the step says of it.
    pub(crate) fn answered(&mut self, at_ms: u64, call: u64, bytes: usize, expect: (String, Value)) {
        if let Some(mut step) = self.late.remove(&call) {
            step.push(expect);
            self.step(at_ms, bytes, step);
            return;
        }
        for pending in &mut self.pending {
            if let Entry::Call(waiting, step) = &mut pending.entry
                && *waiting == call
            {
                step.push(expect);
                pending.entry = Entry::Step(std::mem::take(step));
                pending.bytes += bytes;
                self.bytes += bytes;
                return;
            }
        }
    }

    /// There is nothing to be said of a request.
    pub(crate) fn unanswered(&mut self, call: u64) {
        self.late.remove(&call);
        self.pending
            .retain(|pending| !matches!(pending.entry, Entry::Call(waiting, _) if waiting == call));
    }

    /// A frame reached a connection.
    pub(crate) fn received(
        &mut self,
        at_ms: u64,
        connection: &str,
        stream: Stream,
        bytes: usize,
        frame: Members,
    ) {
        self.bytes += bytes;
        let since_step = self
            .pending
            .iter_mut()
            .rev()
            .take_while(|pending| matches!(pending.entry, Entry::Group(_)));
        for pending in since_step {
            if let Entry::Group(group) = &mut pending.entry
                && group.connection == connection
                && !group.is_optional
            {
                if group.frames.len() >= GROUP_MAX {
                    break;
                }
                group.frames.push((at_ms, stream, frame));
                group.last_ms = at_ms;
                pending.bytes += bytes;
                return;
            }
        }
        self.bytes -= bytes;
        let group = Group {
            connection: connection.to_owned(),
            is_optional: false,
            is_settled: true,
            last_ms: at_ms,
            frames: vec![(at_ms, stream, frame)],
        };
        self.push(at_ms, bytes, Entry::Group(group));
    }

    /// A frame was under way when the client closed: it may or may not come before the close. Forgotten if that is written.
    pub(crate) fn received_late(
        &mut self,
        connection: &str,
        stream: Stream,
        bytes: usize,
        mut frame: Members,
    ) {
        let is_close =
            |pending: &Pending| matches!(&pending.entry, Entry::Close(closing, _) if closing == connection);
        let Some(at) = self.pending.iter().position(is_close) else {
            return;
        };
        let at_ms = self.pending.get(at).map_or(0, |pending| pending.at_ms);
        frame.push(("optional".to_owned(), true.into()));
        self.bytes += bytes;
        if let Some(before) = at.checked_sub(1).and_then(|before| self.pending.get_mut(before))
            && let Entry::Group(group) = &mut before.entry
            && group.is_optional
            && group.connection == connection
            && group.frames.len() < GROUP_MAX
        {
            group.frames.push((at_ms, stream, frame));
            before.bytes += bytes;
            return;
        }
        let group = Group {
            connection: connection.to_owned(),
            is_optional: true,
            is_settled: false,
            last_ms: at_ms,
            frames: vec![(at_ms, stream, frame)],
        };
        let pending = Pending {
            at_ms,
            bytes,
            entry: Entry::Group(group),
        };
        self.pending.insert(at, pending);
    }

    /// Whether everything is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.lines.is_empty()
    }

    /// The lines that are complete by now, each with its line break.
    pub(crate) fn take(&mut self, now_ms: u64) -> String {
        self.write(|pending, is_last_step| {
            let age_ms = now_ms.saturating_sub(pending.at_ms);
            match &pending.entry {
                Entry::Step(_) => true,
                Entry::Close(..) => age_ms >= CLOSE_MS_MAX,
                Entry::Call(..) => age_ms >= CALL_MS_MAX,
                Entry::Group(group) if !group.is_settled => age_ms >= CLOSE_MS_MAX,
                Entry::Group(group) => {
                    !is_last_step
                        || age_ms >= GROUP_MS_MAX
                        || now_ms.saturating_sub(group.last_ms) >= GROUP_QUIET_MS
                }
            }
        });
        std::mem::take(&mut self.lines)
    }

    /// All lines.
    pub(crate) fn finish(&mut self) -> String {
        self.write(|_, _| true);
        std::mem::take(&mut self.lines)
    }

    fn push(&mut self, at_ms: u64, bytes: usize, entry: Entry) {
        self.pending.push_back(Pending { at_ms, bytes, entry });
        self.bytes += bytes;
        let (mut left, mut left_bytes) = (self.pending.len(), self.bytes);
        self.write(|pending, _| {
            let is_over = left > PENDING_MAX || left_bytes > BYTES_MAX;
            left -= 1;
            left_bytes = left_bytes.saturating_sub(pending.bytes);
            is_over
        });
    }

    /// Writes from the front while it is ready; the second argument is whether nothing but groups follows.
    fn write(&mut self, mut is_ready: impl FnMut(&Pending, bool) -> bool) {
        let mut steps_left = self
            .pending
            .iter()
            .filter(|pending| !matches!(pending.entry, Entry::Group(_)))
            .count();
        while let Some(front) = self.pending.front() {
            if !is_ready(front, steps_left == 0) {
                return;
            }
            let Some(Pending { at_ms, bytes, entry }) = self.pending.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(bytes);
            match entry {
                Entry::Step(step) | Entry::Close(_, step) => {
                    steps_left -= 1;
                    self.line(at_ms, step);
                }
                // It will be written where its answer comes.
                Entry::Call(call, step) => {
                    steps_left -= 1;
                    if self.late.len() < LATE_MAX {
                        self.late.insert(call, step);
                    } else {
                        tracing::warn!("a request is left out: too many others have no answer yet");
                    }
                }
                Entry::Group(group) => self.group(group),
            }
        }
    }

    fn group(&mut self, group: Group) {
        let recv = ("recv".to_owned(), Value::text(group.connection));
        let mut frames = group.frames.into_iter();
        let Some((at_ms, stream, first)) = frames.next() else {
            return;
        };
        let is_ordered = frames.as_slice().iter().all(|(_, other, _)| *other == stream);
        if is_ordered {
            for (at_ms, _, frame) in std::iter::once((at_ms, stream, first)).chain(frames) {
                self.line(at_ms, [vec![recv.clone()], frame].concat());
            }
            return;
        }
        let all = std::iter::once(first).chain(frames.map(|(_, _, frame)| frame));
        let unordered = Value::Array(all.map(Value::Object).collect());
        self.line(at_ms, vec![recv, ("unordered".to_owned(), unordered)]);
    }

    fn line(&mut self, at_ms: u64, mut step: Members) {
        self.written_ms = self.written_ms.max(at_ms);
        step.push(("at_ms".to_owned(), self.written_ms.into()));
        let line = Value::Object(step).to_string();
        if line.len() > transcript::LINE_BYTES_MAX {
            tracing::warn!(
                bytes = line.len(),
                "a message is too long for a line of a transcript and is left out"
            );
            return;
        }
        self.lines.push_str(&line);
        self.lines.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(name: &str) -> Members {
        vec![(name.to_owned(), true.into())]
    }

    fn channel(topic: &str) -> Stream {
        Stream::Channel(topic.into())
    }

    fn received(window: &mut Window, at_ms: u64, connection: &str, stream: Stream, name: &str) {
        window.received(at_ms, connection, stream, 1, members(name));
    }

    #[test]
    fn frames_of_one_stream_keep_their_order() {
        let mut window = Window::default();
        received(&mut window, 1, "a", channel("t"), "one");
        received(&mut window, 2, "b", channel("t"), "other");
        received(&mut window, 3, "a", channel("t"), "two");
        assert_eq!(window.take(50), "", "more may come");
        assert_eq!(
            window.take(200),
            concat!(
                "{\"recv\":\"a\",\"one\":true,\"at_ms\":1}\n",
                "{\"recv\":\"a\",\"two\":true,\"at_ms\":3}\n",
                "{\"recv\":\"b\",\"other\":true,\"at_ms\":3}\n",
            )
        );
        assert!(window.is_empty());
    }

    #[test]
    fn frames_of_several_streams_have_none() {
        let mut window = Window::default();
        received(&mut window, 1, "a", channel("t"), "reply");
        received(&mut window, 2, "a", Stream::Presence("t".into()), "diff");
        window.step(3, 0, members("send"));
        received(&mut window, 4, "a", channel("t"), "next");
        assert_eq!(
            window.take(5),
            concat!(
                "{\"recv\":\"a\",\"unordered\":[{\"reply\":true},{\"diff\":true}],\"at_ms\":1}\n",
                "{\"send\":true,\"at_ms\":3}\n",
            ),
            "a step ends what was received before it"
        );
        assert_eq!(window.finish(), "{\"recv\":\"a\",\"next\":true,\"at_ms\":4}\n");
    }

    #[test]
    fn a_frame_that_crosses_a_close_is_optional_and_before_it() {
        let mut window = Window::default();
        window.step(1, 0, members("leave"));
        window.close(2, "a", members("close"));
        received(&mut window, 3, "b", Stream::Presence("t".into()), "left");
        window.received_late("a", channel("t"), 1, members("phx_close"));
        assert_eq!(window.take(4), "{\"leave\":true,\"at_ms\":1}\n");
        window.closed("a");
        window.received_late("a", channel("t"), 1, members("too late"));
        assert_eq!(
            window.finish(),
            concat!(
                "{\"recv\":\"a\",\"phx_close\":true,\"optional\":true,\"at_ms\":2}\n",
                "{\"close\":true,\"at_ms\":2}\n",
                "{\"recv\":\"b\",\"left\":true,\"at_ms\":3}\n",
            )
        );
    }

    #[test]
    fn a_request_stands_where_it_was_made() {
        let mut window = Window::default();
        window.call(1, 7, 1, members("http"));
        received(&mut window, 2, "a", Stream::Broadcast("t".into(), 0), "heard");
        assert_eq!(window.take(1_000), "");
        window.answered(1_000, 7, 1, ("expect".to_owned(), 202.into()));
        assert_eq!(
            window.take(1_001),
            "{\"http\":true,\"expect\":202,\"at_ms\":1}\n{\"recv\":\"a\",\"heard\":true,\"at_ms\":2}\n"
        );
        window.call(2_000, 8, 1, members("none"));
        window.call(2_000, 9, 1, members("late"));
        window.unanswered(8);
        assert_eq!(window.take(10_000), "", "it has waited long enough");
        window.answered(10_001, 9, 1, ("expect".to_owned(), 202.into()));
        assert_eq!(
            window.take(10_002),
            "{\"late\":true,\"expect\":202,\"at_ms\":10001}\n"
        );
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut window = Window::default();
        window.call(0, 1, 1, members("http"));
        for _ in 0..PENDING_MAX + 10 {
            window.step(1, 1, members("send"));
        }
        assert_eq!(
            window.take(1).lines().count(),
            PENDING_MAX + 10,
            "the request is passed over"
        );
        window.close(2, "a", members("close"));
        window.step(2, BYTES_MAX + 1, members("long"));
        assert_eq!(window.take(2).lines().count(), 2, "the close does not wait");

        for _ in 0..GROUP_MAX + 1 {
            received(&mut window, 3, "a", channel("t"), "x");
            received(&mut window, 3, "a", channel("u"), "y");
        }
        let lines = window.finish();
        let sizes: Vec<usize> = lines.lines().map(|line| line.matches(":true").count()).collect();
        assert_eq!(sizes, [GROUP_MAX, GROUP_MAX, 2]);
    }
}
