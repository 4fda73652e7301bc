//! What waits for the writer, in the order in which it was asked for.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::entry::{Entry, GroupId};
use crate::error::WalFault;
use crate::record::{Kind, Record};
use crate::stall::Pulse;
use crate::view::Group;

/// Completes one operation: `Ok` once it is durable. Called from the writer, in the order of the
/// operations.
pub type Done = Box<dyn FnOnce(Result<(), WalFault>) + Send>;

/// What is to be done to a group.
#[derive(Debug)]
pub(crate) enum Op {
    Append(Vec<Entry>),
    Vote(Bytes),
    TruncateAfter(Option<u64>),
    Purge {
        upto: u64,
        id: Bytes,
    },
    Note(Bytes),
    /// Everything goes but these.
    Destroy {
        vote: Option<Bytes>,
        note: Option<Bytes>,
    },
    /// Only takes its place in the order.
    Nothing,
    /// Was refused, and says so in its turn.
    Refuse(WalFault),
}

/// One operation, and what its completion means to its group.
pub(crate) struct Queued {
    pub(crate) group: Arc<Group>,
    pub(crate) op: Op,
    /// The group's epoch when the operation was queued; see [`Group`].
    pub(crate) epoch: u64,
    /// The group is durable up to here once this is done, if the epoch is still the same.
    pub(crate) reaches: Option<u64>,
    pub(crate) done: Option<Done>,
}

impl fmt::Debug for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queued")
            .field("group", &self.group.id)
            .field("op", &self.op)
            .finish_non_exhaustive()
    }
}

impl Queued {
    /// The records this operation writes.
    pub(crate) fn for_each_record<'a>(&'a self, mut visit: impl FnMut(Record<'a>)) {
        let group = self.group.id;
        match &self.op {
            Op::Append(entries) => {
                for Entry {
                    term,
                    index,
                    payload,
                } in entries
                {
                    visit(Record {
                        group,
                        kind: Kind::Append,
                        index: *index,
                        term: *term,
                        payload,
                    });
                }
            }
            Op::Vote(vote) => visit(Record::of_group(group, Kind::Vote, vote)),
            Op::TruncateAfter(Some(index)) => {
                visit(Record {
                    index: *index,
                    ..Record::of_group(group, Kind::TruncateAfter, &[])
                });
            }
            Op::TruncateAfter(None) => visit(Record::of_group(group, Kind::TruncateAll, &[])),
            Op::Purge { upto, id } => visit(Record {
                index: *upto,
                ..Record::of_group(group, Kind::PurgedUpTo, id)
            }),
            Op::Note(note) => visit(Record::of_group(group, Kind::Note, note)),
            Op::Destroy { vote, note } => {
                visit(Record::of_group(group, Kind::GroupDestroyed, &[]));
                for (kind, kept) in [(Kind::Vote, vote), (Kind::Note, note)] {
                    if let Some(kept) = kept {
                        visit(Record::of_group(group, kind, kept));
                    }
                }
            }
            Op::Nothing | Op::Refuse(_) => {}
        }
    }

    /// Bytes of those records.
    fn bytes(&self) -> u64 {
        let mut bytes = 0;
        self.for_each_record(|record| bytes += record.bytes() as u64);
        bytes
    }

    /// Tells the caller. A refused operation fails even if everything else went well.
    pub(crate) fn complete(self, result: Result<(), WalFault>) {
        let result = match self.op {
            Op::Refuse(fault) => Err(fault),
            _ => result,
        };
        if let Some(done) = self.done {
            done(result);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing new is expected, but what comes is still written.
    Closing,
    /// The writer is gone.
    Closed,
}

#[derive(Debug)]
struct Waiting {
    ops: VecDeque<Queued>,
    committed: BTreeMap<GroupId, Bytes>,
    bytes: u64,
    phase: Phase,
    /// The writer has taken operations and is not done with them.
    in_flight: bool,
    /// How often it was.
    completed: u64,
}

/// What the writer takes at once.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) ops: Vec<Queued>,
    /// The latest committed log ids of groups that saved one.
    pub(crate) committed: BTreeMap<GroupId, Bytes>,
    /// No more is expected.
    pub(crate) closing: bool,
}

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.committed.is_empty()
    }
}

