//! Calls and answers as bytes between nodes. Payloads of what was decoded are slices of it.

mod failure;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod values;

use bytes::{BufMut, Bytes, BytesMut};
use longhaul_types::PartitionId;
use prost::Message;

use crate::errors::Failure;
use crate::operation::{Operation, Outcome};

/// Bytes from another node that mean nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// No protobuf message of the type.
    #[error(transparent)]
    Message(#[from] prost::DecodeError),
    /// A command that cannot be.
    #[error(transparent)]
    Command(#[from] longhaul_storage::records::Corrupt),
    /// Something has to be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// No such value.
    #[error("{0} has a value that it cannot have")]
    Value(&'static str),
}

/// A call, after the byte that says what kind of request it is.
pub(crate) fn encode_request(kind: u8, partition: PartitionId, operation: &Operation) -> Bytes {
    let request = request::to_wire(partition, operation);
    let mut out = BytesMut::with_capacity(1 + request.encoded_len());
    out.put_u8(kind);
    request.encode_raw(&mut out);
    out.freeze()
}

/// The call in a request, without the byte before it.
pub(crate) fn decode_request(bytes: Bytes) -> Result<(PartitionId, Operation), Malformed> {
    request::from_wire(Message::decode(bytes)?)
}

/// The answer to a call.
pub(crate) fn encode_response(outcome: Result<Outcome, Failure>) -> Bytes {
    response::to_wire(outcome).encode_to_vec().into()
}

/// What was answered to a call.
pub(crate) fn decode_response(bytes: Bytes) -> Result<Result<Outcome, Failure>, Malformed> {
    response::from_wire(Message::decode(bytes)?)
}
