//! Timing and sizes of a group.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

/// Timing and sizes of a group; the same on all nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// How often a leader that replicates nothing tells its followers that it lives.
    pub heartbeat_interval: Duration,
    /// Shortest silence after which a follower asks to be elected; more than twice
    /// [`GroupConfig::heartbeat_interval`].
    pub election_timeout_min: Duration,
    /// Longest such silence; also how long a leader serves without hearing from a majority.
    pub election_timeout_max: Duration,
    /// A leader that lost its majority is silent and sends heartbeats in turns of this length, so
    /// that it cannot keep a connected majority from electing another; at least twice
    /// [`GroupConfig::election_timeout_max`].
    pub quorum_loss_probe_interval: Duration,
    /// How long a follower may take to install a snapshot.
    pub snapshot_timeout: Duration,
    /// Entries sent to a follower in one message. Entries are batches, so few are enough.
    pub entries_per_message_max: u64,
    /// Entries kept in the log behind a checkpoint, for followers that were away for a moment.
    pub entries_kept: u64,
    /// Where checkpoints are written.
    pub checkpoint_thread: CheckpointThread,
}

/// Where the blocking part of a checkpoint runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointThread {
    /// On a thread that may block.
    Blocking,
    /// On the thread that asked: slower, but with an order of events that can be repeated.
    Caller,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(250),
            election_timeout_min: Duration::from_millis(1_000),
            election_timeout_max: Duration::from_millis(1_500),
            quorum_loss_probe_interval: Duration::from_millis(3_000),
            snapshot_timeout: Duration::from_secs(60),
            entries_per_message_max: 64,
            entries_kept: 0,
            checkpoint_thread: CheckpointThread::Blocking,
        }
    }
}

impl GroupConfig {
    /// The library's settings, or the relation between ours that is broken.
    pub(crate) fn to_openraft(&self) -> Result<Config, openraft::ConfigError> {
        Config {
            heartbeat_interval: millis(self.heartbeat_interval),
            // Replication says the same as a heartbeat.
            heartbeat_min_interval: Some(millis(self.heartbeat_interval)),
            election_timeout_min: millis(self.election_timeout_min),
            election_timeout_max: millis(self.election_timeout_max),
            enable_pre_vote: Some(true),
            quorum_loss_probe_interval: Some(millis(self.quorum_loss_probe_interval)),
            install_snapshot_timeout: millis(self.snapshot_timeout),
            max_payload_entries: self.entries_per_message_max,
            // Checkpoints are ours to time; each lets the log be purged behind it.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.entries_kept,
            // A leader that restarts is elected again, so that a term names one leadership of one
            // process, and so that it knows everything committed before it serves.
            enable_leader_restore: Some(false),
            // Switched on as soon as there is another node to hear from.
            enable_tick: false,
            ..Config::default()
        }
        .validate()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_consistent() {
        GroupConfig::default().to_openraft().expect("valid");
    }

    #[test]
    fn broken_relations_are_refused() {
        let short = GroupConfig {
            election_timeout_min: Duration::from_millis(250),
            ..GroupConfig::default()
        };
        short.to_openraft().expect_err("no longer than a heartbeat");
        let probe = GroupConfig {
            quorum_loss_probe_interval: Duration::from_millis(2_999),
            ..GroupConfig::default()
        };
        probe
            .to_openraft()
            .expect_err("shorter than two election timeouts");
    }
}
