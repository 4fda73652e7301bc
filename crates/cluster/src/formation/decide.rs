//! What a node without an identity should do. Pure: what its peers have said comes in, a verdict goes out.

use longhaul_types::NodeId;

use super::{Description, FormationError, Peer};
use crate::catalog::Join;

/// A peer, and what it said or why it said nothing.
pub(super) struct Seen<'a> {
    pub(super) peer: &'a Peer,
    pub(super) answer: Result<Description, String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// Ask one of these members of a cluster.
    Join(Vec<&'a Peer>),
    /// Begin a cluster with these nodes, in this order.
    Found(Vec<Join>),
    /// Ask again later; this is why.
    Wait(Vec<String>),
}

/// `names` are those of the first nodes, as this node is told; `seen` has all of them but this node.
pub(super) fn decide<'a>(
    me: &Join,
    names: &[Box<str>],
    seen: &[Seen<'a>],
) -> Result<Verdict<'a>, FormationError> {
    let members = members(seen)?;
    if !members.is_empty() {
        return Ok(Verdict::Join(members));
    }
    let (mut empty, mut reasons) = (Vec::new(), Vec::new());
    for Seen { peer, answer } in seen {
        match answer {
            Ok(found) if found.node.name == peer.name => empty.push(found),
            Ok(found) => reasons.push(format!(
                "{} is expected at {}, but there is {}",
                peer.name, peer.address, found.node.name
            )),
            Err(reason) => reasons.push(format!("{} does not answer: {reason}", peer.name)),
        }
    }
    if !reasons.is_empty() {
        return Ok(Verdict::Wait(reasons));
    }
    let ours = sorted(names);
    if let Some(other) = empty.iter().find(|it| sorted(&it.peers) != ours) {
        return Err(FormationError::ListsDiffer {
            peer: other.node.name.clone(),
            ours: ours.join(", "),
            theirs: sorted(&other.peers).join(", "),
        });
    }
    let mut nodes: Vec<Join> = empty.iter().map(|it| it.node.clone()).collect();
    nodes.push(me.clone());
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some((a, b)) = same_directory(&nodes) {
        return Err(FormationError::SameDirectory(
            a.name.clone(),
            b.name.clone(),
        ));
    }
    let wait = |reason: String| Ok(Verdict::Wait(vec![reason]));
    if !names.contains(&me.name) {
        let first = ours.join(", ");
        return wait(format!("one of {first} has to begin the cluster"));
    }
    match ours.first() {
        Some(first) if **first == *me.name => Ok(Verdict::Found(nodes)),
        Some(first) => wait(format!("{first} has to begin the cluster")),
        None => wait("nobody has to begin the cluster".to_owned()),
    }
}

/// Those who belong to a cluster, which must be one and the same.
fn members<'a>(seen: &[Seen<'a>]) -> Result<Vec<&'a Peer>, FormationError> {
    let belong = seen.iter().filter_map(|Seen { peer, answer }| {
        let belongs = answer.as_ref().ok()?.belongs?;
        Some((*peer, belongs.cluster_id))
    });
    let belong: Vec<_> = belong.collect();
    if let Some((first, cluster)) = belong.first()
        && let Some((other, another)) = belong.iter().find(|(_, it)| it != cluster)
    {
        return Err(FormationError::TwoClusters {
            peers: [first.name.clone(), other.name.clone()],
            clusters: [*cluster, *another],
        });
    }
    Ok(belong.into_iter().map(|(peer, _)| peer).collect())
}

fn sorted(names: &[Box<str>]) -> Vec<&str> {
    let mut names: Vec<_> = names.iter().map(|name| &**name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn same_directory(nodes: &[Join]) -> Option<(&Join, &Join)> {
    let mut pairs = nodes.iter().enumerate();
    pairs.find_map(|(at, node)| {
        let mut others = nodes[at + 1..].iter();
        let other = others.find(|other| other.directory == node.directory)?;
        Some((node, other))
    })
}

/// The id of a data directory among the first nodes.
pub(super) fn id_of(directory: [u8; 16], nodes: &[Join]) -> Option<NodeId> {
    let place = nodes.iter().position(|node| node.directory == directory)?;
    Some(NodeId(place as u64 + 1))
}
