//! How much waits for one instance, and whether a client may add to it.
//!
//! Looked at when a command goes into an entry, not when it is applied: a limit is the operator's, and may differ from
//! node to node, while every replica must apply the same entry to the same effect.

use longhaul_engine::entity::{Entity, Queued};
use longhaul_engine::instance::{InboxKind, Instance};
use longhaul_engine::{Command, InstanceKey, TableFault, Tables};

use crate::errors::ProposeError;

/// Clients' events and signals that were proposed and are not yet applied.
#[derive(Default)]
pub(crate) struct Unapplied {
    /// Each with the number of its entry.
    commands: Vec<(u64, InstanceKey)>,
}

impl Unapplied {
    /// Forgets the commands of entries that are over.
    pub(crate) fn retain(&mut self, is_under_way: impl Fn(u64) -> bool) {
        self.commands.retain(|(entry, _)| is_under_way(*entry));
    }

    /// Whether `command` fits; if it does, it counts as a part of `entry` from now on.
    ///
    /// # Errors
    /// [`ProposeError::Full`]. Storage that cannot be read refuses nothing: whoever applies the command will say so.
    pub(crate) fn admit(
        &mut self,
        tables: &mut dyn Tables,
        entry: u64,
        command: &Command,
        max: usize,
    ) -> Result<(), ProposeError> {
        let command = match command {
            // What took effect already adds nothing.
            Command::Once { request, .. } if tables.partition().requests.contains(*request) => {
                return Ok(());
            }
            Command::Once { command, .. } => command,
            command => command,
        };
        let (Command::RaiseEvent { key, .. } | Command::SignalEntity { key, .. }) = command else {
            return Ok(());
        };
        let under_way = || {
            self.commands
                .iter()
                .filter(|(_, other)| other == key)
                .count()
        };
        let stored = stored(tables, command, max.saturating_sub(self.commands.len()));
        let pending = match stored {
            Ok(Some(stored)) => stored + under_way(),
            Ok(None) | Err(_) => 0,
        };
        if pending >= max {
            return Err(ProposeError::Full { pending, max });
        }
        self.commands.push((entry, key.clone()));
        Ok(())
    }
}

/// What waits already; `None` if that is certainly below `enough`, or if the command changes nothing.
fn stored(
    tables: &mut dyn Tables,
    command: &Command,
    enough: usize,
) -> Result<Option<usize>, TableFault> {
    Ok(match command {
        Command::RaiseEvent { key, .. } => tables
            .instance(key)?
            .filter(|it| !it.status.is_terminal() && it.inbox.len() >= enough)
            .map(events),
        Command::SignalEntity {
            key, request_id, ..
        } => tables
            .entity(key)?
            .filter(|it| it.queue.len() + it.owner_lane.len() + it.scheduled.len() >= enough)
            .filter(|it| {
                !it.recent
                    .iter()
                    .any(|known| known.request_id == *request_id)
            })
            .map(operations),
        _ => None,
    })
}

/// Raised events; results of what the orchestration itself began do not count.
fn events(instance: &Instance) -> usize {
    let inbox = instance.inbox.iter();
    inbox
        .filter(|it| it.kind == InboxKind::Other && it.execution.is_none())
        .count()
}

/// Operations, due or not.
fn operations(entity: &Entity) -> usize {
    let queued = entity.queue.iter();
    let queued = queued
        .filter(|it| matches!(it, Queued::Operation(_)))
        .count();
    queued + entity.owner_lane.len() + entity.scheduled.len()
}
