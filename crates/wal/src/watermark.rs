//! The watermark: a small file outside the log that says how long the log must be.
//!
//! A log alone cannot tell a tail that was never acknowledged from one that was and got lost. The
//! watermark can: the log must reach it, with the very content it had then.
//!
//! ```text
//!  0            4096         8192          12288
//!  ├ settled A ─┼ settled B ─┼ noted ──────┤        each slot: one mark in its first sector, rest zeros
//! ```
//!
//! - *Noted*: written after every sync of a batch, before its callbacks, and never synced by
//!   itself. It costs one small write into the page cache, and is exact after anything that does
//!   not take the machine down.
//! - *Settled*: written to A and B in turn, and synced; see `docs/wal.md` for when. Only one of
//!   them is ever in flight, so a torn write leaves the other.
//!
//! The highest readable slot counts. Every slot is written only when what it claims is durable, so
//! it is never too high. Besides the position it holds the range of segments that must exist, so a
//! missing file is always noticed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::{Position, SECTOR_BYTES};
use crate::config::Identity;
use crate::error::{FileError, OpenError};
use crate::files::File;
use crate::record::{u32_at, u64_at};
use crate::segment::FORMAT_VERSION;
use crate::volume::{Volume, read_all, write_at};

const MAGIC: &[u8; 8] = b"LHWALMRK";
const ENCODED_BYTES: usize = 72;
const SLOT_BYTES: u64 = 4096;
const SETTLED_SLOTS: u64 = 2;
const NOTED_SLOT: u64 = 2;
const FILE_BYTES: u64 = 3 * SLOT_BYTES;

/// What the log must hold at least. Marks of one log only ever grow, in every field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// Everything up to here was synced.
    pub(crate) position: Position,
    /// The oldest segment that was not freed.
    pub(crate) first_segment: u64,
    /// The newest segment that was created; zero before the first.
    pub(crate) last_segment: u64,
}

impl Mark {
    /// The mark of a log that was never written.
    pub(crate) const START: Mark = Mark {
        position: Position::START,
        first_segment: 1,
        last_segment: 0,
    };

    fn encode(&self, identity: Identity) -> [u8; SECTOR_BYTES as usize] {
        let mut bytes = [0; SECTOR_BYTES as usize];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&identity.cluster_id);
        bytes[32..40].copy_from_slice(&identity.node_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_segment.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.last_segment.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.position.batch_seq.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.position.chain.to_le_bytes());
        let crc = checksum(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a slot: its version, whose it is, and the mark. `None` if it is unreadable.
    fn decode(bytes: &[u8]) -> Option<(u32, Identity, Mark)> {
        if bytes.len() < ENCODED_BYTES
            || &bytes[..8] != MAGIC
            || u32_at(bytes, 12)? != checksum(bytes)
        {
            return None;
        }
        let identity = Identity {
            cluster_id: bytes[16..32].try_into().ok()?,
            node_id: u64_at(bytes, 32)?,
        };
        let mark = Mark {
            position: Position {
                batch_seq: u64_at(bytes, 56)?,
                chain: u64_at(bytes, 64)?,
            },
            first_segment: u64_at(bytes, 40)?,
            last_segment: u64_at(bytes, 48)?,
        };
        Some((u32_at(bytes, 8)?, identity, mark))
    }
}

/// Covers the encoded mark except the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..ENCODED_BYTES])
}

/// The open watermark file.
#[derive(Debug)]
pub(crate) struct Watermark {
    volume: Volume,
    path: PathBuf,
    file: Arc<dyn File>,
    identity: Identity,
    /// The settled slot to write next: never the one that holds the newest settled mark.
    next_slot: u64,
}

impl Watermark {
    /// Opens the watermark and reads the highest mark; `None` if the file does not exist.
    pub(crate) fn open(
        volume: &Volume,
        path: &Path,
        identity: Identity,
    ) -> Result<Option<(Watermark, Mark)>, OpenError> {
        let Some(file) = volume.open(path)? else {
            return Ok(None);
        };
        let bytes = read_all(&*file, path)?;
        if bytes.len() as u64 != FILE_BYTES {
            let reason = "does not have the length it was created with";
            return Err(OpenError::WatermarkLost {
                path: path.into(),
                reason,
            });
        }
        let mut slots = [None; 3];
        for (slot, bytes) in slots
            .iter_mut()
            .zip(bytes.chunks_exact(SLOT_BYTES as usize))
        {
            let Some((version, owner, mark)) = Mark::decode(bytes) else {
                continue;
            };
            if version != FORMAT_VERSION {
                let (found, supported) = (version, FORMAT_VERSION);
                return Err(OpenError::UnsupportedVersion {
                    path: path.into(),
                    found,
                    supported,
                });
            }
            if owner != identity {
                return Err(OpenError::WrongIdentity {
                    path: path.into(),
                    expected: identity,
                    found: owner,
                });
            }
            *slot = Some(mark);
        }
        let [a, b, noted] = slots;
        // One settled slot is always whole: a crash can tear only the one being written.
        let Some(settled) = a.max(b) else {
            return Err(OpenError::WatermarkLost {
                path: path.into(),
                reason: "is unreadable",
            });
        };
        let next_slot = u64::from(a > b);
        let watermark = Watermark {
            volume: volume.clone(),
            path: path.into(),
            file,
            identity,
            next_slot,
        };
        Ok(Some((watermark, settled.max(noted.unwrap_or(settled)))))
    }

    /// Creates the watermark of a log that was never written. When it returns, the file is durable.
    pub(crate) fn create(
        volume: &Volume,
        path: &Path,
        identity: Identity,
    ) -> Result<Watermark, FileError> {
        // Under another name first: a crash must not leave a watermark without a readable slot.
        let draft = path.with_extension("watermark-draft");
        let file = volume.create(&draft, FILE_BYTES)?;
        let mut watermark = Watermark {
            volume: volume.clone(),
            path: draft,
            file,
            identity,
            next_slot: 0,
        };
        watermark.settle(&Mark::START)?;
        volume.rename(&watermark.path, path)?;
        volume.sync_dir_of(path)?;
        Ok(Watermark {
            path: path.into(),
            ..watermark
        })
    }

    /// Writes a mark whose claims are durable, without making the mark durable.
    pub(crate) fn note(&self, mark: &Mark) -> Result<(), FileError> {
        self.write(NOTED_SLOT, mark)
    }

    /// Makes a mark durable whose claims are.
    pub(crate) fn settle(&mut self, mark: &Mark) -> Result<(), FileError> {
        self.write(self.next_slot, mark)?;
        self.note(mark)?;
        self.volume.sync(&*self.file, &self.path)?;
        self.next_slot = (self.next_slot + 1) % SETTLED_SLOTS;
        Ok(())
    }

    fn write(&self, slot: u64, mark: &Mark) -> Result<(), FileError> {
        write_at(
            &*self.file,
            &self.path,
            &mark.encode(self.identity),
            slot * SLOT_BYTES,
        )
    }
}
