//! D4: a node's disk fails to sync: it must end, and not answer before.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "D4",
    what: "failed sync",
    needs: TRACED,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

const TRACED: super::Needs = super::Needs {
    program: Some("strace"),
    ..NOTHING
};
const ENDS_WITHIN: std::time::Duration = std::time::Duration::from_secs(15);

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.leader().await?;
    let log = scene.lab.directory().join("strace.log");
    let began = scene.now();
    let id = scene.node(victim).process()?.id();
    let fault = "fdatasync,fsync:error=EIO";
    let traced = super::tracing_syscalls::Traced::inject(id, fault, &log).await?;
    let status = scene.node(victim).process()?.wait(ENDS_WITHIN).await?;
    traced.check_happened()?;
    anyhow::ensure!(
        !status.success(),
        "after a failed sync n{victim} ended with {status}"
    );
    scene.node(victim).forget();
    scene.linger(0..=2_000).await;
    scene.restart(victim).await?;
    Ok(scene.over(began, vec![victim], format!("ended with {status}")))
}
