//! A batch: everything one sync makes durable. Valid as a whole or not at all.
//!
//! ```text
//!  0       4     8           16           24         28         32        36     40
//!  ├ magic ┼ crc ┼ batch_seq ┼ prev chain ┼ body_len ┼ body_crc ┼ records ┼ zero ┼ records … zeros
//!
//!  zeros up to a whole sector of 512 bytes; the next batch begins there
//! ```
//!
//! Little endian. Three things make a batch the next one and no other: `batch_seq` counts batches
//! over the whole life of the log; `prev chain` is a hash over every batch before it; and the
//! header's CRC is seeded with the CRC of its segment's header (the *salt*), so that nothing left
//! over in a recycled file, and nothing inside a payload, can pass for a header.
//!
//! Batches begin on sector boundaries: writing one never touches a sector that holds an
//! acknowledged one, and a search for headers beyond a bad batch is one check per sector.

use crate::record::{Record, u32_at, u64_at};

/// The unit a disk writes whole or not at all.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Bytes before the records.
pub(crate) const BATCH_HEADER_BYTES: usize = 40;

const MAGIC: u32 = u32::from_le_bytes(*b"LHWB");

/// A point in the log: the number of a batch, and a hash over it and everything before it.
///
/// Two logs with the same position have the same content up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Batches since the log was created. Zero is an empty log.
    pub batch_seq: u64,
    /// Hash over all of them.
    pub chain: u64,
}

impl Position {
    /// The position of an empty log.
    pub(crate) const START: Position = Position {
        batch_seq: 0,
        chain: 0x6c6f_6e67_6861_756c,
    };

    /// The position after one more batch.
    fn after(self, body_len: u32, body_crc: u32) -> Position {
        let body = u64::from(body_len) << 32 | u64::from(body_crc);
        let batch_seq = self.batch_seq + 1;
        Position {
            batch_seq,
            chain: mix(mix(self.chain ^ batch_seq) ^ body),
        }
    }
}

/// The finalizer of SplitMix64: each bit of the input changes each bit of the output with
/// probability one half.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// Rounds up to a whole number of sectors.
pub(crate) fn whole_sectors(bytes: u64) -> u64 {
    bytes.next_multiple_of(SECTOR_BYTES)
}

/// The first bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where the log stood before this batch.
    pub(crate) previous: Position,
    pub(crate) body_len: u32,
    pub(crate) body_crc: u32,
    pub(crate) records: u32,
}

impl Header {
    /// The number of this batch.
    pub(crate) fn batch_seq(&self) -> u64 {
        self.previous.batch_seq + 1
    }

    fn encode(&self, salt: u32) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.batch_seq().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.previous.chain.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.records.to_le_bytes());
        let crc = crc32c::crc32c_append(salt, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header, or `None` if none written under this salt begins here.
    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<Header> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        let intact = u32_at(bytes, 0)? == MAGIC
            && u32_at(bytes, 4)? == crc32c::crc32c_append(salt, &bytes[8..]);
        let batch_seq = intact.then(|| u64_at(bytes, 8)).flatten()?.checked_sub(1)?;
        Some(Header {
            previous: Position {
                batch_seq,
                chain: u64_at(bytes, 16)?,
            },
            body_len: u32_at(bytes, 24)?,
            body_crc: u32_at(bytes, 28)?,
            records: u32_at(bytes, 32)?,
        })
    }
}

/// A whole batch as found on disk.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) body: &'a [u8],
    /// Bytes to the next batch.
    pub(crate) sealed_len: u64,
    /// Where the log stands after it.
    pub(crate) position: Position,
}

impl<'a> Batch<'a> {
    /// Reads the batch that must follow `previous`, or `None` if it is not whole here.
    pub(crate) fn decode(bytes: &'a [u8], salt: u32, previous: Position) -> Option<Batch<'a>> {
        let header = Header::decode(bytes, salt).filter(|header| header.previous == previous)?;
        let body = bytes
            .get(BATCH_HEADER_BYTES..)?
            .get(..header.body_len as usize)?;
        (crc32c::crc32c(body) == header.body_crc).then(|| Batch {
            body,
            sealed_len: whole_sectors((BATCH_HEADER_BYTES + body.len()) as u64),
            position: previous.after(header.body_len, header.body_crc),
        })
    }

    /// Its records, each with its offset from the start of the batch.
    pub(crate) fn records(&self) -> Records<'a> {
        Records {
            body: self.body,
            at: 0,
        }
    }
}

/// The records of a batch, in order. An item is `None` if the bytes are no record of this version;
/// then it ends.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<(usize, Record<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
        let offset = BATCH_HEADER_BYTES + self.at;
        let record = Record::decode(rest);
        self.at += record.map_or(rest.len(), |record| record.bytes());
        Some(record.map(|record| (offset, record)))
    }
}

/// Builds one batch after another in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    body_end: usize,
    records: u32,
}

