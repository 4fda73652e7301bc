//! D6: the disks of one node, of most or of all are full for a while.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "D6",
    what: "disk full",
    needs: DISKS,
    tolerates: &[longhaul_client::Code::ResourceExhausted],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

const DISKS: super::Needs = super::Needs {
    disks: true,
    ..NOTHING
};

const TOP_UP_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

async fn round(scene: &mut Scene) -> Result<Round> {
    let (all, first) = (scene.count(), scene.any());
    let count = scene.dice.pick(&[1, all / 2 + 1, all]);
    let victims: Vec<usize> = (0..count).map(|nth| (first + nth) % all).collect();
    let began = scene.now();
    for victim in &victims {
        scene.node(*victim).disk().fill()?;
    }
    let full_for = scene.dice.millis(5_000..=15_000);
    let full_for = if scene.brief { full_for / 3 } else { full_for };
    while scene.now() < began + full_for {
        // Whatever a node gives up is filled as well.
        for victim in &victims {
            scene.node(*victim).disk().fill()?;
        }
        tokio::time::sleep(TOP_UP_EVERY).await;
    }
    for victim in &victims {
        scene.node(*victim).disk().free()?;
    }
    // The same processes: with room again, nobody needs to be started anew.
    scene.lab.all_ready().await?;
    Ok(scene.over(began, victims, format!("{count} of {all}")))
}
