//! What replication keeps in the log: a byte that chooses the kind of record, then the record.

use bytes::Bytes;
use longhaul_replication::fuzzing::LogRecord;
use longhaul_storage::records::{decode_batch, encode_batch};

pub(crate) fn run(input: &[u8]) {
    let Some((kind, record)) = input.split_first() else {
        return;
    };
    let kind = LogRecord::ALL[usize::from(*kind) % LogRecord::ALL.len()];
    let read = match kind.read(Bytes::copy_from_slice(record)) {
        Ok(read) => read,
        Err(fault) => return assert!(!fault.is_empty(), "a fault says what is wrong"),
    };
    let again = kind.read(read.encoded.clone());
    assert_eq!(again.as_ref(), Ok(&read), "what was written is read");
    if let Some(commands) = read.commands
        && let Ok(batch) = decode_batch(commands)
    {
        assert_eq!(decode_batch(encode_batch(&batch)), Ok(batch));
    }
}
