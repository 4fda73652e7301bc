//! N3: two nodes do not reach each other, and both reach all others.

use anyhow::Result;

use super::{Expects, Fault, Hits, NETWORK};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "N3",
    what: "partial partition",
    needs: NETWORK,
    tolerates: &[],
    hidden: true,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let one = scene.leader().await?;
    let others = scene.others(one);
    let other = scene.dice.pick(&others);
    let began = scene.now();
    scene.lab.network.cut(one, other)?;
    scene.lab.network.cut(other, one)?;
    scene.probe_until(one, other, false).await?;
    scene.linger(3_000..=15_000).await;
    scene.join(one, other)?;
    scene.join(other, one)?;
    scene.probe_until(one, other, true).await?;
    scene.lab.all_ready().await?;
    let what = format!(
        "{} and {}",
        scene.node(one).name(),
        scene.node(other).name()
    );
    Ok(scene.over(began, vec![one, other], what))
}
