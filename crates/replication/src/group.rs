//! One replica of a group: propose, read, follow leadership, checkpoint, stop.

mod members;
mod reading;

use std::{
    collections::BTreeSet, error::Error, fmt, future::Future, io, sync::Arc, time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use longhaul_wal::{GroupId, GroupLog};
use openraft::{
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, ForwardReason, ForwardToLeader, InitializeError, RaftError},
    impls::ProgressResponder,
};
use tokio::{
    sync::{Mutex, watch},
    task::coop,
};

pub use self::members::{ChangeError, Membership};
use self::reading::Rounds;
use crate::{
    config::GroupConfig,
    fault::{Faults, OnFault},
    guard::Guard,
    leadership::{Follow, Leadership},
    log_store::LogStore,
    machine::Machine,
    network::{Attached, Matched, Network},
    note::Note,
    solo::Solo,
    state_machine::{MachineProgress, StateMachine},
    types::{Content, LeaderTerm, NodeId, Position, Raft, Runtime, TypeConfig},
};

/// A running replica of a group. Clones are the same replica; it stops with [`Group::stop`], or
/// without a word when the last clone is dropped.
#[derive(Clone)]
pub struct Group(Arc<Replica>);

struct Replica {
    id: GroupId,
    node: NodeId,
    raft: Raft,
    log: LogStore,
    guard: Guard,
    solo: Solo,
    rounds: Rounds,
    machine: watch::Receiver<MachineProgress>,
    leadership: watch::Receiver<Leadership>,
    stop: watch::Sender<bool>,
    election_timeout_max: Duration,
    /// Held by whoever makes a checkpoint.
    checkpoint: Mutex<()>,
}

/// What a replica is started with.
pub struct GroupSetup {
    /// The group.
    pub id: GroupId,
    /// This node.
    pub node: NodeId,
    /// Timing and sizes.
    pub config: GroupConfig,
    /// The group's part of the node's write-ahead log; nobody else may write to it.
    pub log: GroupLog,
    /// The state, as far as storage holds it.
    pub machine: Box<dyn Machine>,
    /// The way to the group's other replicas.
    pub network: Network,
    /// Seed of everything random: the election timeouts.
    pub seed: u64,
    /// Told if the replica ends by itself, even while it starts.
    pub on_fault: OnFault,
}

/// A replica that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that contradict each other.
    #[error("the group's configuration cannot work: {0}")]
    Config(#[source] Box<dyn Error + Send + Sync>),
    /// The state's storage holds something that cannot be there.
    #[error("the stored state is broken: {0}")]
    State(#[source] io::Error),
    /// The state was found to differ from the leader's, in this or an earlier life of the process.
    /// What the node keeps of the replica must be removed; then it is rebuilt from others.
    #[error("the replica must be rebuilt from another one: {0}")]
    Diverged(String),
    /// Log and state do not fit together, or one of them failed while entries were applied again.
    #[error("the replica cannot recover: {0}")]
    Recovery(#[source] Box<dyn Error + Send + Sync>),
}

/// The replica has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica has stopped")]
pub struct Stopped;

/// A proposal without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not applied: this replica does not lead, or not in the term the proposal was made for.
    #[error("another replica leads, or another term has begun")]
    NotLeader {
        /// Who leads, if known. May be this node, in a newer term.
        leader: Option<NodeId>,
    },
    /// Not applied: this replica leads but accepts nothing for a moment, because it has not heard
    /// from a majority or hands leadership over. Retry here.
    #[error("the leader accepts nothing for a moment")]
    RetryHere,
    /// Not applied: the replica had stopped before.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Perhaps applied, now or later: leadership was lost, or the replica stopped, with the entry on
    /// its way.
    #[error("the outcome of the proposal is unknown")]
    Unknown,
}

/// A read that is not known to be current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This replica does not lead.
    #[error("another replica leads")]
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// No majority confirmed in time that this replica still leads. Retry here.
    #[error("leadership is not confirmed")]
    RetryHere,
    /// The replica has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// How far a replica's log has got, by index; for people and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry, perhaps not yet committed.
    pub last: Option<u64>,
    /// The last entry known to be committed.
    pub committed: Option<u64>,
    /// The last entry applied here.
    pub applied: Option<u64>,
    /// The last entry in the newest checkpoint.
    pub checkpoint: Option<u64>,
    /// The last entry removed from the log.
    pub purged: Option<u64>,
}

