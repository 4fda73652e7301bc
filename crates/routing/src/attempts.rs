//! What to do after an attempt has failed: follow, wait a little, or give up. Pure.

use std::borrow::Cow;
use std::time::Duration;

use longhaul_engine::requests::RecentRequests;
use longhaul_types::NodeId;
use tokio::time::Instant;

use crate::errors::Failure;

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// For how long after its beginning a call is repeated, since its repetitions must be recognised.
const REPEATED_FOR: Duration = RecentRequests::AGE_MAX.checked_div(2).expect("not by zero");

/// For how long at least a call is held up that may have taken effect: who is told that its outcome is unknown cannot do
/// anything about it, and a repetition is recognised.
const DOUBTFUL_FOR: Duration = Duration::from_secs(10);

/// For how long a call is held up while nobody takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// From the first failure on.
    For(Duration),
    /// Until the caller is gone.
    AsLongAsTheCaller,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    AtOnce,
    /// After so long, or when something about leaders has changed.
    After(Duration),
    GiveUp(Failure),
}

/// The attempts at one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    hold: Hold,
    began: Instant,
    first_failed: Option<Instant>,
    pause: Duration,
    followed: bool,
    /// An earlier attempt may have taken effect.
    unknown: Option<Cow<'static, str>>,
    /// How many have failed.
    pub(crate) turn: usize,
    /// Whom asking was in vain the last time.
    pub(crate) avoid: Option<NodeId>,
}

impl Attempts {
    pub(crate) fn new(began: Instant, hold: Hold) -> Self {
        Self {
            hold,
            began,
            first_failed: None,
            pause: PAUSE_MIN,
            followed: false,
            unknown: None,
            turn: 0,
            avoid: None,
        }
    }

