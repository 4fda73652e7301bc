//! D13: a node comes back with an older copy of its data, which it must not serve.

use anyhow::Result;

use super::{Expects, Fault, Hits, SEVERAL};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "D13",
    what: "rolled-back node",
    needs: SEVERAL,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

/// How long a node that must not become ready is watched.
const WATCHED_FOR: std::time::Duration = std::time::Duration::from_secs(10);
/// What must have been acknowledged since the copy was made.
const ACKNOWLEDGED_SINCE: usize = 50;

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let data = scene.node(victim).data();
    let copy = data.with_extension("copy");
    let began = scene.now();
    scene.node(victim).kill()?;
    let (from, to) = (
        data.to_string_lossy().into_owned(),
        copy.to_string_lossy().into_owned(),
    );
    crate::command::run("cp", &["-a", &from, &to])?;
    scene.restart(victim).await?;
    let before = scene.workload.acknowledged();
    while scene.workload.acknowledged() < before + ACKNOWLEDGED_SINCE {
        scene.linger(200..=400).await;
    }
    scene.node(victim).kill()?;
    scene.wipe(victim)?;
    std::fs::rename(&copy, &data)?;
    scene.node(victim).start()?;
    let served = scene.node(victim).ready(WATCHED_FOR).await;
    anyhow::ensure!(
        served.is_err(),
        "n{victim} serves from an old copy of its data"
    );
    scene.node(victim).end()?;
    scene.wipe(victim)?;
    scene.restart(victim).await?;
    scene.lab.settled().await?;
    Ok(scene.over(began, vec![victim], "refused, then emptied"))
}
