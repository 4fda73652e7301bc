//! The streams of this node, the nodes that may have work for them, and what is between the two. Decides, and sends
//! nothing: what is to be sent is answered.
//!
//! What a stream has of a node is in a **ledger**: slots reserved for a claim on its way, and slots of items that came.
//! A slot leaves the ledger when the node says that the item is over, or with the node. Since notices may be heard before
//! the answer they belong to, items may be over before they came; together with the reserved slots that is never less than
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longhaul_partition::{Look, Taker, WorkKind};
use longhaul_types::NodeId;

use super::standing::Standing;
use super::wire::{ByKind, Given, Gone, Profile};

/// Slots of one kind that are reserved for one claim. Others may have work as well.
const SLOTS_MAX: u32 = 256;

/// `L` is the way to a node.
pub(super) struct Registry<L> {
    nodes: BTreeMap<NodeId, Node<L>>,
    streams: BTreeMap<u64, Stream>,
    profiles: BTreeMap<u64, Kept>,
    last_profile: u64,
    last_link: u64,
}

/// A node with which there is a link.
struct Node<L> {
    line: L,
    /// Tells it from those before.
    link: u64,
    /// By profile. Without one, nobody has looked yet.
    standings: BTreeMap<u64, Standing>,
    /// By stream.
    ledgers: BTreeMap<u64, Ledger>,
}

struct Stream {
    taker: Taker,
    profile: u64,
    /// Of which node it claims first.
    turn: usize,
}

/// A profile that streams have.
struct Kept {
    profile: Profile,
    streams: BTreeSet<u64>,
    /// No node has anything for it; spares the lock.
    calm: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// For the claim that is on its way, if one is.
    reserved: Option<ByKind<u32>>,
    held: ByKind<i64>,
}

/// A claim to make.
#[derive(Debug)]
pub(super) struct Outgoing<L> {
    pub(super) line: L,
    pub(super) ticket: Ticket,
    pub(super) introduction: Option<Profile>,
}

/// Names a claim on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub(super) node: NodeId,
    link: u64,
    pub(super) stream: u64,
    pub(super) profile: u64,
    pub(super) hub: longhaul_types::HubId,
    pub(super) slots: ByKind<u32>,
    probes: bool,
}

/// Something a node is to be told.
pub(super) type Farewell<L> = (L, Gone);

impl<L> Default for Registry<L> {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::new(),
            streams: BTreeMap::new(),
            profiles: BTreeMap::new(),
            last_profile: 0,
            last_link: 0,
        }
    }
}

impl<L: Clone> Registry<L> {
    /// A stream opens. Answers whether nobody has anything for it, as it will change.
    pub(super) fn open(&mut self, taker: Taker) -> Arc<AtomicBool> {
        let spec = taker.spec();
        let profile = Profile {
            hub: spec.hub,
            filters: spec.filters.clone(),
            capabilities: spec.capabilities,
        };
        let known = self
            .profiles
            .iter()
            .find(|(_, kept)| kept.profile == profile);
        let number = known.map_or(self.last_profile + 1, |(number, _)| *number);
        self.last_profile = self.last_profile.max(number);
        let kept = self.profiles.entry(number).or_insert_with(|| Kept {
            profile,
            streams: BTreeSet::new(),
            calm: Arc::default(),
        });
        kept.streams.insert(taker.id());
        let calm = kept.calm.clone();
        let stream = Stream {
            profile: number,
            turn: 0,
            taker,
        };
        self.streams.insert(stream.taker.id(), stream);
        self.settle(number);
        calm
    }

    /// A stream ends. Answers whom to tell.
    pub(super) fn close(&mut self, id: u64) -> Vec<Farewell<L>> {
        let Some(stream) = self.streams.remove(&id) else {
            return Vec::new();
        };
        let last = self.leave(stream.profile, id);
        let mut farewells = Vec::new();
        for node in self.nodes.values_mut() {
            let mut gone = Gone::default();
            match node.ledgers.get(&id) {
                // Told when the claim is back.
                Some(ledger) if ledger.reserved.is_some() => {}
                Some(_) => {
                    node.ledgers.remove(&id);
                    gone.streams.push(id);
                }
                None => {}
            }
            if last && node.standings.remove(&stream.profile).is_some() {
                gone.profiles.push(stream.profile);
            }
            if gone != Gone::default() {
                farewells.push((node.line.clone(), gone));
            }
        }
        farewells
    }

    /// Answers whether the profile is no more.
    fn leave(&mut self, profile: u64, stream: u64) -> bool {
        let Some(kept) = self.profiles.get_mut(&profile) else {
            return false;
        };
        kept.streams.remove(&stream);
        let last = kept.streams.is_empty();
        if last {
            self.profiles.remove(&profile);
        }
        last
    }

