//! A segment file: one header, then batches.
//!
//! ```text
//!  0       8         12    16    24              32           48        56          64      72    512
//!  ├ magic ┼ version ┼ crc ┼ seq ┼ segment_bytes ┼ cluster_id ┼ node_id ┼ batch_seq ┼ chain ┼ zeros ┤
//! ```
//!
//! `batch_seq` and `chain` are the log's position before the segment's first batch, so that each
//! segment proves that the one before it was complete: the header is written, synced and only then
//! renamed into place.

use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::{Position, SECTOR_BYTES};
use crate::config::Identity;
use crate::error::{FileError, OpenError};
use crate::files::File;
use crate::record::{u32_at, u64_at};
use crate::volume::{Spare, Volume, write_at};

/// The version of the whole format: segments, batches, records and watermark.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Where the first batch begins.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = SECTOR_BYTES;

const MAGIC: &[u8; 8] = b"LHWALSEG";
const ENCODED_BYTES: usize = 72;

/// A segment that holds, or may yet hold, live records. Its file stays readable as long as anyone
/// has it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its number; they are consecutive.
    pub(crate) seq: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

/// The first sector of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) seq: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) identity: Identity,
    /// Where the log stood before the first batch of this segment.
    pub(crate) begins_after: Position,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; SECTOR_BYTES as usize] {
        let mut bytes = [0; SECTOR_BYTES as usize];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.identity.cluster_id);
        bytes[48..56].copy_from_slice(&self.identity.node_id.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.begins_after.batch_seq.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.begins_after.chain.to_le_bytes());
        let crc = checksum(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Seeds the CRC of every batch header in this segment.
    pub(crate) fn salt(&self) -> u32 {
        checksum(&self.encode())
    }

    /// Reads the header of the segment `seq` at `path`, whose whole content is `bytes`.
    pub(crate) fn decode(
        bytes: &[u8],
        path: PathBuf,
        seq: u64,
        identity: Identity,
    ) -> Result<Header, OpenError> {
        let damaged = |offset, reason| {
            Err(OpenError::Damaged {
                path: path.clone(),
                offset,
                reason,
            })
        };
        if bytes.len() < ENCODED_BYTES || &bytes[..8] != MAGIC {
            return damaged(0, "it does not begin with a segment header");
        }
        let header = || -> Option<(u32, u32, Header)> {
            let header = Header {
                seq: u64_at(bytes, 16)?,
                segment_bytes: u64_at(bytes, 24)?,
                identity: Identity {
                    cluster_id: bytes[32..48].try_into().ok()?,
                    node_id: u64_at(bytes, 48)?,
                },
                begins_after: Position {
                    batch_seq: u64_at(bytes, 56)?,
                    chain: u64_at(bytes, 64)?,
                },
            };
            Some((u32_at(bytes, 8)?, u32_at(bytes, 12)?, header))
        };
        let (version, crc, header) = header().expect("the length was checked");
        if crc != checksum(bytes) {
            return damaged(8, "the segment header's checksum is wrong");
        }
        if version != FORMAT_VERSION {
            return Err(OpenError::UnsupportedVersion {
                path,
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        if header.identity != identity {
            return Err(OpenError::WrongIdentity {
                path,
                expected: identity,
                found: header.identity,
            });
        }
        if header.seq != seq {
            return damaged(16, "the segment header belongs to another file name");
        }
        if header.segment_bytes != bytes.len() as u64 {
            return damaged(
                bytes.len() as u64,
                "the file does not have the length it was created with",
            );
        }
        Ok(header)
    }
}

/// Covers the encoded header except the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..ENCODED_BYTES])
}

impl Segment {
    /// Turns a spare into the segment of `header`. When it returns, the segment is durable.
    pub(crate) fn install(
        volume: &Volume,
        spare: Spare,
        header: &Header,
    ) -> Result<Arc<Segment>, FileError> {
        write_at(&*spare.file, &spare.path, &header.encode(), 0)?;
        volume.sync(&*spare.file, &spare.path)?;
        let path = volume.segment_path(header.seq);
        volume.rename(&spare.path, &path)?;
        volume.sync_dir()?;
        Ok(Arc::new(Segment {
            seq: header.seq,
            bytes: spare.bytes,
            path,
            file: spare.file,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        cluster_id: *b"0123456789abcdef",
        node_id: 7,
    };

    fn header() -> Header {
        Header {
            seq: 3,
            segment_bytes: 8192,
            identity: IDENTITY,
            begins_after: Position {
                batch_seq: 9,
                chain: 11,
            },
        }
    }

    fn file(header: Header) -> Vec<u8> {
        let mut bytes = header.encode().to_vec();
        bytes.resize(8192, 0);
        bytes
    }

    #[test]
    fn headers_round_trip() {
        assert_eq!(
            Header::decode(&file(header()), "s".into(), 3, IDENTITY).expect("valid"),
            header()
        );
        assert_ne!(header().salt(), Header { seq: 4, ..header() }.salt());
    }

    #[test]
    fn every_flipped_byte_and_every_length_is_noticed() {
        let good = file(header());
        for at in 0..ENCODED_BYTES {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            assert!(
                matches!(
                    Header::decode(&bytes, "s".into(), 3, IDENTITY),
                    Err(OpenError::Damaged { .. })
                ),
                "{at}"
            );
        }
        for len in [0, 8, 71, 72, 511, 8191] {
            assert!(matches!(
                Header::decode(&good[..len], "s".into(), 3, IDENTITY),
                Err(OpenError::Damaged { .. })
            ));
        }
    }

    #[test]
    fn another_owner_number_or_version_is_named() {
        let other = Identity {
            node_id: 8,
            ..IDENTITY
        };
        let error = Header::decode(&file(header()), "s".into(), 3, other).expect_err("not ours");
        assert!(matches!(error, OpenError::WrongIdentity { found, .. } if found == IDENTITY));
        assert!(matches!(
            Header::decode(&file(header()), "s".into(), 4, IDENTITY),
            Err(OpenError::Damaged { .. })
        ));
        let mut newer = file(header());
        newer[8] = 2;
        let crc = checksum(&newer);
        newer[12..16].copy_from_slice(&crc.to_le_bytes());
        let error = Header::decode(&newer, "s".into(), 3, IDENTITY).expect_err("too new");
        assert!(matches!(
            error,
            OpenError::UnsupportedVersion {
                found: 2,
                supported: 1,
                ..
            }
        ));
    }
}
