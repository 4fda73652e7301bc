//! The entities of a run: which they are, and whether they end up with what they were asked to do.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use longhaul_client::Client;
use serde::Serialize;
use tokio::time::sleep;

use crate::bench::{
    orchestrators::{counter, counter_id},
    output::rounded,
};

/// Between two looks at the entities; also the precision of how far behind they were.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const LOOKS_IN_FLIGHT: usize = 16;

/// Counters that are added to, and what they must show in the end.
#[derive(Debug)]
pub(super) struct Counters {
    ids: Vec<String>,
    asked: AtomicU64,
    acknowledged: AtomicU64,
}

/// What the counters showed in the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Settled {
    /// How many entities.
    count: usize,
    /// Operations begun over the whole run.
    asked: u64,
    /// Of them, those that the server has acknowledged.
    acknowledged: u64,
    /// Operations that the states show.
    applied: u64,
    /// Operations still queued when patience ran out.
    queued: u64,
    /// From the end of the load until all were applied, ms.
    behind_ms: f64,
    /// Whether none was lost, repeated or left over.
    right: bool,
}

/// One look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    applied: u64,
    queued: u64,
}

impl Counters {
    /// `prefix` sets them apart from those of any other run.
    pub(super) fn new(prefix: &str, count: usize) -> Self {
        Self {
            ids: (0..count)
                .map(|nth| counter_id(&format!("{prefix}-{nth}")))
                .collect(),
            asked: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        }
    }

    /// The entity for the `nth` of whatever uses them.
    pub(super) fn id_of(&self, nth: u64) -> &str {
        &self.ids[nth as usize % self.ids.len()]
    }

    /// From now on, so many more may show in the states.
    pub(super) fn asked(&self, operations: usize) {
        self.asked.fetch_add(operations as u64, Ordering::Relaxed);
    }

    /// From now on, so many more have to show in the states, sooner or later.
    pub(super) fn acknowledged(&self, operations: usize) {
        self.acknowledged
            .fetch_add(operations as u64, Ordering::Relaxed);
    }

    /// Waits until everything acknowledged is applied and nothing is queued any more, but not longer than `patience`.
    pub(super) async fn settle(
        &self,
        client: &Client,
        patience: Duration,
    ) -> anyhow::Result<Settled> {
        let begun = Instant::now();
        loop {
            let seen = self.look(client).await?;
            let settled = self.judge(seen, begun.elapsed());
            let is_behind = seen.applied < settled.acknowledged || seen.queued > 0;
            if !is_behind || begun.elapsed() > patience {
                return Ok(settled);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    fn judge(&self, seen: Seen, behind: Duration) -> Settled {
        let asked = self.asked.load(Ordering::Relaxed);
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        Settled {
            count: self.ids.len(),
            asked,
            acknowledged,
            applied: seen.applied,
            queued: seen.queued,
            behind_ms: rounded(behind.as_secs_f64() * 1e3),
            right: (acknowledged..=asked).contains(&seen.applied) && seen.queued == 0,
        }
    }

    async fn look(&self, client: &Client) -> anyhow::Result<Seen> {
        let looks = stream::iter(&self.ids).map(|id| async move {
            let Some(entity) = client.get_entity(id).await? else {
                return Ok(Seen::default());
            };
            let state = entity.serialized_state.unwrap_or_default();
            let applied = counter::number(&state)
                .with_context(|| format!("{id} has the state `{state}`, which is no number"))?;
            anyhow::Ok(Seen {
                applied,
                queued: u64::try_from(entity.backlog_queue_size).unwrap_or(0),
            })
        });
        looks
            .buffer_unordered(LOOKS_IN_FLIGHT)
            .try_fold(Seen::default(), |sum, seen| async move {
                Ok(Seen {
                    applied: sum.applied + seen.applied,
                    queued: sum.queued + seen.queued,
                })
            })
            .await
    }
}

impl Settled {
    pub(super) fn is_right(&self) -> bool {
        self.right
    }

    pub(super) fn text(&self) -> String {
        let verdict = match self.right {
            true => "as it must be",
            false => "WRONG",
        };
        let left = match self.queued {
            0 => String::new(),
            queued => format!(", {queued} still queued"),
        };
        format!(
            "{} of {} acknowledged operations applied ({} begun), {verdict}{left}, {:.0} ms after the load",
            self.applied, self.acknowledged, self.asked, self.behind_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_used_in_turn() {
        let counters = Counters::new("run", 3);
        let ids: Vec<&str> = (0..4).map(|nth| counters.id_of(nth)).collect();
        assert_eq!(
            ids,
            [
                "@bench-counter@run-0",
                "@bench-counter@run-1",
                "@bench-counter@run-2",
                "@bench-counter@run-0"
            ]
        );
    }

    #[test]
    fn acknowledged_operations_show_once_and_others_at_most_once() {
        let counters = Counters::new("run", 1);
        counters.asked(12);
        counters.acknowledged(10);
        for (applied, queued, right) in [
            (9, 0, false),
            (9, 1, false),
            (10, 0, true),
            (10, 1, false),
            (12, 0, true),
            (13, 0, false),
        ] {
            let settled = counters.judge(Seen { applied, queued }, Duration::ZERO);
            assert_eq!(
                settled.is_right(),
                right,
                "{applied} applied, {queued} queued"
            );
        }
    }
}
