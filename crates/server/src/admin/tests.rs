//! The administration over clusters that are made up.

mod healthy;
mod serving;
mod wanting;

use std::time::Duration;

use longhaul_cluster::catalog::{Addresses, Catalog, Command, Founding, Join, Move};
use longhaul_cluster::controller::{Contact, Group};
use longhaul_cluster::meta::MetaStatus;
use longhaul_replication::NodeId;
use longhaul_types::{PartitionCount, PartitionId};

/// What a made-up cluster has agreed on, and what is observed.
#[derive(Clone)]
pub(super) struct MadeUp {
    pub(super) catalog: Catalog,
    pub(super) status: MetaStatus,
}

/// Nodes `n1`, `n2` … that are all up, and two partitions with up to three replicas, led by the first of them.
pub(super) fn of_nodes(count: u8) -> MadeUp {
    let founding = Founding {
        cluster_id: [7; 16],
        partitions: PartitionCount::new(2).expect("a power of two"),
        replicas: 3,
        token_key: [0; 32],
    };
    let joins = (1..=count).map(|number| Join {
        directory: [number; 16],
        name: format!("n{number}").into(),
        addresses: Addresses {
            peers: format!("n{number}:8081").into(),
            clients: format!("n{number}:8080").into(),
        },
        zone: (number == 1).then(|| "a".into()),
    });
    let mut made_up = MadeUp {
        catalog: Catalog::found(founding, joins.collect()),
        status: MetaStatus::default(),
    };
    let nodes: Vec<NodeId> = (1..=count).map(|number| NodeId(number.into())).collect();
    let replicas: Vec<NodeId> = nodes.iter().copied().take(3).collect();
    made_up.apply(Command::Want {
        replicas: vec![replicas.clone(), replicas.clone()],
    });
    let status = &mut made_up.status;
    status.leader = nodes.first().copied();
    status.voters = nodes.iter().copied().take(3).collect();
    let up = Contact::Up(Duration::from_secs(60));
    status.contacts = nodes.iter().map(|node| (*node, up)).collect();
    let group = Group {
        leader: NodeId(1),
        voters: replicas,
        changing: false,
        learners: [].into(),
    };
    status.groups = [PartitionId(0), PartitionId(1)]
        .map(|partition| (partition, group.clone()))
        .into();
    made_up
}

impl MadeUp {
    pub(super) fn apply(&mut self, command: Command) {
        self.catalog.apply(command);
    }

    pub(super) fn goes_down(&mut self, node: u64) {
        let down = Contact::Down(Duration::from_secs(90));
        self.status.contacts.insert(NodeId(node), down);
    }

    /// A replica of partition 1 begins to move.
    pub(super) fn moves(&mut self, wanted: [u64; 3], change: Move) {
        let kept = self.catalog.plans[0].wanted.clone();
        self.apply(Command::Want {
            replicas: vec![kept, wanted.map(NodeId).to_vec()],
        });
        self.apply(Command::Move {
            partition: PartitionId(1),
            change,
        });
        assert!(self.catalog.plans[1].moving.is_some());
    }
}
