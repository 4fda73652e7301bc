//! Puts waiting commands into log entries: no linger, few entries in flight, so that a batch grows only while the log
//! is busy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use longhaul_engine::Command;
use longhaul_engine::command::{Batch, StateChange};
use longhaul_engine::message::{ChildEnd, Message, MessageBody};
use longhaul_replication::Group;
use longhaul_storage::records::encode_batch;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backlog::Unapplied;
use crate::core::{Caller, Core, Shared};
use crate::errors::ProposeError;

/// Bytes that a command or message takes in an entry beside its payloads, about.
const REST: usize = 200;

/// Commands waiting for an entry.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    grown: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    commands: VecDeque<(Command, usize, Option<Caller>)>,
    bytes: usize,
}

impl Queue {
    /// Lets a command wait; one that starts new work is refused when too much is waiting already.
    pub(crate) fn push(
        &self,
        command: Command,
        caller: Option<Caller>,
        bytes_max: usize,
    ) -> Result<(), ProposeError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(ProposeError::NotApplied("the partition is stopping"));
        }
        let bytes = weight(&command);
        let starts_work = starts_work(&command);
        let mut waiting = self.waiting.lock();
        if waiting.bytes + bytes > bytes_max && starts_work && waiting.bytes > 0 {
            return Err(ProposeError::Overloaded);
        }
        waiting.bytes += bytes;
        waiting.commands.push_back((command, bytes, caller));
        drop(waiting);
        self.grown.notify_one();
        Ok(())
    }

    fn take(&self, commands_max: usize, bytes_max: usize) -> (Vec<Command>, Vec<Option<Caller>>) {
        let mut waiting = self.waiting.lock();
        let mut taken = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while taken.0.len() < commands_max && bytes < bytes_max {
            let Some((command, size, caller)) = waiting.commands.pop_front() else {
                break;
            };
            bytes += size;
            taken.0.push(command);
            taken.1.push(caller);
        }
        waiting.bytes -= bytes;
        taken
    }

    /// Refuses everything from now on, and everything that waits.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (_, _, caller) in waiting.commands {
            refuse(
                caller,
                ProposeError::NotApplied("the partition is stopping"),
            );
        }
        self.grown.notify_one();
    }
}

fn starts_work(command: &Command) -> bool {
    match command {
        Command::Once { command, .. } => starts_work(command),
        Command::CreateInstance(_) | Command::SignalEntity { .. } => true,
        _ => false,
    }
}

/// Bytes that a command takes in an entry, about: its payloads and a little for the rest.
fn weight(command: &Command) -> usize {
    let payloads = match command {
        Command::CreateInstance(create) => create.creation.input.as_ref().map_or(0, Bytes::len),
        Command::RaiseEvent { event, .. } | Command::CompleteActivity { event, .. } => event.len(),
        Command::Suspend { reason, .. } | Command::Resume { reason, .. } => {
            reason.as_ref().map_or(0, Bytes::len)
        }
        Command::Terminate { output, .. } => output.as_ref().map_or(0, Bytes::len),
        // What children are given stands in the facts as well.
        Command::CompleteTurn(turn) => 2 * turn.facts.len(),
        Command::FireTimers(timers) => timers.len() * REST,
        Command::Deliver { messages, .. } => messages.iter().map(message_weight).sum(),
        Command::Rewind { reason, .. } | Command::ForceTerminate { reason, .. } => {
            reason.as_ref().map_or(0, Bytes::len)
        }
        Command::SignalEntity { event, .. } => event.len(),
        Command::CompleteBatch(batch) => {
            let state = match &batch.state {
                StateChange::Set(Some(state)) => state.len(),
                StateChange::Set(None) | StateChange::Keep => 0,
            };
            let answers: usize = batch.answers.iter().map(Bytes::len).sum();
            state + answers + batch.messages.iter().map(message_weight).sum::<usize>()
        }
        Command::Purge { targets } => targets.len() * REST,
        Command::Remove { keys } | Command::ExpireEntities(keys) => keys.len() * REST,
        Command::ReleaseOperations(operations) => operations.len() * REST,
        Command::Once { command, .. } => weight(command),
        Command::AckOutbox { .. } | Command::Restart { .. } => 0,
    };
    REST + payloads
}

fn message_weight(message: &Message) -> usize {
    let payload = match &message.body {
        MessageBody::Start(creation) => creation.input.as_ref().map_or(0, Bytes::len),
        MessageBody::Event(event) => event.len(),
        MessageBody::ChildEnded {
            end: ChildEnd::Completed(result),
            ..
        } => result.as_ref().map_or(0, Bytes::len),
        MessageBody::ChildEnded {
            end: ChildEnd::Failed(failure),
            ..
        } => failure.len(),
        MessageBody::Terminate { output, .. } => output.as_ref().map_or(0, Bytes::len),
        MessageBody::Rewind(child) => child.creation.input.as_ref().map_or(0, Bytes::len),
        MessageBody::Operation { operation, .. } => operation.event.len(),
        MessageBody::Answer { event, .. } => event.len(),
        MessageBody::Lock(_) | MessageBody::Unlock { .. } | MessageBody::LockGranted(_) => 0,
    };
    REST + payload
}

