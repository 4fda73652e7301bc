//! What happens in a run, one value per happening: the trace is made of them, and the invariants judge nothing else.

use std::fmt;

use longhaul_engine::Status;
use longhaul_types::Timestamp;

use crate::history::{Entry, Operation};
use crate::world::ProcessId;

/// One happening.
#[derive(Clone, Debug)]
pub enum Moment {
    /// A process of the node is up and leads its partitions.
    Up {
        /// Counts the processes.
        life: u32,
    },
    /// A process cannot start.
    Refused {
        /// Why.
        reason: String,
        /// Whether the disk failed under it on purpose.
        excused: bool,
    },
    /// A running process gave up.
    Fault {
        /// Why.
        reason: String,
        /// Whether the disk failed under it on purpose.
        excused: bool,
    },
    /// The process is gone.
    Down(Ending),
    /// The clock was set by so many milliseconds.
    ClockSet(i64),
    /// A client asks for something.
    Asked {
        /// Names the call.
        call: u64,
        /// What for.
        request: Request,
    },
    /// A client has an answer.
    Answered {
        /// To which call.
        call: u64,
        /// What was asked.
        request: Request,
        /// Which.
        answer: Answer,
    },
    /// A client reads an instance.
    Seen {
        /// Its id.
        instance: String,
        /// What it is, if it is.
        view: Option<View>,
    },
    /// A client reads the committed history of an instance's current generation.
    Read {
        /// Its id.
        instance: String,
        /// The generation.
        execution: String,
        /// The events.
        history: Vec<Entry>,
    },
    /// A worker is handed a turn.
    TurnOut {
        /// Names the delivery.
        delivery: u64,
        /// Of this instance.
        instance: String,
        /// And generation.
        execution: String,
        /// Committed events.
        past: Vec<Entry>,
        /// New events.
        new: Vec<Entry>,
    },
    /// The answer to a turn was taken.
    TurnTaken {
        /// Which delivery it was.
        delivery: u64,
        /// Of this instance.
        instance: String,
        /// And generation.
        execution: String,
        /// So many events had been committed when it was handed out.
        past: usize,
    },
    /// A worker sends its answer to a turn.
    TurnAnswered {
        /// Of this instance.
        instance: String,
        /// And generation.
        execution: String,
        /// Critical sections it asks for, with their entities.
        locks: Vec<(String, Vec<String>)>,
        /// Entities it leaves.
        unlocks: Vec<String>,
        /// Whether the generation ends.
        ends: bool,
    },
    /// A worker is handed a batch of operations.
    BatchOut {
        /// Names the delivery.
        delivery: u64,
        /// Of this entity.
        entity: String,
        /// Names the batch.
        batch: String,
        /// The entity's state.
        state: Option<String>,
        /// What is to be done.
        operations: Vec<Operation>,
    },
    /// A worker sends what it made of the first operations of a batch.
    BatchDone {
        /// Which delivery it was.
        delivery: u64,
        /// The state after them.
        state: Option<String>,
        /// Their results; absent for those that failed.
        results: Vec<Option<String>>,
    },
    /// The answer to a batch was taken.
    BatchTaken {
        /// Which delivery it was.
        delivery: u64,
    },
    /// A client reads an entity.
    EntitySeen {
        /// Its id.
        entity: String,
        /// What it is, if it is.
        view: Option<EntityView>,
    },
    /// A client begins to read which instances there are.
    QueryAsked {
        /// Names the query.
        query: u64,
        /// What it asks for.
        wanted: Wanted,
    },
    /// It has read all pages of a partition.
    PartitionRead {
        /// By which query.
        query: u64,
        /// In the order of the pages.
        found: Vec<Found>,
    },
    /// It has read all partitions, or could not.
    QueryAnswered {
        /// Which query.
        query: u64,
        /// Whether it read everything.
        complete: bool,
    },
    /// What had ended before the first of these times was deleted, and perhaps what had before the second.
    Aged {
        /// Surely before.
        surely: Timestamp,
        /// Perhaps before.
        perhaps: Timestamp,
        /// So many.
        deleted: u64,
    },
    /// A worker is handed an activity.
    ActivityOut {
        /// Names the delivery.
        delivery: u64,
        /// Scheduled by this instance.
        instance: String,
        /// In this generation.
        execution: String,
        /// As this action.
        task: i32,
        /// With this input.
        input: String,
    },
    /// A worker sends an activity's result; absent if it failed.
    ActivityDone {
        /// Which delivery it was.
        delivery: u64,
        /// What it sends.
        result: Option<String>,
    },
    /// The result of an activity was taken.
    ActivityTaken {
        /// Which delivery it was.
        delivery: u64,
    },
    /// A worker loses its stream, gives an item back, or drops it without a word.
    Setback(Setback),
    /// A process of one of several nodes leads a partition.
    Leads {
        /// Which process.
        process: ProcessId,
        /// Which partition.
        partition: u16,
        /// In this term.
        term: u64,
    },
    /// A work item has reached a worker on another node than its leader's.
    Travelled {
        /// Which delivery.
        delivery: u64,
    },
    /// A replica has taken over what another one has.
    Installed {
        /// The node it is on.
        node: u64,
        /// Of which partition.
        partition: u16,
    },
    /// Something is done to one of several nodes, or to the network between them.
    Mishap(Mishap),
    /// The replicas of a partition, when all is at rest.
    Replicas {
        /// Which partition.
        partition: u16,
        /// The node of each, how far it has got, and its state's digest.
        replicas: Vec<(u64, u64, u128)>,
    },
    /// No fault comes from here on.
    Healed,
    /// Everything should have come to rest.
    Rest {
        /// Work items waiting.
        queued: u64,
        /// Work items out.
        out: u64,
        /// Pairs of partitions between which messages wait to be shipped.
        outboxes: u64,
    },
    /// State digests before a last loss of power and after it.
    Survived {
        /// Of the partitions, before.
        before: Vec<u128>,
        /// And after.
        after: Vec<u128>,
    },
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// As it should.
    Stopped,
    /// Without a word; the machine lives on.
    Killed,
    /// With the machine.
    PowerLost,
}

