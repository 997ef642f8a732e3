//! The order of lines.
//!
//! What clients do stands in the order in which it passed. What follows from it stands right behind it, as if everybody had
//! waited for it: when clients do things at the same time, the order in which a server gets to them, and in which its
//! frames arrive, is another each time; one after the other, it is not. Where a frame shows that a server got to two steps
//! the other way round, they are written the other way round. What follows from nothing that is known stands where
//! it came. Of the frames that a step brings to one connection, those of one stream (say, the replies on a topic) keep
//! their order; those of several come from different processes of a server and are written as `unordered`.
//!
//! So a step waits a moment for what follows from it, and what comes after it with it. A client's close waits for the
//! server's, because frames that were under way are written before it, as optional. A request waits for its answer.
//! Invariant: no more than [`STEPS_MAX`] steps and [`BYTES_MAX`] bytes wait, and none longer than [`CALL_MS_MAX`].

use std::collections::{HashMap, VecDeque};

use transcript::Value;

use crate::cause::Belonging;

/// Steps that wait. Above, they are written as they are.
pub(crate) const STEPS_MAX: usize = 4_096;
/// Bytes of messages that wait.
pub(crate) const BYTES_MAX: usize = 16 << 20;
/// Frames of one group: a matcher tries them against each other.
pub(crate) const GROUP_MAX: usize = 32;
/// Requests without an answer that are still remembered when they have waited long enough.
pub(crate) const LATE_MAX: usize = 64;
/// How long a step waits for what follows from it. Milliseconds.
const SETTLE_MS: u64 = 300;
/// Frames that follow from nothing are complete when nothing more came for so long. Milliseconds.
const QUIET_MS: u64 = 100;
/// Or when they have been collected for so long. Milliseconds.
const COLLECT_MS_MAX: u64 = 600;
/// How long the server may take to answer a close. Milliseconds.
const CLOSE_MS_MAX: u64 = 600;
/// How long an answer is waited for; a later one stands where it came. Milliseconds.
const CALL_MS_MAX: u64 = 5_000;

/// Frames of one stream keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What a channel says: replies, notices, its state and end.
    Channel(String),
    /// Broadcasts on a topic.
    Broadcast(String),
    /// Presences that come and go.
    Presence(String),
    /// Changes of tables.
    Changes(String),
    /// Pongs.
    Pong,
}

/// The members of a JSON object.
pub(crate) type Members = Vec<(String, Value)>;

/// A frame that reached a connection.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) at_ms: u64,
    /// The name of the connection.
    pub(crate) connection: String,
    pub(crate) stream: Stream,
    /// How long it was, about.
    pub(crate) bytes: usize,
    /// What a step expects.
    pub(crate) frame: Members,
    /// The step it follows from, and what it shows of the order of others.
    pub(crate) cause: Option<Belonging>,
}

/// Lines on their way into the file.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pending: VecDeque<Pending>,
    bytes: usize,
    /// The number of the next step.
    next: u64,
    /// The time of the last line that was written; lines never go back in time.
    written_ms: u64,
    lines: String,
    /// Requests whose answer was not waited for any longer.
    late: HashMap<u64, Members>,
}

/// A step and what follows from it.
#[derive(Debug)]
struct Pending {
    number: u64,
    /// The name of the connection whose client did it.
    client: Option<String>,
    at_ms: u64,
    bytes: usize,
    step: Step,
    /// Frames that cross the close of their connection, before it.
    before: Option<Group>,
    after: Vec<Group>,
    /// When the last frame came.
    last_ms: u64,
}

#[derive(Debug)]
enum Step {
    /// Frames came and no step is known that they follow from.
    None,
    /// Something happened that no client did.
    Mark,
    Done(Members),
    Close(String, Members),
    Call(u64, Members),
}

#[derive(Debug)]
struct Group {
    connection: String,
    frames: Vec<(u64, Stream, Members)>,
}

impl Window {
    /// The number that the next step will have.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Something a client did, or the end of a connection.
    pub(crate) fn step(&mut self, at_ms: u64, client: Option<&str>, bytes: usize, step: Members) {
        self.push(at_ms, client, bytes, Step::Done(step));
    }

    /// A client closed a connection; the server has still to answer.
    pub(crate) fn close(&mut self, at_ms: u64, connection: &str, step: Members) {
        self.push(
            at_ms,
            Some(connection),
            0,
            Step::Close(connection.to_owned(), step),
        );
    }

    /// The server has answered the close, or the connection has ended otherwise.
    pub(crate) fn closed(&mut self, connection: &str) {
        for pending in &mut self.pending {
            if let Step::Close(closing, step) = &mut pending.step
                && closing == connection
            {
                pending.step = Step::Done(std::mem::take(step));
            }
        }
    }

