//! The record of one orchestration instance.
//!
//! ```text
//! status        inbox            history   completed_at   who moves it on
//! PENDING       ExecutionStarted empty     none           first committed turn, or terminate
//! RUNNING       any              grows     none           committed turns
//! SUSPENDED     any              grows     none           resume or terminate (other messages wait)
//! terminal      empty            sealed    set            start again, rewind, purge
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use crate::history::History;

/// Status of an instance, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Turns are being taken.
    Running = 0,
    /// The orchestrator returned.
    Completed = 1,
    /// The orchestrator threw.
    Failed = 3,
    /// Accepted as a value, treated as terminal, never produced by the server.
    Canceled = 4,
    /// Ended from outside.
    Terminated = 5,
    /// Created; no turn committed yet.
    Pending = 6,
    /// Messages wait until it is resumed.
    Suspended = 7,
}

impl Status {
    /// Whether nothing will happen to the instance by itself any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Canceled | Self::Terminated => true,
            Self::Running | Self::Pending | Self::Suspended => false,
        }
    }

    /// From the number on the wire; `None` for CONTINUED_AS_NEW (2), which is never stored, and unknown numbers.
    #[must_use]
    pub fn from_wire(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Running,
            1 => Self::Completed,
            3 => Self::Failed,
            4 => Self::Canceled,
            5 => Self::Terminated,
            6 => Self::Pending,
            7 => Self::Suspended,
            _ => return None,
        })
    }

    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> i32 {
        self as i32
    }
}

/// Tags of an instance or of one activity.
pub type Tags = BTreeMap<String, String>;

/// One orchestration instance. At most one live record exists per key.
///
/// Opaque texts are the bytes that came, UTF-8; absent and empty are different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What the orchestration is called; never empty.
    pub name: Arc<str>,
    /// Version; replaced on continue-as-new.
    pub version: Option<Arc<str>>,
    /// The current execution.
    pub execution: ExecutionId,
    /// Committed status. [`Instance::effective_status`] is what clients see.
    pub status: Status,
    /// Counts what ends a delivered turn (commits, forced endings): a turn decided on an older count is stale.
    pub turns: u64,
    /// Last used number for activities, timers and children; never goes back within a record.
    pub last_seq: u64,
    /// When the record was created; unchanged by continue-as-new.
    pub created_at: Timestamp,
    /// Time of the last command that changed the record.
    pub updated_at: Timestamp,
    /// When the status became terminal.
    pub completed_at: Option<Timestamp>,
    /// No turn before this time.
    pub scheduled_start: Option<Timestamp>,
    /// Timestamp of the last committed OrchestratorStarted; the orchestrator's clock never goes back.
    pub turn_started_at: Option<Timestamp>,
    /// Input of the current generation.
    pub input: Option<Bytes>,
    /// Result; only once terminal.
    pub output: Option<Bytes>,
    /// Encoded `TaskFailureDetails`, verbatim.
    pub failure: Option<Bytes>,
    /// Text set by the worker.
    pub custom_status: Option<Bytes>,
    /// Whether `custom_status` is an earlier generation's.
    pub custom_status_inherited: bool,
    /// Tags, preserved over continue-as-new, restart and rewind.
    pub tags: Option<Arc<Tags>>,
    /// Who waits for the result.
    pub parent: Option<Arc<ParentLink>>,
    /// Encoded `TraceContext` of whoever created the instance.
    pub parent_trace: Option<Bytes>,
    /// Encoded `OrchestrationTraceContext` last returned by a worker in this generation.
    pub trace: Option<Bytes>,
    /// Fingerprint of the request that created the record, to recognise its retry; 0 if it cannot be repeated.
    pub request_fingerprint: u64,
    /// Messages waiting to be handed to the orchestrator, in order.
    pub inbox: VecDeque<InboxMessage>,
    /// Scheduled activities without a result, by sequence number; may outlive the execution.
    pub activities: BTreeMap<u64, Activity>,
    /// Timers of this execution that did not fire.
    pub timers: BTreeMap<u64, Timer>,
    /// Children of this execution without a result.
    pub children: BTreeMap<u64, Child>,
    /// Critical sections that were asked for and not left, by id.
    pub locks: BTreeMap<Arc<str>, SectionLocks>,
    /// Committed history of this generation.
    pub history: History,
    /// Whether the history holds an ExecutionRewound, which workers must not be shown.
    pub rewound: bool,
    /// Whether a turn is due although nothing may wait: a rewound execution has not been replayed yet.
    pub kicked: bool,
}

