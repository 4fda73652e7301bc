//! K4: a node is killed again and again while it starts.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "K4",
    what: "killed while starting",
    needs: NOTHING,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

const TIMES: usize = 20;
const TIMES_BRIEF: usize = 5;

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let times = if scene.brief { TIMES_BRIEF } else { TIMES };
    let began = scene.now();
    scene.node(victim).kill()?;
    for _ in 0..times {
        scene.node(victim).start()?;
        let alive = scene.dice.millis(0..=300);
        tokio::time::sleep(alive).await;
        scene.node(victim).kill()?;
    }
    scene.restart(victim).await?;
    Ok(scene.over(began, vec![victim], format!("{times} times")))
}
