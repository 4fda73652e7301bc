//! The controller: from what is decided and what is observed to the next steps.
//!
//! It remembers nothing. Whatever it began is in the catalog, and whatever was done is seen in the groups, so that a
//! controller that takes over from a dead one goes on in the middle of anything.
//!
//! | what it sees | what it does |
//! |---|---|
//! | the members that may hold replicas call for another placement | wants that placement |
//! | a partition whose replicas are not where they are wanted, and both nodes free | begins to move one |
//! | a move whose new replica has no part in its group | adds it as a learner |
//! | a move whose new replica has nearly all of the log | declares that voters change |
//! | voters that are to change | changes them |
//! | voters that have changed | declares the move over |
//! | a leader elsewhere than wanted, for long | transfers leadership |
//! | a member that leaves and holds nothing any more | declares it gone |

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longhaul_placement::{Candidate, Placement};
use longhaul_types::{NodeId, PartitionId};

use crate::catalog::{Catalog, Command, MemberState, Phase, Plan, same};

/// Entries that a learner may still lack when it becomes a voter: few enough to follow within one round.
pub const LAG_MAX: u64 = 1_000;

/// What the controller may be told to do otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Replicas of a node that is not heard of for this long move elsewhere.
    pub replace_after: Duration,
    /// Leadership moves to where it is wanted once both nodes have been steady for this long.
    pub steady_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            replace_after: Duration::from_secs(600),
            steady_after: Duration::from_secs(30),
        }
    }
}

/// What is known of the cluster at one moment, all of it perhaps outdated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// For how long each node has been heard of without a break, or not been heard of. Who is missing here was never
    /// heard of by this controller: nothing is concluded from that.
    pub nodes: BTreeMap<NodeId, Contact>,
    /// The groups whose leader has told of itself.
    pub groups: BTreeMap<PartitionId, Group>,
}

/// Whether a node is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// For so long.
    Up(Duration),
    /// Not, for so long.
    Down(Duration),
}

/// A group as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The leader.
    pub leader: NodeId,
    /// Who votes, if the group is not in the middle of a change.
    pub voters: Vec<NodeId>,
    /// Whether a change of voters is under way.
    pub changing: bool,
    /// Other replicas, and how many entries each lacks, if that is known.
    pub learners: BTreeMap<NodeId, Option<u64>>,
}

/// What is to be done next. Each may be done twice, and may fail: the next look decides anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Change the catalog.
    Decide(Command),
    /// Have the group's leader add a replica that learns.
    AddLearner {
        /// The group.
        partition: PartitionId,
        /// The new replica's node.
        node: NodeId,
    },
    /// Have the group's leader change who votes.
    ChangeVoters {
        /// The group.
        partition: PartitionId,
        /// The voters afterwards.
        voters: Vec<NodeId>,
    },
    /// Have the group's leader hand leadership over.
    TransferLeader {
        /// The group.
        partition: PartitionId,
        /// Who is to lead.
        to: NodeId,
    },
}

/// The next steps, in an order in which they may be taken at once.
#[must_use]
pub fn steps(catalog: &Catalog, observed: &Observed, config: &Config) -> Vec<Step> {
    let look = Look {
        catalog,
        observed,
        config,
    };
    if let Some(replicas) = look.replacement() {
        return vec![Step::Decide(Command::Want { replicas })];
    }
    let mut steps: Vec<Step> = look
        .plans()
        .filter_map(|(partition, plan)| look.next_of_move(partition, plan))
        .collect();
    steps.extend(look.new_moves());
    steps.extend(look.transfer());
    steps.extend(look.departures());
    steps
}

struct Look<'a> {
    catalog: &'a Catalog,
    observed: &'a Observed,
    config: &'a Config,
}

