//! The one row that every partition replica has.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use longhaul_engine::requests::{RecentRequests, RequestId};
use longhaul_engine::tables::PartitionState;
use longhaul_proto::storage::v1 as wire;
use longhaul_types::{PartitionCount, PartitionId, Timestamp};

use super::values::{out_of_range, partition_id, required, timestamp, timestamp_to_wire};
use super::{Corrupt, envelope};

/// A place in the log of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Term of the leader that appended the entry.
    pub term: u64,
    /// Index of the entry.
    pub index: u64,
}

/// The replica's place in the log, and state that is not any instance's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    /// The last entry whose outcome the rows hold; `None` before the first.
    pub applied: Option<Position>,
    /// The group's membership as of `applied`, opaque here.
    pub membership: Option<Bytes>,
    /// The engine's part.
    pub state: PartitionState,
    /// Which indexes the rows have; 0 for none. See [`crate::keys::index`].
    pub indexes_version: u32,
}

/// Appends the record of the row.
pub fn put_partition_row(row: &PartitionRow, out: &mut impl BufMut) {
    let row = wire::PartitionRow {
        applied: row.applied.map(position_to_wire),
        encoded_membership: row.membership.clone(),
        state: Some(state_to_wire(&row.state)),
        indexes_version: row.indexes_version,
    };
    envelope::put(&row, out);
}

/// The row in a record.
///
/// # Errors
/// [`Corrupt`] says what is wrong with the record.
pub fn decode_partition_row(record: Bytes) -> Result<PartitionRow, Corrupt> {
    let row: wire::PartitionRow = envelope::open(record)?;
    Ok(PartitionRow {
        applied: row.applied.map(position),
        membership: row.encoded_membership,
        state: state(required(row.state, "partition state")?)?,
        indexes_version: row.indexes_version,
    })
}

pub(super) fn position_to_wire(position: Position) -> wire::Position {
    wire::Position {
        term: position.term,
        index: position.index,
    }
}

pub(super) fn position(position: wire::Position) -> Position {
    Position {
        term: position.term,
        index: position.index,
    }
}

fn state_to_wire(state: &PartitionState) -> wire::PartitionState {
    wire::PartitionState {
        partition: state.id.0.into(),
        partition_count: state.count.get().into(),
        clock: Some(timestamp_to_wire(state.clock)),
        sent: numbers_to_wire(&state.sent),
        received: numbers_to_wire(&state.received),
        requests: requests_to_wire(&state.requests),
    }
}

fn state(state: wire::PartitionState) -> Result<PartitionState, Corrupt> {
    let count = u16::try_from(state.partition_count)
        .ok()
        .and_then(PartitionCount::new);
    Ok(PartitionState {
        id: partition_id(state.partition)?,
        count: count.ok_or_else(|| out_of_range("partition count", state.partition_count))?,
        clock: timestamp(state.clock, "clock")?,
        sent: numbers(state.sent)?,
        received: numbers(state.received)?,
        requests: requests(state.requests)?,
    })
}

fn requests_to_wire(requests: &RecentRequests) -> Vec<wire::partition_state::Requests> {
    let mut by_time: Vec<(Timestamp, BytesMut)> = Vec::new();
    for (at, request) in requests.iter() {
        if by_time.last().is_none_or(|(last, _)| *last != at) {
            by_time.push((at, BytesMut::new()));
        }
        if let Some((_, ids)) = by_time.last_mut() {
            ids.put_u128(request.0);
        }
    }
    let by_time = by_time.into_iter();
    by_time
        .map(|(at, ids)| wire::partition_state::Requests {
            at: Some(timestamp_to_wire(at)),
            ids: ids.freeze(),
        })
        .collect()
}

fn requests(requests: Vec<wire::partition_state::Requests>) -> Result<RecentRequests, Corrupt> {
    let mut all = Vec::new();
    for wire::partition_state::Requests { at, mut ids } in requests {
        let at = timestamp(at, "time of requests")?;
        while !ids.is_empty() {
            let id = ids.try_get_u128();
            let id = id.map_err(|_| out_of_range("bytes of requests", ids.len() as i64))?;
            all.push((at, RequestId(id)));
        }
    }
    Ok(all.into_iter().collect())
}

fn numbers_to_wire(numbers: &BTreeMap<PartitionId, u64>) -> BTreeMap<u32, u64> {
    numbers
        .iter()
        .map(|(partition, number)| (partition.0.into(), *number))
        .collect()
}

fn numbers(numbers: BTreeMap<u32, u64>) -> Result<BTreeMap<PartitionId, u64>, Corrupt> {
    let numbers = numbers.into_iter();
    numbers
        .map(|(partition, number)| Ok((partition_id(partition)?, number)))
        .collect()
}
