//! What runs beside a replica for as long as it is hosted: most of it has something to do only where it leads.

use std::sync::Arc;
use std::time::Duration;

use longhaul_replication::Leadership;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::checkpoint;
use crate::core::Core;
use crate::dispatch::{Dispatcher, Patience};
use crate::leader::{Leader, Wakes};
use crate::outbox::{self, Courier};
use crate::partition::{OVERDUE_INTERVAL, Partition};
use crate::proposer;

/// Durable timers proposed in one command.
const TIMERS_PER_COMMAND_MAX: usize = 256;

/// Longest sleep, so that a clock that was set does not leave a timer waiting.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// How long commands on their way may take to come out when a replica stops. Those of a leader without a majority do
/// not come out at all.
const LAST_COMMANDS_PATIENCE: Duration = Duration::from_secs(2);

/// The jobs of one replica.
pub(crate) struct Jobs {
    /// Ends when the queue is closed and what was proposed has an outcome.
    proposer: JoinHandle<()>,
    /// Ends between two checkpoints, once told so.
    checkpoints: JoinHandle<()>,
    end_checkpoints: watch::Sender<bool>,
    /// Ended by force.
    others: Vec<JoinHandle<()>>,
}

/// Whether a replica that stops writes a checkpoint first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastCheckpoint {
    /// Yes: it is going to be started again.
    Write,
    /// No: its data is about to go.
    Skip,
}

impl Jobs {
    /// Starts what a replica needs beside it; `leadership` is told who leads once the jobs have followed suit.
    pub(crate) fn spawn(
        partition: &Partition,
        courier: &Arc<dyn Courier>,
        leadership: watch::Sender<Leadership>,
    ) -> Self {
        let Partition { shared, group } = partition.clone();
        let (end_checkpoints, checkpoints_end) = watch::channel(false);
        let mut others = vec![
            tokio::spawn(follow_leadership(partition.clone(), leadership)),
            tokio::spawn(run_timers(partition.clone())),
            tokio::spawn(take_back_overdue(partition.clone())),
        ];
        for target in shared.outbox_changed.keys() {
            others.push(tokio::spawn(outbox::run(
                shared.clone(),
                *target,
                courier.clone(),
            )));
        }
        Self {
            proposer: tokio::spawn(proposer::run(shared.clone(), group.clone())),
            checkpoints: tokio::spawn(checkpoint::run(shared, group, checkpoints_end)),
            end_checkpoints,
            others,
        }
    }

    /// Takes no more commands, finishes those on their way, and stops the replica. Nobody is served by it any more.
    pub(crate) async fn stop(self, partition: &Partition, last: LastCheckpoint) {
        let Partition { shared, group } = partition;
        shared.queue.close();
        let mut proposer = self.proposer;
        let proposed = tokio::time::timeout(LAST_COMMANDS_PATIENCE, &mut proposer).await;
        for job in &self.others {
            job.abort();
        }
        // Only then have they let go of the partition.
        for job in self.others {
            drop(job.await);
        }
        self.end_checkpoints.send_replace(true);
        drop(self.checkpoints.await);
        if last == LastCheckpoint::Write && partition.checkpoint().await.is_err() {
            tracing::warn!(partition = %shared.id, "stopped without a last checkpoint; the log has it all");
        }
        group.stop().await;
        if proposed.is_err() {
            // What it waited for has an outcome now.
            drop(proposer.await);
        }
        let (leader, calls) = {
            let mut core = shared.core.lock();
            (core.leader.take(), std::mem::take(&mut core.calls))
        };
        if let Some(mut leader) = leader {
            leader.dispatcher.release_all();
        }
        drop(calls);
    }
}

/// Builds the leader's soft state when leadership begins, and drops it when it ends.
async fn follow_leadership(partition: Partition, tell: watch::Sender<Leadership>) {
    let shared = &partition.shared;
    let mut leadership = partition.group.leadership();
    loop {
        let now = *leadership.borrow_and_update();
        let mut wakes = Wakes::default();
        let outcome = {
            let mut core = shared.core.lock();
            let Core { tables, leader, .. } = &mut *core;
            if leader
                .as_ref()
                .is_some_and(|it| !now.is_leader || it.term != now.term)
            {
                leader.take().expect("just seen").dispatcher.release_all();
            }
            if now.is_leader && leader.is_none() {
                Leader::rebuild(
                    now.term,
                    Dispatcher::new(
                        shared.id,
                        shared.ready.clone(),
                        shared.tokens.clone(),
                        Patience::of(&shared.config),
                    ),
                    tables,
                    shared.clock.now(),
                    &mut wakes,
                )
                .map(|rebuilt| *leader = Some(rebuilt))
            } else {
                Ok(())
            }
        };
        if let Err(fault) = outcome {
            (shared.on_fault)(shared.id, fault);
            return;
        }
        shared.wake(wakes);
        if now.is_leader && !tell.borrow().is_leader {
            tracing::debug!(partition = %shared.id, term = now.term, "leading");
        }
        tell.send_if_modified(|told| std::mem::replace(told, now) != now);
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// Fires timers and ends delays when they are due, never before.
async fn run_timers(partition: Partition) {
    let shared = &partition.shared;
    loop {
        let now = shared.clock.now();
        let due = shared.with_leader(|leader, tables, wakes| {
            let due = leader.take_due(tables, now, TIMERS_PER_COMMAND_MAX, wakes)?;
            wakes.timers = false;
            Ok((due.commands(), leader.timers.earliest()))
        });
        let (commands, earliest) = due.unwrap_or_default();
        if commands.is_empty() {
            let sleep = earliest.map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX));
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = shared.timers_changed.notified() => {}
            }
            continue;
        }
        for (command, alarms) in commands {
            let Err(error) = partition.propose(command).await else {
                continue;
            };
            tracing::debug!(partition = %shared.id, %error, "what was due will be tried again");
            // What did happen is found done the next time.
            shared.with_leader(|leader, _, wakes| {
                let again = now + Duration::from_millis(100);
                for alarm in alarms {
                    leader.arm(again, alarm, wakes);
                }
                Ok(())
            });
        }
    }
}

async fn take_back_overdue(partition: Partition) {
    loop {
        tokio::time::sleep(OVERDUE_INTERVAL).await;
        partition.take_back_overdue();
    }
}
