//! Framing: how encoded events stand one after another.

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{put_varint, read_varint, varint_len};

/// Tag of `OrchestratorRequest.pastEvents`: field 3, length-delimited.
const TAG: u8 = 3 << 3 | 2;

/// The framed bytes are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a history frame is malformed at byte {at}")]
pub struct MalformedFrame {
    /// Offset of the frame.
    pub at: usize,
}

/// Bytes that an event of `len` bytes takes when framed.
#[must_use]
pub fn framed_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Frames one encoded event.
pub fn frame(out: &mut BytesMut, event: &[u8]) {
    out.put_u8(TAG);
    put_varint(out, event.len() as u64);
    out.put_slice(event);
}

/// Goes through framed events, yielding each unframed without copying.
#[derive(Debug, Clone)]
pub struct Frames {
    framed: Bytes,
    at: usize,
}

impl Frames {
    /// Over `framed`.
    #[must_use]
    pub fn new(framed: Bytes) -> Self {
        Self { framed, at: 0 }
    }

    fn read(&self) -> Option<(usize, usize)> {
        let rest = &self.framed[self.at..];
        if *rest.first()? != TAG {
            return None;
        }
        let (len, taken) = read_varint(&rest[1..])?;
        let start = self.at + 1 + taken;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.framed.len()).then_some((start, end))
    }
}

impl Iterator for Frames {
    type Item = Result<Bytes, MalformedFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.framed.len() {
            return None;
        }
        match self.read() {
            Some((start, end)) => {
                self.at = end;
                Some(Ok(self.framed.slice(start..end)))
            }
            None => {
                let at = std::mem::replace(&mut self.at, self.framed.len());
                Some(Err(MalformedFrame { at }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went_in() {
        let events: Vec<Vec<u8>> =
            vec![vec![], vec![1], vec![7; 127], vec![8; 128], vec![9; 70_000]];
        let mut out = BytesMut::new();
        let mut expected = 0;
        for event in &events {
            frame(&mut out, event);
            expected += framed_len(event.len());
        }
        assert_eq!(out.len(), expected);
        let back: Result<Vec<Bytes>, _> = Frames::new(out.freeze()).collect();
        assert_eq!(back.expect("well-formed"), events);
    }

    #[test]
    fn damage_is_said_once_and_ends_the_walk() {
        let mut frames = Frames::new(Bytes::from_static(&[TAG, 1, 5, TAG, 9, 1]));
        assert_eq!(frames.next(), Some(Ok(Bytes::from_static(&[5]))));
        assert_eq!(frames.next(), Some(Err(MalformedFrame { at: 3 })));
        assert_eq!(frames.next(), None);
    }
}
