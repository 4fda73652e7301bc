//! Follows one replica through the roles it takes: tells its owner, and keeps the library's clock
//! running only where there is somebody to hear from.

use std::time::Duration;

use openraft::{ServerState, async_runtime::WatchReceiver, metrics::RaftServerMetrics};
use tokio::sync::watch;

use crate::{
    fault::{Faults, GroupFault},
    network::Attachment,
    solo::Solo,
    state_machine::MachineProgress,
    types::{NodeId, Raft, TypeConfig},
};

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
}

impl Follow {
    pub(crate) async fn run(mut self) {
        let mut server = self.raft.server_metrics();
        let mut faulty = self.faults.watch();
        loop {
            let seen = server.borrow_watched().clone();
            self.keep_time(&seen).await;
            self.publish(&seen);
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => break,
                _ = faulty.wait_for(|faulty| *faulty) => break,
                changed = WatchReceiver::changed(&mut server) => if changed.is_err() { break },
                changed = self.machine.changed() => if changed.is_err() { break },
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

    /// A replica that is the whole group needs no heartbeats, and nobody's silence makes it a leader.
    async fn keep_time(&self, seen: &RaftServerMetrics<TypeConfig>) {
        let membership = seen.membership_config.membership();
        let alone = membership.nodes().all(|(node, ())| *node == self.node);
        self.raft.runtime_config().tick(!alone);
        let is_voter = membership.voter_ids().any(|voter| voter == self.node);
        if alone && is_voter && seen.state == ServerState::Follower {
            // A stopped core is noticed by `run`.
            drop(self.raft.trigger().elect(false).await);
        }
    }

    fn publish(&self, seen: &RaftServerMetrics<TypeConfig>) {
        let term = seen.vote.leader_id().term;
        let elected = seen.state == ServerState::Leader;
        let next = Leadership {
            term,
            leader: seen.current_leader,
            is_leader: elected
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
