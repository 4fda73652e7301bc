//! What must hold of every instance and entity after every command. Each has an id and a row in `docs/invariants.md`.

use crate::entity::{Entity, Queued};
use crate::instance::{Hold, InboxKind, Instance, Status};

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} is broken: {rule}")]
pub struct Violation {
    /// Id, as in `docs/invariants.md`.
    pub id: &'static str,
    /// What should hold.
    pub rule: &'static str,
}

/// Checks one entity.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check_entity(entity: &Entity) -> Result<(), Violation> {
    let rules: [(&'static str, &'static str, bool); 3] = [
        (
            "INV-10",
            "a free entity is not kept from whoever is next in its queue",
            entity.lock.is_some() || !matches!(entity.queue.front(), Some(Queued::Lock(_))),
        ),
        (
            "INV-11",
            "only the owner of a lock has a lane of its own",
            entity.lock.is_some() || entity.owner_lane.is_empty(),
        ),
        (
            "INV-12",
            "numbers of scheduled operations were given out",
            entity
                .scheduled
                .keys()
                .next_back()
                .is_none_or(|seq| *seq <= entity.last_seq),
        ),
    ];
    match rules.into_iter().find(|(_, _, holds)| !holds) {
        Some((id, rule, _)) => Err(Violation { id, rule }),
        None => Ok(()),
    }
}

/// Checks one instance.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(instance: &Instance) -> Result<(), Violation> {
    let terminal = instance.status.is_terminal();
    let first = instance.inbox.front().map(|message| message.kind);
    let starts = instance
        .inbox
        .iter()
        .filter(|message| message.kind == InboxKind::Started)
        .count();
    let highest = [
        instance.activities.keys().next_back(),
        instance.timers.keys().next_back(),
        instance.children.keys().next_back(),
    ];
    let mut sections = instance.locks.values();
    let postpones = sections.any(|locks| locks.hold == Hold::Postponed);
    let tail_bytes: u64 = instance
        .history
        .tail
        .iter()
        .map(|run| run.len() as u64)
        .sum();
    let rules: [(&'static str, &'static str, bool); 11] = [
        (
            "INV-1",
            "an instance has a completion time exactly if it has ended",
            terminal == instance.completed_at.is_some(),
        ),
        (
            "INV-2",
            "an ended instance has no messages, timers or children",
            !terminal
                || (instance.inbox.is_empty()
                    && instance.timers.is_empty()
                    && instance.children.is_empty()),
        ),
        (
            "INV-13",
            "an ended instance holds and wants no entity locks",
            !terminal || instance.locks.is_empty(),
        ),
        (
            "INV-14",
            "a live, rewound instance alone is kicked; it alone gets locks back, and asks for others after that",
            (!instance.kicked || (instance.rewound && !terminal))
                && (!instance.regains_locks() || instance.kicked)
                && (!postpones || instance.regains_locks()),
        ),
        (
            "INV-3",
            "a pending instance has no history and begins with ExecutionStarted",
            instance.status != Status::Pending
                || (instance.history.events == 0 && first == Some(InboxKind::Started)),
        ),
        (
            "INV-4",
            "ExecutionStarted is first in the inbox, and there exactly while the generation has no history",
            terminal
                || (starts == usize::from(instance.history.events == 0)
                    && (starts == 0 || first == Some(InboxKind::Started))),
        ),
        (
            "INV-5",
            "targeted messages are for the current execution",
            instance.inbox.iter().all(|message| {
                message
                    .execution
                    .as_ref()
                    .is_none_or(|it| *it == instance.execution)
            }),
        ),
        (
            "INV-6",
            "numbers of activities, timers and children were given out",
            highest
                .into_iter()
                .flatten()
                .all(|seq| *seq <= instance.last_seq),
        ),
        (
            "INV-7",
            "the tail is part of the history",
            tail_bytes <= instance.history.bytes
                && (instance.history.sealed > 0 || tail_bytes == instance.history.bytes),
        ),
        (
            "INV-8",
            "output and failure come with the end",
            terminal || (instance.output.is_none() && instance.failure.is_none()),
        ),
        (
            "INV-9",
            "time does not go back: created, then updated, then nothing later than that",
            instance.created_at <= instance.updated_at
                && instance
                    .completed_at
                    .is_none_or(|completed| completed <= instance.updated_at),
        ),
    ];
    match rules.into_iter().find(|(_, _, holds)| !holds) {
        Some((id, rule, _)) => Err(Violation { id, rule }),
        None => Ok(()),
    }
}