fn refuse(caller: Option<Caller>, error: ProposeError) {
    if let Some(caller) = caller {
        // A caller that has gone in the meantime needs no answer.
        drop(caller.send(Err(error)));
    }
}

/// Proposes until the queue is closed.
pub(crate) async fn run(shared: Arc<Shared>, group: Group) {
    let mut in_flight = FuturesUnordered::new();
    let mut unapplied = Unapplied::default();
    let mut number = 0;
    loop {
        while in_flight.len() < shared.config.entries_in_flight_max {
            let (commands, callers) = shared.queue.take(
                shared.config.entry_commands_max,
                shared.config.entry_bytes_max,
            );
            if commands.is_empty() {
                break;
            }
            number += 1;
            let entry = Entry {
                number,
                commands,
                callers,
            };
            in_flight.extend(propose(&shared, &group, entry, &mut unapplied));
        }
        if shared.queue.closed.load(Ordering::Acquire) && in_flight.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            Some((number, outcome)) = in_flight.next() => finish(&shared, number, outcome),
            () = shared.queue.grown.notified() => {}
        }
    }
}

type Proposed = (u64, Result<(), longhaul_replication::ProposeError>);

/// Commands that go into the log together.
struct Entry {
    number: u64,
    commands: Vec<Command>,
    /// One for each command.
    callers: Vec<Option<Caller>>,
}

fn propose(
    shared: &Shared,
    group: &Group,
    entry: Entry,
    unapplied: &mut Unapplied,
) -> Option<impl Future<Output = Proposed> + use<>> {
    let mut refused = Vec::new();
    let (term, number, commands) = {
        let mut core = shared.core.lock();
        let Some(term) = core.leader.as_ref().map(|leader| leader.term) else {
            drop(core);
            let leader = group.leadership().borrow().leader;
            for caller in entry.callers {
                refuse(caller, ProposeError::NotLeader { leader });
            }
            return None;
        };
        let max = shared.config.pending_events_max;
        let entry = fitting(&mut core, entry, unapplied, max, &mut refused);
        if !entry.commands.is_empty() {
            core.calls.insert(entry.number, entry.callers);
        }
        (term, entry.number, entry.commands)
    };
    for (caller, error) in refused {
        refuse(caller, error);
    }
    if commands.is_empty() {
        return None;
    }
    let batch = Batch {
        at: shared.clock.now(),
        proposer: shared.proposer,
        number,
        commands,
    };
    let proposal = group.propose(term, encode_batch(&batch));
    Some(async move { (number, proposal.await.map(drop)) })
}

/// The entry without what would make too much wait for an instance.
fn fitting(
    core: &mut Core,
    entry: Entry,
    unapplied: &mut Unapplied,
    max: usize,
    refused: &mut Vec<(Option<Caller>, ProposeError)>,
) -> Entry {
    unapplied.retain(|number| core.calls.contains_key(&number));
    let mut fitting = Entry {
        number: entry.number,
        commands: Vec::with_capacity(entry.commands.len()),
        callers: Vec::with_capacity(entry.callers.len()),
    };
    for (command, caller) in entry.commands.into_iter().zip(entry.callers) {
        match unapplied.admit(&mut core.tables, entry.number, &command, max) {
            Ok(()) => {
                fitting.commands.push(command);
                fitting.callers.push(caller);
            }
            Err(error) => refused.push((caller, error)),
        }
    }
    fitting
}

/// Applied entries were answered when they were applied; the others are answered here.
fn finish(shared: &Shared, number: u64, outcome: Result<(), longhaul_replication::ProposeError>) {
    use longhaul_replication::ProposeError as Failure;
    let callers = shared.core.lock().calls.remove(&number);
    let error = match outcome {
        Ok(()) => return,
        Err(Failure::NotLeader { leader }) => ProposeError::NotLeader { leader },
        Err(Failure::RetryHere) => {
            ProposeError::NotApplied("the partition accepts nothing for a moment")
        }
        Err(Failure::Stopped(_)) => ProposeError::NotApplied("the partition has stopped"),
        Err(Failure::Unknown) => {
            ProposeError::Unknown("leadership was lost with the command on its way")
        }
    };
    for caller in callers.into_iter().flatten() {
        refuse(caller, error.clone());
    }
}
