//! What must hold of entities after every single command, whatever it was; numbered as in `docs/invariants.md`.

use std::collections::BTreeSet;

use longhaul_engine::effects::Outcome;
use longhaul_engine::entity::{Operation, Queued};
use longhaul_engine::mem::MemTables;
use longhaul_engine::{Command, Entity, InstanceKey, Reply, invariants};
use longhaul_types::Timestamp;

/// Checks the entities of one partition before and after one command.
pub(super) fn check(before: &MemTables, after: &MemTables, command: &Command, outcome: &Outcome) {
    for (key, entity) in &after.entities {
        if before.entities.get(key) == Some(entity) {
            continue;
        }
        invariants::check_entity(entity).unwrap_or_else(|violation| panic!("{key:?}: {violation}"));
        requests_are_remembered_once(entity);
    }
    for (key, old) in &before.entities {
        let new = after.entities.get(key);
        if new == Some(old) {
            continue;
        }
        // It may have gone and come again.
        let new = new.filter(|new| new.created_at == old.created_at);
        let cause = Cause::of(key, command, outcome);
        state_changes_by_batches_alone(key, old, new, cause);
        if cause != Cause::Purge {
            operations_stay_in_order(key, old, new, cause);
            nothing_is_released_early(key, old, new, after.partition.clock);
        }
        if new.is_none() {
            assert!(old.state.is_none() || cause != Cause::Other, "{key:?}");
        }
    }
}

/// What a command meant for an entity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// So many operations were done.
    Batch(usize),
    Purge,
    Other,
}

impl Cause {
    fn of(key: &InstanceKey, command: &Command, outcome: &Outcome) -> Self {
        match command {
            Command::CompleteBatch(batch) if batch.key == *key && outcome.reply == Reply::Done => {
                Self::Batch(batch.answers.len())
            }
            Command::Purge { targets } if targets.iter().any(|it| it.key == *key) => Self::Purge,
            _ => Self::Other,
        }
    }
}

/// SYS-19, first half: what was done leaves the front; the rest keeps its order, and what is new comes after it.
fn operations_stay_in_order(key: &InstanceKey, old: &Entity, new: Option<&Entity>, cause: Cause) {
    let done = match cause {
        Cause::Batch(done) => done,
        Cause::Purge | Cause::Other => 0,
    };
    let ready: Vec<&Operation> = old.ready_operations().collect();
    assert!(done <= ready.len(), "{key:?}: more was done than was ready");
    let mut waiting = line(old);
    waiting.retain(|it| !ready[..done].iter().any(|done| std::ptr::eq(*it, *done)));
    let mut left = waiting.into_iter().peekable();
    for operation in new.into_iter().flat_map(line) {
        left.next_if(|it| is_same(it, operation));
    }
    assert!(
        left.peek().is_none(),
        "{key:?}: {left:?} was lost, or passed"
    );
}

fn line(entity: &Entity) -> Vec<&Operation> {
    let queue = entity.queue.iter().filter_map(|queued| match queued {
        Queued::Operation(operation) => Some(operation),
        Queued::Lock(_) => None,
    });
    entity.owner_lane.iter().chain(queue).collect()
}

/// A rewound caller asks again: the operation then is for its new execution, in its old place.
fn is_same(one: &Operation, other: &Operation) -> bool {
    let asked_again = match (&one.caller, &other.caller) {
        (Some(one), Some(other)) => one.instance == other.instance,
        _ => false,
    };
    one == other || asked_again && one.request_id == other.request_id
}

/// SYS-19, second half: an operation that is scheduled waits until it is due.
fn nothing_is_released_early(
    key: &InstanceKey,
    old: &Entity,
    new: Option<&Entity>,
    clock: Timestamp,
) {
    for (seq, scheduled) in &old.scheduled {
        let waits = new.is_some_and(|new| new.scheduled.contains_key(seq));
        assert!(waits || scheduled.due <= clock, "{key:?}: {seq} is early");
    }
}

/// SYS-20: nothing touches the state of an entity but a batch that was committed, and a purge.
fn state_changes_by_batches_alone(
    key: &InstanceKey,
    old: &Entity,
    new: Option<&Entity>,
    cause: Cause,
) {
    let state = new.and_then(|new| new.state.as_ref());
    let changes = state != old.state.as_ref();
    assert!(
        !changes || cause != Cause::Other,
        "{key:?}: its state changed"
    );
    if let Some(new) = new {
        let count = new.batches - old.batches;
        assert_eq!(
            count,
            u64::from(cause != Cause::Other),
            "{key:?}: the count of batches is the fence"
        );
    }
}

fn requests_are_remembered_once(entity: &Entity) {
    let ids: BTreeSet<&str> = entity.recent.iter().map(|it| &*it.request_id).collect();
    assert_eq!(ids.len(), entity.recent.len());
    assert!(entity.recent.iter().is_sorted_by_key(|it| it.at));
}
