//! What one node is known to have for streams that take the same work. Pure.
//!
//! ```text
//!              ┌──────── claim: nothing more ───────┐
//!              ▼                                    │
//!   Nothing ──notice──► Told ──claim: there is more──► Plenty
//!                       one claims, the others wait     all claim
//! ```
//!
//! Where something was only told of, one stream goes first: it may be a single item, and all would come for it.

use longhaul_partition::{Look, WorkKind};

use super::wire::{ByKind, Looked};

/// What there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Supply {
    /// Something became ready, or nobody has looked yet.
    #[default]
    Told,
    /// The node says when that changes.
    Nothing,
    Plenty,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Whether the node knows what these streams take.
    introduced: bool,
    /// Whether somebody has gone first and has not come back.
    probing: bool,
    kinds: ByKind<(Look, Supply)>,
}

impl Standing {
    /// Whether the node has to be told what these streams take.
    pub(super) fn is_strange(&self) -> bool {
        !self.introduced
    }

    /// Nothing can be had.
    pub(super) fn is_calm(&self) -> bool {
        self.kinds.iter().all(|(_, it)| *it == Supply::Nothing)
    }

    /// Whether a stream may claim items of a kind now.
    pub(super) fn offers(&self, kind: WorkKind) -> bool {
        match self.kinds[kind as usize].1 {
            Supply::Nothing => false,
            Supply::Told => !self.probing,
            Supply::Plenty => true,
        }
    }

    /// A stream claims items of these kinds, all of which are offered. Answers whether it goes first.
    pub(super) fn begin(&mut self, slots: ByKind<u32>) -> bool {
        let told = slots.iter().zip(&self.kinds);
        let mut told = told.filter(|(slots, (_, supply))| **slots > 0 && *supply == Supply::Told);
        let probes = self.is_strange() || told.next().is_some();
        self.probing |= probes;
        probes
    }

    /// It comes back.
    pub(super) fn end(&mut self, probes: bool, found: ByKind<Option<Looked>>) {
        self.introduced = true;
        self.probing &= !probes;
        for (kind, found) in self.kinds.iter_mut().zip(found) {
            if let Some(Looked { look, more, .. }) = found {
                let supply = if more {
                    Supply::Plenty
                } else {
                    Supply::Nothing
                };
                learn(kind, look, supply);
            }
        }
    }

    /// It does not come back: let one go first, once [`Standing::end_pause`] is called.
    pub(super) fn pause(&mut self) {
        self.probing = true;
        for (_, supply) in &mut self.kinds {
            if *supply == Supply::Plenty {
                *supply = Supply::Told;
            }
        }
    }

    pub(super) fn end_pause(&mut self) {
        self.probing = false;
    }

    /// The node gives notice.
    pub(super) fn told(&mut self, kind: WorkKind, look: Look) {
        learn(&mut self.kinds[kind as usize], look, Supply::Told);
    }
}

/// Answers and notices may be heard in another order than they were given in.
fn learn(known: &mut (Look, Supply), look: Look, supply: Supply) {
    if look >= known.0 {
        *known = (look, supply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: WorkKind = WorkKind::Activity;
    const OTHER: WorkKind = WorkKind::Orchestration;
    const ONE: ByKind<u32> = [0, 1, 0];

    fn looked(look: u64, more: bool) -> Option<Looked> {
        let (look, unsent) = (Look(look), 0);
        Some(Looked { look, more, unsent })
    }

    fn found(look: u64, more: bool) -> ByKind<Option<Looked>> {
        [None, looked(look, more), None]
    }

    #[test]
    fn whoever_is_strange_goes_alone() {
        let mut standing = Standing::default();
        assert!(standing.offers(KIND) && standing.offers(OTHER) && !standing.is_calm());
        assert!(standing.begin(ONE));
        assert!(standing.is_strange() && !standing.offers(KIND) && !standing.offers(OTHER));
        standing.end(true, found(1, true));
        assert!(!standing.is_strange() && standing.offers(KIND) && standing.offers(OTHER));
    }

    #[test]
    fn where_there_is_plenty_all_claim() {
        let mut standing = Standing::default();
        standing.begin(ONE);
        standing.end(true, found(1, true));
        for _ in 0..3 {
            assert!(standing.offers(KIND));
            assert!(!standing.begin(ONE));
        }
        // One looks into another kind, and nobody is kept from this one.
        assert!(standing.begin([1, 1, 0]));
        assert!(standing.offers(KIND) && !standing.offers(OTHER));
    }

    #[test]
    fn where_there_is_nothing_nobody_claims_before_notice() {
        let mut standing = Standing::default();
        standing.begin([1; 3]);
        standing.end(true, [looked(7, false); 3]);
        assert!(standing.is_calm() && !standing.offers(KIND));
        standing.told(KIND, Look(8));
        assert!(standing.offers(KIND) && !standing.offers(OTHER) && !standing.is_calm());
        assert!(standing.begin(ONE));
        assert!(!standing.offers(KIND));
    }

    #[test]
    fn what_was_found_out_last_counts_in_whatever_order_it_is_heard() {
        let mut standing = Standing::default();
        standing.begin(ONE);
        standing.told(KIND, Look(2));
        standing.end(true, found(1, false));
        assert!(standing.offers(KIND), "told of after the look");

        standing.begin(ONE);
        standing.end(true, found(4, false));
        standing.told(KIND, Look(3));
        assert!(!standing.offers(KIND), "and looked again after that");

        standing.end(false, found(9, true));
        standing.end(false, found(8, false));
        assert!(standing.offers(KIND), "of two claims the later");
    }

    #[test]
    fn after_a_failure_one_goes_first_in_a_while() {
        let mut standing = Standing::default();
        standing.begin(ONE);
        standing.end(true, found(1, true));
        standing.begin(ONE);
        standing.pause();
        assert!(!standing.offers(KIND));
        standing.end_pause();
        assert!(standing.offers(KIND));
        assert!(standing.begin(ONE));
        assert!(!standing.offers(KIND));
    }
}
