//! The controller in a world in which nodes come, go and crash, steps get lost, and knowledge is old.

use proptest::prelude::*;

use super::*;
use crate::catalog::{Addresses, Founding, Join, Reply};
use longhaul_types::PartitionCount;

const PARTITIONS: u16 = 8;
const REPLICAS: usize = 3;
const LOOK: Duration = Duration::from_secs(30);

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Event {
    Join,
    /// By number, among those that are there.
    Crash(usize),
    Restart(usize),
    Decommission(usize),
    Drain(usize),
    /// So many looks pass.
    Pass(u8),
    /// The leader of a partition is another one.
    Elect(u16, usize),
    /// Only so many of the next steps are taken.
    Die(usize),
    /// The next change of voters is left half done.
    Tear,
}

struct World {
    catalog: Catalog,
    up: BTreeMap<NodeId, bool>,
    /// Looks for which it is so.
    since: BTreeMap<NodeId, u32>,
    groups: BTreeMap<PartitionId, Group>,
    names: u8,
    survives: usize,
    torn: bool,
}

impl World {
    fn new() -> Self {
        let catalog = Catalog::new(Founding {
            cluster_id: [1; 16],
            partitions: PartitionCount::new(PARTITIONS).expect("a power of two"),
            replicas: u8::try_from(REPLICAS).expect("small"),
            token_key: [2; 32],
        });
        Self {
            catalog,
            up: BTreeMap::new(),
            since: BTreeMap::new(),
            groups: BTreeMap::new(),
            names: 0,
            survives: usize::MAX,
            torn: false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Join => self.join(),
            Event::Crash(pick) => self.set_up(pick, false),
            Event::Restart(pick) => self.set_up(pick, true),
            Event::Decommission(pick) => self.set_state(pick, MemberState::Leaving),
            Event::Drain(pick) => self.set_state(pick, MemberState::Draining),
            Event::Pass(looks) => (0..looks).for_each(|_| self.look()),
            Event::Elect(partition, pick) => {
                let partition = PartitionId(partition % PARTITIONS);
                if let Some(group) = self.groups.get_mut(&partition) {
                    group.leader = group.voters[pick % group.voters.len()];
                }
            }
            Event::Die(survives) => self.survives = survives,
            Event::Tear => self.torn = true,
        }
    }

    fn join(&mut self) {
        self.names += 1;
        let join = Join {
            directory: [self.names; 16],
            name: self.names.to_string().into(),
            addresses: Addresses {
                peers: "".into(),
                clients: "".into(),
            },
            zone: None,
        };
        let Reply::Joined(node) = self.catalog.apply(Command::Join(join)) else {
            panic!("a new directory can join");
        };
        self.up.insert(node, true);
        self.since.insert(node, 0);
    }

    fn pick(&self, pick: usize) -> Option<NodeId> {
        let members: Vec<NodeId> = self.catalog.members.present().map(|(it, _)| it).collect();
        (!members.is_empty()).then(|| members[pick % members.len()])
    }

    fn set_up(&mut self, pick: usize, up: bool) {
        if let Some(node) = self.pick(pick) {
            self.up.insert(node, up);
            self.since.insert(node, 0);
        }
    }

    fn set_state(&mut self, pick: usize, state: MemberState) {
        if let Some(node) = self.pick(pick) {
            self.catalog.apply(Command::SetState { node, state });
        }
    }

    fn observed(&self) -> Observed {
        let contact = |(node, up): (&NodeId, &bool)| {
            let since = LOOK * self.since[node];
            let contact = if *up {
                Contact::Up(since)
            } else {
                Contact::Down(since)
            };
            (*node, contact)
        };
        let groups = self.groups.clone().into_iter();
        let led = groups.filter(|(_, group)| self.up[&group.leader]);
        Observed {
            nodes: self.up.iter().map(contact).collect(),
            groups: led.collect(),
        }
    }