impl Group {
    /// Starts a replica: recovers what was committed, and takes part in the group from then on.
    ///
    /// Must be called within a tokio runtime, in which the replica keeps running.
    ///
    /// # Errors
    /// [`StartError`], each kind for good.
    pub async fn start(setup: GroupSetup) -> Result<Self, StartError> {
        let GroupSetup {
            id,
            node,
            config,
            log,
            machine,
            network,
            seed,
            on_fault,
        } = setup;
        let settings = config
            .to_openraft()
            .map_err(|error| StartError::Config(error.into()))?;
        let faults = Faults::new(id, on_fault);
        let solo = Solo::default();
        let matched = Matched::default();
        let note = Note::of(&log).map_err(|fault| StartError::Recovery(fault.into()))?;
        if let Some(diverged) = note.diverged {
            return Err(StartError::Diverged(diverged.to_string()));
        }
        let guard = Guard::new(note.had);
        let log = LogStore::new(log, solo.clone(), matched.clone(), faults.clone());
        let staging = machine.staging();
        let machine = StateMachine::new(
            machine,
            log.clone(),
            config.checkpoint_thread,
            faults.clone(),
        )
        .map_err(|fault| StartError::State(fault.into()))?;
        let progress = machine.progress();
        let checks = machine.checks();
        let raft = Raft::new(
            node,
            Arc::new(settings),
            network.of(id, node, matched),
            log.clone(),
            machine,
        );
        let raft = Runtime::scope(seed, raft)
            .await
            .map_err(|fatal| StartError::Recovery(fatal.into()))?;

        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let (stop, stop_receiver) = watch::channel(false);
        let follow = Follow {
            node,
            raft: raft.clone(),
            machine: progress.clone(),
            leadership: leadership_sender,
            solo: solo.clone(),
            faults,
            stop: stop_receiver,
            attachment: network.attach(
                id,
                node,
                Attached::new(raft.clone(), guard.clone(), staging),
            ),
            log: log.clone(),
            guard: guard.clone(),
            checks,
            given_up: None,
        };
        tokio::spawn(follow.run());
        Ok(Self(Arc::new(Replica {
            id,
            node,
            raft,
            log,
            guard,
            solo,
            rounds: Rounds::default(),
            machine: progress,
            leadership,
            stop,
            election_timeout_max: config.election_timeout_max,
            checkpoint: Mutex::new(()),
        })))
    }

