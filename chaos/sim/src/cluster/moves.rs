//! Replicas on their way from one node to another, step by step, by nobody in particular: each step is taken again until
//! it is seen to be done.
//!
//! ```text
//!   hosted ─► learner ─► caught up ─► voters changed ─► discarded where it was
//! ```

use std::time::Duration;

use longhaul_partition::Partition;
use longhaul_replication::Membership;
use longhaul_types::{NodeId, PartitionId};

use super::simulation::Simulation;
use crate::moment::{Mishap, Moment};

/// How long a step may take before it is taken again.
const STEP: Duration = Duration::from_millis(300);

/// A learner so many entries behind has caught up.
const LAG_MAX: u64 = 20;

/// A replica on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) partition: PartitionId,
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    /// The next step is taken then.
    next: Duration,
}

/// What has to be done for a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Host,
    AddLearner,
    Wait,
    ChangeVoters,
    Discard,
}

impl Simulation {
    /// Begins a move.
    pub(super) fn begin_move(&mut self, partition: PartitionId, from: NodeId, to: NodeId) {
        self.shared.change_replicas(partition, |replicas| {
            replicas.nodes.insert(to);
            replicas.ever.insert(to);
        });
        self.moves.push(Move {
            partition,
            from,
            to,
            next: self.now,
        });
        self.world.note(Moment::Mishap(Mishap::Moving {
            partition: partition.0,
            from: from.0,
            to: to.0,
        }));
    }

    /// Takes the steps that are due.
    pub(super) fn go_on_with_moves(&mut self) {
        for mut going in std::mem::take(&mut self.moves) {
            let due = going.next <= self.now;
            if due {
                going.next = self.now + STEP;
            }
            if !due || !self.step_of(going) {
                self.moves.push(going);
            }
        }
    }

    /// Answers whether it was the last one.
    fn step_of(&mut self, going: Move) -> bool {
        let Move {
            partition: id,
            from,
            to,
            ..
        } = going;
        let hosted = self
            .process_of(to)
            .is_some_and(|(_, process)| process.partitions().hosted(id).is_some());
        let leader = self.leader_of(id);
        let membership = leader.as_ref().map(|(_, it)| it.group().membership());
        match next_step(hosted, membership.as_ref(), from, to) {
            Step::Wait => {}
            Step::Host => self.host(id, to),
            Step::AddLearner | Step::ChangeVoters => {
                let (number, partition) = leader.expect("it has members");
                self.change_members(number, partition, from, to);
            }
            Step::Discard => {
                self.shared.change_replicas(id, |replicas| {
                    replicas.nodes.remove(&from);
                });
                self.discard(id, from);
                self.world.note(Moment::Mishap(Mishap::Moved(id.0)));
                // So that it is seen what the new replica has.
                if let Some((number, partition)) = leader {
                    self.hand_over(number, partition, to);
                }
                return true;
            }
        }
        false
    }

    fn host(&self, id: PartitionId, to: NodeId) {
        let Some((number, process)) = self.process_of(to) else {
            return;
        };
        let running = self.hosts[number].running.as_ref().expect("it is up");
        drop(running.spawn(async move {
            // Tried again if it is not hosted then.
            drop(process.host(id).await);
        }));
    }

    /// Asks a leader to let another node lead.
    pub(super) fn hand_over(&self, number: usize, partition: Partition, to: NodeId) {
        if let Some(running) = &self.hosts[number].running {
            drop(running.spawn(async move {
                // It may have to stay where it is.
                drop(partition.group().transfer_leader(to).await);
            }));
        }
    }

    fn discard(&self, id: PartitionId, from: NodeId) {
        let Some((number, process)) = self.process_of(from) else {
            return;
        };
        let running = self.hosts[number].running.as_ref().expect("it is up");
        drop(running.spawn(async move { process.discard(id).await }));
    }

    fn change_members(&self, number: usize, partition: Partition, from: NodeId, to: NodeId) {
        let Some(running) = &self.hosts[number].running else {
            return;
        };
        drop(running.spawn(async move {
            let group = partition.group();
            let membership = group.membership();
            // What comes of it is seen in the members.
            drop(
                if membership.learners.contains_key(&to) || membership.voters.contains(&to) {
                    let mut voters = membership.voters;
                    voters.remove(&from);
                    voters.insert(to);
                    group.change_voters(voters).await
                } else {
                    group.add_learner(to).await
                },
            );
        }));
    }
}

/// What is to be done next, for a replica that is hosted or not, in a group with these members.
fn next_step(hosted: bool, membership: Option<&Membership>, from: NodeId, to: NodeId) -> Step {
    let Some(membership) = membership else {
        return if hosted { Step::Wait } else { Step::Host };
    };
    let moved = membership.voters.contains(&to) && !membership.voters.contains(&from);
    if !hosted && !moved {
        return Step::Host;
    }
    if moved {
        return match membership.changing {
            true => Step::ChangeVoters,
            false => Step::Discard,
        };
    }
    match membership.learners.get(&to) {
        None => Step::AddLearner,
        Some(Some(lag)) if *lag <= LAG_MAX => Step::ChangeVoters,
        Some(_) => Step::Wait,
    }
}