    /// A request was made.
    pub(crate) fn call(&mut self, at_ms: u64, call: u64, bytes: usize, step: Members) {
        self.push(at_ms, None, bytes, Step::Call(call, step));
    }

    /// The answer to a request is there; `expect` is what the step says of it.
    pub(crate) fn answered(&mut self, at_ms: u64, call: u64, bytes: usize, expect: (String, Value)) {
        if let Some(mut step) = self.late.remove(&call) {
            step.push(expect);
            self.step(at_ms, None, bytes, step);
            return;
        }
        for pending in &mut self.pending {
            if let Step::Call(waiting, step) = &mut pending.step
                && *waiting == call
            {
                step.push(expect);
                pending.step = Step::Done(std::mem::take(step));
                pending.bytes += bytes;
                self.bytes += bytes;
                return;
            }
        }
    }

    /// There is nothing to be said of a request.
    pub(crate) fn unanswered(&mut self, call: u64) {
        self.late.remove(&call);
        for pending in &mut self.pending {
            if matches!(pending.step, Step::Call(waiting, _) if waiting == call) {
                pending.step = Step::None;
            }
        }
    }

    /// A frame reached a connection.
    pub(crate) fn received(&mut self, mut heard: Heard) {
        let place = heard.cause.take().and_then(|cause| {
            for told in cause.told {
                self.put_behind(cause.step, told);
            }
            if let Some(joined) = cause.joined {
                self.put_behind(cause.step, joined);
            }
            if let Some(left) = cause.left {
                self.put_behind(left, cause.step);
            }
            let place = self.place(cause.step);
            // If one of the two is written, nothing can be done about their order: the next time it may not come.
            let joined = cause.joined.and_then(|joined| self.place(joined));
            if cause.is_repeated
                || place.is_none() && joined.is_some()
                || place.is_some() && cause.left.is_some_and(|left| self.place(left).is_none())
            {
                heard.frame.push(("optional".to_owned(), true.into()));
            }
            place.or(joined)
        });
        if place.is_none() && self.pending.is_empty() {
            self.push(heard.at_ms, None, 0, Step::None);
        }
        let last = self.pending.len().saturating_sub(1);
        if let Some(pending) = self.pending.get_mut(place.unwrap_or(last)) {
            pending.last_ms = heard.at_ms;
            pending.bytes += heard.bytes;
            self.bytes += heard.bytes;
            add(&mut pending.after, heard);
        }
    }

    /// Something happened that no client did: what follows from it stands here. The number of the place.
    pub(crate) fn mark(&mut self, at_ms: u64) -> u64 {
        let number = self.next;
        self.push(at_ms, None, 0, Step::Mark);
        number
    }

    /// A frame was under way when the client closed. If nothing is known that it follows from, it may or may not come before
    /// the close, and is forgotten if that is written.
    pub(crate) fn received_late(&mut self, heard: Heard) {
        let cause = heard.cause.as_ref().map(|cause| cause.step);
        let is_cause = |pending: &Pending| Some(pending.number) == cause;
        let is_close = |pending: &Pending| matches!(&pending.step, Step::Close(closing, _) if *closing == heard.connection);
        let Some(close) = self.pending.iter().position(is_close) else {
            return;
        };
        if self.pending.iter().take(close).any(is_cause) {
            self.received(heard);
            return;
        }
        if let Some(pending) = self.pending.get_mut(close) {
            pending.bytes += heard.bytes;
            self.bytes += heard.bytes;
            let group = pending.before.get_or_insert_with(|| Group {
                connection: heard.connection.clone(),
                frames: Vec::new(),
            });
            if group.frames.len() < GROUP_MAX {
                let mut frame = heard.frame;
                frame.push(("optional".to_owned(), true.into()));
                group.frames.push((pending.at_ms, heard.stream, frame));
            }
        }
    }

