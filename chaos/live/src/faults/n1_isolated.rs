//! N1: a leader is cut off from all other nodes; clients still reach it.

use anyhow::Result;

use super::{Expects, Fault, Hits, NETWORK};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "N1",
    what: "leader isolated",
    needs: NETWORK,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let leader = scene.leader().await?;
    let others = scene.others(leader);
    let began = scene.now();
    for other in &others {
        scene.lab.network.cut(leader, *other)?;
        scene.lab.network.cut(*other, leader)?;
    }
    scene.probe_until(leader, others[0], false).await?;
    let away = scene.linger(2_000..=15_000).await;
    for other in &others {
        scene.join(leader, *other)?;
        scene.join(*other, leader)?;
    }
    scene.probe_until(leader, others[0], true).await?;
    scene.lab.all_ready().await?;
    let name = scene.node(leader).name();
    Ok(scene.over(began, vec![leader], format!("{name} for {away:.1?}")))
}
