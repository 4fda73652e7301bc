//! A partition as the rest of the node uses it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::command::CompleteTurn;
use longhaul_engine::dispatch::TurnContext;
use longhaul_engine::history::event;
use longhaul_engine::turn::{Answer, decide, fail};
use longhaul_engine::{Command, InstanceKey, InstanceView, Reply, TableFault, Tables, dispatch};
use longhaul_replication::Group;
use longhaul_types::{ExecutionId, PartitionId, Timestamp};
use tokio::sync::oneshot;

use crate::clock::{fresh_execution, fresh_number};
use crate::core::Shared;
use crate::dispatch::{
    AbandonDelay, ActivityLease, ActivityOut, ClaimRequest, Claimed, LeaseId, PartialTooLarge,
    SessionState, Share, TurnLease, WorkKind,
};
use crate::errors::{ProposeError, ReadError};
use crate::settling::Settling;
use crate::waiters::WaitFor;

/// A partition with a replica on this node. Cheap to clone.
#[derive(Clone)]
pub struct Partition {
    pub(crate) shared: Arc<Shared>,
    pub(crate) group: Group,
}

/// The committed history of the current generation.
#[derive(Clone, Debug)]
pub struct CommittedHistory {
    /// The current execution.
    pub execution: ExecutionId,
    /// Framed events, in order (see [`longhaul_engine::history`]).
    pub runs: Vec<Bytes>,
}

/// How an activity ended.
#[derive(Clone, Debug)]
pub enum ActivityResult {
    /// With a result.
    Completed(Option<Bytes>),
    /// With encoded `TaskFailureDetails`.
    Failed(Bytes),
}

