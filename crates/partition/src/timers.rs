//! What the leader must do at a later time.

use std::collections::BTreeMap;

use longhaul_engine::InstanceKey;
use longhaul_engine::command::{DueOperation, DueTimer};
use longhaul_types::Timestamp;

use crate::dispatch::Offer;

/// Things to do, by time; equal times keep their order.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Timestamp, u64), Alarm>,
    last: u64,
}

#[derive(Debug)]
pub(crate) enum Alarm {
    /// A durable timer fires.
    Fire(DueTimer),
    /// An instance may begin.
    Start(InstanceKey),
    /// A scheduled operation of an entity joins its queue.
    Release(DueOperation),
    /// The record of an entity may go.
    Expire(InstanceKey),
    /// An abandoned item is offered again.
    Offer(Offer),
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Timestamp, alarm: Alarm) {
        self.last += 1;
        self.due.insert((at, self.last), alarm);
    }

    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    /// Takes up to `limit` alarms that are due at `now`; never one that is not.
    pub(crate) fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<Alarm> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            match self.due.first_entry() {
                Some(first) if first.key().0 <= now => taken.push(first.remove()),
                _ => break,
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use longhaul_types::{HubId, InstanceId};

    use super::*;

    #[test]
    fn alarms_come_in_order_never_early_and_equal_times_all_come() {
        let mut timers = Timers::default();
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        let start = |id: &str| Alarm::Start(InstanceKey::new(HubId(1), InstanceId::trusted(id)));
        for (seconds, id) in [(5, "c"), (1, "a"), (1, "b")] {
            timers.arm(at(seconds), start(id));
        }
        assert_eq!(timers.earliest(), Some(at(1)));
        assert!(timers.take_due(at(0), 10).is_empty());
        let ids: Vec<String> = timers
            .take_due(at(4), 10)
            .iter()
            .map(|it| format!("{it:?}"))
            .collect();
        assert_eq!(ids.len(), 2);
        assert!(ids[0].contains("\"a\"") || ids[0].contains("1/a"));
        assert_eq!(timers.len(), 1);
        assert_eq!(timers.take_due(at(5), 10).len(), 1);
    }
}
