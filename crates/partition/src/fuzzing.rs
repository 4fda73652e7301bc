//! What only fuzz targets use from outside: completion tokens and partial completions, without the runtime around them.

use longhaul_engine::InstanceKey;
use longhaul_engine::turn::Answer;
use longhaul_types::{HubId, PartitionCount, PartitionId};

use crate::dispatch::{LeaseId, Tokens};
use crate::dispatch::{PartialTooLarge, Parts, WorkKind};

/// Makes and reads the completion tokens of one cluster.
#[derive(Clone, Debug)]
pub struct CompletionTokens(Tokens);

/// What a token was made for: partition, number of the delivery, and the nonce of the leader that delivered.
pub type Delivery = (PartitionId, u64, u64);

impl CompletionTokens {
    /// With the cluster's key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Tokens::new(key))
    }

    /// The token of one delivery.
    #[must_use]
    pub fn issue(&self, kind: WorkKind, instance: &InstanceKey, delivery: Delivery) -> String {
        let (partition, number, nonce) = delivery;
        self.0
            .issue(partition, kind, instance, LeaseId { number, nonce })
    }

    /// Which delivery a token names; `None` unless it was made for this hub and this kind of work.
    #[must_use]
    pub fn open(
        &self,
        count: PartitionCount,
        hub: HubId,
        kind: WorkKind,
        token: &str,
    ) -> Option<Delivery> {
        let (partition, lease) = self.0.open(count, hub, kind, token)?;
        Some((partition, lease.number, lease.nonce))
    }
}

/// The parts of one completion, as they arrive.
#[derive(Debug, Default)]
pub struct PartialCompletion(Parts);

impl PartialCompletion {
    /// Takes a part that was `bytes` long on the wire. Index 0 starts over.
    ///
    /// # Errors
    /// [`PartialTooLarge`]: all parts so far are forgotten.
    pub fn put(&mut self, index: i32, part: Answer, bytes: usize) -> Result<(), PartialTooLarge> {
        self.0.put(index, part, bytes)
    }

    /// All parts as one answer; `None` if there is none.
    #[must_use]
    pub fn whole(&self) -> Option<Answer> {
        self.0.whole()
    }
}
