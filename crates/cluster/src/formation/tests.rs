//! Nodes that form clusters: over calls in one process that get lost, and over TCP.

mod memory;
mod tcp;

use longhaul_types::PartitionCount;

use crate::catalog::{Addresses, Founding, Join};

pub(crate) fn founding(cluster: u8) -> Founding {
    Founding {
        cluster_id: [cluster; 16],
        partitions: PartitionCount::new(2).expect("a power of two"),
        replicas: 3,
        token_key: [cluster; 32],
    }
}

pub(crate) fn join(name: &str, directory: u8) -> Join {
    Join {
        directory: [directory; 16],
        name: name.into(),
        addresses: Addresses {
            peers: format!("{name}:8083").into(),
            clients: format!("{name}:8080").into(),
        },
        zone: None,
    }
}
