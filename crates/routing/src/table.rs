//! Who leads which partition, as far as this node knows: its own replicas say so, or whoever was asked before.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use longhaul_partition::{Partition, Partitions};
use longhaul_types::{NodeId, PartitionId};
use parking_lot::Mutex;
use tokio::sync::watch;

/// The replicas of a partition, in any order.
pub type Replicas = Arc<dyn Fn(PartitionId) -> Vec<NodeId> + Send + Sync>;

/// Where to go with a call.
pub(crate) enum Target {
    /// This node leads.
    Here(Partition),
    /// Another one is thought to, or may know who does.
    There(NodeId),
    /// Nobody can be asked.
    Nobody,
}

pub(crate) struct Table {
    me: NodeId,
    partitions: Partitions,
    replicas: Replicas,
    /// What others have said.
    hints: Mutex<BTreeMap<PartitionId, NodeId>>,
    changed: watch::Sender<()>,
}

impl Table {
    pub(crate) fn new(me: NodeId, partitions: Partitions, replicas: Replicas) -> Self {
        Self {
            me,
            partitions,
            replicas,
            hints: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    /// Whom to ask: the leader as the replica here knows it, else as somebody has said, else any replica, another one with
    /// each `turn`. Not `avoid`, unless nobody else is left.
    pub(crate) fn target(&self, id: PartitionId, turn: usize, avoid: Option<NodeId>) -> Target {
        let mut known = None;
        if let Some(partition) = self.partitions.hosted(id) {
            let leadership = *partition.leadership().borrow();
            if leadership.is_leader {
                return Target::Here(partition);
            }
            known = leadership.leader;
            if known == Some(self.me) {
                // It will in a moment: what came before its term is being applied.
                return Target::Nobody;
            }
        }
        let candidates = [known, self.hint(id)].into_iter().flatten();
        let chosen = candidates
            .chain(self.in_turn(id, turn))
            .find(|node| *node != self.me && Some(*node) != avoid);
        match chosen.or(avoid) {
            Some(node) => Target::There(node),
            None => Target::Nobody,
        }
    }

    fn in_turn(&self, id: PartitionId, turn: usize) -> impl Iterator<Item = NodeId> + use<> {
        let mut replicas = (self.replicas)(id);
        let count = replicas.len().max(1);
        replicas.rotate_left(turn % count);
        replicas.into_iter()
    }

    /// Who leads, as far as is known.
    pub(crate) fn leader(&self, id: PartitionId) -> Option<NodeId> {
        let here = self.partitions.hosted(id);
        let here = here.and_then(|partition| partition.leadership().borrow().leader);
        here.or_else(|| self.hint(id))
    }

    fn hint(&self, id: PartitionId) -> Option<NodeId> {
        self.hints.lock().get(&id).copied()
    }

    /// `leader` is said to lead, or was found to.
    pub(crate) fn learn(&self, id: PartitionId, leader: NodeId) {
        let before = self.hints.lock().insert(id, leader);
        if before != Some(leader) {
            self.changed.send_replace(());
        }
    }

    /// `node` does not lead, or cannot be reached.
    pub(crate) fn forget(&self, id: PartitionId, node: NodeId) {
        let mut hints = self.hints.lock();
        if hints.get(&id) == Some(&node) {
            hints.remove(&id);
        }
    }

    /// Resolves when the replica here hears, from now on, of a leader other than `node`; never if there is no replica.
    pub(crate) async fn succeeded(&self, id: PartitionId, node: NodeId) {
        let Some(partition) = self.partitions.hosted(id) else {
            return pending().await;
        };
        let mut leadership = partition.leadership();
        leadership.mark_unchanged();
        while leadership.changed().await.is_ok() {
            let leader = leadership.borrow_and_update().leader;
            if leader.is_some_and(|leader| leader != node) {
                return;
            }
        }
        pending().await
    }

    /// Resolves when something is learned, about whichever partition, or the replica here hears of another leader.
    pub(crate) async fn changed(&self, id: PartitionId) {
        let mut learned = self.changed.subscribe();
        let partition = self.partitions.hosted(id);
        let heard = async {
            let heard = match partition.map(|it| it.leadership()) {
                Some(mut leadership) => {
                    leadership.mark_unchanged();
                    leadership.changed().await.is_ok()
                }
                None => false,
            };
            if !heard {
                pending().await
            }
        };
        tokio::select! {
            _ = learned.changed() => {}
            () = heard => {}
        }
    }
}
