//! When an item that was given back, or lost with its stream, is offered again.
//!
//! ```text
//!   abandoned:  1 s, 2 s, 4 s … 60 s ─┐
//!   lost:       at once, a few times, ├─ until there were too many in a row ──► parked: now and then
//!               then as if abandoned ─┘
//! ```

use std::time::Duration;

use crate::config::Config;

/// Longest delay of an item that is not parked.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// What a setback was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setback {
    /// Its stream was lost.
    Lost,
    /// The worker gave it back, held it for too long, or answered without taking any part of it.
    Abandoned,
}

/// How long an item waits after setbacks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    losses_before_delay: u32,
    park_after: u32,
    park_retry: Duration,
}

/// When the item is offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    After(Duration),
    /// The same, but people should know.
    Parked(Duration),
}

impl Patience {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            losses_before_delay: config.losses_before_delay,
            park_after: config.park_after,
            park_retry: config.park_retry,
        }
    }

    /// After so many setbacks in a row, the last of which was `last`.
    pub(super) fn after(&self, setbacks: u32, last: Setback) -> Next {
        if self.park_after > 0 && setbacks > self.park_after {
            return Next::Parked(self.park_retry);
        }
        let free = match last {
            Setback::Lost => self.losses_before_delay,
            Setback::Abandoned => 0,
        };
        match setbacks.checked_sub(free + 1) {
            None => Next::Now,
            Some(exponent) => Next::After(Duration::from_secs(1 << exponent.min(6)).min(DELAY_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(park_after: u32) -> Patience {
        Patience::of(&Config {
            losses_before_delay: 3,
            park_after,
            park_retry: Duration::from_secs(900),
            ..Config::default()
        })
    }

    #[test]
    fn delays_double_up_to_a_minute_and_losses_have_some_free() {
        let after = Next::After;
        let seconds = Duration::from_secs;
        for (setbacks, abandoned, lost) in [
            (1, after(seconds(1)), Next::Now),
            (3, after(seconds(4)), Next::Now),
            (4, after(seconds(8)), after(seconds(1))),
            (7, after(seconds(60)), after(seconds(8))),
            (20, after(seconds(60)), after(seconds(60))),
            (21, Next::Parked(seconds(900)), Next::Parked(seconds(900))),
            (
                u32::MAX,
                Next::Parked(seconds(900)),
                Next::Parked(seconds(900)),
            ),
        ] {
            let patience = patience(20);
            assert_eq!(patience.after(setbacks, Setback::Abandoned), abandoned);
            assert_eq!(patience.after(setbacks, Setback::Lost), lost);
        }
    }

    #[test]
    fn nothing_is_parked_if_that_is_off() {
        let next = patience(0).after(u32::MAX, Setback::Abandoned);
        assert_eq!(next, Next::After(DELAY_MAX));
    }
}
