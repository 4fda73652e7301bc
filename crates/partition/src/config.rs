//! Sizes and times of the partition runtime.

use std::time::Duration;

use longhaul_replication::CheckpointThread;
use longhaul_types::limits;

use crate::dispatch::WorkKind;

/// Sizes and times of the partition runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Entries on their way through the log at once, per partition.
    pub entries_in_flight_max: usize,
    /// Commands in one entry.
    pub entry_commands_max: usize,
    /// Bytes of commands in one entry, beyond which no further command joins it.
    pub entry_bytes_max: usize,
    /// Bytes of commands waiting for an entry, beyond which new work is refused.
    pub queue_bytes_max: usize,
    /// How often changed records go to storage; zero writes after every entry.
    pub checkpoint_interval: Duration,
    /// Where checkpoints are written.
    pub checkpoint_thread: CheckpointThread,
    /// Where queries search.
    pub search_thread: CheckpointThread,
    /// Bytes of log after which storage is made durable, so that the log can be purged.
    pub durable_checkpoint_bytes: u64,
    /// A turn out for longer than this is offered again, since the worker may have lost it; zero for never.
    pub turn_lease_max: Duration,
    /// The same for an activity.
    pub activity_lease_max: Duration,
    /// The same for a batch of an entity's operations.
    pub entity_lease_max: Duration,
    /// Answers, in a row, that say a worker could not run a batch of an entity's operations, after which these fail.
    pub batch_failures_max: u32,
    /// Events of a history beyond which its orchestration fails.
    pub history_events_max: u64,
    /// Bytes of a history beyond which its orchestration fails.
    pub history_bytes_max: u64,
    /// Events, or operations, that wait for one instance, beyond which those of clients are refused. What instances send
    /// each other is always taken: it is committed with the sender's turn, so refusing it would lose it.
    pub pending_events_max: usize,
    /// Losses of a work item with its stream, in a row, after which it waits before it is offered again.
    pub losses_before_delay: u32,
    /// Losses and abandons of a work item, in a row, after which it is parked; zero for never.
    pub park_after: u32,
    /// How long a parked work item waits before it is offered again.
    pub park_retry: Duration,
}

impl Config {
    /// How long an item of the kind may be out; zero for as long as its stream.
    pub(crate) fn lease_max(&self, kind: WorkKind) -> Duration {
        match kind {
            WorkKind::Orchestration => self.turn_lease_max,
            WorkKind::Activity => self.activity_lease_max,
            WorkKind::Entity => self.entity_lease_max,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entries_in_flight_max: 2,
            entry_commands_max: 512,
            entry_bytes_max: 1 << 20,
            queue_bytes_max: 64 << 20,
            checkpoint_interval: Duration::from_secs(1),
            checkpoint_thread: CheckpointThread::Blocking,
            search_thread: CheckpointThread::Blocking,
            durable_checkpoint_bytes: 16 << 20,
            turn_lease_max: Duration::from_secs(600),
            activity_lease_max: Duration::ZERO,
            entity_lease_max: Duration::ZERO,
            batch_failures_max: 3,
            history_events_max: limits::HISTORY_EVENTS_DEFAULT,
            history_bytes_max: limits::HISTORY_BYTES_DEFAULT,
            pending_events_max: limits::PENDING_EVENTS_DEFAULT,
            losses_before_delay: 3,
            park_after: 20,
            park_retry: Duration::from_secs(15 * 60),
        }
    }
}
