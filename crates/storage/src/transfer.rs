//! The rows of a replica on their way to another node: a stream of bytes, made from a view and gathered beside the
//! rows it will replace.
//!
//! ```text
//! stream   format, 1 byte │ row … │ end
//! row      length of the key, u32 │ length of the value, u32 │ key │ value          in key order
//! end      ff ff ff ff │ number of rows, u64 │ XXH3 of all rows, u64
//! ```
//!
//! Integers are little-endian. The stream is cut into chunks anywhere. It is independent of the store, so that a
//! node of any kind can take over the rows of any other.

use bytes::{Buf, Bytes};
use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;
use xxhash_rust::xxh3::Xxh3;

use crate::fault::fault;
use crate::keys;
use crate::records::{PartitionRow, Position, decode_partition_row};
use crate::rows::{CompleteRows, Rows, RowsView, StagedRows, Store};

/// What streams begin with.
const FORMAT: u8 = 1;

/// In place of a key's length, says that there are no more rows.
const END: u32 = u32::MAX;

/// A chunk is cut as soon as it has this many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// A row that claims to be longer is damaged.
const ROW_BYTES_MAX: usize = 1 << 30;

const LENGTHS_BYTES: usize = 8;
const END_BYTES: usize = 4 + 8 + 8;

/// Above every key.
const KEYS_END: &[u8] = &[0xff];

/// Reads the rows of a replica as of its last written checkpoint, whatever is written afterwards.
pub struct Outgoing {
    view: Box<dyn RowsView>,
    row: PartitionRow,
    /// Everything up to the first key that is not below this has been read; `None` when all has.
    next: Option<Vec<u8>>,
    /// Read, and not handed out.
    ready: Vec<u8>,
    count: u64,
    hash: Xxh3,
}

impl Outgoing {
    /// Pins the rows; `None` if no checkpoint was written yet. Cheap.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn open(rows: &dyn Rows) -> Result<Option<Self>, TableFault> {
        let view = rows.view()?;
        let Some(record) = view.get(keys::PARTITION)? else {
            return Ok(None);
        };
        let row = decode(record)?;
        Ok(row.applied.is_some().then(|| Self {
            view,
            row,
            next: Some(Vec::new()),
            ready: vec![FORMAT],
            count: 0,
            hash: Xxh3::new(),
        }))
    }

    /// The place in the log that the rows are the state of.
    #[must_use]
    pub fn applied(&self) -> Option<Position> {
        self.row.applied
    }

    /// The group's membership as of there, opaque here.
    #[must_use]
    pub fn membership(&self) -> Option<&Bytes> {
        self.row.membership.as_ref()
    }

    /// The next piece of the stream, of about a megabyte; `None` after the last.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken, or other rows were put in place of these.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, TableFault> {
        if self.ready.len() < CHUNK_BYTES
            && let Some(from) = self.next.take()
        {
            self.read(from)?;
        }
        if self.ready.is_empty() {
            return Ok(None);
        }
        let rest = self.ready.split_off(self.ready.len().min(CHUNK_BYTES));
        let chunk = std::mem::replace(&mut self.ready, rest);
        Ok(Some(chunk.into()))
    }

    /// Reads until there is a chunk, or the end.
    fn read(&mut self, from: Vec<u8>) -> Result<(), TableFault> {
        let mut cursor = self.view.walk(from..KEYS_END.to_vec())?;
        while let Some((key, value)) = cursor.row() {
            if self.ready.len() >= CHUNK_BYTES {
                self.next = Some(key.to_vec());
                break;
            }
            self.ready.extend_from_slice(&length(key).to_le_bytes());
            self.ready.extend_from_slice(&length(value).to_le_bytes());
            self.ready.extend_from_slice(key);
            self.ready.extend_from_slice(value);
            self.hash.update(&length(key).to_le_bytes());
            self.hash.update(&length(value).to_le_bytes());
            self.hash.update(key);
            self.hash.update(value);
            self.count += 1;
            cursor.advance()?;
        }
        if self.next.is_none() {
            self.ready.extend_from_slice(&END.to_le_bytes());
            self.ready.extend_from_slice(&self.count.to_le_bytes());
            self.ready
                .extend_from_slice(&self.hash.digest().to_le_bytes());
        }
        Ok(())
    }
}

/// Gathers the rows of another node's replica. Dropped, it leaves nothing behind.
pub struct Incoming {
    partition: PartitionId,
    staged: Box<dyn StagedRows>,
    /// Received, and not long enough to be understood.
    rest: Vec<u8>,
    /// Whether the format has been seen.
    begun: bool,
    ended: bool,
    last_key: Vec<u8>,
    row: Option<PartitionRow>,
    count: u64,
    hash: Xxh3,
}