    /// A stream has slots left. Reserves some, and answers what to claim for them.
    pub(super) fn look(&mut self, id: u64) -> Vec<Outgoing<L>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Vec::new();
        };
        let number = stream.profile;
        let Some(kept) = self.profiles.get(&number) else {
            return Vec::new();
        };
        let first = stream.turn.checked_rem(self.nodes.len()).unwrap_or(0);
        stream.turn = stream.turn.wrapping_add(1);
        let (before, from) = {
            let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
            let (before, from) = nodes.split_at(first);
            (before.to_vec(), from.to_vec())
        };
        let mut claims = Vec::new();
        for id in from.into_iter().chain(before) {
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            let Some((slots, probes)) = node.reserve(stream) else {
                continue;
            };
            let strange = node.standings[&number].is_strange();
            claims.push(Outgoing {
                line: node.line.clone(),
                introduction: strange.then(|| kept.profile.clone()),
                ticket: Ticket {
                    node: id,
                    link: node.link,
                    stream: stream.taker.id(),
                    profile: number,
                    hub: kept.profile.hub,
                    slots,
                    probes,
                },
            });
        }
        claims
    }

    /// A claim was answered. Answers whom to tell, if nobody wants it any more.
    pub(super) fn given(&mut self, ticket: Ticket, given: Given) -> Option<Farewell<L>> {
        let node = node_of(&mut self.nodes, ticket)?;
        if let Some(standing) = node.standings.get_mut(&ticket.profile) {
            standing.end(ticket.probes, given.kinds);
        }
        let farewell = match self.streams.get(&ticket.stream) {
            Some(stream) => {
                if let Some(ledger) = node.ledgers.get_mut(&ticket.stream) {
                    ledger.take(given, &stream.taker);
                }
                None
            }
            None => Some(node.bid_farewell(ticket, &self.profiles)),
        };
        self.settle(ticket.profile);
        farewell
    }

    /// A claim was not answered, though there is a link: whatever it was given is given back, and nobody claims before
    /// [`Registry::end_pause`].
    pub(super) fn failed(&mut self, ticket: Ticket) -> Option<Farewell<L>> {
        let node = node_of(&mut self.nodes, ticket)?;
        if let Some(standing) = node.standings.get_mut(&ticket.profile) {
            standing.pause();
        }
        let slots = node.ledgers.get(&ticket.stream).map(Ledger::slots);
        let farewell = node.bid_farewell(ticket, &self.profiles);
        if let (Some(slots), Some(stream)) = (slots, self.streams.get(&ticket.stream)) {
            release(&stream.taker, slots);
        }
        Some(farewell)
    }

    /// Lets streams claim again after [`Registry::failed`].
    pub(super) fn end_pause(&mut self, ticket: Ticket) {
        let node = node_of(&mut self.nodes, ticket);
        let standing = node.and_then(|node| node.standings.get_mut(&ticket.profile));
        if let Some(standing) = standing {
            standing.end_pause();
        }
        self.settle(ticket.profile);
    }

    /// A node can be asked: it may have work for everybody.
    pub(super) fn link_opened(&mut self, node: NodeId, line: L) {
        self.last_link += 1;
        let opened = Node {
            line,
            link: self.last_link,
            standings: BTreeMap::new(),
            ledgers: BTreeMap::new(),
        };
        self.nodes.insert(node, opened);
        self.settle_all();
    }

    /// With the link everything is gone that the node gave.
    pub(super) fn link_lost(&mut self, node: NodeId) {
        let Some(lost) = self.nodes.remove(&node) else {
            return;
        };
        self.settle_all();
        for (id, ledger) in lost.ledgers {
            if let Some(stream) = self.streams.get(&id) {
                release(&stream.taker, ledger.slots());
            }
        }
    }

    /// A node gives notice of work.
    pub(super) fn ready(&mut self, node: NodeId, profile: u64, kind: WorkKind, look: Look) {
        let node = self.nodes.get_mut(&node);
        let standing = node.and_then(|node| node.standings.get_mut(&profile));
        if let Some(standing) = standing {
            standing.told(kind, look);
            self.settle(profile);
        }
    }

    /// A node says that items are over.
    pub(super) fn freed(&mut self, node: NodeId, streams: BTreeMap<u64, ByKind<u32>>) {
        let Some(node) = self.nodes.get_mut(&node) else {
            return;
        };
        for (id, slots) in streams {
            let ledger = node.ledgers.get_mut(&id);
            if let (Some(ledger), Some(stream)) = (ledger, self.streams.get(&id)) {
                release(&stream.taker, ledger.freed(slots));
            }
        }
    }

    fn settle_all(&mut self) {
        let profiles: Vec<u64> = self.profiles.keys().copied().collect();
        for profile in profiles {
            self.settle(profile);
        }
    }

    /// Brings streams that look back to what there is for them now.
    fn settle(&mut self, number: u64) {
        let Some(kept) = self.profiles.get(&number) else {
            return;
        };
        let calm = |node: &Node<L>| {
            let standing = node.standings.get(&number);
            standing.is_some_and(Standing::is_calm)
        };
        kept.calm
            .store(self.nodes.values().all(calm), Ordering::SeqCst);
        let offers = |kind: &WorkKind| {
            let offers = |standing: &Standing| standing.offers(*kind);
            let mut nodes = self.nodes.values();
            nodes.any(|node| node.standings.get(&number).is_none_or(offers))
        };
        for kind in WorkKind::ALL.into_iter().filter(offers) {
            for stream in &kept.streams {
                if let Some(stream) = self.streams.get(stream) {
                    stream.taker.wake(kind);
                }
            }
        }
    }
}

