//! The opposite of drawing from an input.

/// An input that is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Output(Vec<u8>);

impl Output {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Its length, two bytes, then the bytes.
    pub(super) fn chunk(self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).expect("seeds are small");
        self.u16(len).bytes(bytes)
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}
