//! The control: all nodes lose everything that they were told. A run that finds nothing wrong then finds nothing at all.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "control",
    what: "everything lost",
    needs: NOTHING,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Broken,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let all: Vec<usize> = (0..scene.count()).collect();
    let began = scene.now();
    for node in &all {
        scene.node(*node).kill()?;
        scene.wipe(*node)?;
    }
    scene.lab.start_all().await?;
    Ok(scene.over(began, all, "all nodes"))
}
