//! Follows one replica through the roles it takes: tells its owner, and keeps the library's clock
//! running only where there is somebody to hear from.

use std::time::Duration;

use futures::FutureExt;
use openraft::{
    ServerState, async_runtime::WatchReceiver, impls::ProgressResponder, metrics::RaftServerMetrics,
};
use tokio::{
    sync::watch,
    task::coop,
    time::{self, MissedTickBehavior},
};

use crate::{
    divergence::Check,
    fault::{Faults, GroupFault},
    guard::Guard,
    log_store::LogStore,
    network::Attachment,
    solo::Solo,
    state_machine::MachineProgress,
    types::{Content, LeaderTerm, NodeId, Raft, TypeConfig},
};

/// How often a replica looks whether its log moves.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Who leads a group, as this replica knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest term.
    pub term: u64,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
    /// Whether this replica leads, and its machine has applied everything from before its term. No
    /// other replica or process has led or will lead in this term.
    pub is_leader: bool,
}

/// The job behind a running replica; ends with it.
pub(crate) struct Follow {
    pub(crate) node: NodeId,
    pub(crate) raft: Raft,
    pub(crate) machine: watch::Receiver<MachineProgress>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) solo: Solo,
    pub(crate) faults: Faults,
    /// True, or closed, when the replica is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) attachment: Attachment,
    pub(crate) log: LogStore,
    pub(crate) guard: Guard,
    pub(crate) checks: watch::Receiver<Option<Check>>,
    /// The term in which this replica led until its log did not move any more.
    pub(crate) given_up: Option<u64>,
}

impl Follow {
    pub(crate) async fn run(mut self) {
        let mut server = self.raft.server_metrics();
        let mut faulty = self.faults.watch();
        let mut looks = time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let seen = server.borrow_watched().clone();
            let alone = self.is_alone(&seen);
            self.heed_the_log(&seen, alone);
            self.keep_time(&seen, alone).await;
            self.publish(&seen);
            let mut finished_stretch = false;
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => break,
                _ = faulty.wait_for(|faulty| *faulty) => break,
                changed = WatchReceiver::changed(&mut server) => if changed.is_err() { break },
                changed = self.machine.changed() => if changed.is_err() { break },
                changed = self.checks.changed() => match changed {
                    Ok(()) => finished_stretch = true,
                    Err(_) => break,
                },
                _ = looks.tick(), if !alone => {}
            }
            if finished_stretch {
                self.propose_check(alone);
            }
        }
        self.solo.follow();
        let asked = *self.stop.borrow() || self.stop.has_changed().is_err();
        if !asked && !*faulty.borrow() {
            self.report_end().await;
        }
        drop(self.attachment);
        // The core may have ended already, by a panic even; that was reported.
        drop(self.raft.shutdown().await);
        self.leadership
            .send_if_modified(|leadership| std::mem::replace(&mut leadership.is_leader, false));
    }

    fn is_alone(&self, seen: &RaftServerMetrics<TypeConfig>) -> bool {
        let membership = seen.membership_config.membership();
        membership.nodes().all(|(node, ())| *node == self.node)
    }

    fn may_stand(&self) -> bool {
        let last = self.raft.data_metrics().borrow_watched().last_log;
        self.guard.may_stand(last.as_ref())
    }

    /// A node whose log hangs acknowledges nothing, but its heartbeats would keep others from leading.
    /// So it gives the term up: hands over, if somebody takes it, and falls silent in any case.
    fn heed_the_log(&mut self, seen: &RaftServerMetrics<TypeConfig>, alone: bool) {
        self.guard.set_stalled(!alone && self.log.is_stalled());
        let term = seen.vote.leader_id().term;
        let leads = seen.state == ServerState::Leader;
        if leads
            && self.guard.is_stalled()
            && self.given_up != Some(term)
            && let Some(successor) = self.successor(seen)
        {
            self.given_up = Some(term);
            // Without room for the request, silence has to do.
            let transfer = self.raft.trigger();
            let transfer = transfer.transfer_leader(successor);
            drop(coop::unconstrained(transfer).now_or_never());
        }
        let silent = leads && self.given_up == Some(term);
        let runtime = self.raft.runtime_config();
        runtime.heartbeat(!silent);
        runtime.elect(self.may_stand());
    }

    /// The other voter that has most.
    fn successor(&self, seen: &RaftServerMetrics<TypeConfig>) -> Option<NodeId> {
        let data = self.raft.data_metrics().borrow_watched().clone();
        let matched = |node: &NodeId| data.replication.as_ref()?.get(node).copied().flatten();
        let others = seen.membership_config.voter_ids();
        others
            .filter(|node| *node != self.node)
            .max_by_key(|node| matched(node))
    }

    /// A replica that is the whole group needs no heartbeats, and nobody's silence makes it a leader.
    async fn keep_time(&self, seen: &RaftServerMetrics<TypeConfig>, alone: bool) {
        self.raft.runtime_config().tick(!alone);
        let mut voters = seen.membership_config.voter_ids();
        let is_voter = voters.any(|voter| voter == self.node);
        if alone && is_voter && seen.state == ServerState::Follower && self.may_stand() {
            // A stopped core is noticed by `run`.
            drop(self.raft.trigger().elect(false).await);
        }
    }

    /// Lets the others compare what they made of a stretch of the log with what was made of it here.
    fn propose_check(&mut self, alone: bool) {
        let Leadership {
            term, is_leader, ..
        } = *self.leadership.borrow();
        let check = *self.checks.borrow_and_update();
        if let Some(check) = check
            && is_leader
            && !alone
        {
            let (responder, _answer) = ProgressResponder::complete_only();
            let raft = self.raft.clone();
            let submission = async move {
                let write = raft.write(Content::Check(check));
                let write = write.with_leader(LeaderTerm::new(term));
                write.responder(responder).await
            };
            // The next one will do if there is no room for this one.
            drop(coop::unconstrained(submission).now_or_never());
        }
    }

    fn publish(&self, seen: &RaftServerMetrics<TypeConfig>) {
        let term = seen.vote.leader_id().term;
        let elected = seen.state == ServerState::Leader;
        let given_up = self.given_up == Some(term);
        let next = Leadership {
            term,
            leader: seen
                .current_leader
                .filter(|leader| *leader != self.node || !given_up),
            is_leader: elected
                && !given_up
                && self
                    .machine
                    .borrow()
                    .applied
                    .is_some_and(|applied| applied.term == term),
        };
        if next.is_leader {
            self.solo
                .lead(self.node, seen.vote, &seen.membership_config);
        } else {
            self.solo.follow();
        }
        self.leadership.send_if_modified(|current| {
            let modified = *current != next;
            *current = next;
            modified
        });
    }

    /// Says why the core ended, if none of our own parts is the reason.
    async fn report_end(&self) {
        /// The core publishes its error just after its channels close.
        const PATIENCE: Duration = Duration::from_secs(1);
        let stopped = self
            .raft
            .wait(Some(PATIENCE))
            .metrics(|seen| seen.running_state.is_err(), "stopped")
            .await;
        let reason = match stopped {
            Ok(metrics) => metrics
                .running_state
                .err()
                .map_or_else(String::new, |fatal| fatal.to_string()),
            Err(gone) => gone.to_string(),
        };
        self.faults.report(GroupFault::Consensus(reason));
    }
}
