//! Who may talk to whom. Pure: a hello and what is known of the node come in, a verdict goes out.

use std::collections::BTreeMap;

use longhaul_proto::peer::v1 as proto;
use longhaul_types::NodeId;
use tokio_util::sync::CancellationToken;

use crate::identity::{ClusterId, Identity, PROTOCOL_VERSION};

/// Why two nodes do not talk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// They speak different versions.
    #[error("it speaks version {theirs} between nodes, this node {ours}")]
    Version {
        /// The other node's.
        theirs: u32,
        /// This node's.
        ours: u32,
    },
    /// They belong to different clusters.
    #[error("it belongs to another cluster")]
    Cluster,
    /// Whoever was reached is another node: the address is not the node's any more.
    #[error("it is node {theirs}, expected was node {expected}")]
    Node {
        /// The node that answered, or that was asked for.
        theirs: NodeId,
        /// The node that was meant to.
        expected: NodeId,
    },
    /// A later start of the same node has been seen.
    #[error("a later process of node {0} has been seen")]
    Superseded(NodeId),
    /// Another process says it is the same start of the same node, such as one on a copy of its
    /// data.
    #[error("another process claims to be node {0}")]
    Claimed(NodeId),
    /// The certificate is not the node's.
    #[error("its certificate is not that of node {0}")]
    Certificate(NodeId),
    /// The link would be in plain text and leave this machine.
    #[error("{0} is not on this machine, and nothing is sent there in plain text")]
    PlainText(std::net::SocketAddr),
    /// The first frame is not a hello.
    #[error("it did not say who it is")]
    Speechless,
    /// The other node refused, for this reason.
    #[error("it refused: {0}")]
    Theirs(String),
}

impl Refusal {
    /// The name of the reason in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Cluster => "cluster",
            Self::Node { .. } => "node",
            Self::Superseded(_) => "superseded",
            Self::Claimed(_) => "claimed",
            Self::Certificate(_) => "certificate",
            Self::PlainText(_) => "plain_text",
            Self::Speechless => "speechless",
            Self::Theirs(_) => "theirs",
        }
    }
}

/// What this node says to another.
pub(crate) fn hello(me: &Identity, to: NodeId) -> proto::Frame {
    let hello = proto::Hello {
        protocol_version: PROTOCOL_VERSION,
        cluster_id: me.cluster.0.to_vec().into(),
        node_id: me.node.0,
        target_node_id: to.0,
        incarnation: me.incarnation,
        process: me.process,
    };
    proto::Frame {
        content: Some(proto::frame::Content::Hello(hello)),
    }
}

/// Who sent a first frame, if it belongs to this cluster and means this node.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn introduced(frame: Option<proto::Frame>, me: &Identity) -> Result<Identity, Refusal> {
    let Some(proto::frame::Content::Hello(hello)) = frame.and_then(|frame| frame.content) else {
        return Err(Refusal::Speechless);
    };
    if hello.protocol_version != PROTOCOL_VERSION {
        return Err(Refusal::Version {
            theirs: hello.protocol_version,
            ours: PROTOCOL_VERSION,
        });
    }
    if hello.cluster_id != me.cluster.0.as_slice() {
        return Err(Refusal::Cluster);
    }
    if hello.target_node_id != me.node.0 {
        return Err(Refusal::Node {
            theirs: NodeId(hello.target_node_id),
            expected: me.node,
        });
    }
    let node = NodeId(hello.node_id);
    if node == me.node {
        return Err(Refusal::Claimed(node));
    }
    Ok(Identity {
        cluster: ClusterId(me.cluster.0),
        node,
        incarnation: hello.incarnation,
        process: hello.process,
    })
}

/// The newest process of every node met so far.
#[derive(Debug, Default)]
pub(crate) struct Acquaintances(BTreeMap<NodeId, Known>);

#[derive(Debug)]
struct Known {
    incarnation: u64,
    process: u64,
    /// Cancelled when a later process is met.
    current: CancellationToken,
}