impl Partition {
    /// Which partition this is.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.shared.id
    }

    /// Proposes a command and waits until it has been applied here.
    ///
    /// # Errors
    /// [`ProposeError`] says whether the command may have had an effect.
    pub async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let (caller, answer) = oneshot::channel();
        self.shared
            .queue
            .push(command, Some(caller), self.shared.config.queue_bytes_max)?;
        answer.await.unwrap_or(Err(ProposeError::Unknown(
            "the partition stopped with the command on its way",
        )))
    }

    pub(crate) async fn barrier(&self) -> Result<(), ReadError> {
        use longhaul_replication::ReadError as Failure;
        self.group
            .read_barrier()
            .await
            .map_err(|error| match error {
                Failure::NotLeader { leader } => ReadError::NotLeader { leader },
                Failure::RetryHere => ReadError::Unavailable("leadership could not be confirmed"),
                Failure::Stopped(_) => ReadError::Unavailable("the partition has stopped"),
            })
    }

    /// Makes sure that this replica leads. A delivery that it did not know before is over then: had another one led
    /// since, everything that was out would be out anew.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] or [`ProposeError::NotApplied`]: whoever leads may know the delivery.
    pub async fn confirm(&self) -> Result<(), ProposeError> {
        self.barrier().await.map_err(|error| match error {
            ReadError::NotLeader { leader } => ProposeError::NotLeader { leader },
            ReadError::Unavailable(why) => ProposeError::NotApplied(why),
            ReadError::Fault(_) => ProposeError::NotApplied("the partition's storage is broken"),
        })
    }

    /// Whether an item is out under this delivery, as far as this replica knows: see [`Partition::confirm`].
    #[must_use]
    pub fn knows(&self, delivery: LeaseId) -> bool {
        let known = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.lease_mut(delivery).is_some()));
        known.unwrap_or(false)
    }

    fn not_leading(&self) -> ReadError {
        let leader = self.group.leadership().borrow().leader;
        ReadError::NotLeader { leader }
    }

    /// The instance, including everything acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn view(&self, key: &InstanceKey) -> Result<Option<InstanceView>, ReadError> {
        self.barrier().await?;
        let reading = self.shared.core.lock().tables.read(key);
        Ok(reading.view()?)
    }

    /// The instance's committed history, including everything acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn history(&self, key: &InstanceKey) -> Result<Option<CommittedHistory>, ReadError> {
        self.barrier().await?;
        let mut core = self.shared.core.lock();
        let Some(execution) = core
            .tables
            .instance(key)?
            .map(|instance| instance.execution.clone())
        else {
            return Ok(None);
        };
        let runs = dispatch::committed_history(&mut core.tables, key)?.unwrap_or_default();
        Ok(Some(CommittedHistory { execution, runs }))
    }

    /// Waits, for as long as the caller does, until the instance (which may not exist yet) has begun or ended.
    ///
    /// # Errors
    /// [`ReadError`], also when leadership ends while waiting.
    pub async fn wait(&self, key: &InstanceKey, until: WaitFor) -> Result<InstanceView, ReadError> {
        self.barrier().await?;
        let parked = {
            let mut core = self.shared.core.lock();
            if let Some(instance) = core.tables.instance(key)? {
                let view = InstanceView::of(key, instance);
                if until.is_met_by(view.status) {
                    return Ok(view);
                }
            }
            let leader = core.leader.as_mut().ok_or_else(|| self.not_leading())?;
            leader.waiters.park(key.clone(), until)
        };
        let _sweep = SweepOnDrop {
            partition: self,
            key,
        };
        parked
            .await
            .map_err(|_| ReadError::Unavailable("the partition's leader changed; wait again"))
    }

    /// The turn that is out under a delivery; it counts as being committed for as long as the answer lives.
    #[must_use]
    pub fn turn_lease(&self, lease: LeaseId) -> Option<TurnLease> {
        let context = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.begin_turn(lease)))??;
        Some(TurnLease {
            context,
            settling: Settling::new(self.shared.clone(), lease),
        })
    }

    /// The instance's turn that is out, for workers that do not echo tokens.
    #[must_use]
    pub fn turn_lease_of(&self, key: &InstanceKey) -> Option<TurnLease> {
        let lease = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.turn_out(key)))??;
        self.turn_lease(lease)
    }

    /// The activity that is out under a delivery; it counts as being committed for as long as the answer lives.
    #[must_use]
    pub fn activity_lease(&self, lease: LeaseId) -> Option<ActivityLease> {
        let activity = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.begin_activity(lease)))??;
        Some(ActivityLease {
            activity,
            settling: Settling::new(self.shared.clone(), lease),
        })
    }

    /// The activity that is out, for workers that do not echo tokens; only if there is exactly one it can be.
    #[must_use]
    pub fn activity_lease_of(&self, key: &InstanceKey, task_id: i32) -> Option<ActivityLease> {
        let lease = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.activity_out(key, task_id)))??;
        self.activity_lease(lease)
    }

    /// Keeps a part of a completion for as long as the delivery can be answered.
    ///
    /// # Errors
    /// [`PartialTooLarge`]: all parts so far are forgotten.
    pub fn buffer_partial(
        &self,
        lease: LeaseId,
        index: i32,
        part: Answer,
        bytes: usize,
    ) -> Result<(), PartialTooLarge> {
        let kept = self.shared.with_leader(|leader, _, _| {
            Ok(leader
                .dispatcher
                .lease_mut(lease)
                .map_or(Ok(()), |lease| lease.parts.put(index, part, bytes)))
        });
        kept.unwrap_or(Ok(()))
    }

    /// The parts kept so far as one answer; they stay until the delivery is over.
    #[must_use]
    pub fn partial(&self, lease: LeaseId) -> Option<Answer> {
        self.shared.with_leader(|leader, _, _| {
            Ok(leader
                .dispatcher
                .lease_mut(lease)
                .and_then(|lease| lease.parts.whole()))
        })?
    }

    /// Commits a worker's answer to a turn. An answer that is not wanted any more changes nothing.
    ///
    /// # Errors
    /// [`ProposeError`]: the delivery stands, and the same answer may be sent again.
    pub async fn complete_turn(
        &self,
        lease: TurnLease,
        answer: Answer,
    ) -> Result<(), ProposeError> {
        let randomness = self.shared.randomness.clone();
        let at = self.shared.clock.now();
        let turn = decide(&lease.context, answer, at, &mut || {
            fresh_execution(&*randomness)
        });
        let turn = self.within_limits(&lease.context, turn, at);
        self.propose(Command::CompleteTurn(Box::new(turn))).await?;
        lease.settling.over();
        Ok(())
    }

    /// The turn, or the end of an orchestration whose history would become too long.
    fn within_limits(
        &self,
        context: &TurnContext,
        turn: CompleteTurn,
        at: Timestamp,
    ) -> CompleteTurn {
        let config = &self.shared.config;
        let events = context.history_events + u64::from(turn.consumed) + u64::from(turn.fact_count);
        let bytes = context.history_bytes + turn.facts.len() as u64;
        let grows = turn.ending.is_none();
        let limits = (config.history_events_max, config.history_bytes_max);
        if grows && (events > limits.0 || bytes > limits.1) {
            tracing::warn!(
                partition = %self.id(),
                instance = %context.key.id,
                events,
                bytes,
                "an orchestration failed because its history became too long"
            );
            let message = format!(
                "the history would have {events} events and {bytes} bytes; at most {} events and {} bytes are kept. \
                 Continue as new before that, or raise limits.history_events or limits.history_bytes",
                limits.0, limits.1
            );
            return fail(context, "HistoryTooLong", &message, at);
        }
        if grows && events > limits.0 / 10 && context.history_events <= limits.0 / 10 {
            tracing::warn!(
                partition = %self.id(),
                instance = %context.key.id,
                events,
                "a history has become long; its orchestration should continue as new"
            );
        }
        turn
    }

    /// Commits an activity's result. A result that is not wanted any more changes nothing.
    ///
    /// # Errors
    /// [`ProposeError`]: the delivery stands, and the same result may be sent again.
    pub async fn complete_activity(
        &self,
        lease: ActivityLease,
        result: ActivityResult,
    ) -> Result<(), ProposeError> {
        let at = self.shared.clock.now();
        let ActivityOut {
            key,
            execution,
            seq,
            task_id,
        } = lease.activity;
        let event = match result {
            ActivityResult::Completed(result) => {
                event::task_completed(at, task_id, result.as_deref())
            }
            ActivityResult::Failed(failure) => event::task_failed(at, task_id, &failure),
        };
        self.propose(Command::CompleteActivity {
            key,
            execution,
            seq,
            event,
        })
        .await?;
        lease.settling.over();
        Ok(())
    }

    /// Takes a work item back from its worker. Does nothing if the delivery is over.
    pub fn abandon(&self, lease: LeaseId, delay: AbandonDelay) {
        let now = self.shared.clock.now();
        self.shared.with_leader(|leader, _, wakes| {
            let delayed = leader
                .dispatcher
                .abandon(lease, delay == AbandonDelay::Backoff);
            leader.delay(delayed, now, wakes);
            Ok(())
        });
    }

    /// Hands a stream its share of the items it takes; answers whether anything was left to others.
    pub(crate) fn claim(
        &self,
        session: &Arc<SessionState>,
        kind: WorkKind,
        share: Share,
        out: &mut VecDeque<Claimed>,
    ) -> bool {
        if self.shared.ready.count(kind) == 0 {
            return false;
        }
        let request = ClaimRequest {
            session,
            kind,
            share,
            now: self.shared.clock.now(),
        };
        let mut nonce = || fresh_number(&*self.shared.randomness);
        let claimed = self.shared.with_leader(|leader, tables, _| {
            leader.dispatcher.claim(tables, &request, &mut nonce, out)
        });
        claimed.unwrap_or(false)
    }

    /// Everything out on a stream can be dispatched again.
    pub(crate) fn session_lost(&self, session: u64) {
        let now = self.shared.clock.now();
        self.shared.with_leader(|leader, _, wakes| {
            let delayed = leader.dispatcher.session_lost(session);
            leader.delay(delayed, now, wakes);
            Ok(())
        });
    }

    /// Takes back what has been out for too long: its worker may have lost it without saying so.
    pub(crate) fn take_back_overdue(&self) {
        let now = self.shared.clock.now();
        let max = |kind| self.shared.config.lease_max(kind);
        let overdue = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.overdue(now, max)));
        for (lease, item) in overdue.unwrap_or_default() {
            tracing::warn!(
                partition = %self.id(),
                hub = item.key().hub.0,
                instance = %item.key().id,
                kind = item.kind().name(),
                "a work item was out for too long and is offered again"
            );
            self.abandon(lease, AbandonDelay::Backoff);
        }
    }

    /// A fingerprint of the applied state, to compare processes and replicas. Reads everything, under the lock.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    pub fn state_digest(&self) -> Result<u128, TableFault> {
        self.shared.core.lock().tables.state_digest()
    }

    /// Numbers for people and metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let core = self.shared.core.lock();
        let stats = core.tables.statistics();
        let leader = core.leader.as_ref();
        Figures {
            leads: leader.is_some(),
            resident_instances: stats.resident_instances as u64,
            resident_bytes: stats.resident_bytes as u64,
            queued: leader.map_or(0, |it| it.dispatcher.queued() as u64),
            parked: leader.map_or([0; 3], |it| it.dispatcher.parked()),
            timers: leader.map_or(0, |it| it.timers.len() as u64),
            waiters: leader.map_or(0, |it| it.waiters.len() as u64),
            outboxes: leader.map_or(0, |it| it.outbox.len() as u64),
        }
    }
}

/// Numbers for people and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Whether this replica leads.
    pub leads: bool,
    /// Instances in memory.
    pub resident_instances: u64,
    /// Their size, about.
    pub resident_bytes: u64,
    /// Work items waiting for a worker.
    pub queued: u64,
    /// Work items that workers failed to complete too often, by [`WorkKind`].
    pub parked: [u64; 3],
    /// Timers and delays armed.
    pub timers: u64,
    /// Parked callers.
    pub waiters: u64,
    /// Partitions that messages wait to be shipped to.
    pub outboxes: u64,
}

/// Forgets a parked caller that gives up.
struct SweepOnDrop<'a> {
    partition: &'a Partition,
    key: &'a InstanceKey,
}

impl Drop for SweepOnDrop<'_> {
    fn drop(&mut self) {
        // Called while `parked` is closed or about to be; whoever is left is swept with the next caller.
        self.partition.shared.with_leader(|leader, _, _| {
            leader.waiters.sweep_key(self.key);
            Ok(())
        });
    }
}

/// How often overdue work items are looked for.
pub(crate) const OVERDUE_INTERVAL: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
