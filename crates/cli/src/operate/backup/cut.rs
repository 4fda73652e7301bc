//! Whether copies of partitions that were taken one after the other are a state that the cluster could have been in.
//!
//! Messages from one partition to another are numbered. Of a source S and a target T,
//!
//! ```text
//!   acknowledged at S  ≤  received at T  ≤  sent at S
//! ```
//!
//! must hold between the two copies. If the left part does not, the copy of T is too old: messages that S has dropped are
//! in neither. If the right part does not, the copy of S is too old: it would send other messages under numbers that T
//! takes for known, and T has seen the effects of a past that S has not lived through.

use std::fmt;

use super::manifest::{Exchanged, PartitionCopy};

/// Two copies that do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inconsistent {
    /// The partition that sends.
    pub source: u32,
    /// The one that receives.
    pub target: u32,
    /// At the source: known to be received, and dropped.
    pub acknowledged: u64,
    /// At the target.
    pub received: u64,
    /// At the source.
    pub sent: u64,
}

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            target,
            acknowledged,
            received,
            sent,
        } = self;
        write!(
            f,
            "partitions {source} and {target} are not of one moment: {source} has sent {sent} messages and dropped \
             {acknowledged}, but {target} has received {received}"
        )
    }
}

/// The first pair that does not fit together, if there is one.
#[must_use]
pub fn inconsistency(copies: &[PartitionCopy]) -> Option<Inconsistent> {
    copies.iter().find_map(|target| {
        copies
            .iter()
            .filter(|source| source.id != target.id)
            .find_map(|source| between(source, target))
    })
}

fn between(source: &PartitionCopy, target: &PartitionCopy) -> Option<Inconsistent> {
    let out = with(source, target.id);
    let received = with(target, source.id).received;
    let fits = out.acknowledged <= received && received <= out.sent;
    (!fits).then_some(Inconsistent {
        source: source.id,
        target: target.id,
        acknowledged: out.acknowledged,
        received,
        sent: out.sent,
    })
}

fn with(copy: &PartitionCopy, partition: u32) -> Exchanged {
    let found = copy.exchanged.iter().find(|it| it.partition == partition);
    found.copied().unwrap_or(Exchanged {
        partition,
        ..Exchanged::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two partitions of which the first has sent to the second.
    fn pair(acknowledged: u64, received: u64, sent: u64) -> [PartitionCopy; 2] {
        let copy = |id, other: Exchanged| PartitionCopy {
            id,
            exchanged: vec![other],
            ..PartitionCopy::default()
        };
        [
            copy(
                0,
                Exchanged {
                    partition: 1,
                    sent,
                    acknowledged,
                    received: 0,
                },
            ),
            copy(
                1,
                Exchanged {
                    partition: 0,
                    received,
                    ..Exchanged::default()
                },
            ),
        ]
    }

    #[test]
    fn what_was_received_lies_between_what_was_dropped_and_what_was_sent() {
        for (acknowledged, received, sent, fits) in [
            (0, 0, 0, true),
            (0, 0, 5, true),
            (0, 5, 5, true),
            (3, 3, 5, true),
            (5, 5, 5, true),
            (4, 3, 5, false),
            (0, 6, 5, false),
            (1, 0, 1, false),
        ] {
            let copies = pair(acknowledged, received, sent);
            let found = inconsistency(&copies);
            assert_eq!(found.is_none(), fits, "{acknowledged} {received} {sent}");
            if let Some(found) = found {
                assert_eq!((found.source, found.target), (0, 1));
                assert_eq!(
                    (found.acknowledged, found.received, found.sent),
                    (acknowledged, received, sent)
                );
            }
        }
    }

    #[test]
    fn either_direction_counts() {
        let [mut first, mut second] = pair(0, 0, 1);
        second.exchanged[0].sent = 2;
        second.exchanged[0].acknowledged = 2;
        first.exchanged[0].received = 1;
        let found = inconsistency(&[first, second]).expect("one was dropped too early");
        assert_eq!((found.source, found.target), (1, 0));
    }

    #[test]
    fn who_has_exchanged_nothing_fits() {
        let alone = |id| PartitionCopy {
            id,
            ..PartitionCopy::default()
        };
        assert_eq!(inconsistency(&[]), None);
        assert_eq!(inconsistency(&[alone(0), alone(1), alone(2)]), None);
    }
}
