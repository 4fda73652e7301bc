//! The committed history of one generation: encoded events, framed, in order.
//!
//! A framed event is `0x1A, length as varint, encoded HistoryEvent`: exactly how `OrchestratorRequest.pastEvents`
//! (field 3) carries it, so that a work item takes the whole history by copying bytes.
//!
//! ```text
//!   rows 0..sealed, each about limits::HISTORY_SEAL_BYTES │ tail (in the instance record), one run per turn
//! ```

pub mod entity_event;
pub mod event;
pub mod fields;
mod framing;
pub mod read;
pub mod wire;

use bytes::{Bytes, BytesMut};
pub use framing::{Frames, MalformedFrame, frame, framed_len};

/// Where the history of the current generation is and how large it has become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Number of runs sealed into rows of their own.
    pub sealed: u32,
    /// Events in all.
    pub events: u64,
    /// Framed bytes in all.
    pub bytes: u64,
    /// Framed events after the sealed runs, a run per turn.
    pub tail: Vec<Bytes>,
}

impl History {
    /// Appends framed events; answers a run to be sealed as row number `self.sealed - 1` when the tail has grown enough.
    #[must_use = "a sealed run must be stored"]
    pub fn append(&mut self, framed: Bytes, events: u64, seal_bytes: usize) -> Option<Bytes> {
        self.events += events;
        self.bytes += framed.len() as u64;
        self.tail.push(framed);
        let tail_bytes: usize = self.tail.iter().map(Bytes::len).sum();
        if tail_bytes < seal_bytes {
            return None;
        }
        let mut run = BytesMut::with_capacity(tail_bytes);
        for part in self.tail.drain(..) {
            run.extend_from_slice(&part);
        }
        self.sealed += 1;
        Some(run.freeze())
    }
}
