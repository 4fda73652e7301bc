//! N2: what a node sends, or what it is sent, or some of it, does not arrive.

use anyhow::Result;

use super::{Expects, Fault, Hits, NETWORK};
use crate::scene::{Round, Scene};

pub(super) const FAULT: Fault = Fault {
    id: "N2",
    what: "one-way and lossy ways",
    needs: NETWORK,
    tolerates: &[],
    hidden: false,
    hits: Hits::Nodes,
    expects: Expects::Kept,
    round: |scene| Box::pin(round(scene)),
};

const LOST_PERCENT: u64 = 30;

async fn round(scene: &mut Scene) -> Result<Round> {
    let victim = scene.any();
    let ways = if scene.lab.network.can_be_lossy() {
        3
    } else {
        2
    };
    match scene.dice.index(ways) {
        0 => {
            one_way(scene, victim, "sends in vain", |victim, other| {
                (victim, other)
            })
            .await
        }
        1 => {
            one_way(scene, victim, "hears nothing", |victim, other| {
                (other, victim)
            })
            .await
        }
        _ => lossy(scene, victim).await,
    }
}

async fn one_way(
    scene: &mut Scene,
    victim: usize,
    what: &str,
    way: fn(usize, usize) -> (usize, usize),
) -> Result<Round> {
    let ways = scene
        .others(victim)
        .into_iter()
        .map(|other| way(victim, other));
    let ways: Vec<(usize, usize)> = ways.collect();
    let began = scene.now();
    for (from, to) in &ways {
        scene.cut(*from, *to).await?;
    }
    scene.linger(2_000..=10_000).await;
    for (from, to) in &ways {
        scene.join(*from, *to)?;
    }
    for (from, to) in &ways {
        scene.probe_until(*from, *to, true).await?;
    }
    scene.lab.all_ready().await?;
    Ok(scene.over(began, vec![victim], what))
}

async fn lossy(scene: &mut Scene, victim: usize) -> Result<Round> {
    let began = scene.now();
    scene.lab.network.lose(victim, LOST_PERCENT)?;
    scene.lab.network.check_lossy(victim)?;
    scene.linger(2_000..=10_000).await;
    scene.lab.network.lose_no_more(victim)?;
    scene.lab.all_ready().await?;
    Ok(scene.over(began, vec![victim], format!("loses {LOST_PERCENT} %")))
}
