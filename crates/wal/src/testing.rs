//! A disk in memory for simulations and tests: it loses power, tears writes, fails and decays on
//! request. And segments that no writer would write, though every checksum in them is right.

use crate::batch::{Builder, Position};
use crate::config::Identity;
use crate::entry::GroupId;
pub use crate::files::sim::SimFiles;
use crate::record::{Kind, RECORD_HEADER_BYTES, Record};
use crate::segment::Header;

/// The first segment of `identity`, a file of `segment_bytes` bytes, with one batch for each of
/// `bodies`, as far as they fit. What is in the bodies is up to the forger.
pub fn forged_segment(identity: Identity, segment_bytes: usize, bodies: &[Vec<u8>]) -> Vec<u8> {
    let header = Header {
        seq: 1,
        segment_bytes: segment_bytes as u64,
        identity,
        begins_after: Position::START,
    };
    let mut segment = header.encode().to_vec();
    let (mut builder, mut position) = (Builder::default(), Position::START);
    for body in bodies {
        builder.begin(0);
        builder.push_forged(body);
        position = builder.seal(position, header.salt());
        segment.extend_from_slice(builder.bytes());
    }
    segment.resize(segment_bytes, 0);
    segment
}

/// A record for the body of a forged batch; `kind` may be one that does not exist.
pub fn forged_record(group: GroupId, kind: u8, index: u64, term: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_HEADER_BYTES + payload.len());
    let record = Record {
        group,
        kind: Kind::Append,
        index,
        term,
        payload,
    };
    record.encode(&mut bytes);
    bytes[12] = kind;
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}
