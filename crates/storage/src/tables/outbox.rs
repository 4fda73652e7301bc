//! Messages on their way to other partitions.
//!
//! Numbers only rise and messages are removed from the front, so that per target the places are disjoint ranges:
//!
//! ```text
//!   removed │ rows │ frozen │ fresh
//!           └ first to be sent      └ last number put
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_engine::message::Message;
use longhaul_engine::tables::{PartitionState, TableFault};
use longhaul_types::PartitionId;

use crate::fault::fault;
use crate::keys;
use crate::records;
use crate::rows::{RowBatch, Rows};

/// Up to this many rows are removed one by one: a range removal slows down later scans.
const SINGLE_REMOVALS_MAX: u64 = 64;

/// The outbox of a partition.
pub(super) struct Outbox {
    lanes: BTreeMap<PartitionId, Lane>,
}

type Messages = BTreeMap<u64, Message>;

/// Messages for one target.
#[derive(Default)]
struct Lane {
    fresh: Messages,
    frozen: Arc<Messages>,
    /// Messages up to this number are gone.
    removed: u64,
    /// Their rows, too, once what is frozen is written.
    removed_rows: u64,
    /// The last message that is a row, once what is frozen is written.
    stored: u64,
}

/// What happened to a lane in one generation.
pub(super) struct LaneChanges {
    target: PartitionId,
    /// Rows after the first number, up to the second, are to be removed.
    removed_rows: (u64, u64),
    put: Arc<Messages>,
}

impl Outbox {
    pub(super) fn open(rows: &dyn Rows, state: &PartitionState) -> Result<Self, TableFault> {
        let mut lanes = BTreeMap::new();
        for (&target, &sent) in &state.sent {
            let first = rows.scan(&keys::outbox::lane(target), None, 1)?;
            let removed = match first.first() {
                Some((key, _)) => number_of(key)?.saturating_sub(1),
                None => sent,
            };
            let lane = Lane {
                removed,
                removed_rows: removed,
                stored: sent,
                ..Lane::default()
            };
            lanes.insert(target, lane);
        }
        Ok(Self { lanes })
    }

    pub(super) fn put(&mut self, target: PartitionId, number: u64, message: Message) {
        let lane = self.lanes.entry(target).or_default();
        debug_assert!(lane.last() < number, "outbox numbers rise");
        lane.fresh.insert(number, message);
    }

    pub(super) fn remove(&mut self, target: PartitionId, through: u64) {
        let Some(lane) = self.lanes.get_mut(&target) else {
            return;
        };
        lane.removed = lane.removed.max(through.min(lane.last()));
        lane.fresh = lane.fresh.split_off(&(lane.removed + 1));
    }

    pub(super) fn read(
        &self,
        rows: &dyn Rows,
        target: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Message)>, TableFault> {
        let Some(lane) = self.lanes.get(&target) else {
            return Ok(Vec::new());
        };
        let after = after.max(lane.removed);
        let mut found = lane.read_rows(rows, target, after, limit)?;
        let in_memory = lane
            .frozen
            .range(after + 1..)
            .chain(lane.fresh.range(after + 1..));
        let in_memory = in_memory.take(limit - found.len());
        found.extend(in_memory.map(|(number, message)| (*number, message.clone())));
        Ok(found)
    }

    pub(super) fn freeze(&mut self) -> Vec<LaneChanges> {
        let lanes = self.lanes.iter_mut();
        lanes
            .filter_map(|(target, lane)| lane.freeze(*target))
            .collect()
    }

    pub(super) fn complete(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.frozen = Arc::default();
        }
    }

    /// Every target there ever was a message for.
    pub(super) fn targets(&self) -> impl Iterator<Item = PartitionId> {
        self.lanes.keys().copied()
    }
}

impl Lane {
    /// The last number put.
    fn last(&self) -> u64 {
        self.fresh
            .last_key_value()
            .map_or(self.stored.max(self.removed), |(number, _)| *number)
    }

    /// Messages after `after` that are only rows.
    fn read_rows(
        &self,
        rows: &dyn Rows,
        target: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Message)>, TableFault> {
        // What is frozen may be a row already.
        let end = self
            .frozen
            .first_key_value()
            .map_or(self.stored + 1, |(number, _)| *number);
        if after + 1 >= end {
            return Ok(Vec::new());
        }
        let key = keys::outbox::encode(target, after);
        let mut found = Vec::new();
        for (key, record) in rows.scan(&keys::outbox::lane(target), Some(&key), limit)? {
            let number = number_of(&key)?;
            if number >= end {
                break;
            }
            let message = records::decode_message(record)
                .map_err(|corrupt| fault(format!("outbox {target} {number}"), corrupt))?;
            found.push((number, message));
        }
        Ok(found)
    }

    fn freeze(&mut self, target: PartitionId) -> Option<LaneChanges> {
        let gone = self.removed.min(self.stored);
        let removed_rows = (self.removed_rows.min(gone), gone);
        if removed_rows.0 == removed_rows.1 && self.fresh.is_empty() {
            return None;
        }
        self.stored = self.last();
        self.removed_rows = self.removed;
        self.frozen = Arc::new(std::mem::take(&mut self.fresh));
        Some(LaneChanges {
            target,
            removed_rows,
            put: Arc::clone(&self.frozen),
        })
    }
}

/// Adds what changed to a batch.
pub(super) fn put_changes(changes: &LaneChanges, batch: &mut RowBatch) {
    let target = changes.target;
    let (after, through) = changes.removed_rows;
    if through - after > SINGLE_REMOVALS_MAX {
        let end = through + 1;
        batch.delete_range(
            &keys::outbox::encode(target, after + 1),
            &keys::outbox::encode(target, end),
        );
    } else {
        (after + 1..=through)
            .for_each(|number| batch.delete(&keys::outbox::encode(target, number)));
    }
    for (number, message) in &*changes.put {
        batch.put_with(&keys::outbox::encode(target, *number), |out| {
            records::put_message(message, out);
        });
    }
}

fn number_of(key: &[u8]) -> Result<u64, TableFault> {
    let (_, number) = keys::outbox::decode(key).map_err(|corrupt| fault("outbox", corrupt))?;
    Ok(number)
}
