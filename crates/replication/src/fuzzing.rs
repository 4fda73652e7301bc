//! What only fuzz targets use from outside: the records that this crate keeps in the log, without a group around them.

use bytes::Bytes;

use crate::codec;
use crate::types::{Content, EntryPayload};

/// What a record of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRecord {
    /// A vote.
    Vote,
    /// A position.
    Position,
    /// The payload of an entry.
    Entry,
    /// A membership with its position.
    Membership,
    /// What a replica that was removed leaves behind.
    Note,
}

/// A record that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// The record, encoded again.
    pub encoded: Bytes,
    /// The commands in it, if it is an entry with commands.
    pub commands: Option<Bytes>,
}

impl LogRecord {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Vote,
        Self::Position,
        Self::Entry,
        Self::Membership,
        Self::Note,
    ];

    /// Reads a record as a starting node does. The error says what is wrong with it.
    ///
    /// # Errors
    /// It is not such a record.
    pub fn read(self, bytes: Bytes) -> Result<Understood, String> {
        let (encoded, commands) = match self {
            Self::Vote => (
                codec::decode_vote(bytes).map(|it| codec::encode_vote(&it)),
                None,
            ),
            Self::Position => {
                let read = codec::decode_log_id(bytes);
                (read.map(|it| codec::encode_log_id(&it)), None)
            }
            Self::Membership => {
                let read = codec::decode_membership(bytes);
                (read.map(|it| codec::encode_membership(&it)), None)
            }
            Self::Note => {
                let read = codec::decode_note(bytes);
                (read.map(|it| codec::encode_note(&it)), None)
            }
            Self::Entry => {
                let read = codec::decode_payload(bytes);
                let commands = match &read {
                    Ok(EntryPayload::Normal(Content::Commands(commands))) => Some(commands.clone()),
                    _ => None,
                };
                (read.map(|it| codec::encode_payload(&it)), commands)
            }
        };
        match encoded {
            Ok(encoded) => Ok(Understood { encoded, commands }),
            Err(fault) => Err(fault.to_string()),
        }
    }
}
