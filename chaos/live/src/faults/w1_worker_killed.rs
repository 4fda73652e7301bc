//! W1: a worker is killed with work in its hands.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "W1",
    what: "worker killed",
    needs: NOTHING,
    tolerates: &[],
    hidden: false,
    hits: Hits::Workers,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.dice.index(scene.workers.count());
    let began = scene.now();
    scene.workers.kill(victim)?;
    scene.linger(0..=2_000).await;
    scene.workers.start(crate::workers::Kind::Ordinary).await?;
    Ok(scene.over(began, vec![], "started again"))
}
