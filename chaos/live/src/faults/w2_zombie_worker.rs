//! W2: a worker is stopped until its work is somebody else's, and then answers.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "W2",
    what: "zombie worker",
    needs: NOTHING,
    tolerates: &[],
    hidden: false,
    hits: Hits::Workers,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

/// After so long every orchestration waits for the stopped worker, or never will.
const ALL_WAIT_AFTER: Duration = Duration::from_secs(5);
/// A connection is silent for no longer than 40 s before its end is noticed.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(90);

async fn round(scene: &mut Scene) -> Result<Round> {
    ensure!(scene.workers.count() > 1, "there is nobody to take over");
    let victim = scene.dice.index(scene.workers.count());
    let began = scene.now();
    scene.workers.process(victim)?.pause()?;
    tokio::time::sleep(ALL_WAIT_AFTER).await;
    let wanted = completions(scene) + 3 * scene.workload.shared.size.drivers;
    while completions(scene) < wanted {
        let waited = scene.now() - began;
        ensure!(
            waited < TAKEN_OVER_WITHIN,
            "its work is nobody else's after {waited:.0?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let paused = scene.now() - began;
    scene.workers.process(victim)?.resume()?;
    Ok(scene.over(began, vec![], format!("for {paused:.1?}")))
}

fn completions(scene: &Scene) -> usize {
    scene.workload.shared.completions.count()
}
