//! One record of a batch: what happened to one group.
//!
//! ```text
//!  0      4      8       12     13      16       24      32
//!  ├ len ─┼ crc ─┼ group ┼ kind ┼ zeros ┼ index ─┼ term ─┼ payload (len bytes)
//! ```
//!
//! Little endian. The record's own CRC32C, over everything but `len` and itself, lets one entry be
//! read back without its batch.

use crate::entry::GroupId;

/// Bytes before the payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 32;

/// What a record says. A number once given is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An entry, at the end of the group's log.
    Append = 1,
    /// An entry that is still wanted, copied from a segment about to be freed. Replaces it in
    /// place.
    Moved = 2,
    /// The group's vote.
    Vote = 3,
    /// The group's committed log id.
    Committed = 4,
    /// Entries after `index` are gone.
    TruncateAfter = 5,
    /// All entries are gone.
    TruncateAll = 6,
    /// Entries up to `index` are gone for good; the payload is the log id of the last one.
    PurgedUpTo = 7,
    /// The group is gone with everything in it.
    GroupDestroyed = 8,
    /// What whoever keeps the group wants to be remembered of it.
    Note = 9,
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Append,
            2 => Kind::Moved,
            3 => Kind::Vote,
            4 => Kind::Committed,
            5 => Kind::TruncateAfter,
            6 => Kind::TruncateAll,
            7 => Kind::PurgedUpTo,
            8 => Kind::GroupDestroyed,
            9 => Kind::Note,
            _ => return None,
        })
    }
}

/// One record. `index` and `term` are zero where the kind has no use for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) group: GroupId,
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record about the whole group.
    pub(crate) fn of_group(group: GroupId, kind: Kind, payload: &'a [u8]) -> Record<'a> {
        Record {
            group,
            kind,
            index: 0,
            term: 0,
            payload,
        }
    }

    /// Its size on disk.
    pub(crate) fn bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }

    /// Appends its bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let len =
            u32::try_from(self.payload.len()).expect("payloads are limited when they are queued");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.group.0.to_le_bytes());
        out.extend_from_slice(&[self.kind as u8, 0, 0, 0]);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(self.payload);
        let crc = crc32c::crc32c(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the record at the start of `bytes`, which its batch vouches for. `None` if no record
    /// of this version can look so.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Record<'a>> {
        let len = u32_at(bytes, 0)? as usize;
        let payload = bytes.get(RECORD_HEADER_BYTES..)?.get(..len)?;
        Some(Record {
            group: GroupId(u32_at(bytes, 8)?),
            kind: Kind::from_u8(bytes[12])?,
            index: u64_at(bytes, 16)?,
            term: u64_at(bytes, 24)?,
            payload,
        })
    }

    /// Like [`Record::decode`], for bytes read without their batch: also checks the record's own
    /// CRC.
    pub(crate) fn decode_alone(bytes: &'a [u8]) -> Option<Record<'a>> {
        let record = Record::decode(bytes)?;
        let covered = &bytes[8..record.bytes()];
        (u32_at(bytes, 4)? == crc32c::crc32c(covered)).then_some(record)
    }
}

/// Reads a little-endian integer, or `None` past the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads a little-endian integer, or `None` past the end.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        (1u8..=9).prop_map(|byte| Kind::from_u8(byte).expect("in range"))
    }

    proptest! {
        #[test]
        fn records_round_trip(
            group: u32,
            kind in kinds(),
            index: u64,
            term: u64,
            payload in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let record = Record { group: GroupId(group), kind, index, term, payload: &payload };
            let mut bytes = vec![];
            record.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), record.bytes());
            prop_assert_eq!(Record::decode(&bytes), Some(record));
            prop_assert_eq!(Record::decode_alone(&bytes), Some(record));
        }

        #[test]
        fn a_changed_byte_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..40),
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let record = Record::of_group(GroupId(7), Kind::Vote, &payload);
            let mut bytes = vec![];
            record.encode(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Record::decode_alone(&bytes), None);
        }

        #[test]
        fn any_bytes_decode_or_not_but_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Record::decode(&bytes);
            let _ = Record::decode_alone(&bytes);
        }
    }

    #[test]
    fn the_layout_is_as_released() {
        let mut bytes = vec![];
        Record {
            group: GroupId(1),
            kind: Kind::Append,
            index: 2,
            term: 3,
            payload: b"hi",
        }
        .encode(&mut bytes);
        let crc = crc32c::crc32c(&bytes[8..]).to_le_bytes();
        let mut expected = vec![2, 0, 0, 0];
        expected.extend(crc);
        expected.extend([
            1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, b'h', b'i',
        ]);
        assert_eq!(bytes, expected);
    }
}
