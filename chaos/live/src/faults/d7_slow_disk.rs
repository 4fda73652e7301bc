//! D7: every sync of one node takes half a second more.

use anyhow::Result;

use super::{Expects, Fault, Hits, NOTHING};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "D7",
    what: "slow disk",
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

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let log = scene.lab.directory().join("strace.log");
    let began = scene.now();
    let id = scene.node(victim).process()?.id();
    let delay = "fdatasync,fsync:delay_enter=500000";
    let traced = super::tracing_syscalls::Traced::inject(id, delay, &log).await?;
    scene.linger(5_000..=15_000).await;
    traced.check_happened()?;
    traced.end().await?;
    scene.lab.all_ready().await?;
    Ok(scene.over(began, vec![victim], "half a second a sync"))
}