    /// One look of the controller, and what the cluster makes of its steps.
    fn look(&mut self) {
        self.since.values_mut().for_each(|looks| *looks += 1);
        self.begin_groups();
        for group in self.groups.values_mut() {
            let quorum = group.voters.iter().filter(|it| self.up[it]);
            if !self.up[&group.leader] && quorum.clone().count() * 2 > group.voters.len() {
                group.leader = *quorum.clone().next().expect("more than none");
            }
            for (node, lag) in &mut group.learners {
                if self.up[node] {
                    *lag = Some(lag.map_or(100_000, |lag| lag / 20));
                }
            }
        }
        let steps = steps(&self.catalog, &self.observed(), &Config::default());
        let survives = std::mem::replace(&mut self.survives, usize::MAX);
        for step in steps.into_iter().take(survives) {
            self.take(step);
        }
        self.check();
    }

    /// The replicas of a partition that is placed for the first time find each other.
    fn begin_groups(&mut self) {
        let partitions = self.catalog.founding.partitions.all();
        for (partition, plan) in partitions.zip(&self.catalog.plans) {
            if let Some(first) = plan.voters.first() {
                self.groups.entry(partition).or_insert_with(|| Group {
                    leader: *first,
                    voters: plan.voters.clone(),
                    changing: false,
                    learners: BTreeMap::new(),
                });
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Decide(command) => {
                let reply = self.catalog.apply(command.clone());
                assert_eq!(reply, Reply::Done, "{command:?}");
            }
            Step::AddLearner { partition, node } => {
                let group = self.groups.get_mut(&partition).expect("it has a leader");
                assert!(
                    !group.voters.contains(&node),
                    "{node} is a voter of {partition}"
                );
                group.learners.insert(node, None);
            }
            Step::ChangeVoters { partition, voters } => self.change_voters(partition, voters),
            Step::TransferLeader { partition, to } => {
                let group = self.groups.get_mut(&partition).expect("it has a leader");
                assert!(
                    group.voters.contains(&to) && self.up[&to],
                    "{to} cannot lead {partition}"
                );
                group.leader = to;
            }
        }
    }

    fn change_voters(&mut self, partition: PartitionId, voters: Vec<NodeId>) {
        let group = self.groups.get_mut(&partition).expect("it has a leader");
        let added: Vec<_> = voters
            .iter()
            .filter(|it| !group.voters.contains(it))
            .collect();
        let removed: Vec<_> = group
            .voters
            .iter()
            .filter(|it| !voters.contains(it))
            .collect();
        assert!(
            added.len() <= 1 && removed.len() <= 1,
            "one replica at a time"
        );
        for node in added {
            let lag = group.learners.remove(node).flatten();
            assert!(
                lag.is_some_and(|lag| lag <= LAG_MAX),
                "{node} votes too early"
            );
        }
        assert!(
            voters.len() >= group.voters.len().min(REPLICAS),
            "fewer replicas than before"
        );
        group.voters = voters;
        // Whoever begins a change and is lost leaves it half done for the next leader, who waits to be asked.
        group.changing = std::mem::take(&mut self.torn);
        if !group.voters.contains(&group.leader) {
            group.leader = group.voters[0];
        }
    }

    fn check(&self) {
        let mut parts: BTreeMap<NodeId, usize> = BTreeMap::new();
        for plan in &self.catalog.plans {
            let distinct: BTreeSet<_> = plan.voters.iter().collect();
            assert_eq!(distinct.len(), plan.voters.len());
            let change = plan.moving.map(|(change, _)| change);
            let nodes = change.into_iter().flat_map(|it| [it.add, it.remove]);
            nodes
                .flatten()
                .for_each(|node| *parts.entry(node).or_default() += 1);
        }
        assert!(
            parts.values().all(|parts| *parts == 1),
            "two moves at once: {parts:?}"
        );
    }

    /// Everybody is up for long enough; then nothing is left to do.
    fn come_to_rest(&mut self) {
        for node in self.up.keys().copied().collect::<Vec<_>>() {
            self.up.insert(node, true);
        }
        for _ in 0..1_000 {
            self.look();
            let left = steps(&self.catalog, &self.observed(), &Config::default());
            let steady = self
                .since
                .values()
                .all(|looks| LOOK * *looks > Duration::from_secs(60));
            let moving = self.catalog.plans.iter().any(|plan| plan.moving.is_some());
            if left.is_empty() && steady && !moving {
                return;
            }
        }
        panic!(
            "never at rest: {:?}",
            steps(&self.catalog, &self.observed(), &Config::default())
        );
    }
}

fn event() -> impl Strategy<Value = Event> {
    let pick = 0_usize..8;
    prop_oneof![
        2 => Just(Event::Join),
        2 => pick.clone().prop_map(Event::Crash),
        3 => pick.clone().prop_map(Event::Restart),
        1 => pick.clone().prop_map(Event::Decommission),
        1 => pick.clone().prop_map(Event::Drain),
        8 => (1_u8..30).prop_map(Event::Pass),
        1 => (0..PARTITIONS, pick.clone()).prop_map(|(partition, pick)| Event::Elect(partition, pick)),
        2 => pick.prop_map(Event::Die),
        2 => Just(Event::Tear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_replicas_end_where_they_are_wanted(
        first in 1_u8..4,
        events in prop::collection::vec(event(), 0..25),
    ) {
        let mut world = World::new();
        (0..first).for_each(|_| world.join());
        world.look();
        for event in events {
            world.happen(event);
        }
        world.come_to_rest();
        let may_hold = |node: &NodeId| {
            let member = world.catalog.members.get(*node);
            member.is_some_and(|member| member.state.may_hold())
        };
        let usable = world.catalog.members.present().filter(|(it, _)| may_hold(it)).count();
        for (partition, group) in &world.groups {
            let plan = &world.catalog.plans[usize::from(partition.0)];
            prop_assert!(same(&plan.voters, &group.voters), "{partition}: {plan:?} {group:?}");
            prop_assert!(plan.moving.is_none());
            prop_assert!(!group.changing, "{}", partition);
            if usable >= REPLICAS {
                prop_assert_eq!(plan.voters.len(), REPLICAS);
                prop_assert!(plan.voters.iter().all(may_hold), "{:?}", plan);
            }
        }
    }
}

fn settled(nodes: u8) -> World {
    let mut world = World::new();
    (0..nodes).for_each(|_| world.join());
    world.come_to_rest();
    world
}

#[test]
fn every_node_leads_its_share_in_the_end() {
    let world = settled(4);
    let mut led: BTreeMap<NodeId, usize> = BTreeMap::new();
    for group in world.groups.values() {
        *led.entry(group.leader).or_default() += 1;
    }
    assert_eq!(led.into_values().collect::<Vec<_>>(), [2; 4]);
}

#[test]
fn a_restart_moves_nothing_and_a_long_absence_moves_replicas_if_there_is_room() {
    for (nodes, looks, moves) in [(4, 19, false), (4, 21, true), (3, 40, false)] {
        let mut world = settled(nodes);
        world.happen(Event::Crash(0));
        let mut moved = false;
        for _ in 0..looks {
            world.look();
            moved |= world.catalog.plans.iter().any(|plan| plan.moving.is_some());
        }
        assert_eq!(moved, moves, "{nodes} nodes, {looks} looks");
    }
}

#[test]
fn a_node_that_leaves_loses_every_replica_and_one_that_drains_only_leadership() {
    let mut world = settled(4);
    world.set_state(1, MemberState::Leaving);
    world.set_state(0, MemberState::Draining);
    world.come_to_rest();
    let [drains, leaves] = [1, 2].map(NodeId);
    assert_eq!(world.catalog.held_by(leaves).count(), 0);
    assert_eq!(
        world.catalog.held_by(drains).count(),
        usize::from(PARTITIONS)
    );
    assert!(world.groups.values().all(|group| group.leader != drains));
    let gone = Command::SetState {
        node: leaves,
        state: MemberState::Gone,
    };
    assert_eq!(world.catalog.apply(gone), Reply::Done);
}

#[test]
fn a_node_that_is_to_lead_nothing_is_not_waited_for() {
    let mut world = settled(3);
    world.set_state(0, MemberState::Draining);
    let mut observed = world.observed();
    for contact in observed.nodes.values_mut() {
        *contact = Contact::Up(Duration::ZERO);
    }
    let steps = steps(&world.catalog, &observed, &Config::default());
    assert!(
        matches!(steps[..], [Step::TransferLeader { .. }]),
        "{steps:?}"
    );
}

#[test]
fn nothing_is_concluded_from_silence_about_a_node() {
    let world = settled(4);
    let observed = Observed::default();
    assert_eq!(steps(&world.catalog, &observed, &Config::default()), []);
}
