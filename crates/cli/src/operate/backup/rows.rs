//! The rows of a partition as bytes: for each, the lengths of key and value, 4 bytes each, big-endian, then both.

use std::io::{self, Read};

/// Appends one row.
///
/// # Panics
/// Key or value has 4 GiB or more, which no row has.
pub fn put(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [key, value] {
        let len = u32::try_from(part.len()).expect("rows are far smaller");
        out.extend_from_slice(&len.to_be_bytes());
    }
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Reads rows, one after the other.
#[derive(Debug)]
pub struct RowReader<R>(R);

impl<R: Read> RowReader<R> {
    /// From the first row on.
    pub fn new(reader: R) -> Self {
        Self(reader)
    }

    /// Key and value of the next row; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read, or the end is within a row. Lengths that are only claimed cost no memory.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would hide the errors"
    )]
    pub fn next(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let mut lengths = [0; 8];
        if !self.read_unless_at_end(&mut lengths)? {
            return Ok(None);
        }
        let [k0, k1, k2, k3, v0, v1, v2, v3] = lengths;
        let key = self.read_part(u32::from_be_bytes([k0, k1, k2, k3]))?;
        let value = self.read_part(u32::from_be_bytes([v0, v1, v2, v3]))?;
        Ok(Some((key, value)))
    }

    fn read_unless_at_end(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(cut_off()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn read_part(&mut self, len: u32) -> io::Result<Vec<u8>> {
        let mut part = Vec::new();
        let read = self.0.by_ref().take(len.into()).read_to_end(&mut part)?;
        match read as u64 == u64::from(len) {
            true => Ok(part),
            false => Err(cut_off()),
        }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a row")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut reader = RowReader::new(bytes);
        let mut rows = Vec::new();
        while let Some(row) = reader.next()? {
            rows.push(row);
        }
        Ok(rows)
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let rows = [(b"a".to_vec(), vec![]), (b"bc".to_vec(), vec![7; 300])];
        let mut bytes = Vec::new();
        for (key, value) in &rows {
            put(key, value, &mut bytes);
        }
        assert_eq!(bytes[..9], [0, 0, 0, 1, 0, 0, 0, 0, b'a']);
        assert_eq!(read_all(&bytes).expect("whole"), rows);
        assert!(read_all(&[]).expect("nothing").is_empty());
    }

    #[test]
    fn half_a_row_is_noticed_wherever_it_ends() {
        let mut bytes = Vec::new();
        put(b"key", b"value", &mut bytes);
        for end in 1..bytes.len() {
            let error = read_all(&bytes[..end]).expect_err("half a row");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
    }

    #[test]
    fn claimed_lengths_reserve_nothing() {
        let mut bytes = u32::MAX.to_be_bytes().repeat(2);
        bytes.extend_from_slice(b"short");
        assert!(read_all(&bytes).is_err());
    }
}
