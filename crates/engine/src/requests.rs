//! Clients' requests that took effect a little while ago, so that a repetition of one is recognised.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use longhaul_types::Timestamp;

/// Names one request of a client, in whichever way and however often it arrives. Drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

/// The last requests that took effect: for [`RecentRequests::AGE_MAX`], and never more than
/// [`RecentRequests::COUNT_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentRequests {
    /// Oldest first.
    order: VecDeque<(Timestamp, RequestId)>,
    known: BTreeSet<RequestId>,
}

impl RecentRequests {
    /// How long one is remembered: far longer than anybody repeats it.
    pub const AGE_MAX: Duration = Duration::from_secs(60);
    /// How many are remembered.
    pub const COUNT_MAX: usize = 8_192;

    /// Whether a request took effect.
    #[must_use]
    pub fn contains(&self, request: RequestId) -> bool {
        self.known.contains(&request)
    }

    /// A request took effect at a time not before that of any other. Does nothing if it is known.
    pub fn note(&mut self, at: Timestamp, request: RequestId) {
        if self.known.insert(request) {
            self.order.push_back((at, request));
            self.forget(at);
        }
    }

    /// Forgets what is too old by `now`, and the oldest of too many.
    pub fn forget(&mut self, now: Timestamp) {
        while let Some((at, request)) = self.order.front() {
            if now.since(*at) <= Self::AGE_MAX && self.order.len() <= Self::COUNT_MAX {
                break;
            }
            self.known.remove(request);
            self.order.pop_front();
        }
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, RequestId)> {
        self.order.iter().copied()
    }
}

impl FromIterator<(Timestamp, RequestId)> for RecentRequests {
    /// Oldest first; the second of two equal ids is left out.
    fn from_iter<I: IntoIterator<Item = (Timestamp, RequestId)>>(requests: I) -> Self {
        let mut recent = Self::default();
        for (at, request) in requests {
            if recent.known.insert(request) {
                recent.order.push_back((at, request));
            }
        }
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_request_is_known_for_its_time_and_not_a_moment_longer() {
        let mut recent = RecentRequests::default();
        recent.note(at(10), RequestId(1));
        recent.note(at(20), RequestId(2));
        recent.note(at(30), RequestId(1));
        recent.forget(at(70));
        assert!(recent.contains(RequestId(1)));
        recent.forget(at(70) + Duration::from_nanos(1));
        assert!(!recent.contains(RequestId(1)));
        assert!(recent.contains(RequestId(2)));
        assert_eq!(recent.iter().collect::<Vec<_>>(), [(at(20), RequestId(2))]);
    }

    #[test]
    fn of_too_many_the_oldest_go() {
        let mut recent = RecentRequests::default();
        let many = RecentRequests::COUNT_MAX as u128 + 5;
        for number in 0..many {
            recent.note(at(1), RequestId(number));
        }
        assert_eq!(recent.iter().count(), RecentRequests::COUNT_MAX);
        assert!(!recent.contains(RequestId(4)));
        assert!(recent.contains(RequestId(5)));
    }

    #[test]
    fn what_was_listed_can_be_put_together_again() {
        let mut recent = RecentRequests::default();
        for number in [5, 1, 9] {
            recent.note(at(7), RequestId(number));
        }
        assert_eq!(recent.iter().collect::<RecentRequests>(), recent);
    }
}
