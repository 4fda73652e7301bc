//! What became of an entry, as a number that is the same on every replica.
//!
//! Cheap on purpose: it takes in what commands answered and caused, and the counters of what they were about. A record of
//! which only the content differs is found out as soon as anything that depends on it does.

use longhaul_engine::tables::PartitionState;
use longhaul_engine::{Effect, Outcome, Reply, TableFault, Tables};
use longhaul_types::Timestamp;

use crate::leader::Subject;

/// To be raised whenever the same entries give another number than before.
pub(super) const SCHEME: u32 = 1;

/// The number, as it grows with each command of an entry.
#[derive(Debug, Default)]
pub(super) struct Trace(u64);

impl Trace {
    /// Takes in what one command led to.
    ///
    /// # Errors
    /// [`TableFault`] if a row cannot be read.
    pub(super) fn add(
        &mut self,
        subject: &Subject,
        outcome: &Outcome,
        tables: &mut dyn Tables,
    ) -> Result<(), TableFault> {
        self.mix(reply_numbers(&outcome.reply));
        for effect in &outcome.effects {
            self.mix(effect_numbers(effect));
        }
        match subject {
            Subject::Turn(key) | Subject::IdleTurn(key) | Subject::Activity(key, _) => {
                if let Some(it) = tables.instance(key)? {
                    self.mix([it.turns, it.last_seq, it.status as u64]);
                }
            }
            Subject::Batch(key) => {
                if let Some(it) = tables.entity(key)? {
                    self.mix([it.last_seq, it.batches, 0]);
                }
            }
            Subject::Other => {}
        }
        Ok(())
    }

    /// The number, with what the partition counts.
    pub(super) fn finish(mut self, state: &PartitionState) -> u64 {
        self.mix([nanos(state.clock), 0, 0]);
        for (which, counters) in [(1, &state.sent), (2, &state.received)] {
            let weighted = counters
                .iter()
                .map(|(partition, number)| number.wrapping_mul(2 * u64::from(partition.0) + 1));
            self.mix([which, weighted.fold(0, u64::wrapping_add), 0]);
        }
        self.0
    }

    /// Every number counts, and so does their order.
    fn mix(&mut self, numbers: [u64; 3]) {
        /// Odd, with bits all over.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        for number in numbers {
            self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(FACTOR);
        }
    }
}

fn reply_numbers(reply: &Reply) -> [u64; 3] {
    match reply {
        Reply::Done => [1, 0, 0],
        Reply::NotFound => [2, 0, 0],
        Reply::AlreadyExists(status) => [3, *status as u64, 0],
        Reply::ContradictoryReuse => [4, 0, 0],
        Reply::Stale => [5, 0, 0],
        Reply::NotEnded(status) => [6, *status as u64, 0],
        Reply::NotFailed(status) => [7, *status as u64, 0],
        Reply::Refused => [8, 0, 0],
        Reply::Purged { count, live } => [9, u64::from(*count), u64::from(*live)],
        Reply::Received { through } => [10, *through, 0],
    }
}

fn effect_numbers(effect: &Effect) -> [u64; 3] {
    match effect {
        Effect::TurnReady { .. } => [101, 0, 0],
        Effect::ActivityReady { seq, .. } => [102, *seq, 0],
        Effect::TimerArmed { seq, fire_at, .. } => [103, *seq, nanos(*fire_at)],
        Effect::StartArmed { at, .. } => [104, nanos(*at), 0],
        Effect::TurnVoided { .. } => [105, 0, 0],
        Effect::ActivitiesVoided { .. } => [106, 0, 0],
        Effect::StatusChanged { .. } => [107, 0, 0],
        Effect::BatchReady { .. } => [108, 0, 0],
        Effect::BatchVoided { .. } => [109, 0, 0],
        Effect::OperationArmed { seq, due, .. } => [110, *seq, nanos(*due)],
        Effect::ExpiryArmed { at, .. } => [111, nanos(*at), 0],
        Effect::OutboxGrew { target } => [112, u64::from(target.0), 0],
    }
}

fn nanos(at: Timestamp) -> u64 {
    at.seconds.cast_unsigned().wrapping_mul(1_000_000_000) ^ u64::from(at.nanos)
}

#[cfg(test)]
mod tests {
    use longhaul_engine::Status;
    use longhaul_engine::mem::MemTables;
    use longhaul_types::{PartitionCount, PartitionId};

    use super::*;

    fn state() -> PartitionState {
        PartitionState::new(PartitionId(1), PartitionCount::new(4).expect("valid"))
    }

    fn number(replies: &[Reply], state: &PartitionState) -> u64 {
        let mut tables = MemTables::new(state.clone());
        let mut trace = Trace::default();
        for reply in replies {
            let outcome = Outcome {
                reply: reply.clone(),
                effects: vec![],
            };
            trace
                .add(&Subject::Other, &outcome, &mut tables)
                .expect("in memory");
        }
        trace.finish(state)
    }

    #[test]
    fn answers_their_order_and_the_counters_all_count() {
        let plain = number(&[Reply::Done, Reply::Stale], &state());
        assert_eq!(plain, number(&[Reply::Done, Reply::Stale], &state()));
        let mut received = state();
        received.received.insert(PartitionId(2), 7);
        let mut sent = state();
        sent.sent.insert(PartitionId(2), 7);
        let others = [
            number(&[Reply::Stale, Reply::Done], &state()),
            number(&[Reply::Done], &state()),
            number(&[Reply::Done, Reply::NotFound], &state()),
            number(&[Reply::Done, Reply::NotEnded(Status::Running)], &state()),
            number(&[Reply::Done, Reply::NotEnded(Status::Pending)], &state()),
            number(&[Reply::Done, Reply::Stale], &received),
            number(&[Reply::Done, Reply::Stale], &sent),
        ];
        let different: std::collections::BTreeSet<u64> = others.into_iter().collect();
        assert_eq!(different.len(), others.len(), "{others:x?}");
        assert!(!different.contains(&plain));
    }
}