impl Acquaintances {
    /// Notes a node that introduced itself. The token ends links with that process when a later one
    /// is met, or when `closing` ends everything.
    ///
    /// # Errors
    /// Another process has a better claim to the name.
    pub(crate) fn meet(
        &mut self,
        them: &Identity,
        closing: &CancellationToken,
    ) -> Result<CancellationToken, Refusal> {
        if let Some(known) = self.0.get(&them.node) {
            if them.incarnation < known.incarnation {
                return Err(Refusal::Superseded(them.node));
            }
            if them.incarnation == known.incarnation {
                return if them.process == known.process {
                    Ok(known.current.clone())
                } else {
                    Err(Refusal::Claimed(them.node))
                };
            }
            known.current.cancel();
        }
        let current = closing.child_token();
        let known = Known {
            incarnation: them.incarnation,
            process: them.process,
            current: current.clone(),
        };
        self.0.insert(them.node, known);
        Ok(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Identity = Identity {
        cluster: ClusterId([1; 16]),
        node: NodeId(1),
        incarnation: 5,
        process: 50,
    };
    const THEM: Identity = Identity {
        node: NodeId(2),
        incarnation: 9,
        process: 90,
        ..ME
    };

    fn changed(change: impl FnOnce(&mut proto::Hello)) -> Result<Identity, Refusal> {
        let mut frame = hello(&THEM, ME.node);
        if let Some(proto::frame::Content::Hello(hello)) = &mut frame.content {
            change(hello);
        }
        introduced(Some(frame), &ME)
    }

    #[test]
    fn nodes_of_one_cluster_get_to_know_each_other() {
        assert_eq!(changed(|_| ()), Ok(THEM));
    }

    #[test]
    fn whoever_does_not_fit_is_refused_with_the_reason() {
        let version = Refusal::Version {
            theirs: 7,
            ours: PROTOCOL_VERSION,
        };
        assert_eq!(changed(|hello| hello.protocol_version = 7), Err(version));
        let other = vec![2; 16];
        assert_eq!(
            changed(|hello| hello.cluster_id = other.into()),
            Err(Refusal::Cluster)
        );
        assert_eq!(
            changed(|hello| hello.cluster_id = vec![1; 15].into()),
            Err(Refusal::Cluster)
        );
        let node = Refusal::Node {
            theirs: NodeId(3),
            expected: NodeId(1),
        };
        assert_eq!(changed(|hello| hello.target_node_id = 3), Err(node));
        let claimed = Refusal::Claimed(NodeId(1));
        assert_eq!(changed(|hello| hello.node_id = 1), Err(claimed));
        assert_eq!(introduced(None, &ME), Err(Refusal::Speechless));
        let payload = proto::Frame {
            content: Some(proto::frame::Content::Payload("payload".into())),
        };
        assert_eq!(introduced(Some(payload), &ME), Err(Refusal::Speechless));
    }

    #[test]
    fn a_later_process_ends_what_its_predecessor_had() {
        let closing = CancellationToken::new();
        let mut known = Acquaintances::default();
        let first = known.meet(&THEM, &closing).expect("a stranger");
        known.meet(&THEM, &closing).expect("the same");
        assert!(!first.is_cancelled());
        let later = Identity {
            incarnation: THEM.incarnation + 1,
            process: 91,
            ..THEM
        };
        let second = known.meet(&later, &closing).expect("later");
        assert!(first.is_cancelled() && !second.is_cancelled());
        assert_eq!(
            known.meet(&THEM, &closing).expect_err("earlier"),
            Refusal::Superseded(THEM.node)
        );
        closing.cancel();
        assert!(second.is_cancelled());
    }

    #[test]
    fn of_two_equal_claims_the_first_stands() {
        let closing = CancellationToken::new();
        let mut known = Acquaintances::default();
        let first = known.meet(&THEM, &closing).expect("a stranger");
        let copy = Identity {
            process: THEM.process + 1,
            ..THEM
        };
        assert_eq!(
            known.meet(&copy, &closing).expect_err("a copy"),
            Refusal::Claimed(THEM.node)
        );
        assert!(!first.is_cancelled());
    }
}
