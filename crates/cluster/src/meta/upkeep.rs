//! What every node does for its part of the meta group: links, checkpoints, and saying where it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longhaul_types::NodeId;
use tokio::time;

use super::{FirstNodes, Inner, control::CHANGE_PATIENCE};
use crate::catalog::{Command, Reply};
use crate::controller::Contact;

/// How often the members of the group are looked at, which nobody tells of.
const MEMBERS_INTERVAL: Duration = Duration::from_secs(1);

/// A change is in the file after so long; until then it is in the log.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(5);

/// Between two attempts to say where this node is.
const INTRODUCTION_PAUSE: Duration = Duration::from_secs(1);

/// Keeps links with whoever has to be asked: voters may lead, and then know of everybody for how long they have been up.
pub(super) async fn keep_links(inner: Arc<Inner>) {
    let mut catalog = inner.copy.catalog();
    let mut leadership = inner.group.leadership();
    let mut kept = BTreeSet::new();
    loop {
        let nodes = inner.to_keep();
        if nodes != kept {
            inner.exchange.keep(nodes.clone());
            kept = nodes;
        }
        tokio::select! {
            changed = catalog.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            () = time::sleep(MEMBERS_INTERVAL) => {}
        }
    }
}

/// Writes the file some time after a change, so that the log does not grow.
pub(super) async fn keep_checkpoints(inner: Arc<Inner>) {
    let mut applied = inner.copy.applied();
    loop {
        if applied.changed().await.is_err() {
            return;
        }
        time::sleep(CHECKPOINT_AFTER).await;
        applied.mark_unchanged();
        if inner.group.checkpoint().await.is_err() {
            return;
        }
    }
}

/// Sees to it that the cluster is founded, and that it knows this node as it is now.
pub(super) async fn introduce(inner: Arc<Inner>) {
    let mut catalog = inner.copy.catalog();
    loop {
        let now = catalog.borrow_and_update().clone();
        let me = &inner.me;
        let command = match (now, &inner.first) {
            (Some(now), _) => {
                let known = now.members.get(me.node);
                if known.is_some_and(|member| member.described == me.described) {
                    return;
                }
                Command::Join(me.described.clone())
            }
            (None, Some(FirstNodes { founding, nodes })) => Command::Found {
                founding: founding.clone(),
                nodes: nodes.clone(),
            },
            // Whoever has admitted this node tells it of the catalog.
            (None, None) => match catalog.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match inner.propose(command).await {
            Ok(Reply::Refused(refusal)) => {
                return tracing::error!(%refusal, "the cluster does not want this node");
            }
            Ok(Reply::Joined(node)) if node != me.node => {
                return tracing::error!(
                    %node,
                    expected = %me.node,
                    "the cluster knows this data directory as another node"
                );
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the cluster was not told where this node is");
                time::sleep(INTRODUCTION_PAUSE).await;
            }
        }
    }
}

impl Inner {
    fn to_keep(&self) -> BTreeSet<NodeId> {
        let membership = self.group.membership();
        let votes = membership.voters.contains(&self.me.node);
        let mut nodes = membership.voters;
        if votes {
            nodes.extend(membership.learners.into_keys());
            if let Some(catalog) = self.current() {
                nodes.extend(catalog.members.present().map(|(node, _)| node));
            }
        }
        nodes.remove(&self.me.node);
        nodes
    }

    pub(super) async fn stop(&self) {
        if let Some(to) = self.successor() {
            let handed = self.group.transfer_leader(to);
            let handed = time::timeout(CHANGE_PATIENCE, handed).await;
            tracing::debug!(%to, ?handed, "leadership of the meta group was to be handed over");
        }
        // What is not in the file is in the log.
        let _ = self.group.checkpoint().await;
        self.group.stop().await;
    }

    /// Who is to lead when this node stops leading.
    fn successor(&self) -> Option<NodeId> {
        self.leads().ok()?;
        let contacts = self.contacts();
        let is_up = |node: &NodeId| matches!(contacts.get(node), Some(Contact::Up(_)));
        let mut voters = self.group.membership().voters.into_iter();
        voters.find(|node| *node != self.me.node && is_up(node))
    }
}
