//! What the leader of the meta group does: sees to the group's own members, and runs the controller. One look at a
//! time; what fails is decided anew at the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use longhaul_proto::cluster::v1::{self as proto, answer, request::Kind};
use longhaul_types::{NodeId, PartitionId};
use tokio::time::{self, Instant};

use super::{
    Inner,
    control::CHANGE_PATIENCE,
    seats::{Change, View},
};
use crate::catalog::{Catalog, Command, Reply};
use crate::codec;
use crate::controller::{Contact, Group, Observed, Step, steps};

/// Between two looks, if nothing changes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Between two looks, whatever changes.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// How long a node may take to say what it leads.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// Changes of the group's own members in one look.
const CHANGES_MAX: usize = 16;

/// Looks again and again while this node leads.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut leadership = inner.group.leadership();
    let mut catalog = inner.copy.catalog();
    loop {
        if leadership.wait_for(|seen| seen.is_leader).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let now = catalog.borrow_and_update().clone();
        if let Some(now) = now {
            inner.look(&now).await;
        }
        if !leadership.borrow().is_leader {
            inner.groups.lock().clear();
        }
        time::sleep_until(begun + INTERVAL_MIN).await;
        // Also ends when another leads, and then waits above.
        tokio::select! {
            () = time::sleep_until(begun + INTERVAL) => {}
            changed = catalog.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

impl Inner {
    async fn look(&self, catalog: &Catalog) {
        self.see_to_members(catalog).await;
        let observed = self.observe(catalog).await;
        let steps = steps(catalog, &observed, &self.controller);
        let (decisions, changes): (Vec<_>, Vec<_>) = steps
            .into_iter()
            .partition(|step| matches!(step, Step::Decide(_)));
        for decision in decisions {
            let Step::Decide(command) = decision else {
                continue;
            };
            if !self.decide(command).await {
                return;
            }
        }
        let changes = changes.into_iter().map(|step| self.change(step, &observed));
        join_all(changes).await;
    }

    /// Brings the members of the meta group closer to what they should be.
    async fn see_to_members(&self, catalog: &Catalog) {
        for _ in 0..CHANGES_MAX {
            let view = View {
                me: self.me.node,
                catalog,
                membership: &self.group.membership(),
                contacts: &self.contacts(),
                replace_after: self.controller.replace_after,
            };
            let Some(change) = view.next_change() else {
                return;
            };
            let done = time::timeout(CHANGE_PATIENCE, self.change_members(change.clone())).await;
            match done {
                Ok(Ok(())) => tracing::info!(?change, "the members of the meta group have changed"),
                Ok(Err(error)) => {
                    return tracing::debug!(?change, %error, "not a change of the meta group");
                }
                Err(_) => {
                    return tracing::debug!(?change, "a change of the meta group takes long");
                }
            }
        }
    }

    async fn change_members(
        &self,
        change: Change,
    ) -> Result<(), longhaul_replication::ChangeError> {
        match change {
            Change::AddLearner(node) => self.group.add_learner(node).await,
            Change::RemoveLearner(node) => self.group.remove_learner(node).await,
            Change::ReplaceVoters(voters) => self.group.change_voters(voters).await,
            Change::TransferLeader(to) => self.group.transfer_leader(to).await,
        }
    }

    /// Asks every node that is heard of what it leads.
    async fn observe(&self, catalog: &Catalog) -> Observed {
        let nodes = self.contacts();
        let up = nodes.iter();
        let up = up.filter(|(_, contact)| matches!(contact, Contact::Up(_)));
        let present = up.filter(|(node, _)| catalog.members.get(**node).is_some());
        let asked = present.map(|(&node, _)| async move {
            let led = self.led_by(node).await;
            led.inspect_err(|reason| tracing::debug!(%node, reason, "what does it lead?"))
                .unwrap_or_default()
        });
        let claims = join_all(asked).await;
        let groups = undisputed(claims.into_iter().flatten());
        self.groups.lock().clone_from(&groups);
        Observed { nodes, groups }
    }

    async fn led_by(&self, node: NodeId) -> Result<Vec<(PartitionId, Group)>, String> {
        let asked = self.ask_node(node, Kind::Led(proto::Nothing {}), LOOK_PATIENCE);
        match asked.await? {
            answer::Kind::Groups(groups) => {
                codec::groups(groups).map_err(|fault| fault.to_string())
            }
            other => Err(format!("{other:?}")),
        }
    }

    /// Whether it is worth going on.
    async fn decide(&self, command: Command) -> bool {
        match self
            .propose_here(self.next_request(), command.clone())
            .await
        {
            Ok((Reply::Refused(refusal), _)) => {
                tracing::debug!(?command, %refusal, "a step of the controller was refused");
                true
            }
            Ok(_) => {
                tracing::info!(?command, "the controller has decided");
                true
            }
            Err(answer) => {
                tracing::debug!(?command, ?answer, "a step of the controller was not taken");
                false
            }
        }
    }

    /// Has the leader of a group change it.
    async fn change(&self, step: Step, observed: &Observed) {
        let (partition, kind) = match &step {
            Step::Decide(_) => return,
            Step::AddLearner { partition, node } => {
                let asked = proto::AddLearner {
                    partition: partition.0.into(),
                    node: node.0,
                };
                (partition, Kind::AddLearner(asked))
            }
            Step::ChangeVoters { partition, voters } => {
                let asked = proto::ChangeVoters {
                    partition: partition.0.into(),
                    voters: codec::ids(voters),
                };
                (partition, Kind::ChangeVoters(asked))
            }
            Step::TransferLeader { partition, to } => {
                let asked = proto::TransferPartition {
                    partition: partition.0.into(),
                    to: to.0,
                };
                (partition, Kind::TransferLeader(asked))
            }
        };
        let Some(group) = observed.groups.get(partition) else {
            return;
        };
        match self.ask_node(group.leader, kind, CHANGE_PATIENCE).await {
            Ok(answer::Kind::Done(_)) => tracing::info!(?step, "a group was changed"),
            other => tracing::debug!(?step, ?other, "a group was not changed"),
        }
    }
}

/// Groups that one node says it leads. Of two that say so one is outdated, and nothing tells which.
fn undisputed(claims: impl Iterator<Item = (PartitionId, Group)>) -> BTreeMap<PartitionId, Group> {
    let mut groups = BTreeMap::new();
    let mut disputed = BTreeSet::new();
    for (partition, group) in claims {
        if groups.insert(partition, group).is_some() {
            disputed.insert(partition);
        }
    }
    groups.retain(|partition, _| !disputed.contains(partition));
    groups
}
