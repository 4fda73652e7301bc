//! What can be wrong with stored bytes.

/// Bytes that no version of this program wrote, or a newer one did. A fault: the replica that meets it must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// There is not even a format version.
    #[error("the value is empty")]
    Empty,
    /// The value was written by a newer version.
    #[error("unknown format version {0}")]
    UnknownVersion(u8),
    /// Not a protobuf message.
    #[error("malformed message: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A field that must be present is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A text is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    /// A number is not one of those allowed.
    #[error("{field} cannot be {value}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// Two entries of a map have the same key.
    #[error("{0} has an entry twice")]
    Repeated(&'static str),
    /// A file name that is not one of ours.
    #[error("{0:?} is not the name of a snapshot file")]
    FileName(String),
    /// A key has the wrong form.
    #[error("malformed {0} key")]
    MalformedKey(&'static str),
}
