//! K1: a leader is killed, and started again a while later.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "K1",
    what: "leader killed",
    needs: NOTHING,
    tolerates: &[],
    hidden: true,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

async fn round(scene: &mut Scene) -> Result<Round> {
    let leader = scene.leader().await?;
    let began = scene.now();
    scene.node(leader).kill()?;
    let away = scene.linger(0..=5_000).await;
    scene.restart(leader).await?;
    let name = scene.node(leader).name();
    Ok(scene.over(began, vec![leader], format!("{name} away for {away:.1?}")))
}
