//! What a seed stands for when there are several nodes.

use std::time::Duration;

use longhaul_replication::{CheckpointThread, GroupConfig};

use crate::dice::Dice;
use crate::plan::Plan;

/// What may go wrong in a run. Each seed has some of them only, so that none hides another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A process is killed, its machine loses power, or it is stopped.
    Crash,
    /// All machines lose power at once.
    Blackout,
    /// A process stands still for a while, and finds that time has gone on.
    Pause,
    /// A node hears from nobody and is heard by nobody.
    Isolation,
    /// Two nodes are apart, both ways or one way.
    Cut,
    /// Links break.
    Breaks,
    /// Everything to and from a node takes long.
    SlowNode,
    /// A disk stops in the middle of something, or fails to sync.
    BrokenDisk,
    /// A clock is set.
    Clock,
    /// Leadership is handed over.
    Transfer,
    /// A replica is moved to another node.
    Move,
    /// A node loses everything, and comes back as another one.
    Wipe,
}

const TROUBLES: [Trouble; 12] = [
    Trouble::Crash,
    Trouble::Blackout,
    Trouble::Pause,
    Trouble::Isolation,
    Trouble::Cut,
    Trouble::Breaks,
    Trouble::SlowNode,
    Trouble::BrokenDisk,
    Trouble::Clock,
    Trouble::Transfer,
    Trouble::Move,
    Trouble::Wipe,
];

/// Everything about a run that is decided before it begins, beyond what each node is given to do.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    /// The seed.
    pub(crate) seed: u64,
    /// Nodes that the cluster begins with.
    pub(crate) nodes: u64,
    /// Replicas of each partition.
    pub(crate) replicas: usize,
    /// So long goes one node after another.
    pub(crate) tick: Duration,
    /// Longest way of a frame, in milliseconds, as a rule.
    pub(crate) latency: u64,
    /// Timing of the groups.
    pub(crate) group_config: GroupConfig,
    /// How long things go wrong.
    pub(crate) troubled: Duration,
    /// Longest time between two things that go wrong, in milliseconds.
    pub(crate) between: u64,
    /// What goes wrong.
    pub(crate) troubles: Vec<Trouble>,
    /// Whether everybody loses power once more when all is at rest.
    pub(crate) last_blackout: bool,
}

impl ClusterPlan {
    /// The plan of a seed, and what its nodes are given to do.
    #[must_use]
    pub(crate) fn of(seed: u64) -> (Self, Plan) {
        let mut dice = Dice::new(seed, "cluster");
        let heartbeat = dice.pick(&[60, 100]);
        let millis = Duration::from_millis;
        let chance = dice.pick(&[30, 60]);
        let some = TROUBLES.into_iter().filter(|_| dice.percent(chance));
        let mut troubles: Vec<Trouble> = some.collect();
        if troubles.is_empty() {
            troubles.push(Trouble::Crash);
        }
        let plan = Self {
            seed,
            nodes: dice.pick(&[3, 3, 3, 4, 5]),
            replicas: 3,
            tick: millis(dice.pick(&[1, 2, 2, 3])),
            latency: dice.pick(&[0, 1, 4]),
            group_config: GroupConfig {
                heartbeat_interval: millis(heartbeat),
                election_timeout_min: millis(4 * heartbeat),
                election_timeout_max: millis(6 * heartbeat),
                quorum_loss_probe_interval: millis(12 * heartbeat),
                snapshot_timeout: Duration::from_secs(10),
                entries_kept: dice.pick(&[0, 0, 50]),
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            troubled: dice.millis(2_000, 6_000),
            between: dice.pick(&[400, 1_000, 2_000]),
            troubles,
            last_blackout: dice.percent(30),
        };
        (plan, Plan::small(seed))
    }
}
