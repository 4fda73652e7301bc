//! K6: every node in turn is asked to end, and started again.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "K6",
    what: "rolling restart",
    needs: NOTHING,
    tolerates: &[],
    hidden: true,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

/// A node that was asked to end has done so within this time.
const ENDS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

async fn round(scene: &mut Scene) -> Result<Round> {
    let began = scene.now();
    let all: Vec<usize> = (0..scene.count()).collect();
    for node in &all {
        let process = scene.node(*node).process()?;
        process.signal(rustix::process::Signal::TERM)?;
        let status = process.wait(ENDS_WITHIN).await?;
        anyhow::ensure!(
            status.success(),
            "asked to end, n{node} ended with {status}"
        );
        scene.node(*node).forget();
        scene.restart(*node).await?;
    }
    Ok(scene.over(began, all, "every node"))
}
