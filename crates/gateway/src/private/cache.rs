//! Answers that are kept for a while, if at all: a policy that is changed meanwhile is noticed that much later.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use session::Grants;
use tokio::time::Instant;

/// Answers by question. Failures are not kept.
#[derive(Debug)]
pub(super) struct Cache<Q> {
    keep_for: Duration,
    answers: HashMap<Arc<Q>, Grants>,
    /// Until when each is kept, the next one first.
    ends: VecDeque<(Instant, Arc<Q>)>,
}

impl<Q: Eq + Hash> Cache<Q> {
    /// Keeps answers for so long; not at all if that is zero.
    pub(super) fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            answers: HashMap::new(),
            ends: VecDeque::new(),
        }
    }

    /// The answer to a question that was asked not long ago.
    pub(super) fn get(&mut self, question: &Q, now: Instant) -> Option<Grants> {
        self.forget(now);
        self.answers.get(question).copied()
    }

    /// Keeps an answer.
    pub(super) fn put(&mut self, question: &Arc<Q>, grants: Grants, now: Instant) {
        if self.keep_for.is_zero() || self.answers.len() >= ANSWERS_MAX {
            return;
        }
        if self.answers.insert(question.clone(), grants).is_none() {
            self.ends.push_back((now + self.keep_for, question.clone()));
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((end, _)) = self.ends.front()
            && *end <= now
            && let Some((_, question)) = self.ends.pop_front()
        {
            self.answers.remove(&question);
        }
    }
}

/// Answers that are kept at a time.
const ANSWERS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_time_and_none_if_there_is_none() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut cache = Cache::new(second);
        cache.put(&Arc::new("a"), Grants::default(), now);
        assert_eq!(cache.get(&"a", now), Some(Grants::default()));
        assert_eq!(cache.get(&"b", now), None);
        assert_eq!(cache.get(&"a", now + second), None);
        assert!(cache.answers.is_empty() && cache.ends.is_empty());

        let mut none = Cache::new(Duration::ZERO);
        none.put(&Arc::new("a"), Grants::default(), now);
        assert_eq!(none.get(&"a", now), None);
    }

    #[test]
    fn it_is_bounded() {
        let now = Instant::now();
        let mut cache = Cache::new(Duration::from_secs(1));
        for question in 0..=ANSWERS_MAX {
            cache.put(&Arc::new(question), Grants::default(), now);
        }
        assert_eq!(cache.answers.len(), ANSWERS_MAX);
    }
}
