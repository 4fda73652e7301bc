//! Whether the disk still answers: for how long something has waited without anything being done.

use std::time::{Duration, Instant};

/// What the log has to do, and has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pulse {
    /// Something waits for the writer, or for the disk.
    pub(crate) waiting: bool,
    /// How often the writer was done with what it had taken.
    pub(crate) completed: u64,
}

/// Remembers what was seen, between one look and the next.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Since when what has been completed is the same, though something waits.
    since: Option<(u64, Instant)>,
}

impl Stall {
    /// For how long nothing has been completed, as far as those who looked can tell.
    pub(crate) fn look(&mut self, pulse: Pulse, now: Instant) -> Duration {
        if !pulse.waiting {
            self.since = None;
            return Duration::ZERO;
        }
        match self.since {
            Some((completed, since)) if completed == pulse.completed => {
                now.saturating_duration_since(since)
            }
            _ => {
                self.since = Some((pulse.completed, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(stall: &mut Stall, start: Instant, looks: &[(bool, u64, u64)]) -> Vec<u64> {
        let look = |(waiting, completed, at): &(bool, u64, u64)| {
            let pulse = Pulse {
                waiting: *waiting,
                completed: *completed,
            };
            stall
                .look(pulse, start + Duration::from_secs(*at))
                .as_secs()
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn only_waiting_without_any_progress_counts() {
        let (mut stall, start) = (Stall::default(), Instant::now());
        let looks = [
            (false, 0, 0),
            // Idle until now.
            (true, 0, 100),
            (true, 0, 103),
            // Slow, but it moves.
            (true, 1, 104),
            (true, 2, 106),
            (true, 2, 109),
            (false, 3, 110),
            (true, 3, 111),
        ];
        assert_eq!(seconds(&mut stall, start, &looks), [0, 0, 3, 0, 0, 3, 0, 0]);
    }

    #[test]
    fn a_clock_that_another_has_read_earlier_does_no_harm() {
        let (mut stall, start) = (Stall::default(), Instant::now());
        let looks = [(true, 0, 5), (true, 0, 3)];
        assert_eq!(seconds(&mut stall, start, &looks), [0, 0]);
    }
}
