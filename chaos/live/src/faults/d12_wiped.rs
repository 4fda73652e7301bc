//! D12: a node comes back without its data, under its old name.

use anyhow::Result;

use super::{Expects, Fault, Hits, SEVERAL};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "D12",
    what: "wiped node",
    needs: SEVERAL,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let began = scene.now();
    scene.node(victim).kill()?;
    scene.wipe(victim)?;
    scene.restart(victim).await?;
    scene.lab.settled().await?;
    Ok(scene.over(began, vec![victim], scene_name(victim)))
}

fn scene_name(victim: usize) -> String {
    crate::lab::node::name(victim)
}
