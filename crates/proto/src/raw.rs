//! Messages that are kept in their encoded form and written to the wire as they are.
//!
//! Payloads and history events lie encoded in storage. A work item is spliced together from those
//! bytes; decoding them into [`crate::sidecar::WorkItem`] only to encode them again would cost more
//! than everything else in a dispatch. The services in [`crate::spliced`] send these types instead.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

/// The encoding of one [`crate::sidecar::WorkItem`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedWorkItem(pub Bytes);

/// The encoding of one [`crate::sidecar::HistoryChunk`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedHistoryChunk(pub Bytes);

macro_rules! message_of_encoded_bytes {
    ($name:ident) => {
        impl Message for $name {
            fn encode_raw(&self, buf: &mut impl BufMut) {
                buf.put_slice(&self.0);
            }

            fn encoded_len(&self) -> usize {
                self.0.len()
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                ctx: DecodeContext,
            ) -> Result<(), DecodeError> {
                self.0 = with_field(&self.0, tag, wire_type, buf, ctx)?;
                Ok(())
            }

            fn clear(&mut self) {
                self.0.clear();
            }
        }
    };
}

message_of_encoded_bytes!(EncodedWorkItem);
message_of_encoded_bytes!(EncodedHistoryChunk);

/// `encoded` with one more field, read from `buf`.
///
/// Copies what is there already: only tests and in-process clients decode, the server never does.
fn with_field(
    encoded: &[u8],
    tag: u32,
    wire_type: WireType,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<Bytes, DecodeError> {
    let mut out = BytesMut::from(encoded);
    match wire_type {
        WireType::Varint => {
            let value = encoding::decode_varint(buf)?;
            encoding::uint64::encode(tag, &value, &mut out);
        }
        WireType::LengthDelimited => {
            let mut value = Bytes::new();
            encoding::bytes::merge(wire_type, &mut value, buf, ctx)?;
            encoding::bytes::encode(tag, &value, &mut out);
        }
        WireType::ThirtyTwoBit => {
            let mut value = 0;
            encoding::fixed32::merge(wire_type, &mut value, buf, ctx)?;
            encoding::fixed32::encode(tag, &value, &mut out);
        }
        WireType::SixtyFourBit => {
            let mut value = 0;
            encoding::fixed64::merge(wire_type, &mut value, buf, ctx)?;
            encoding::fixed64::encode(tag, &value, &mut out);
        }
        // Proto3 has no groups: a stray one is dropped as any unknown field would be.
        WireType::StartGroup | WireType::EndGroup => {
            encoding::skip_field(wire_type, tag, buf, ctx)?
        }
    }
    Ok(out.freeze())
}