/// Where a claim is on its way to; `None` if its link is gone, and everything with it.
fn node_of<L>(nodes: &mut BTreeMap<NodeId, Node<L>>, ticket: Ticket) -> Option<&mut Node<L>> {
    let node = nodes.get_mut(&ticket.node)?;
    (node.link == ticket.link).then_some(node)
}

impl<L: Clone> Node<L> {
    /// Reserves slots of a stream for what may be had. Answers whether the claim goes first.
    fn reserve(&mut self, stream: &Stream) -> Option<(ByKind<u32>, bool)> {
        let id = stream.taker.id();
        let ledger = self.ledgers.get(&id);
        if ledger.is_some_and(|ledger| ledger.reserved.is_some()) {
            return None;
        }
        let standing = self.standings.entry(stream.profile).or_default();
        let slots = WorkKind::ALL.map(|kind| match standing.offers(kind) {
            true => stream.taker.free(kind).min(SLOTS_MAX),
            false => 0,
        });
        if slots == [0; 3] {
            return None;
        }
        for (kind, slots) in WorkKind::ALL.into_iter().zip(slots) {
            stream.taker.reserve(kind, slots);
        }
        self.ledgers.entry(id).or_default().reserved = Some(slots);
        Some((slots, standing.begin(slots)))
    }

    /// The stream has ended, or is to lose what it has here.
    fn bid_farewell(&mut self, ticket: Ticket, profiles: &BTreeMap<u64, Kept>) -> Farewell<L> {
        self.ledgers.remove(&ticket.stream);
        let mut gone = Gone {
            streams: vec![ticket.stream],
            profiles: Vec::new(),
        };
        // The claim may have introduced it after it was gone.
        if !profiles.contains_key(&ticket.profile) {
            gone.profiles.push(ticket.profile);
        }
        (self.line.clone(), gone)
    }
}

impl Ledger {
    /// Slots taken for it, of items or of none.
    fn slots(&self) -> ByKind<u32> {
        let reserved = self.reserved.unwrap_or_default();
        WorkKind::ALL.map(|kind| {
            let (reserved, held) = (reserved[kind as usize], self.held[kind as usize]);
            u32::try_from(i64::from(reserved) + held).unwrap_or(0)
        })
    }

    /// The claim is back, with these items.
    fn take(&mut self, given: Given, taker: &Taker) {
        let before = self.slots();
        self.reserved = None;
        for (held, taken) in self.held.iter_mut().zip(given.taken()) {
            // No more can be over than came.
            *held = held.saturating_add_unsigned(taken).max(0);
        }
        let after = self.slots();
        if !given.items.is_empty() {
            taker.hand(given.items);
        }
        let unused = WorkKind::ALL.map(|kind| before[kind as usize] - after[kind as usize]);
        release(taker, unused);
    }

    /// Items are over; answers how many slots that makes.
    fn freed(&mut self, slots: ByKind<u32>) -> ByKind<u32> {
        let taken = self.slots();
        WorkKind::ALL.map(|kind| {
            let freed = slots[kind as usize].min(taken[kind as usize]);
            self.held[kind as usize] -= i64::from(freed);
            freed
        })
    }
}

fn release(taker: &Taker, slots: ByKind<u32>) {
    for (kind, slots) in WorkKind::ALL.into_iter().zip(slots) {
        taker.release(kind, slots);
    }
}

#[cfg(test)]
mod tests;