    /// The group.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.0.id
    }

    /// The node this replica runs on.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// Begins the group's life with this node as its only voter. Does nothing if it has begun.
    ///
    /// # Errors
    /// The replica has stopped.
    pub async fn initialize_single(&self) -> Result<(), Stopped> {
        self.initialize(BTreeSet::from([self.0.node])).await
    }

    /// Begins the group's life with these voters, of which this node is one. Does nothing if it has
    /// begun. Only one of the voters needs to be asked, and all that are asked must be asked alike.
    ///
    /// # Errors
    /// The replica has stopped.
    ///
    /// # Panics
    /// If this node is not one of the voters.
    pub async fn initialize(&self, voters: BTreeSet<NodeId>) -> Result<(), Stopped> {
        assert!(
            voters.contains(&self.0.node),
            "node {} is not one of the voters {voters:?}",
            self.0.node
        );
        // With another replica of it on this node, it had begun.
        if self.0.guard.has_past() {
            return Ok(());
        }
        match self.0.raft.initialize(voters).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(RaftError::APIError(InitializeError::NotInMembers(refused))) => {
                unreachable!("this node is one of the voters, but {refused}")
            }
            Err(RaftError::Fatal(_)) => return Err(Stopped),
        }
        // The library answers as soon as the first entry is written, durable or not.
        self.0.log.flush().await.map_err(|_| Stopped)
    }

    /// Who leads, and every change of it. Closed when the replica has stopped.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// Waits until this replica leads.
    ///
    /// # Errors
    /// The replica has stopped.
    pub async fn wait_for_leadership(&self) -> Result<Leadership, Stopped> {
        let mut leadership = self.leadership();
        let leads = leadership.wait_for(|leadership| leadership.is_leader).await;
        leads.map(|leadership| *leadership).map_err(|_| Stopped)
    }

    /// Proposes one entry on behalf of the leadership of `term`. Resolves when it has been applied
    /// here.
    ///
    /// The entry is handed over before this returns, so entries of one caller are appended in the
    /// order of its calls. Dropping the future gives up the answer, not the entry.
    ///
    /// # Errors
    /// Each [`ProposeError`] says whether the entry may have been applied.
    pub fn propose(
        &self,
        term: u64,
        commands: Bytes,
    ) -> impl Future<Output = Result<Position, ProposeError>> + Send + use<> {
        let (responder, answer) = ProgressResponder::complete_only();
        let raft = self.0.raft.clone();
        let mut submission = Box::pin(async move {
            let write = raft
                .write(Content::Commands(commands))
                .with_leader(LeaderTerm::new(term));
            write.responder(responder).await
        });
        // Only a full queue makes this wait, and then whoever proposes more waits behind it.
        let submitted = coop::unconstrained(&mut submission).now_or_never();
        async move {
            let submitted = match submitted {
                Some(submitted) => submitted,
                None => submission.await,
            };
            submitted.map_err(|_| Stopped)?;
            match answer.await {
                Ok(Ok(written)) => Ok(Position::of(written.log_id)),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(ProposeError::Unknown),
            }
        }
    }

    /// Waits until the state here includes everything acknowledged, by any replica, before this was
    /// called. Costs a round to a majority, which calls at the same time share, or next to nothing
    /// where this node is the whole group.
    ///
    /// # Errors
    /// [`ReadError`]: the state here may be old.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        if self.0.solo.leads() {
            return Ok(());
        }
        self.0.rounds.wait(&self.0.raft).await
    }

    /// Waits until the log of this node holds the entry at `index` durably. What a majority has is
    /// committed and applied, even if this node is not among it.
    ///
    /// # Errors
    /// The replica has stopped; the log may be why.
    pub async fn flush_log(&self, index: u64) -> Result<(), Stopped> {
        if self.0.log.is_durable(index) {
            return Ok(());
        }
        self.0.log.flush().await.map_err(|_| Stopped)
    }

    /// Makes durable everything applied before the call, and lets the log be purged up to there.
    /// Answers how far the durable state reaches. Calls at the same time wait for each other.
    ///
    /// # Errors
    /// The replica has stopped; the state's storage may be why.
    pub async fn checkpoint(&self) -> Result<Option<Position>, Stopped> {
        let _turn = self.0.checkpoint.lock().await;
        let target = self.0.machine.borrow().applied;
        loop {
            let snapshot = self.0.raft.data_metrics().borrow_watched().snapshot;
            if snapshot.map(Position::of) >= target {
                return Ok(self.0.machine.borrow().durable);
            }
            self.0
                .raft
                .trigger()
                .snapshot()
                .await
                .map_err(|_| Stopped)?;
            // One that was already under way may end first, and short of the target.
            let ended = self.0.raft.wait(None);
            let ended = ended.metrics(
                |seen| seen.snapshot != snapshot || seen.running_state.is_err(),
                "checkpoint",
            );
            ended
                .await
                .map_err(|_| Stopped)?
                .running_state
                .map_err(|_| Stopped)?;
        }
    }

    /// The replica, for tests that ask it for what nobody else does.
    #[cfg(test)]
    pub(crate) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    /// How far the log has got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let seen = self.0.raft.data_metrics().borrow_watched().clone();
        Progress {
            last: seen.last_log.map(|id| id.index()),
            committed: seen.local_committed.map(|id| id.index()),
            applied: seen.last_applied.map(|id| id.index()),
            checkpoint: self
                .0
                .machine
                .borrow()
                .durable
                .map(|position| position.index),
            purged: seen.purged.map(|id| id.index()),
        }
    }

    /// Stops the replica. When this returns, its machine has been dropped and it writes no more.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        closed(self.0.leadership.clone()).await;
        closed(self.0.machine.clone()).await;
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.0.id)
            .field("node", &self.0.node)
            .finish_non_exhaustive()
    }
}

impl From<ClientWriteError<TypeConfig>> for ProposeError {
    fn from(error: ClientWriteError<TypeConfig>) -> Self {
        match error {
            ClientWriteError::ForwardToLeader(forward) => {
                not_here(&forward).map_or(Self::RetryHere, |leader| Self::NotLeader { leader })
            }
            ClientWriteError::LogEntryDiscarded(_) => Self::Unknown,
            // Only membership changes are answered so, and they are refused before they are appended.
            ClientWriteError::ChangeMembershipError(_)
            | ClientWriteError::PreconditionFailed(_) => Self::RetryHere,
        }
    }
}

/// The leader to go to, known or not; `None` if this replica still leads.
fn not_here(forward: &ForwardToLeader<TypeConfig>) -> Option<Option<NodeId>> {
    match forward.reason {
        ForwardReason::NotLeader => Some(forward.leader_id),
        ForwardReason::LeadershipTransfer | ForwardReason::LeaseExpired => None,
    }
}

/// Waits until all senders of a channel are gone.
async fn closed<T>(mut receiver: watch::Receiver<T>) {
    while receiver.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests;
