//! D1: all nodes lose power at the same moment: what was not synced is gone.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "D1",
    what: "power loss of all nodes",
    needs: POWER,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

const POWER: super::Needs = super::Needs {
    disks: true,
    program: Some("python3"),
    ..NOTHING
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let all: Vec<usize> = (0..scene.count()).collect();
    let began = scene.now();
    // Stopped first: the disk must not go while a process is in the middle of a sync of it.
    for node in &mut scene.lab.nodes {
        node.process()?.pause()?;
    }
    for node in &mut scene.lab.nodes {
        node.lose_power()?;
    }
    scene.lab.start_all().await?;
    Ok(scene.over(began, all, "all nodes"))
}
