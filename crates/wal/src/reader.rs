//! Reads single records back from segments, each checked by its own CRC.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::GroupId;
use crate::error::WalFault;
use crate::index::Location;
use crate::record::Record;
use crate::segment::Segment;
use crate::volume::failed;

/// Records no further apart than this are read with one call, together with what lies between them.
const BRIDGE_BYTES: u64 = 64 << 10;

/// One call reads at most this much, or one record.
const READ_BYTES_MAX: u64 = 4 << 20;

/// A record to read, and what it must turn out to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) group: GroupId,
    pub(crate) index: u64,
    pub(crate) location: Location,
    pub(crate) segment: Arc<Segment>,
}

impl Wanted {
    fn start(&self) -> u64 {
        u64::from(self.location.offset)
    }

    fn end(&self) -> u64 {
        self.start() + self.location.bytes()
    }

    /// Whether `next` is near enough to be read together with everything from `start` to here.
    fn joins(&self, start: u64, next: &Wanted) -> bool {
        self.segment.seq == next.segment.seq
            && next.start() >= self.end()
            && next.start() - self.end() <= BRIDGE_BYTES
            && next.end() - start <= READ_BYTES_MAX
    }
}

/// The payloads of all records, in order.
pub(crate) fn read_payloads(wanted: &[Wanted]) -> Result<Vec<Bytes>, WalFault> {
    let mut payloads = Vec::with_capacity(wanted.len());
    let mut rest = wanted;
    while let Some(first) = rest.first() {
        let start = first.start();
        let joined = rest
            .windows(2)
            .take_while(|pair| pair[0].joins(start, &pair[1]))
            .count();
        let (run, others) = rest.split_at(joined + 1);
        let end = run[joined].end();
        let mut bytes =
            vec![0; usize::try_from(end - start).expect("limited above, or one record")];
        let segment = &first.segment;
        segment
            .file
            .read_at(&mut bytes, start)
            .map_err(failed("read", &segment.path))?;
        for wanted in run {
            let at = usize::try_from(wanted.start() - start).expect("within the buffer");
            payloads.push(check(wanted, &bytes[at..])?);
        }
        rest = others;
    }
    Ok(payloads)
}

/// The payload of the record at the start of `bytes`, copied so that it does not hold on to its
/// neighbours.
fn check(wanted: &Wanted, bytes: &[u8]) -> Result<Bytes, WalFault> {
    Record::decode_alone(bytes)
        .filter(|record| {
            (record.group, record.index, record.term)
                == (wanted.group, wanted.index, wanted.location.term)
        })
        .map(|record| Bytes::copy_from_slice(record.payload))
        .ok_or_else(|| WalFault::Damaged {
            group: wanted.group,
            index: wanted.index,
            path: wanted.segment.path.clone(),
            offset: wanted.start(),
        })
}