    /// Whether everything is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.lines.is_empty()
    }

    /// The lines that are complete by now, each with its line break.
    pub(crate) fn take(&mut self, now_ms: u64) -> String {
        self.write(|pending, is_last| {
            let age_ms = now_ms.saturating_sub(pending.at_ms);
            let is_quiet = now_ms.saturating_sub(pending.last_ms) >= QUIET_MS || age_ms >= COLLECT_MS_MAX;
            match &pending.step {
                Step::None => !is_last || is_quiet,
                Step::Mark | Step::Done(_) => age_ms >= SETTLE_MS && (!is_last || is_quiet),
                Step::Close(..) => age_ms >= CLOSE_MS_MAX,
                Step::Call(..) => age_ms >= CALL_MS_MAX,
            }
        });
        std::mem::take(&mut self.lines)
    }

    /// All lines.
    pub(crate) fn finish(&mut self) -> String {
        self.write(|_, _| true);
        std::mem::take(&mut self.lines)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.pending.iter().rposition(|pending| pending.number == number)
    }

    /// Moves a step, and what its client did afterwards, behind another one, if it is before it.
    fn put_behind(&mut self, moving: u64, other: u64) {
        let (Some(from), Some(to)) = (self.place(moving), self.place(other)) else {
            return;
        };
        let client = self.pending.get(from).and_then(|pending| pending.client.clone());
        let mut moved = VecDeque::new();
        let mut at = from;
        // What goes is no longer in the way of what follows.
        for _ in from..to {
            let goes = self.pending.get(at).is_some_and(|pending| {
                pending.number == moving || client.is_some() && pending.client == client
            });
            match goes.then(|| self.pending.remove(at)).flatten() {
                Some(pending) => moved.push_back(pending),
                None => at += 1,
            }
        }
        // The other one is where the loop has stopped.
        for (offset, pending) in moved.into_iter().enumerate() {
            self.pending.insert(at + 1 + offset, pending);
        }
    }

    fn push(&mut self, at_ms: u64, client: Option<&str>, bytes: usize, step: Step) {
        self.pending.push_back(Pending {
            number: self.next,
            client: client.map(str::to_owned),
            at_ms,
            bytes,
            step,
            before: None,
            after: Vec::new(),
            last_ms: at_ms,
        });
        self.next += 1;
        self.bytes += bytes;
        let (mut left, mut left_bytes) = (self.pending.len(), self.bytes);
        self.write(|pending, _| {
            let is_over = left > STEPS_MAX || left_bytes > BYTES_MAX;
            left -= 1;
            left_bytes = left_bytes.saturating_sub(pending.bytes);
            is_over
        });
    }

    /// Writes from the front while it is ready; the second argument is whether nothing follows.
    fn write(&mut self, mut is_ready: impl FnMut(&Pending, bool) -> bool) {
        while let Some(front) = self.pending.front() {
            if !is_ready(front, self.pending.len() == 1) {
                return;
            }
            let Some(pending) = self.pending.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(pending.bytes);
            pending.before.into_iter().for_each(|group| self.group(group));
            match pending.step {
                Step::None | Step::Mark => {}
                Step::Done(step) | Step::Close(_, step) => self.line(pending.at_ms, step),
                // It will be written where its answer comes.
                Step::Call(call, step) => {
                    if self.late.len() < LATE_MAX {
                        self.late.insert(call, step);
                    } else {
                        tracing::warn!("a request is left out: too many others have no answer yet");
                    }
                }
            }
            pending.after.into_iter().for_each(|group| self.group(group));
        }
    }

    fn group(&mut self, group: Group) {
        let recv = ("recv".to_owned(), Value::text(group.connection));
        let is_ordered = group
            .frames
            .windows(2)
            .all(|two| matches!(two, [(_, one, _), (_, other, _)] if one == other));
        if is_ordered {
            for (at_ms, _, frame) in group.frames {
                self.line(at_ms, [vec![recv.clone()], frame].concat());
            }
            return;
        }
        let at_ms = group.frames.first().map_or(0, |(at_ms, ..)| *at_ms);
        let unordered = group.frames.into_iter().map(|(_, _, frame)| Value::Object(frame));
        let unordered = Value::Array(unordered.collect());
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

/// Puts a frame to the others of its connection.
fn add(groups: &mut Vec<Group>, heard: Heard) {
    let frame = (heard.at_ms, heard.stream, heard.frame);
    let mut groups_back = groups.iter_mut().rev();
    match groups_back.find(|group| group.connection == heard.connection) {
        Some(group) if group.frames.len() < GROUP_MAX => group.frames.push(frame),
        _ => groups.push(Group {
            connection: heard.connection,
            frames: vec![frame],
        }),
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

    fn heard(at_ms: u64, connection: &str, stream: Stream, name: &str, cause: Option<u64>) -> Heard {
        Heard {
            at_ms,
            connection: connection.to_owned(),
            stream,
            bytes: 1,
            frame: members(name),
            cause: cause.map(|step| Belonging {
                step,
                ..Belonging::default()
            }),
        }
    }

    #[test]
    fn frames_of_one_stream_keep_their_order() {
        let mut window = Window::default();
        window.received(heard(1, "a", channel("t"), "one", None));
        window.received(heard(2, "b", channel("t"), "other", None));
        window.received(heard(3, "a", channel("t"), "two", None));
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
    fn frames_of_several_streams_have_none_and_stand_behind_their_cause() {
        let mut window = Window::default();
        window.step(1, None, 0, members("one"));
        window.step(2, None, 0, members("two"));
        window.received(heard(3, "a", channel("t"), "of two", Some(1)));
        window.received(heard(4, "a", channel("t"), "of one", Some(0)));
        window.received(heard(5, "a", Stream::Presence("t".into()), "of one too", Some(0)));
        window.received(heard(6, "a", Stream::Changes("t".into()), "of nobody", None));
        window.received(heard(7, "b", channel("t"), "of somebody written", Some(99)));
        assert_eq!(window.take(290), "");
        assert_eq!(
            window.take(301),
            concat!(
                "{\"one\":true,\"at_ms\":1}\n",
                "{\"recv\":\"a\",\"unordered\":[{\"of one\":true},{\"of one too\":true}],\"at_ms\":4}\n",
            )
        );
        assert_eq!(
            window.finish(),
            concat!(
                "{\"two\":true,\"at_ms\":4}\n",
                "{\"recv\":\"a\",\"unordered\":[{\"of two\":true},{\"of nobody\":true}],\"at_ms\":4}\n",
                "{\"recv\":\"b\",\"of somebody written\":true,\"at_ms\":7}\n",
            )
        );
    }

    #[test]
    fn a_frame_that_crosses_a_close_stands_behind_its_cause_or_is_optional_before_it() {
        let mut window = Window::default();
        window.step(1, None, 0, members("leave"));
        window.close(2, "a", members("close"));
        window.received(heard(3, "b", Stream::Presence("t".into()), "left", Some(1)));
        window.received_late(heard(3, "a", channel("t"), "phx_close", Some(0)));
        window.received_late(heard(3, "a", Stream::Broadcast("t".into()), "crossing", None));
        window.closed("a");
        window.received_late(heard(4, "a", channel("t"), "too late", None));
        assert_eq!(
            window.take(500),
            concat!(
                "{\"leave\":true,\"at_ms\":1}\n",
                "{\"recv\":\"a\",\"phx_close\":true,\"at_ms\":3}\n",
                "{\"recv\":\"a\",\"crossing\":true,\"optional\":true,\"at_ms\":3}\n",
                "{\"close\":true,\"at_ms\":3}\n",
                "{\"recv\":\"b\",\"left\":true,\"at_ms\":3}\n",
            )
        );
    }

    #[test]
    fn what_the_server_got_to_later_is_written_later() {
        let mut window = Window::default();
        for (number, client) in ["a", "b", "a", "c", "b"].iter().enumerate() {
            window.step(1, Some(client), 0, members(&number.to_string()));
        }
        let cause = |step, joined, left, told: &[u64]| Belonging {
            step,
            joined,
            left,
            told: told.to_vec(),
            is_repeated: false,
        };
        // 0 and what a did after it come behind the join 3; then 1 and what b did after it behind 0, which 1 tells of.
        let mut frame = heard(2, "c", channel("t"), "x", None);
        frame.cause = Some(cause(0, Some(3), None, &[]));
        window.received(frame);
        let mut frame = heard(2, "b", channel("t"), "y", None);
        frame.cause = Some(cause(1, None, None, &[0]));
        window.received(frame);
        // Of what is written, no order can be changed.
        let mut frame = heard(2, "b", channel("t"), "z", None);
        frame.cause = Some(cause(99, Some(1), None, &[]));
        window.received(frame);
        assert_eq!(
            window
                .finish()
                .replace(",\"at_ms\":2", "")
                .replace(",\"at_ms\":1", ""),
            concat!(
                "{\"3\":true}\n",
                "{\"0\":true}\n{\"recv\":\"c\",\"x\":true}\n",
                "{\"1\":true}\n{\"recv\":\"b\",\"y\":true}\n{\"recv\":\"b\",\"z\":true,\"optional\":true}\n",
                "{\"2\":true}\n{\"4\":true}\n",
            )
        );
    }

    #[test]
    fn a_request_stands_where_it_was_made() {
        let mut window = Window::default();
        window.call(1, 7, 1, members("http"));
        window.received(heard(2, "a", Stream::Broadcast("t".into()), "heard", Some(0)));
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
            window.take(10_400),
            "{\"late\":true,\"expect\":202,\"at_ms\":10001}\n"
        );
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut window = Window::default();
        window.call(0, 1, 1, members("http"));
        for _ in 0..STEPS_MAX + 10 {
            window.step(1, None, 1, members("send"));
        }
        assert_eq!(window.take(1).lines().count(), 10, "the request is passed over");
        window.finish();
        window.close(2, "a", members("close"));
        window.step(2, None, BYTES_MAX + 1, members("long"));
        assert_eq!(window.take(2).lines().count(), 2, "the close does not wait");

        for _ in 0..GROUP_MAX + 1 {
            window.received(heard(3, "a", channel("t"), "x", None));
            window.received(heard(3, "a", channel("u"), "y", None));
        }
        let lines = window.finish();
        let sizes: Vec<usize> = lines.lines().map(|line| line.matches(":true").count()).collect();
        assert_eq!(sizes, [GROUP_MAX, GROUP_MAX, 2]);
    }
}
