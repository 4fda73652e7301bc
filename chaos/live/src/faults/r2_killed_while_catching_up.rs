//! R2: an emptied node is killed again and again while it receives its data, and once a node that sends it.

use anyhow::Result;

use super::{Expects, Fault, Hits, SEVERAL};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "R2",
    what: "killed while catching up",
    needs: SEVERAL,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

const TIMES: usize = 4;

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let others = scene.others(victim);
    let sender = scene.dice.pick(&others);
    let began = scene.now();
    scene.node(victim).kill()?;
    scene.wipe(victim)?;
    for _ in 0..TIMES {
        scene.node(victim).start()?;
        let alive = scene.dice.millis(50..=2_000);
        tokio::time::sleep(alive).await;
        scene.node(victim).kill()?;
    }
    scene.node(victim).start()?;
    let alive = scene.dice.millis(50..=1_000);
    tokio::time::sleep(alive).await;
    scene.node(sender).kill()?;
    scene.linger(0..=1_000).await;
    scene.node(sender).start()?;
    scene.lab.all_ready().await?;
    scene.lab.settled().await?;
    Ok(scene.over(began, vec![victim, sender], format!("{TIMES} times")))
}
