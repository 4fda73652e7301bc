//! The nodes of the cluster.
//!
//! ```text
//!  Join ─► Active ◄──► Draining ─► Leaving ─► Gone
//!            └──────────────────────▲
//! ```

use std::collections::BTreeMap;
use std::fmt;

use longhaul_types::NodeId;

use super::Refusal;

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// By other nodes, `host:port`.
    pub peers: Box<str>,
    /// By SDKs, `host:port`.
    pub clients: Box<str>,
}

/// A node as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Made with its data directory; tells a node from another one of the same name.
    pub directory: [u8; 16],
    /// By which people and peers call it.
    pub name: Box<str>,
    /// Where it is.
    pub addresses: Addresses,
    /// What it shares with others that fail with it.
    pub zone: Option<Box<str>>,
}

/// What is wanted of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// Holds replicas and leads.
    Active,
    /// Holds replicas, and leads none if others can.
    Draining,
    /// Its replicas move away.
    Leaving,
    /// No member any more; its id is never given again.
    Gone,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
        })
    }
}

impl MemberState {
    /// Whether replicas may be put on such a node.
    #[must_use]
    pub fn may_hold(self) -> bool {
        matches!(self, Self::Active | Self::Draining)
    }

    fn may_become(self, next: Self) -> bool {
        match self {
            Self::Active | Self::Draining => next != Self::Gone,
            Self::Leaving => next == Self::Gone,
            Self::Gone => false,
        }
    }
}

/// A node and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As it described itself last.
    pub described: Join,
    /// What is wanted of it.
    pub state: MemberState,
    /// The node that has its name now, after its data directory was lost.
    pub replaced_by: Option<NodeId>,
}

/// Every node there ever was, by id; ids begin with 1 and are never given again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub(crate) all: BTreeMap<NodeId, Member>,
}

impl Members {
    /// A node that is no member any more is told so by [`Refusal::NoMember`].
    pub(super) fn join(&mut self, join: Join) -> Result<NodeId, Refusal> {
        let known = self
            .all
            .iter_mut()
            .find(|(_, member)| member.described.directory == join.directory);
        if let Some((node, member)) = known {
            if member.state == MemberState::Gone {
                return Err(Refusal::NoMember(*node));
            }
            member.described = join;
            return Ok(*node);
        }
        if let Some(node) = self.named(&join.name) {
            return Err(Refusal::NameTaken {
                name: join.name,
                node,
            });
        }
        Ok(self.add(join))
    }

    /// As [`Members::join`], and if `node` has the name, it loses it and has to leave.
    pub(super) fn replace(&mut self, join: Join, node: NodeId) -> Result<NodeId, Refusal> {
        let known = self.by_directory(join.directory).is_some();
        if known || self.named(&join.name) != Some(node) {
            return self.join(join);
        }
        let next = self.add(join);
        let old = self.all.get_mut(&node).expect("it has the name");
        old.replaced_by = Some(next);
        old.state = MemberState::Leaving;
        Ok(next)
    }

    fn add(&mut self, join: Join) -> NodeId {
        let next = self.all.last_key_value().map_or(1, |(last, _)| last.0 + 1);
        let member = Member {
            described: join,
            state: MemberState::Active,
            replaced_by: None,
        };
        self.all.insert(NodeId(next), member);
        NodeId(next)
    }

    /// The member that has a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<NodeId> {
        let mut members = self.present();
        let named = members.find(|(_, it)| it.replaced_by.is_none() && *it.described.name == *name);
        named.map(|(node, _)| node)
    }

    /// The node with a data directory, member or not.
    #[must_use]
    pub fn by_directory(&self, directory: [u8; 16]) -> Option<NodeId> {
        let mut all = self.all.iter();
        let found = all.find(|(_, member)| member.described.directory == directory);
        found.map(|(node, _)| *node)
    }

    pub(super) fn set_state(&mut self, node: NodeId, state: MemberState) -> Result<(), Refusal> {
        let member = self.all.get_mut(&node);
        let member = member.ok_or(Refusal::NoMember(node))?;
        if member.state != state && !member.state.may_become(state) {
            let from = member.state;
            return Err(Refusal::State {
                node,
                from,
                to: state,
            });
        }
        member.state = state;
        Ok(())
    }

    /// A node that is a member.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.all
            .get(&node)
            .filter(|member| member.state != MemberState::Gone)
    }

    /// The members, in order of ids.
    pub fn present(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        let all = self.all.iter().map(|(node, member)| (*node, member));
        all.filter(|(_, member)| member.state != MemberState::Gone)
    }
}
