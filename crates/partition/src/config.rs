//! Sizes and times of the partition runtime.

use std::time::Duration;

use longhaul_replication::CheckpointThread;

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
    /// Bytes of log after which storage is made durable, so that the log can be purged.
    pub durable_checkpoint_bytes: u64,
    /// A turn out for longer than this is offered again; the worker may have lost it.
    pub turn_lease_max: Duration,
    /// Losses of a work item with its stream, in a row, after which it waits before it is offered again.
    pub losses_before_delay: u32,
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
            durable_checkpoint_bytes: 16 << 20,
            turn_lease_max: Duration::from_secs(600),
            losses_before_delay: 3,
        }
    }
}