/// What is done to nodes and to the network between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// A process starts.
    Starts(ProcessId),
    /// A process has ended.
    Ends(u64, Ending),
    /// All machines lose power.
    Blackout,
    /// A process stands still.
    Paused(u64),
    /// It goes on.
    Resumed(u64),
    /// Nothing passes from one node to another.
    Cut(Vec<(u64, u64)>),
    /// It does again.
    Mended(Vec<(u64, u64)>),
    /// Links break.
    LinksBroken,
    /// Everything to and from a node takes so many milliseconds longer.
    Slow(u64, u64),
    /// A disk is about to fail.
    DiskBroken(u64),
    /// A clock was set by so many milliseconds.
    ClockSet(u64, i64),
    /// A leader is asked to hand over.
    Transfer {
        /// Of which partition.
        partition: u16,
        /// To this node.
        to: u64,
    },
    /// A replica is being moved.
    Moving {
        /// Of which partition.
        partition: u16,
        /// From this node.
        from: u64,
        /// To this one.
        to: u64,
    },
    /// It has been moved.
    Moved(u16),
    /// A node has lost everything, and comes back as another.
    Wiped {
        /// The node.
        node: u64,
        /// The other.
        comes_back: u64,
    },
    /// A client goes to another node.
    ClientMoved(u64),
}

