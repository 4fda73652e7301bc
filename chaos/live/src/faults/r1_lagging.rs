//! R1: a node is cut off while much happens, and has to catch up.

use anyhow::Result;

use super::{Expects, Fault, Hits, NETWORK};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "R1",
    what: "lagging follower",
    needs: NETWORK,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

/// How much happens meanwhile.
const ACKNOWLEDGED: usize = 2_000;
const ACKNOWLEDGED_BRIEF: usize = 200;

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let others = scene.others(victim);
    let began = scene.now();
    for other in &others {
        scene.lab.network.cut(victim, *other)?;
        scene.lab.network.cut(*other, victim)?;
    }
    scene.probe_until(victim, others[0], false).await?;
    let before = scene.workload.acknowledged();
    let wanted = if scene.brief {
        ACKNOWLEDGED_BRIEF
    } else {
        ACKNOWLEDGED
    };
    while scene.workload.acknowledged() < before + wanted {
        scene.linger(200..=400).await;
    }
    for other in &others {
        scene.join(victim, *other)?;
        scene.join(*other, victim)?;
    }
    scene.probe_until(victim, others[0], true).await?;
    scene.lab.all_ready().await?;
    Ok(scene.over(began, vec![victim], format!("missed {wanted} calls")))
}
