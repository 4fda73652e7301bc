//! Committed history cut into `HistoryChunk` messages.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use longhaul_engine::history::wire::put_bytes;
use longhaul_engine::history::{Frames, MalformedFrame, framed_len};
use longhaul_proto::raw::EncodedHistoryChunk;
use longhaul_types::limits;
use tokio_stream::Stream;
use tonic::Status;

use crate::status;

/// Events of one chunk.
const EVENTS_MAX: usize = 500;

/// The response stream of StreamInstanceHistory: goes through framed runs and yields chunks of at most [`limits::HISTORY_CHUNK_BYTES_MAX`] and [`EVENTS_MAX`]
/// events; an event that is larger has a chunk to itself. Chunks are built as they are asked for.
#[derive(Debug)]
pub struct HistoryChunks {
    runs: std::vec::IntoIter<Bytes>,
    frames: Frames,
    /// Read already, but for the next chunk.
    carried: Option<Bytes>,
}

impl HistoryChunks {
    /// Over `runs`, in order.
    pub(crate) fn new(runs: Vec<Bytes>) -> Self {
        Self {
            runs: runs.into_iter(),
            frames: Frames::new(Bytes::new()),
            carried: None,
        }
    }

    fn next_event(&mut self) -> Result<Option<Bytes>, MalformedFrame> {
        if let Some(event) = self.carried.take() {
            return Ok(Some(event));
        }
        loop {
            if let Some(event) = self.frames.next() {
                return event.map(Some);
            }
            match self.runs.next() {
                Some(run) => self.frames = Frames::new(run),
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn next_chunk(&mut self) -> Result<Option<EncodedHistoryChunk>, MalformedFrame> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while events.len() < EVENTS_MAX {
            let Some(event) = self.next_event()? else {
                break;
            };
            let len = framed_len(event.len());
            if !events.is_empty() && bytes + len > limits::HISTORY_CHUNK_BYTES_MAX {
                self.carried = Some(event);
                break;
            }
            bytes += len;
            events.push(event);
        }
        Ok((!events.is_empty()).then(|| encode(&events, bytes)))
    }
}

/// `HistoryChunk.events` is field 1.
fn encode(events: &[Bytes], len: usize) -> EncodedHistoryChunk {
    let mut out = BytesMut::with_capacity(len);
    for event in events {
        put_bytes(&mut out, 1, event);
    }
    debug_assert_eq!(
        out.len(),
        len,
        "a frame's size does not depend on its field"
    );
    EncodedHistoryChunk(out.freeze())
}

impl Stream for HistoryChunks {
    type Item = Result<EncodedHistoryChunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next_chunk().map_err(status::fault).transpose())
    }
}

#[cfg(test)]
mod tests {
    use longhaul_engine::history::frame;
    use longhaul_proto::sidecar::{EventRaisedEvent, HistoryChunk, HistoryEvent, history_event};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn event(id: i32, bytes: usize) -> HistoryEvent {
        let raised = EventRaisedEvent {
            name: "n".repeat(bytes),
            input: None,
        };
        HistoryEvent {
            event_id: id,
            timestamp: None,
            event_type: Some(history_event::EventType::EventRaised(raised)),
        }
    }

    fn framed(events: &[HistoryEvent]) -> Bytes {
        let mut run = BytesMut::new();
        for event in events {
            frame(&mut run, &event.encode_to_vec());
        }
        run.freeze()
    }

    /// The events of each chunk, and the sizes.
    fn chunks(runs: Vec<Bytes>) -> Vec<(Vec<HistoryEvent>, usize)> {
        let mut chunks = HistoryChunks::new(runs);
        let next = || chunks.next_chunk().expect("well-formed");
        std::iter::from_fn(next)
            .map(|chunk| {
                let size = chunk.0.len();
                (HistoryChunk::decode(chunk.0).expect("decodes").events, size)
            })
            .collect()
    }

    #[test]
    fn an_empty_history_has_no_chunks() {
        assert!(chunks(vec![]).is_empty());
        assert!(chunks(vec![Bytes::new(), Bytes::new()]).is_empty());
    }

    #[test]
    fn a_chunk_is_full_by_bytes_or_by_events() {
        let half = limits::HISTORY_CHUNK_BYTES_MAX / 2;
        let events = [event(1, half - 100), event(2, half - 100), event(3, 10)];
        let sizes = |runs| {
            chunks(runs)
                .iter()
                .map(|(events, _)| events.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(vec![framed(&events)]), [3]);
        let events = [event(1, half), event(2, half), event(3, 10)];
        assert_eq!(sizes(vec![framed(&events)]), [1, 2]);
        let events = [event(1, 5), event(2, 3 * half), event(3, 5)];
        assert_eq!(sizes(vec![framed(&events)]), [1, 1, 1]);
        let many: Vec<_> = (0..EVENTS_MAX as i32 + 1).map(|id| event(id, 1)).collect();
        assert_eq!(sizes(vec![framed(&many)]), [EVENTS_MAX, 1]);
    }

    #[test]
    fn damage_ends_the_stream_with_a_fault() {
        let mut chunks = HistoryChunks::new(vec![Bytes::from_static(&[0x1A, 9, 0])]);
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(&mut chunks).poll_next(&mut context) {
            Poll::Ready(Some(Err(status))) => assert_eq!(status.code(), tonic::Code::Internal),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn chunks_joined_are_the_history(
            runs in proptest::collection::vec(proptest::collection::vec(0usize..100_000, 0..6), 0..6)
        ) {
            let mut id = 0;
            let runs: Vec<Vec<HistoryEvent>> = runs
                .into_iter()
                .map(|run| run.into_iter().map(|bytes| { id += 1; event(id, bytes) }).collect())
                .collect();
            let got = chunks(runs.iter().map(|run| framed(run)).collect());
            for (events, size) in &got {
                prop_assert!(*size <= limits::HISTORY_CHUNK_BYTES_MAX || events.len() == 1);
            }
            let joined: Vec<HistoryEvent> = got.into_iter().flat_map(|(events, _)| events).collect();
            prop_assert_eq!(joined, runs.concat());
        }
    }
}
