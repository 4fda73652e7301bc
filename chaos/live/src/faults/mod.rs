//! The faults, one file each, and the table of them.

mod control;
mod d12_wiped;
mod d13_rolled_back;
mod d1_power;
mod d4_sync_error;
mod d6_disk_full;
mod d7_slow_disk;
mod d9_bit_flip;
mod k1_leader_killed;
mod k2_several_killed;
mod k4_crash_loop;
mod k5_paused;
mod k6_rolling_restart;
mod n1_isolated;
mod n2_one_way;
mod n3_partial;
mod r1_lagging;
mod r2_killed_while_catching_up;
mod r3_replaced;
mod tracing_syscalls;
mod w1_worker_killed;
mod w2_zombie_worker;
mod w3_answered_again;

use anyhow::Result;
use futures::future::BoxFuture;
use longhaul_client::Code;

use crate::{
    command::exists,
    lab::Lab,
    scene::{Round, Scene},
};

/// Something that goes wrong, and is put right again, once a round.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Its name.
    pub id: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// What it cannot do without.
    pub needs: Needs,
    /// Refusals that clients may get while it lasts.
    pub tolerates: &'static [Code],
    /// Whether SDKs must hide it, where there are other nodes to go to.
    pub hidden: bool,
    /// Whom it hits.
    pub hits: Hits,
    /// What the verdict must be.
    pub expects: Expects,
    /// Strikes, lasts a while, and heals.
    pub round: for<'a> fn(&'a mut Scene) -> BoxFuture<'a, Result<Round>>,
}

/// What the verdict must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// Every promise is kept.
    Kept,
    /// A start that was acknowledged is lost: the control of the verdict itself.
    Broken,
}

/// What a fault needs of the lab and the machine.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// So many nodes or more.
    pub nodes: usize,
    /// A network that can be cut.
    pub network: bool,
    /// Disks of the nodes' own.
    pub disks: bool,
    /// A program.
    pub program: Option<&'static str>,
}

/// Who is hit decides how recovery is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hits {
    /// Nodes: how long until calls are acknowledged again.
    Nodes,
    /// Workers: how long until orchestrations complete again.
    Workers,
}

/// What any lab has.
const NOTHING: Needs = Needs {
    nodes: 1,
    network: false,
    disks: false,
    program: None,
};

/// Several nodes, so that one may be without its data.
const SEVERAL: Needs = Needs {
    nodes: 3,
    ..NOTHING
};

/// Nodes with a network that can be cut.
const NETWORK: Needs = Needs {
    nodes: 3,
    network: true,
    ..NOTHING
};

/// Every fault.
pub const FAULTS: [Fault; 22] = [
    k1_leader_killed::FAULT,
    k2_several_killed::FAULT,
    k4_crash_loop::FAULT,
    k5_paused::FAULT,
    k6_rolling_restart::FAULT,
    n1_isolated::FAULT,
    n2_one_way::FAULT,
    n3_partial::FAULT,
    d1_power::FAULT,
    d4_sync_error::FAULT,
    d6_disk_full::FAULT,
    d7_slow_disk::FAULT,
    d9_bit_flip::FAULT,
    d12_wiped::FAULT,
    d13_rolled_back::FAULT,
    r1_lagging::FAULT,
    r2_killed_while_catching_up::FAULT,
    r3_replaced::FAULT,
    w1_worker_killed::FAULT,
    w2_zombie_worker::FAULT,
    w3_answered_again::FAULT,
    control::FAULT,
];

impl Fault {
    /// The fault of this name.
    pub fn find(id: &str) -> Option<&'static Self> {
        FAULTS
            .iter()
            .find(|fault| fault.id.eq_ignore_ascii_case(id))
    }

    /// Why it cannot happen here, if it cannot.
    pub fn impossible(&self, lab: &Lab) -> Option<String> {
        let Needs {
            nodes,
            network,
            disks,
            program,
        } = self.needs;
        if lab.nodes.len() < nodes {
            return Some(format!("needs {nodes} nodes"));
        }
        if network && !lab.network.can_be_cut() {
            return Some("needs network namespaces".to_owned());
        }
        if disks && !lab.nodes.iter().all(|node| node.disk().is_own()) {
            return Some("needs loop devices".to_owned());
        }
        let missing = program.filter(|program| !exists(program));
        missing.map(|program| format!("needs `{program}`"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        let names: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.id).collect();
        assert_eq!(names.len(), FAULTS.len());
        for name in names {
            let found = Fault::find(&name.to_lowercase()).expect("it is there");
            assert_eq!(found.id, name);
        }
        assert!(Fault::find("K99").is_none());
    }
}
