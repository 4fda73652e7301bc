//! Looks random stored instances up.

use std::{sync::Arc, time::Duration};

use longhaul_client::{Client, Detail};
use tokio::time::timeout;

use super::{random::Random, store::Stored};
use crate::bench::load::{Failure, called, failure};

const LIVE: &str = "live";
const ENDED: &str = "ended";

/// Reads one after the other, each with its payloads.
pub(super) struct Gets {
    client: Client,
    stored: Arc<Stored>,
    timeout: Duration,
    random: Random,
}

impl Gets {
    pub(super) fn new(client: Client, stored: Arc<Stored>, timeout: Duration) -> Self {
        Self {
            client,
            random: Random::seeded(stored.count as u64),
            stored,
            timeout,
        }
    }

    /// Reads and checks one.
    pub(super) async fn read_next(&mut self) -> (&'static str, Result<(), Failure>) {
        let nth = self.random.below(self.stored.count);
        let kind = match self.stored.store.is_live(nth) {
            true => LIVE,
            false => ENDED,
        };
        (kind, self.read(nth).await)
    }

    async fn read(&self, nth: usize) -> Result<(), Failure> {
        let instance_id = self.stored.store.id(nth);
        let state = timeout(
            self.timeout,
            self.client.get(&instance_id, Detail::Payloads),
        )
        .await
        .map_err(|_| failure("GetInstance: timeout"))?
        .map_err(called)?
        .ok_or_else(|| failure("GetInstance: a stored instance is lost"))?;
        match state.orchestration_status() == self.stored.status(nth) {
            true => Ok(()),
            false => Err(failure("GetInstance: wrong status")),
        }
    }
}
