//! What applying a command answers and what the leader should now do.

use std::sync::Arc;

use longhaul_types::{ExecutionId, PartitionId, Timestamp};

use crate::instance::Status;
use crate::key::InstanceKey;

/// Result of applying one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For whoever proposed it; the same on every replica.
    pub reply: Reply,
    /// Hints for the leader; dropped elsewhere, derived again by [`crate::outstanding()`].
    pub effects: Vec<Effect>,
}

/// Answer to a command. A refusal is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, or nothing had to be done.
    Done,
    /// No such instance.
    NotFound,
    /// The id is taken by an instance in this state, which the policy does not let go.
    AlreadyExists(Status),
    /// The policy would end a live instance but forbids replacing an ended one.
    ContradictoryReuse,
    /// The turn, activity or batch was not wanted any more; nothing changed.
    Stale,
    /// The instance has not ended; nothing changed.
    NotEnded(Status),
    /// Only a failed instance can be rewound, and this one is in another state; nothing changed.
    NotFailed(Status),
    /// The instance has ended or is in a critical section; nothing changed.
    Refused,
    /// So many were deleted, and so many were left since they have not ended.
    Purged {
        /// Deleted.
        count: u32,
        /// Left.
        live: u32,
    },
    /// Everything up to here has been received.
    Received {
        /// Number of the last message received from that partition.
        through: u64,
    },
}

/// A hint for the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The instance has something to hand to an orchestrator now (see [`crate::dispatch::turn_ready`]).
    TurnReady {
        /// Which.
        key: InstanceKey,
        /// For filters.
        name: Arc<str>,
        /// For filters.
        version: Option<Arc<str>>,
    },
    /// An activity waits for a worker.
    ActivityReady {
        /// The instance.
        key: InstanceKey,
        /// Number in the instance.
        seq: u64,
        /// For filters.
        name: Arc<str>,
        /// For filters.
        version: Option<Arc<str>>,
    },
    /// Wake up at `fire_at`.
    TimerArmed {
        /// The instance.
        key: InstanceKey,
        /// Execution that made it.
        execution: ExecutionId,
        /// Number in the instance.
        seq: u64,
        /// When.
        fire_at: Timestamp,
    },
    /// The instance may take its first turn at `at`.
    StartArmed {
        /// Which.
        key: InstanceKey,
        /// When.
        at: Timestamp,
    },
    /// Whatever turn of the instance is out has lost its point.
    TurnVoided {
        /// Which.
        key: InstanceKey,
    },
    /// No activity that the instance has scheduled so far is wanted any more, whatever is out or queued.
    ActivitiesVoided {
        /// Which.
        key: InstanceKey,
    },
    /// The instance's status may satisfy somebody who waits.
    StatusChanged {
        /// Which.
        key: InstanceKey,
    },
    /// The entity has operations to hand to a worker.
    BatchReady {
        /// Which; its name is what filters look at.
        key: InstanceKey,
    },
    /// Whatever batch of the entity is out has lost its point.
    BatchVoided {
        /// Which.
        key: InstanceKey,
    },
    /// An operation of the entity is to be released at `due`.
    OperationArmed {
        /// The entity.
        key: InstanceKey,
        /// Number in the entity.
        seq: u64,
        /// When.
        due: Timestamp,
    },
    /// Should nothing be left of the entity by `at`, its record may go.
    ExpiryArmed {
        /// Which.
        key: InstanceKey,
        /// When.
        at: Timestamp,
    },
    /// There is something to ship.
    OutboxGrew {
        /// To which partition.
        target: PartitionId,
    },
}
