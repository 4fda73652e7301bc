//! What the jobs of one partition share.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_engine::{Reply, TableFault};
use longhaul_replication::Leadership;
use longhaul_storage::PartitionTables;
use longhaul_types::PartitionId;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use crate::backup::Shipping;
use crate::clock::{Clock, Randomness};
use crate::config::Config;
use crate::dispatch::{Ready, Tokens, WeakSessions};
use crate::errors::ProposeError;
use crate::leader::{Leader, Wakes};
use crate::proposer::Queue;

/// Answer to a caller who proposed a command.
pub(crate) type Caller = oneshot::Sender<Result<Reply, ProposeError>>;

/// Told of broken storage, at most once per partition.
pub(crate) type OnFault = Arc<dyn Fn(PartitionId, TableFault) + Send + Sync>;

pub(crate) struct Core {
    pub(crate) tables: PartitionTables,
    /// Counts how often the tables were replaced by those of another replica.
    pub(crate) generation: u64,
    /// `Some` while this replica leads.
    pub(crate) leader: Option<Leader>,
    /// Callers of the batches on their way, by batch number.
    pub(crate) calls: BTreeMap<u64, Vec<Option<Caller>>>,
    /// Bytes of log applied since storage was last made durable.
    pub(crate) bytes_since_durable: u64,
    /// Bytes of log applied since the last checkpoint was frozen.
    pub(crate) bytes_since_written: u64,
}

pub(crate) struct Shared {
    pub(crate) id: PartitionId,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) tokens: Tokens,
    /// Tells this process's batches from those of others and of its earlier lives.
    pub(crate) proposer: u64,
    pub(crate) core: Mutex<Core>,
    pub(crate) queue: Queue,
    /// Weak, since streams hold on to partitions.
    pub(crate) sessions: WeakSessions,
    pub(crate) ready: Ready,
    pub(crate) timers_changed: Notify,
    pub(crate) outbox_changed: BTreeMap<PartitionId, Notify>,
    /// Who leads, as far as the jobs of this replica have followed. Closed when they have ended.
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) on_fault: OnFault,
    /// Held by whoever makes a checkpoint, from its beginning to its end.
    pub(crate) checkpointing: tokio::sync::Mutex<()>,
    /// What the outbox may do.
    pub(crate) shipping: Shipping,
}

impl Shared {
    /// Wakes whom a change of state concerns; called without the lock.
    pub(crate) fn wake(&self, wakes: Wakes) {
        if !wakes.work.is_empty()
            && let Some(sessions) = self.sessions.upgrade()
        {
            for (hub, kind, class) in &wakes.work {
                sessions.wake_for(*hub, *kind, class);
            }
        }
        if wakes.timers {
            self.timers_changed.notify_one();
        }
        for target in wakes.outbox {
            if let Some(changed) = self.outbox_changed.get(&target) {
                changed.notify_one();
            }
        }
    }

    /// Runs `act` on the leader's soft state and the tables; `None` if this replica does not lead.
    ///
    /// Broken storage is reported and looks like not leading: the node is about to stop.
    pub(crate) fn with_leader<R>(
        &self,
        act: impl FnOnce(&mut Leader, &mut PartitionTables, &mut Wakes) -> Result<R, TableFault>,
    ) -> Option<R> {
        let mut wakes = Wakes::default();
        let result = {
            let mut core = self.core.lock();
            let Core { tables, leader, .. } = &mut *core;
            act(leader.as_mut()?, tables, &mut wakes)
        };
        self.wake(wakes);
        match result {
            Ok(value) => Some(value),
            Err(fault) => {
                (self.on_fault)(self.id, fault);
                None
            }
        }
    }
}