/// The rows of another node's replica, complete and checked. Dropped, they leave nothing behind.
pub struct Arrived {
    rows: Box<dyn CompleteRows>,
    row: PartitionRow,
}

impl Incoming {
    /// Begins to gather; there may be several for one partition at a time.
    ///
    /// # Errors
    /// [`TableFault`] if the store has no place for it.
    pub fn begin(store: &dyn Store, partition: PartitionId) -> Result<Self, TableFault> {
        Ok(Self {
            partition,
            staged: store.stage(partition)?,
            rest: Vec::new(),
            begun: false,
            ended: false,
            last_key: Vec::new(),
            row: None,
            count: 0,
            hash: Xxh3::new(),
        })
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`TableFault`] if it is damaged or cannot be kept.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), TableFault> {
        let mut received = std::mem::take(&mut self.rest);
        received.extend_from_slice(chunk);
        let mut input = &received[..];
        if !self.begun && input.has_remaining() {
            let format = input.get_u8();
            if format != FORMAT {
                return Err(self.damaged(&format!("its format is {format}, not {FORMAT}")));
            }
            self.begun = true;
        }
        while self.take_one(&mut input)? {}
        self.rest = input.to_vec();
        Ok(())
    }

    /// Takes a row or the end; answers whether that was there as a whole.
    fn take_one(&mut self, input: &mut &[u8]) -> Result<bool, TableFault> {
        if self.ended {
            return match input.is_empty() {
                true => Ok(false),
                false => Err(self.damaged("it goes on after its end")),
            };
        }
        let mut ahead = *input;
        let Ok(key_length) = ahead.try_get_u32_le() else {
            return Ok(false);
        };
        if key_length == END {
            if input.len() < END_BYTES {
                return Ok(false);
            }
            let (count, digest) = (ahead.get_u64_le(), ahead.get_u64_le());
            if (count, digest) != (self.count, self.hash.digest()) {
                return Err(self.damaged("its rows are not those that were sent"));
            }
            self.ended = true;
            *input = ahead;
            return Ok(true);
        }
        let Ok(value_length) = ahead.try_get_u32_le() else {
            return Ok(false);
        };
        let (key_length, value_length) = (key_length as usize, value_length as usize);
        if key_length.saturating_add(value_length) > ROW_BYTES_MAX {
            return Err(self.damaged("a row is too long"));
        }
        let whole = LENGTHS_BYTES + key_length + value_length;
        if input.len() < whole {
            return Ok(false);
        }
        self.hash.update(&input[..whole]);
        self.count += 1;
        let (key, value) = ahead[..key_length + value_length].split_at(key_length);
        self.put(key, value)?;
        input.advance(whole);
        Ok(true)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        if key <= &self.last_key[..] {
            return Err(self.damaged("its rows are not in order"));
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        if key == keys::PARTITION {
            self.row = Some(decode(Bytes::copy_from_slice(value))?);
        }
        self.staged.put(key, value)
    }

    /// Ends the gathering once every chunk has been written. The rows are durable then, but not in use.
    ///
    /// # Errors
    /// [`TableFault`] if something is missing or cannot be kept, or the rows are another partition's.
    pub fn finish(self) -> Result<Arrived, TableFault> {
        if !self.ended {
            return Err(self.damaged("its end is missing"));
        }
        let found = self.row.as_ref().map(|row| row.state.id);
        if found != Some(self.partition) {
            return Err(self.damaged("it is not of this partition"));
        }
        let row = self.row.expect("just seen");
        Ok(Arrived {
            rows: self.staged.finish()?,
            row,
        })
    }

    fn damaged(&self, reason: &str) -> TableFault {
        fault(format!("snapshot of partition {}", self.partition), reason)
    }
}

impl Arrived {
    /// The place in the log that the rows are the state of.
    #[must_use]
    pub fn applied(&self) -> Option<Position> {
        self.row.applied
    }

    /// The group's membership as of there, opaque here.
    #[must_use]
    pub fn membership(&self) -> Option<&Bytes> {
        self.row.membership.as_ref()
    }

    /// Puts the rows in place of the partition's own, durably and at once: a crash leaves the old ones or these. Handles to
    /// the old rows are useless afterwards.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn install(self) -> Result<std::sync::Arc<dyn Rows>, TableFault> {
        self.rows.install()
    }
}

fn decode(record: Bytes) -> Result<PartitionRow, TableFault> {
    decode_partition_row(record).map_err(|corrupt| fault("partition row", corrupt))
}

fn length(part: &[u8]) -> u32 {
    u32::try_from(part.len()).expect("a row is far below 4 GiB")
}

#[cfg(test)]
mod tests;
