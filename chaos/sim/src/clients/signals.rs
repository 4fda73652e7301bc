//! Clients of entities: they signal, and send a signal again under its id until it is acknowledged.

use std::time::Duration;

use longhaul_partition::Clock;
use xxhash_rust::xxh3::xxh3_128;

use super::{Client, reads};
use crate::entities;
use crate::moment::{Answer, Request, Said};
use crate::plan::Saying;
use crate::replay::entities::guid;
use crate::stories::Progress;

/// How many signals out of a hundred are sent once more after they were acknowledged, as by a transport that lost the
/// answer.
const REPEATED_PERCENT: u64 = 15;

impl Client {
    pub(super) async fn signal_all(&mut self, sayings: &[Saying], progress: &mut Progress) {
        while let Some(saying) = sayings.get(usize::try_from(progress.steps).expect("few")) {
            self.signal_until_done(&saying.said, saying.delay, progress)
                .await;
            progress.steps += 1;
            self.save(progress);
            self.look_at_entity().await;
            self.pause(0, 500).await;
        }
        let delayed: Vec<&str> = sayings
            .iter()
            .filter(|it| it.delay.is_some() && it.said.name != "fail")
            .map(|it| it.said.tag.as_str())
            .collect();
        while !self.are_applied(&delayed).await {
            self.pause(100, 800).await;
        }
    }

    /// Signals an entity that is purged in between; the last signals stay.
    pub(super) async fn wipe(&mut self, rounds: u64, progress: &mut Progress) {
        const ROUND: u64 = 4;
        while progress.steps < rounds * ROUND + 2 {
            if progress.steps % ROUND == ROUND - 1 {
                self.purge_until_gone().await;
            } else {
                let said = Said {
                    name: "add",
                    tag: format!("client-{}/{}", self.number, progress.steps),
                    whom: None,
                };
                self.signal_until_done(&said, None, progress).await;
            }
            progress.steps += 1;
            self.save(progress);
            self.look_at_entity().await;
            self.pause(0, 300).await;
        }
    }

    async fn signal_until_done(
        &mut self,
        said: &Said,
        delay: Option<Duration>,
        progress: &mut Progress,
    ) {
        let mut again = progress.tried;
        if !again {
            progress.tried = true;
            progress.not_before = delay.map(|delay| self.world.clock().now() + delay);
            self.save(progress);
        }
        let mut wanted = 1 + u64::from(self.dice.percent(REPEATED_PERCENT));
        while wanted > 0 {
            let request = Request::Signal {
                entity: self.story.instance.clone(),
                request: guid(xxh3_128(said.tag.as_bytes())),
                said: said.clone(),
                due: progress.not_before,
                again,
            };
            again = true;
            match self.call_plainly(request).await {
                Answer::Done => wanted -= 1,
                _ => self.pause(1, 300).await,
            }
        }
        progress.tried = false;
    }

    async fn are_applied(&mut self, tags: &[&str]) -> bool {
        if tags.is_empty() {
            return true;
        }
        let state = self.look_at_entity().await.unwrap_or_default();
        let applied: Vec<&str> = entities::applied(&state).map(|it| it.tag).collect();
        tags.iter().all(|tag| applied.contains(tag))
    }

    async fn look_at_entity(&self) -> Option<String> {
        let sight = reads::look_at_entity(&self.world, &self.router, &self.story.instance);
        sight.await.state
    }
}
