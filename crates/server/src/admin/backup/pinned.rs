//! A partition's rows as of one moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_cli::operate::backup::rows;
use longhaul_proto::admin::v1 as wire;
use longhaul_storage::RowsView;
use longhaul_storage::keys;
use longhaul_storage::records::{Corrupt, PartitionRow, decode_partition_row};
use longhaul_types::PartitionId;

/// Rows of one chunk: full enough for speed, small enough to be sent beside other things.
const CHUNK_BYTES: usize = 1 << 20;

/// After every key there is.
const END: [u8; 1] = [u8::MAX];

/// A view, and what it is the state of.
pub(super) struct Pinned {
    view: Box<dyn RowsView>,
    copy: wire::PartitionCopy,
}

/// A view that is no state of a partition.
#[derive(Debug, thiserror::Error)]
pub(super) enum PinFailure {
    /// The store is broken.
    #[error(transparent)]
    Broken(#[from] longhaul_engine::TableFault),
    /// A row is.
    #[error("the state is broken: {0}")]
    Corrupt(#[from] Corrupt),
    /// Nothing was ever applied.
    #[error("there is no state yet")]
    Empty,
}

impl Pinned {
    pub(super) fn new(view: Box<dyn RowsView>) -> Result<Self, PinFailure> {
        let row = view.get(keys::PARTITION)?.ok_or(PinFailure::Empty)?;
        let row = decode_partition_row(row)?;
        let copy = describe(&*view, &row)?;
        Ok(Self { view, copy })
    }

    pub(super) fn copy(&self) -> &wire::PartitionCopy {
        &self.copy
    }

    /// The rows after a key, as many as make a chunk; none at the end.
    pub(super) fn read(&self, after: &[u8]) -> Result<wire::RowsRead, PinFailure> {
        // The first key that is larger.
        let start = match after {
            [] => Vec::new(),
            after => [after, &[0]].concat(),
        };
        let mut cursor = self.view.walk(start..END.to_vec())?;
        let (mut out, mut count, mut last) = (Vec::new(), 0, Vec::new());
        while let Some((key, value)) = cursor.row() {
            rows::put(key, value, &mut out);
            count += 1;
            last = key.to_vec();
            if out.len() >= CHUNK_BYTES {
                break;
            }
            cursor.advance()?;
        }
        Ok(wire::RowsRead {
            rows: Bytes::from(out),
            count,
            last: Bytes::from(last),
        })
    }
}

fn describe(view: &dyn RowsView, row: &PartitionRow) -> Result<wire::PartitionCopy, PinFailure> {
    let applied = row.applied.ok_or(PinFailure::Empty)?;
    let mut exchanged: BTreeMap<PartitionId, wire::Exchanged> = BTreeMap::new();
    for (partition, received) in &row.state.received {
        with(&mut exchanged, *partition).received = *received;
    }
    for (partition, sent) in &row.state.sent {
        let out = with(&mut exchanged, *partition);
        out.sent = *sent;
        out.acknowledged = match first_in_outbox(view, *partition)? {
            Some(first) => first - 1,
            None => *sent,
        };
    }
    Ok(wire::PartitionCopy {
        id: row.state.id.0.into(),
        term: applied.term,
        index: applied.index,
        exchanged: exchanged.into_values().collect(),
    })
}

fn with(
    exchanged: &mut BTreeMap<PartitionId, wire::Exchanged>,
    partition: PartitionId,
) -> &mut wire::Exchanged {
    exchanged.entry(partition).or_insert(wire::Exchanged {
        partition: partition.0.into(),
        ..wire::Exchanged::default()
    })
}

/// The number of the first message that is still in the outbox for a partition.
fn first_in_outbox(view: &dyn RowsView, target: PartitionId) -> Result<Option<u64>, PinFailure> {
    let lane = keys::outbox::lane(target);
    let end = keys::end_of(&lane).unwrap_or_else(|| END.to_vec());
    let cursor = view.walk(lane.to_vec()..end)?;
    let first = cursor.row().map(|(key, _)| keys::outbox::decode(key));
    Ok(first.transpose()?.map(|(_, number)| number))
}
