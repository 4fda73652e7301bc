//! K2: some nodes are killed at the same moment, or all.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "K2",
    what: "nodes killed at once",
    needs: NOTHING,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let first = scene.any();
    let all = scene.count();
    // All of them every other time.
    let count = match scene.dice.index(2) {
        0 => all,
        _ => 1 + scene.dice.index(all),
    };
    let victims: Vec<usize> = (0..count).map(|nth| (first + nth) % all).collect();
    let began = scene.now();
    for victim in &victims {
        scene.node(*victim).kill()?;
    }
    scene.linger(0..=2_000).await;
    for victim in &victims {
        scene.node(*victim).start()?;
    }
    scene.lab.all_ready().await?;
    Ok(scene.over(began, victims, format!("{count} of {all}")))
}