/// What goes wrong with a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setback {
    /// It loses its stream.
    StreamLost,
    /// It gives an item back.
    Abandoned,
    /// It forgets an item.
    Forgotten,
    /// It answers twice.
    Repeated,
    /// Its answer comes when the delivery is over.
    Stale,
    /// Its answer has no outcome.
    NoOutcome,
    /// It forgets a batch.
    BatchForgotten,
    /// It does a part of a batch.
    BatchInPart,
    /// It cannot run a batch.
    BatchFailed,
    /// Its answer to a batch comes when the delivery is over.
    BatchStale,
    /// It is handed an item by somebody who does not lead any more and does not know that yet.
    HandedOutLate,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A start.
    Start {
        /// Of this instance.
        instance: String,
        /// As this execution.
        execution: String,
        /// With this input.
        input: String,
        /// Not before.
        not_before: Option<Timestamp>,
    },
    /// An event for an instance.
    Raise {
        /// The instance.
        instance: String,
        /// The event, `sender/number`.
        payload: String,
    },
    /// That an instance be suspended.
    Suspend {
        /// Which.
        instance: String,
    },
    /// That an instance be resumed.
    Resume {
        /// Which.
        instance: String,
    },
    /// That an instance be ended.
    Terminate {
        /// Which.
        instance: String,
        /// With its children.
        recurse: bool,
    },
    /// That an instance be ended without asking it.
    Force {
        /// Which.
        instance: String,
    },
    /// That an ended instance, or an entity, be deleted.
    Purge {
        /// Which.
        instance: String,
    },
    /// That an ended instance be started again as it was.
    Restart {
        /// Which.
        instance: String,
        /// As this execution.
        execution: String,
        /// Its input.
        input: String,
    },
    /// That a failed instance go on.
    Rewind {
        /// Which.
        instance: String,
        /// As this execution.
        execution: String,
        /// Its input.
        input: String,
    },
    /// An operation for an entity.
    Signal {
        /// The entity.
        entity: String,
        /// Names the request.
        request: String,
        /// What it says.
        said: Said,
        /// Not before.
        due: Option<Timestamp>,
        /// Whether it was sent before.
        again: bool,
    },
}

/// What a client tells an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The operation.
    pub name: &'static str,
    /// `sender/number`.
    pub tag: String,
    /// Whom the entity is to tell or start.
    pub whom: Option<String>,
}

impl Said {
    /// The operation's input.
    #[must_use]
    pub fn input(&self) -> String {
        match &self.whom {
            Some(whom) => format!("{}|{whom}", self.tag),
            None => self.tag.clone(),
        }
    }
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// There is no such instance.
    NotFound,
    /// The instance exists already.
    Exists(Status),
    /// It was certainly not done.
    NotDone,
    /// Nobody knows.
    Unknown,
}

/// An instance as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The current generation.
    pub execution: String,
    /// Its state.
    pub status: Status,
    /// Its input.
    pub input: String,
    /// Its output.
    pub output: Option<String>,
}

/// An entity as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityView {
    /// Its state.
    pub state: Option<String>,
    /// The orchestration that holds its lock.
    pub locked_by: Option<String>,
    /// Operations that no worker has been given yet.
    pub backlog: u32,
}

/// What a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What ids begin with.
    pub prefix: String,
    /// States; all of them if empty.
    pub statuses: Vec<Status>,
    /// Whether it is about entities that have a state, not about instances.
    pub entities: bool,
}

/// What a query finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its place in the order, before the id: when an instance was created.
    pub at: Timestamp,
    /// When an instance ended.
    pub ended: Option<Timestamp>,
    /// An instance's view.
    pub view: Option<View>,
    /// An entity's state.
    pub state: Option<String>,
}

impl Request {
    /// The instance it is about.
    #[must_use]
    pub fn instance(&self) -> &str {
        match self {
            Self::Start { instance, .. }
            | Self::Raise { instance, .. }
            | Self::Suspend { instance }
            | Self::Resume { instance }
            | Self::Terminate { instance, .. }
            | Self::Force { instance }
            | Self::Purge { instance }
            | Self::Restart { instance, .. }
            | Self::Rewind { instance, .. }
            | Self::Signal {
                entity: instance, ..
            } => instance,
        }
    }
}

/// The line in the trace; histories appear by their length and their digest.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read {
                instance,
                execution,
                history,
            } => write!(f, "Read {instance} {execution} {}", Summary(history)),
            Self::TurnOut {
                delivery,
                instance,
                execution,
                past,
                new,
            } => write!(
                f,
                "TurnOut {delivery} {instance} {execution} past {} new {}",
                Summary(past),
                Summary(new)
            ),
            _ => write!(f, "{self:?}"),
        }
    }
}

struct Summary<'a>(&'a [Entry]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for entry in self.0 {
            hash.update(&(entry.raw.len() as u64).to_le_bytes());
            hash.update(&entry.raw);
        }
        write!(f, "{}:{:016x}", self.0.len(), hash.digest())
    }
}
