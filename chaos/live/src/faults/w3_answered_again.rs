//! W3: a worker answers its activities several times, with another result each time.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "W3",
    what: "answered again",
    needs: NOTHING,
    tolerates: &[],
    hidden: false,
    hits: Hits::Workers,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

use crate::repeating::{ANSWERED_AGAIN, REFUSED};

const ANSWERS: usize = 20;
const COMES_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

async fn round(scene: &mut Scene) -> Result<Round> {
    let began = scene.now();
    let answered = |scene: &Scene| scene.workers.log().matches(ANSWERED_AGAIN).count();
    let before = answered(scene);
    scene.workers.start(crate::workers::Kind::Repeating).await?;
    while answered(scene) < before + ANSWERS {
        anyhow::ensure!(
            scene.now() < began + COMES_WITHIN,
            "the worker that repeats itself answered {} activities",
            answered(scene) - before
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let newest = scene.workers.count() - 1;
    scene.workers.kill(newest)?;
    let log = scene.workers.log();
    anyhow::ensure!(!log.contains(REFUSED), "{log}");
    Ok(scene.over(began, vec![], format!("{ANSWERS} activities or more")))
}
