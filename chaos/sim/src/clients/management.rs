//! What clients do to instances beyond running them: rewind, restart, purge, force them to end, let them age.

use std::time::Duration;

use longhaul_engine::Status;
use longhaul_partition::{Clock, RetentionAges, RetentionPolicy};
use longhaul_routing::Router;

use super::Client;
use crate::moment::{Answer, Moment, Request};
use crate::sabotage::Sabotage;
use crate::searches;
use crate::stories::Progress;
use crate::world::{HUB, World};

impl Client {
    /// Rewinds the instance whenever it has failed, until it completes.
    pub(super) async fn rewind(&mut self, input: &str, progress: &mut Progress) {
        while self.await_end().await == Status::Failed {
            progress.steps += 1;
            self.save(progress);
            let request = Request::Rewind {
                instance: self.story.instance.clone(),
                execution: self.execution(progress.steps),
                input: input.to_owned(),
            };
            self.call_until_answered(request).await;
        }
    }

    /// Starts the instance again whenever it has ended.
    pub(super) async fn revive(&mut self, input: &str, times: u64, progress: &mut Progress) {
        while progress.steps < times {
            self.await_end().await;
            let request = Request::Restart {
                instance: self.story.instance.clone(),
                execution: self.execution(progress.steps + 1),
                input: input.to_owned(),
            };
            if self.call_until_answered(request).await == Answer::Done {
                progress.steps += 1;
                self.save(progress);
            }
        }
    }

    pub(super) async fn purge_until_gone(&mut self) {
        let request = Request::Purge {
            instance: self.story.instance.clone(),
        };
        loop {
            match self.call_until_answered(request.clone()).await {
                Answer::Done | Answer::NotFound => return,
                _ => self.pause(50, 500).await,
            }
        }
    }

    /// Asks once; the instance may be in a critical section.
    pub(super) async fn force(&mut self) {
        let request = Request::Force {
            instance: self.story.instance.clone(),
        };
        self.call_plainly(request).await;
    }

    async fn call_until_answered(&mut self, request: Request) -> Answer {
        loop {
            match self.call_plainly(request.clone()).await {
                Answer::Unknown => self.pause(1, 300).await,
                answer => return answer,
            }
        }
    }
}

/// Deletes what ended longer ago than the plan keeps it.
pub(crate) async fn age(world: &World, router: &Router) {
    let age = world.plan().retention;
    let policy = RetentionPolicy::of_every_hub(RetentionAges::same(Some(match world.sabotage() {
        Sabotage::HastyRetention => Duration::ZERO,
        _ => age,
    })));
    let surely = world.clock().now() - age;
    let purged = searches::finished(router.partitions().purge_aged(HUB, &policy)).await;
    let perhaps = world.clock().now() - age;
    match purged {
        Ok(deleted) => world.note(Moment::Aged {
            surely,
            perhaps,
            deleted,
        }),
        Err(error) => world.broken("retention deletes what is old enough", error.to_string()),
    }
}