/// The queue between callers and the writer. Its length is bounded by what callers keep in flight,
/// which is theirs to limit; see [`crate::Stats::queued_bytes`].
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// `wake` is called after each arrival.
    pub(crate) fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Queue {
        let waiting = Waiting {
            ops: VecDeque::new(),
            committed: BTreeMap::new(),
            bytes: 0,
            phase: Phase::Open,
            in_flight: false,
            completed: 0,
        };
        Queue {
            waiting: Mutex::new(waiting),
            arrived: Condvar::new(),
            wake,
        }
    }

    /// Adds an operation, or gives it back if the log is closed.
    pub(crate) fn push(&self, queued: Queued) -> Result<(), Queued> {
        let mut waiting = lock(&self.waiting);
        if waiting.phase == Phase::Closed {
            return Err(queued);
        }
        if matches!(queued.op, Op::Destroy { .. }) {
            waiting.committed.remove(&queued.group.id);
        }
        waiting.bytes += queued.bytes();
        waiting.ops.push_back(queued);
        drop(waiting);
        self.notify();
        Ok(())
    }

    /// Remembers a committed log id for the next batch, without asking for one.
    pub(crate) fn set_committed(&self, group: GroupId, committed: Bytes) {
        lock(&self.waiting).committed.insert(group, committed);
    }

    /// Takes operations in order, until they are worth `bytes_max` or more. Committed log ids come
    /// along once nothing is left behind them, so that none is written before the entries it speaks
    /// of.
    pub(crate) fn take(&self, bytes_max: u64) -> Taken {
        let mut waiting = lock(&self.waiting);
        let mut taken = Taken {
            closing: waiting.phase != Phase::Open,
            ..Taken::default()
        };
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(queued) = waiting.ops.pop_front()
        {
            bytes += queued.bytes();
            taken.ops.push(queued);
        }
        waiting.bytes -= bytes;
        waiting.in_flight = !taken.ops.is_empty();
        if waiting.ops.is_empty() && (taken.closing || !taken.ops.is_empty()) {
            taken.committed = std::mem::take(&mut waiting.committed);
        }
        taken
    }

    /// The writer is done with what it took.
    pub(crate) fn completed(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.in_flight = false;
        waiting.completed += 1;
    }

    /// Whether the writer has something to do, and how often it was done.
    pub(crate) fn pulse(&self) -> Pulse {
        let waiting = lock(&self.waiting);
        Pulse {
            waiting: waiting.in_flight || !waiting.ops.is_empty(),
            completed: waiting.completed,
        }
    }

    /// Bytes of the records that wait.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.waiting).bytes
    }

    /// Waits until there is something to take, or, at the latest, for `timeout`. Tells whether
    /// there is.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let idle = |waiting: &mut Waiting| waiting.ops.is_empty() && waiting.phase == Phase::Open;
        let waiting = lock(&self.waiting);
        let mut waiting = match timeout {
            Some(timeout) => {
                self.arrived
                    .wait_timeout_while(waiting, timeout, idle)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self
                .arrived
                .wait_while(waiting, idle)
                .unwrap_or_else(PoisonError::into_inner),
        };
        !idle(&mut waiting)
    }

    /// Asks the writer to finish.
    pub(crate) fn close(&self) {
        let mut waiting = lock(&self.waiting);
        if waiting.phase == Phase::Open {
            waiting.phase = Phase::Closing;
            drop(waiting);
            self.notify();
        }
    }

    /// Called by the writer when it is done: refuses everything from now on, unless more arrived
    /// meanwhile.
    pub(crate) fn closed(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.ops.is_empty() {
            waiting.phase = Phase::Closed;
        }
        waiting.phase == Phase::Closed
    }

    fn notify(&self) {
        self.arrived.notify_one();
        (self.wake)();
    }
}

/// Locks, also after a panic elsewhere: every critical section of this crate leaves its value
/// whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