    /// An attempt has failed; `asked` is the node it went to, unless that is this one.
    pub(crate) fn failed(&mut self, now: Instant, asked: Option<NodeId>, failure: Failure) -> Next {
        self.turn += 1;
        self.avoid = asked;
        match &failure {
            Failure::NotLeader { leader } => {
                if leader.is_some() && *leader != asked && !self.followed {
                    self.followed = true;
                    return Next::AtOnce;
                }
            }
            Failure::NotNow(_) => {}
            Failure::Unknown(why) => self.unknown = Some(why.clone()),
            // Said by the leader: no other attempt of this call is under way any more, but an earlier one may have taken
            // effect.
            Failure::Overloaded | Failure::Full { .. } => return Next::GiveUp(self.last(failure)),
            Failure::Fault(_) => return Next::GiveUp(failure),
        }
        self.followed = false;
        if let Hold::For(hold) = self.hold {
            let hold = match self.unknown {
                Some(_) if !hold.is_zero() => hold.max(DOUBTFUL_FOR),
                _ => hold,
            };
            let until = *self.first_failed.get_or_insert(now) + hold;
            if now + self.pause > until.min(self.began + REPEATED_FOR) {
                return Next::GiveUp(self.last(failure));
            }
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        Next::After(pause)
    }

    fn last(&mut self, failure: Failure) -> Failure {
        self.unknown.take().map_or(failure, Failure::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(2);

    fn not_leader(leader: Option<u64>) -> Failure {
        Failure::NotLeader {
            leader: leader.map(NodeId),
        }
    }

    fn not_now() -> Failure {
        Failure::NotNow("later".into())
    }

    #[test]
    fn a_leader_that_is_named_is_asked_at_once_but_only_once_in_a_row() {
        let mut attempts = Attempts::new(Instant::now(), Hold::For(HOLD));
        let now = Instant::now();
        let next = attempts.failed(now, Some(NodeId(2)), not_leader(Some(3)));
        assert_eq!(next, Next::AtOnce);
        assert_eq!(attempts.avoid, Some(NodeId(2)));
        let next = attempts.failed(now, Some(NodeId(3)), not_leader(Some(2)));
        assert_eq!(next, Next::After(PAUSE_MIN));
        let next = attempts.failed(now, Some(NodeId(2)), not_leader(Some(3)));
        assert_eq!(next, Next::AtOnce);
    }

    #[test]
    fn a_node_that_names_itself_is_not_followed() {
        let mut attempts = Attempts::new(Instant::now(), Hold::For(HOLD));
        let next = attempts.failed(Instant::now(), Some(NodeId(2)), not_leader(Some(2)));
        assert_eq!(next, Next::After(PAUSE_MIN));
    }

    #[test]
    fn a_call_is_held_for_so_long_after_its_first_failure_with_growing_pauses() {
        let mut attempts = Attempts::new(Instant::now(), Hold::For(HOLD));
        let began = Instant::now();
        let mut now = began;
        let mut pauses = Vec::new();
        let failure = loop {
            match attempts.failed(now, None, not_now()) {
                Next::After(pause) => {
                    pauses.push(pause);
                    now += pause;
                }
                Next::GiveUp(failure) => break failure,
                Next::AtOnce => panic!("nobody was named"),
            }
        };
        assert_eq!(failure, not_now());
        assert!(now - began <= HOLD && now - began > HOLD - 2 * PAUSE_MAX);
        assert_eq!(pauses[..4], [10, 20, 40, 50].map(Duration::from_millis));
        assert_eq!(pauses.iter().max(), Some(&PAUSE_MAX));
    }

    #[test]
    fn whoever_waits_is_held_for_ever_and_the_outbox_not_at_all() {
        let mut patient = Attempts::new(Instant::now(), Hold::AsLongAsTheCaller);
        let mut now = Instant::now();
        for _ in 0..1_000 {
            let next = patient.failed(now, None, not_now());
            assert!(matches!(next, Next::After(_)));
            now += Duration::from_secs(10);
        }
        let mut hasty = Attempts::new(Instant::now(), Hold::For(Duration::ZERO));
        assert_eq!(hasty.failed(now, None, not_now()), Next::GiveUp(not_now()));
    }

    #[test]
    fn what_took_too_long_is_not_repeated() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now, Hold::For(HOLD));
        let unknown = Failure::Unknown("the node hangs".into());
        let next = attempts.failed(now + REPEATED_FOR, None, unknown.clone());
        assert_eq!(next, Next::GiveUp(unknown));
    }

    #[test]
    fn what_may_have_happened_stays_unknown_however_the_call_ends() {
        let unknown = || Failure::Unknown("the link broke".into());
        let now = Instant::now();
        for last in [
            not_now(),
            not_leader(None),
            Failure::Overloaded,
            Failure::Full { pending: 2, max: 1 },
        ] {
            let mut again = Attempts::new(Instant::now(), Hold::For(HOLD));
            let next = again.failed(now, None, unknown());
            assert_eq!(next, Next::After(PAUSE_MIN));
            let next = again.failed(now + DOUBTFUL_FOR, None, last);
            assert_eq!(next, Next::GiveUp(unknown()));
        }
    }

    #[test]
    fn a_call_that_may_have_taken_effect_is_held_until_that_is_known() {
        let now = Instant::now();
        let mut doubtful = Attempts::new(now, Hold::For(HOLD));
        doubtful.failed(now, None, Failure::Unknown("the link broke".into()));
        let later = now + HOLD * 2;
        let next = doubtful.failed(later, None, not_now());
        assert!(matches!(next, Next::After(_)), "{next:?}");

        let mut without = Attempts::new(now, Hold::For(HOLD));
        without.failed(now, None, not_now());
        assert_eq!(
            without.failed(later, None, not_now()),
            Next::GiveUp(not_now())
        );
    }

    #[test]
    fn what_is_full_or_broken_is_said_at_once() {
        let now = Instant::now();
        for failure in [
            Failure::Overloaded,
            Failure::Full { pending: 2, max: 1 },
            Failure::Fault("broken".into()),
        ] {
            let mut attempts = Attempts::new(Instant::now(), Hold::For(HOLD));
            let next = attempts.failed(now, None, failure.clone());
            assert_eq!(next, Next::GiveUp(failure));
        }
    }
}
