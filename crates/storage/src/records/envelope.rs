//! What is around every stored value: one byte that says how to read the rest.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::Corrupt;

/// The only format so far: a protobuf message.
const PROTOBUF: u8 = 1;

/// Appends the encoding of `message`.
pub(super) fn put(message: &impl Message, out: &mut impl BufMut) {
    out.put_u8(PROTOBUF);
    message.encode_raw(out);
}

/// The encoding of `message`, in a buffer of exactly its size.
pub(super) fn seal(message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + message.encoded_len());
    put(message, &mut out);
    out.freeze()
}

/// The message in `value`.
pub(super) fn open<M: Message + Default>(mut value: Bytes) -> Result<M, Corrupt> {
    if value.is_empty() {
        return Err(Corrupt::Empty);
    }
    match value.get_u8() {
        PROTOBUF => Ok(M::decode(value)?),
        version => Err(Corrupt::UnknownVersion(version)),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::storage::v1 as wire;

    use super::*;

    fn open_position(value: &'static [u8]) -> Result<wire::Position, Corrupt> {
        open(Bytes::from_static(value))
    }

    #[test]
    fn a_value_without_a_known_version_is_refused() {
        assert_eq!(open_position(&[]), Err(Corrupt::Empty));
        assert_eq!(open_position(&[2, 8, 1]), Err(Corrupt::UnknownVersion(2)));
        assert!(matches!(open_position(&[1, 8]), Err(Corrupt::Malformed(_))));
    }

    #[test]
    fn a_message_of_defaults_is_its_version_alone() {
        assert_eq!(seal(&wire::Position::default()), &[1][..]);
        assert_eq!(open_position(&[1]), Ok(wire::Position::default()));
    }
}