impl Look<'_> {
    fn plans(&self) -> impl Iterator<Item = (PartitionId, &Plan)> {
        let partitions = self.catalog.founding.partitions.all();
        partitions.zip(&self.catalog.plans)
    }

    /// Another placement, if the members call for one.
    fn replacement(&self) -> Option<Vec<Vec<NodeId>>> {
        let founding = &self.catalog.founding;
        let candidates = self.candidates();
        let replicas = usize::from(founding.replicas);
        // A replica that nobody can take over is better where it is, even out of reach.
        let holding = self.plans().map(|(_, plan)| plan.wanted.len()).max();
        if candidates.len() < replicas.min(holding.unwrap_or_default()) {
            return None;
        }
        let placement = Placement::new(founding.partitions, replicas, &candidates);
        let wanted = founding.partitions.all();
        let wanted: Vec<_> = wanted.map(|it| placement.replicas(it).to_vec()).collect();
        let differs = wanted.iter().zip(&self.catalog.plans);
        let mut differs = differs.filter(|(wanted, plan)| **wanted != plan.wanted);
        let changed = differs.next().is_some();
        changed.then_some(wanted)
    }

    fn candidates(&self) -> Vec<Candidate> {
        let members = self.catalog.members.present();
        let usable = members.filter(|(node, member)| {
            let lost = matches!(self.observed.nodes.get(node), Some(Contact::Down(since)) if *since >= self.config.replace_after);
            member.state.may_hold() && !lost
        });
        let candidate = usable.map(|(node, member)| Candidate {
            node,
            zone: member.described.zone.clone(),
        });
        candidate.collect()
    }

    fn next_of_move(&self, partition: PartitionId, plan: &Plan) -> Option<Step> {
        let (change, phase) = plan.moving?;
        let group = self.observed.groups.get(&partition)?;
        match phase {
            // What is on its way there, the next leader commits.
            Phase::CatchingUp if group.changing => None,
            Phase::CatchingUp => match change.add {
                Some(node) if !group.voters.contains(&node) => match group.learners.get(&node) {
                    None => Some(Step::AddLearner { partition, node }),
                    Some(Some(lag)) if *lag <= LAG_MAX => Some(switch(partition, change.add)),
                    Some(_) => None,
                },
                _ => Some(switch(partition, change.add)),
            },
            Phase::Switching => {
                let voters = plan.next_voters();
                // A change whose leader was lost may have been left half done: nobody but us goes on with it, and asking for
                // one that is under way does no harm.
                Some(if !group.changing && same(&voters, &group.voters) {
                    Step::Decide(Command::Settle { partition, voters })
                } else {
                    Step::ChangeVoters { partition, voters }
                })
            }
        }
    }

    /// Moves to begin: no node has a part in two at a time, and a replica goes only while all that stay are heard of.
    fn new_moves(&self) -> Vec<Step> {
        let moving = self.plans().filter_map(|(_, plan)| plan.moving);
        let nodes = moving.flat_map(|(change, _)| [change.add, change.remove]);
        let mut busy: BTreeSet<NodeId> = nodes.flatten().collect();
        let mut steps = Vec::new();
        for (partition, plan) in self.plans() {
            let Some(change) = plan.next_move() else {
                continue;
            };
            let nodes: Vec<NodeId> = [change.add, change.remove].into_iter().flatten().collect();
            let mut stay = plan
                .voters
                .iter()
                .filter(|node| Some(**node) != change.remove);
            let free = nodes.iter().all(|node| !busy.contains(node));
            if free
                && stay.all(|node| self.is_up(*node))
                && change.add.is_none_or(|it| self.is_up(it))
            {
                busy.extend(nodes);
                steps.push(Step::Decide(Command::Move { partition, change }));
            }
        }
        steps
    }

    /// One transfer at a time, so that a call is held at most once on its way.
    fn transfer(&self) -> Option<Step> {
        self.plans().find_map(|(partition, plan)| {
            let group = self.observed.groups.get(&partition)?;
            let to = self.wanted_leader(plan)?;
            let settled = plan.moving.is_none() && !group.changing && group.voters.contains(&to);
            let leaving = !self.may_lead(group.leader);
            // A node that is not to lead is not waited for: somebody wants to stop it.
            let steady = leaving || (self.is_steady(to) && self.is_steady(group.leader));
            (settled && steady && group.leader != to)
                .then_some(Step::TransferLeader { partition, to })
        })
    }

    /// Members that leave, and are neither part of a group nor to become one.
    fn departures(&self) -> impl Iterator<Item = Step> {
        let leaving = self.catalog.members.present();
        let leaving = leaving.filter(|(_, member)| member.state == MemberState::Leaving);
        let free = leaving.filter(|(node, _)| {
            let has_part = |plan: &Plan| plan.holds(*node) || plan.wanted.contains(node);
            !self.catalog.plans.iter().any(has_part)
        });
        free.map(|(node, _)| {
            let state = MemberState::Gone;
            Step::Decide(Command::SetState { node, state })
        })
    }

    /// The first node on the list that may lead and is up.
    fn wanted_leader(&self, plan: &Plan) -> Option<NodeId> {
        let mut wanted = plan.wanted.iter().copied();
        wanted.find(|node| self.may_lead(*node) && self.is_up(*node))
    }

    fn may_lead(&self, node: NodeId) -> bool {
        let member = self.catalog.members.get(node);
        member.is_some_and(|member| member.state == MemberState::Active)
    }

    fn is_up(&self, node: NodeId) -> bool {
        matches!(self.observed.nodes.get(&node), Some(Contact::Up(_)))
    }

    fn is_steady(&self, node: NodeId) -> bool {
        matches!(self.observed.nodes.get(&node), Some(Contact::Up(since)) if *since >= self.config.steady_after)
    }
}

fn switch(partition: PartitionId, add: Option<NodeId>) -> Step {
    Step::Decide(Command::Switch { partition, add })
}
