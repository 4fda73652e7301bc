//! K5: a leader is stopped for a while, and then goes on as if nothing had been.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "K5",
    what: "leader paused",
    needs: NOTHING,
    tolerates: &[],
    hidden: true,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

const PAUSES_MS: [u64; 4] = [300, 1_000, 5_000, 30_000];
const PAUSES_BRIEF_MS: [u64; 3] = [300, 1_000, 3_000];

async fn round(scene: &mut Scene) -> Result<Round> {
    let leader = scene.leader().await?;
    let pauses: &[u64] = if scene.brief {
        &PAUSES_BRIEF_MS
    } else {
        &PAUSES_MS
    };
    let pause = scene.dice.pick(pauses);
    let began = scene.now();
    scene.node(leader).process()?.pause()?;
    tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
    scene.node(leader).process()?.resume()?;
    scene.node(leader).ready(crate::lab::READY_WITHIN).await?;
    Ok(scene.over(began, vec![leader], format!("for {pause} ms")))
}
