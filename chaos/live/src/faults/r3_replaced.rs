//! R3: a node is replaced by a new one of its name while the leaders are killed.

use anyhow::Result;

use super::{Expects, Fault, Hits, SEVERAL};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "R3",
    what: "replaced under fire",
    needs: SEVERAL,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let replaced = scene.any();
    let began = scene.now();
    scene.node(replaced).kill()?;
    scene.wipe(replaced)?;
    scene.node(replaced).start()?;
    scene.linger(0..=3_000).await;
    let others = scene.others(replaced);
    let leaders = scene.lab.leaders().await;
    let mut leading: Vec<usize> = leaders.into_values().collect();
    leading.retain(|node| others.contains(node));
    let killed = if leading.is_empty() { others } else { leading };
    let killed = scene.dice.pick(&killed);
    scene.node(killed).kill()?;
    scene.linger(0..=2_000).await;
    scene.node(killed).start()?;
    scene.lab.all_ready().await?;
    scene.lab.settled().await?;
    Ok(scene.over(began, vec![replaced, killed], "a leader killed meanwhile"))
}
