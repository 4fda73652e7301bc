//! Replicas that make different things of the same entries are found by comparing digests.
//!
//! Every replica chains a digest through each stretch of the log: of the entries, and of what the
//! [`crate::Machine`] says came of them. Nothing of it is kept: a stretch of which a replica has not
//! applied every entry since it started is not compared. The leader writes the digest of a finished
//! stretch into the log, so that all look at theirs at the same position.

use std::{collections::VecDeque, fmt};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::types::{Content, EntryPayload, Position};

/// Entries of a stretch.
pub(crate) const STRETCH: u64 = 1_000;

/// Stretches that are remembered: one is compared while the next are being applied.
const REMEMBERED: usize = 8;

/// The digest of one stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    /// Index of its last entry.
    pub(crate) through: u64,
    /// How outcomes are digested.
    pub(crate) scheme: u32,
    pub(crate) digest: u64,
}

/// Two replicas that made different things of the same stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Divergence {
    /// Index of the last entry of the stretch.
    pub(crate) through: u64,
    pub(crate) ours: u64,
    pub(crate) theirs: u64,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            through,
            ours,
            theirs,
        } = self;
        write!(
            f,
            "the state differs from the leader's: of the {STRETCH} entries through {through} this replica made \
             {ours:016x}, the leader {theirs:016x}"
        )
    }
}

/// The digest that is being chained, and the last ones.
#[derive(Debug)]
pub(crate) struct Chain {
    scheme: u32,
    /// The next entry, and the digest of the ones before it in its stretch; none if one was missed.
    next: Option<(u64, u64)>,
    finished: VecDeque<Check>,
}

impl Chain {
    pub(crate) fn new(scheme: u32) -> Self {
        Self {
            scheme,
            next: None,
            finished: VecDeque::new(),
        }
    }

    /// Adds an entry and what came of it; answers the digest of a stretch that ends with it.
    pub(crate) fn add(&mut self, position: Position, content: u64, outcome: u64) -> Option<Check> {
        let begins = position.index.is_multiple_of(STRETCH);
        let digest = match self.next.take() {
            Some((next, digest)) if next == position.index && !begins => digest,
            _ if begins => 0,
            _ => return None,
        };
        let mut link = [0; 32];
        for (part, value) in
            link.chunks_exact_mut(8)
                .zip([position.term, position.index, content, outcome])
        {
            part.copy_from_slice(&value.to_le_bytes());
        }
        let digest = xxh3_64_with_seed(&link, digest);
        self.next = Some((position.index + 1, digest));
        if position.index % STRETCH != STRETCH - 1 {
            return None;
        }
        let check = Check {
            through: position.index,
            scheme: self.scheme,
            digest,
        };
        if self.finished.len() == REMEMBERED {
            self.finished.pop_front();
        }
        self.finished.push_back(check);
        Some(check)
    }

    /// The state was replaced by another replica's.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.scheme);
    }

    /// What of the leader's digest is not what was found here, if it was found here.
    pub(crate) fn compare(&self, theirs: Check) -> Option<Divergence> {
        let ours = self
            .finished
            .iter()
            .find(|ours| ours.through == theirs.through && ours.scheme == theirs.scheme)?;
        (ours.digest != theirs.digest).then_some(Divergence {
            through: theirs.through,
            ours: ours.digest,
            theirs: theirs.digest,
        })
    }
}

/// A digest of what an entry carries.
pub(crate) fn digest_of(payload: &EntryPayload) -> u64 {
    match payload {
        EntryPayload::Normal(Content::Commands(commands)) => xxh3_64_with_seed(commands, 1),
        EntryPayload::Normal(Content::Check(check)) => check.digest,
        EntryPayload::Blank => 2,
        EntryPayload::Membership(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of the stretches that end while these entries are added.
    fn add(chain: &mut Chain, indexes: std::ops::Range<u64>, odd: Option<u64>) -> Vec<Check> {
        let add = |index| {
            let outcome = u64::from(odd == Some(index));
            chain.add(Position { term: 1, index }, index, outcome)
        };
        indexes.filter_map(add).collect()
    }

    #[test]
    fn equal_replicas_agree_on_every_stretch_wherever_they_began() {
        let (mut first, mut second) = (Chain::new(1), Chain::new(1));
        let checks = add(&mut first, 0..3 * STRETCH, None);
        let through: Vec<u64> = checks.iter().map(|check| check.through).collect();
        assert_eq!(through, [999, 1_999, 2_999]);
        assert_eq!(add(&mut second, 500..3 * STRETCH, None), checks[1..]);
        for check in checks {
            assert_eq!(second.compare(check), None);
        }
    }

    #[test]
    fn one_odd_outcome_changes_its_stretch_only() {
        let (mut good, mut bad) = (Chain::new(1), Chain::new(1));
        let checks = add(&mut good, 0..3 * STRETCH, None);
        add(&mut bad, 0..3 * STRETCH, Some(1_234));
        let found: Vec<_> = checks
            .iter()
            .filter_map(|check| bad.compare(*check))
            .map(|diverged| diverged.through)
            .collect();
        assert_eq!(found, [1_999]);
    }

    #[test]
    fn what_cannot_be_compared_is_not() {
        let (mut old, mut new) = (Chain::new(1), Chain::new(2));
        let checks = add(&mut old, 0..STRETCH, None);
        add(&mut new, 0..STRETCH, Some(7));
        assert_eq!(new.compare(checks[0]), None, "another scheme");

        let mut replaced = Chain::new(1);
        add(&mut replaced, 0..600, Some(7));
        replaced.restart();
        assert_eq!(add(&mut replaced, 600..STRETCH, None), []);
        assert_eq!(replaced.compare(checks[0]), None, "not all of it was seen");

        let mut gap = Chain::new(1);
        add(&mut gap, 0..600, None);
        assert_eq!(add(&mut gap, 700..STRETCH, None), []);
    }

    #[test]
    fn stretches_are_not_remembered_for_ever() {
        let mut chain = Chain::new(1);
        let checks = add(&mut chain, 0..10 * STRETCH, None);
        assert_eq!(chain.finished.len(), REMEMBERED);
        let other = |check: Check| Check { digest: 0, ..check };
        assert_eq!(chain.compare(other(checks[0])), None, "forgotten");
        assert!(chain.compare(other(checks[9])).is_some());
    }
}