/// A critical section as its owner remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionLocks {
    /// The entities still in it.
    pub entities: Vec<InstanceId>,
    /// Whether they are locked.
    pub hold: Hold,
}

/// Whether the entities of a critical section are locked for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The request is on its way: some of them may be.
    Wanted,
    /// All of them are, and the owner knows it.
    Granted,
    /// A rewound owner was inside, and its history says so: the request is on its way once more. Until all of them are
    /// locked again, the owner has no turns.
    Regained,
    /// A rewound owner wanted them, and asks again as soon as it is back inside where it was.
    Postponed,
}

/// The parent's side of a sub-orchestration, as the child remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentLink {
    /// The parent.
    pub instance: InstanceId,
    /// The parent's execution that started the child.
    pub execution: ExecutionId,
    /// Action id of the parent's createSubOrchestration.
    pub task_id: i32,
    /// The parent's number for this child: [`Instance::children`].
    pub seq: u64,
    /// Encoded `ParentInstanceInfo`, for the child's ExecutionStarted.
    pub info: Bytes,
}

/// A message in the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxMessage {
    /// What the engine must know of it.
    pub kind: InboxKind,
    /// Execution the message is for; `None` for whichever is current.
    pub execution: Option<ExecutionId>,
    /// Encoded `HistoryEvent` with event id -1.
    pub event: Bytes,
}

/// What the engine must know of an inbox message to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxKind {
    /// ExecutionStarted.
    Started,
    /// ExecutionTerminated.
    Terminated {
        /// Children end too.
        recurse: bool,
    },
    /// ExecutionSuspended.
    Suspended,
    /// ExecutionResumed.
    Resumed,
    /// TimerFired: its due time, which the turn's clock must not precede.
    TimerFired {
        /// When it was due.
        fire_at: Timestamp,
    },
    /// Everything else.
    Other,
}

/// A scheduled activity without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Action id; not unique.
    pub task_id: i32,
    /// Name, for filters.
    pub name: Arc<str>,
    /// Version, for filters: the activity's own, else its orchestration's.
    pub version: Option<Arc<str>>,
    /// Execution that scheduled it: with its number, the name under which it is handed out and answered.
    pub execution: ExecutionId,
    /// Execution that its result is for: the one that scheduled it, or what that was rewound to.
    pub awaited_by: ExecutionId,
    /// Encoded TaskScheduled `HistoryEvent`: what the work item is made of.
    pub event: Bytes,
    /// When it was scheduled.
    pub scheduled_at: Timestamp,
}

/// A timer that did not fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Action id.
    pub timer_id: i32,
    /// Never fires before.
    pub fire_at: Timestamp,
}

/// A child without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Action id.
    pub task_id: i32,
    /// The child's instance id.
    pub instance: InstanceId,
}

impl InboxMessage {
    /// A result, for the execution that waits for it.
    #[must_use]
    pub fn result(execution: ExecutionId, event: Bytes) -> Self {
        Self {
            kind: InboxKind::Other,
            execution: Some(execution),
            event,
        }
    }
}

impl Instance {
    /// What clients see: for an instance that has begun, a queued suspend or resume already counts.
    ///
    /// Source: SDK suites poll, so the immediate flip is safe; a PENDING instance stays so until its first turn.
    #[must_use]
    pub fn effective_status(&self) -> Status {
        if !matches!(self.status, Status::Running | Status::Suspended) {
            return self.status;
        }
        let queued = self
            .inbox
            .iter()
            .rev()
            .find_map(|message| match message.kind {
                InboxKind::Suspended => Some(Status::Suspended),
                InboxKind::Resumed => Some(Status::Running),
                _ => None,
            });
        queued.unwrap_or(self.status)
    }

    /// Whether the record still makes work: it is live, or activities of it are out.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.status.is_terminal() || !self.activities.is_empty()
    }

    /// Whether it was inside a critical section when it failed and has not got all the locks back.
    #[must_use]
    pub fn regains_locks(&self) -> bool {
        let mut sections = self.locks.values();
        sections.any(|locks| locks.hold == Hold::Regained)
    }

    /// The next number for an activity, timer or child.
    pub fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }
}