impl Builder {
    /// Starts an empty batch. Memory beyond `keep_bytes` is given back, so that one huge batch is
    /// not paid for forever.
    pub(crate) fn begin(&mut self, keep_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep_bytes);
        self.bytes.resize(BATCH_HEADER_BYTES, 0);
        self.records = 0;
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        record.encode(&mut self.bytes);
        self.records += 1;
    }

    /// Adds bytes that need not be records.
    pub(crate) fn push_forged(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.records += 1;
    }

    /// Number of records so far.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// The size the batch will have on disk.
    pub(crate) fn sealed_len(&self) -> u64 {
        whole_sectors(self.bytes.len() as u64)
    }

    /// Writes the header and the padding.
    pub(crate) fn seal(&mut self, previous: Position, salt: u32) -> Position {
        let body = &self.bytes[BATCH_HEADER_BYTES..];
        let body_len =
            u32::try_from(body.len()).expect("the queue limits a batch to far below 4 GiB");
        let header = Header {
            previous,
            body_len,
            body_crc: crc32c::crc32c(body),
            records: self.records,
        };
        self.bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(salt));
        self.body_end = self.bytes.len();
        let padded = usize::try_from(self.sealed_len()).expect("the buffer is in memory");
        self.bytes.resize(padded, 0);
        previous.after(header.body_len, header.body_crc)
    }

    /// The sealed batch.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The sealed batch's records.
    pub(crate) fn sealed_records(&self) -> Records<'_> {
        Records {
            body: &self.bytes[BATCH_HEADER_BYTES..self.body_end],
            at: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::GroupId;
    use crate::record::Kind;

    const SALT: u32 = 0xfeed;

    fn sealed(payloads: &[Vec<u8>], previous: Position) -> (Vec<u8>, Position) {
        let mut builder = Builder::default();
        builder.begin(1 << 20);
        for (index, payload) in payloads.iter().enumerate() {
            builder.push(&Record {
                group: GroupId(1),
                kind: Kind::Append,
                index: index as u64,
                term: 1,
                payload,
            });
        }
        let position = builder.seal(previous, SALT);
        (builder.bytes().to_vec(), position)
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8)
    }

    proptest! {
        #[test]
        fn batches_round_trip(payloads in payloads(), batch_seq in 0..u64::MAX - 1, chain: u64) {
            let previous = Position { batch_seq, chain };
            let (bytes, position) = sealed(&payloads, previous);
            prop_assert_eq!(bytes.len() as u64 % SECTOR_BYTES, 0);
            let batch = Batch::decode(&bytes, SALT, previous).expect("whole");
            prop_assert_eq!(batch.position, position);
            prop_assert_eq!(batch.sealed_len, bytes.len() as u64);
            let found: Vec<_> = batch
                .records()
                .map(|record| record.expect("a record").1.payload.to_vec())
                .collect();
            prop_assert_eq!(found, payloads);
        }

        #[test]
        fn a_batch_with_a_changed_byte_is_none(
            payloads in payloads(),
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let (mut bytes, _) = sealed(&payloads, Position::START);
            let body: usize = payloads.iter().map(|payload| 32 + payload.len()).sum();
            let used = BATCH_HEADER_BYTES + body;
            bytes[at.index(used)] ^= 1 << bit;
            prop_assert!(Batch::decode(&bytes, SALT, Position::START).is_none());
        }

        #[test]
        fn any_bytes_are_a_batch_or_not_but_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert!(Batch::decode(&bytes, SALT, Position::START).is_none());
            for record in (Records { body: &bytes, at: 0 }) {
                let _ = record;
            }
        }
    }

    #[test]
    fn only_the_batch_that_follows_is_accepted() {
        let (bytes, position) = sealed(&[b"a".to_vec()], Position::START);
        assert!(Batch::decode(&bytes, SALT, Position::START).is_some());
        assert!(
            Batch::decode(&bytes, SALT + 1, Position::START).is_none(),
            "left over from another segment"
        );
        assert!(
            Batch::decode(&bytes, SALT, position).is_none(),
            "out of order"
        );
        let other = Position {
            chain: 1,
            ..Position::START
        };
        assert!(
            Batch::decode(&bytes, SALT, other).is_none(),
            "another history"
        );
    }

    #[test]
    fn the_layout_and_the_chain_are_as_released() {
        let (bytes, position) = sealed(&[b"payload".to_vec()], Position::START);
        assert_eq!(bytes.len(), 512);
        assert_eq!(&bytes[..4], b"LHWB");
        assert_eq!(bytes[8..16], 1u64.to_le_bytes());
        assert_eq!(&bytes[16..24], b"luahgnol");
        assert_eq!(bytes[24..28], 39u32.to_le_bytes());
        assert_eq!(bytes[32..36], 1u32.to_le_bytes());
        assert_eq!(bytes[4..8], GOLDEN_HEADER_CRC.to_le_bytes());
        assert_eq!(
            position,
            Position {
                batch_seq: 1,
                chain: GOLDEN_CHAIN
            }
        );
    }

    // Computed by an independent implementation of this page.
    const GOLDEN_HEADER_CRC: u32 = 0x246f_d99f;
    const GOLDEN_CHAIN: u64 = 0x7132_a0ec_4b6e_aaa2;
}
