//! A work item that is out: one delivery of it, alive as long as the stream it went to.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_engine::InstanceKey;
use longhaul_engine::batch::{Batch, BatchContext};
use longhaul_engine::dispatch::{Turn, TurnContext};
use longhaul_engine::instance::Activity;
use longhaul_engine::turn::Answer;
use longhaul_types::{ExecutionId, Timestamp, limits};

use super::lane::Class;
use super::{EncodedItem, Item, SessionState, WorkKind};
use crate::settling::Settling;

/// Names one delivery of one work item in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    pub(crate) number: u64,
    pub(crate) nonce: u64,
}

/// A turn that is being answered. Dropped without an outcome, it leaves the delivery standing.
#[derive(Debug)]
pub struct TurnLease {
    /// What the answer is judged against.
    pub(crate) context: Arc<TurnContext>,
    pub(crate) settling: Settling,
}

/// An activity that is being answered. Dropped without an outcome, it leaves the delivery standing.
#[derive(Debug)]
pub struct ActivityLease {
    pub(crate) activity: ActivityOut,
    pub(crate) settling: Settling,
}

/// A batch of operations that is being answered. Dropped without an outcome, it leaves the delivery standing.
#[derive(Debug)]
pub struct BatchLease {
    /// What the answer is judged against.
    pub(crate) context: Arc<BatchContext>,
    pub(crate) id: LeaseId,
    pub(crate) settling: Settling,
}

/// Names a scheduled activity.
#[derive(Clone, Debug)]
pub(crate) struct ActivityOut {
    /// The instance that scheduled it.
    pub(crate) key: InstanceKey,
    /// The execution that scheduled it.
    pub(crate) execution: ExecutionId,
    /// Its number in the instance.
    pub(crate) seq: u64,
    /// Action id.
    pub(crate) task_id: i32,
}

/// A work item handed to a stream.
#[derive(Debug)]
pub enum Claimed {
    /// A turn.
    Turn {
        /// Completion token.
        token: String,
        /// The turn.
        turn: Box<Turn>,
    },
    /// Operations of an entity.
    Batch {
        /// Completion token.
        token: String,
        /// The batch.
        batch: Box<Batch>,
    },
    /// An activity.
    Activity {
        /// Completion token.
        token: String,
        /// The instance that scheduled it.
        key: InstanceKey,
        /// The activity.
        activity: Box<Activity>,
    },
    /// Of any kind, from a partition that another node leads.
    Encoded(EncodedItem),
}

impl Claimed {
    /// Which limit it counts against.
    #[must_use]
    pub fn kind(&self) -> WorkKind {
        match self {
            Self::Turn { .. } => WorkKind::Orchestration,
            Self::Batch { .. } => WorkKind::Entity,
            Self::Activity { .. } => WorkKind::Activity,
            Self::Encoded(item) => item.kind,
        }
    }

    /// Completion token.
    #[must_use]
    pub fn token(&self) -> &str {
        match self {
            Self::Turn { token, .. } | Self::Batch { token, .. } | Self::Activity { token, .. } => {
                token
            }
            Self::Encoded(item) => &item.token,
        }
    }

    /// The instance or entity it is of.
    #[must_use]
    pub fn key(&self) -> &InstanceKey {
        match self {
            Self::Turn { turn, .. } => &turn.context.key,
            Self::Batch { batch, .. } => &batch.context.key,
            Self::Activity { key, .. } => key,
            Self::Encoded(item) => &item.key,
        }
    }
}

/// How soon an abandoned item is offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonDelay {
    /// After 1 s, doubled for every abandon in a row, at most 60 s.
    Backoff,
    /// At once.
    None,
}

/// Partial completions of one item have grown beyond [`limits::PARTIAL_COMPLETION_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the parts of this completion exceed {} bytes together",
    limits::PARTIAL_COMPLETION_BYTES_MAX
)]
pub struct PartialTooLarge;

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) item: Item,
    pub(crate) class: Class,
    pub(crate) body: Body,
    /// The stream it is out on; `None` once that is lost.
    pub(crate) session: Option<Arc<SessionState>>,
    /// Completions being committed.
    pub(crate) committing: u32,
    pub(crate) since: Timestamp,
    pub(crate) parts: Parts,
}

#[derive(Debug)]
pub(crate) enum Body {
    Turn(Arc<TurnContext>),
    Batch(Arc<BatchContext>),
    Activity {
        execution: ExecutionId,
        task_id: i32,
    },
}

/// Partial completions, until the last one arrives.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    by_index: BTreeMap<i32, (usize, Answer)>,
}

impl Parts {
    /// Index 0 starts over; any other index replaces the part it repeats.
    pub(crate) fn put(
        &mut self,
        index: i32,
        answer: Answer,
        bytes: usize,
    ) -> Result<(), PartialTooLarge> {
        if index == 0 {
            self.by_index.clear();
        }
        self.by_index.insert(index, (bytes, answer));
        let total: usize = self.by_index.values().map(|(bytes, _)| bytes).sum();
        if total > limits::PARTIAL_COMPLETION_BYTES_MAX {
            self.by_index.clear();
            return Err(PartialTooLarge);
        }
        Ok(())
    }

    /// All parts as one answer: actions in order, everything else from the first part. The parts stay until the delivery
    /// is over, since a repeated completion sends only its last part again.
    pub(crate) fn whole(&self) -> Option<Answer> {
        let mut parts = self.by_index.values().map(|(_, answer)| answer);
        let mut whole = parts.next()?.clone();
        whole
            .actions
            .extend(parts.flat_map(|part| part.actions.iter().cloned()));
        Some(whole)
    }
}
