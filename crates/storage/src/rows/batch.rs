//! Operations that take effect together, encoded into one buffer.

/// Operations that take effect together, in order.
#[derive(Clone, Debug, Default)]
pub struct RowBatch {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Puts a row in place of whatever had the key.
    Put {
        /// Its key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// Removes a row, if it is there.
    Delete {
        /// Its key.
        key: &'a [u8],
    },
    /// Removes the rows from a key up to, excluding, another one.
    DeleteRange {
        /// The first that is removed.
        from: &'a [u8],
        /// The first that is not.
        to: &'a [u8],
    },
}

/// Where the parts of an operation end in the buffer; each begins where the one before it ended.
#[derive(Clone, Copy, Debug)]
enum Span {
    Put { key: usize, value: usize },
    Delete { key: usize },
    DeleteRange { from: usize, to: usize },
}

impl RowBatch {
    /// An empty batch with room for this many bytes of keys and values.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            spans: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.put_with(key, |out| out.extend_from_slice(value));
    }

    /// Adds a row whose value is appended to the buffer by `encode`; answers the value.
    pub fn put_with(&mut self, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.bytes.extend_from_slice(key);
        let key = self.bytes.len();
        encode(&mut self.bytes);
        let value = self.bytes.len();
        self.spans.push(Span::Put { key, value });
        &self.bytes[key..]
    }

    /// Removes a row.
    pub fn delete(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.spans.push(Span::Delete {
            key: self.bytes.len(),
        });
    }

    /// Removes the rows from `from` up to, excluding, `to`.
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.bytes.extend_from_slice(from);
        let from = self.bytes.len();
        self.bytes.extend_from_slice(to);
        self.spans.push(Span::DeleteRange {
            from,
            to: self.bytes.len(),
        });
    }

    /// The operations, in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let mut start = 0;
        let mut part = move |end: usize| {
            let part = &self.bytes[start..end];
            start = end;
            part
        };
        self.spans.iter().map(move |span| match *span {
            Span::Put { key, value } => Operation::Put {
                key: part(key),
                value: part(value),
            },
            Span::Delete { key } => Operation::Delete { key: part(key) },
            Span::DeleteRange { from, to } => Operation::DeleteRange {
                from: part(from),
                to: part(to),
            },
        })
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_out_as_they_went_in() {
        let mut batch = RowBatch::default();
        batch.put(b"k1", b"v");
        batch.delete(b"");
        batch.delete_range(b"a", b"bc");
        assert_eq!(batch.put_with(b"k2", |out| out.push(7)), [7]);
        let expected = [
            Operation::Put {
                key: b"k1",
                value: b"v",
            },
            Operation::Delete { key: b"" },
            Operation::DeleteRange {
                from: b"a",
                to: b"bc",
            },
            Operation::Put {
                key: b"k2",
                value: &[7],
            },
        ];
        assert!(batch.operations().eq(expected));
        assert_eq!(batch.bytes(), 9);
    }
}
