//! Whatever a stream was given, as its worker receives it.

use bytes::Bytes;
use longhaul_partition::Claimed;
use longhaul_proto::raw::EncodedWorkItem;
use longhaul_routing::claims::Encoder;
use longhaul_types::limits;

use super::activity::{MalformedEvent, encode_activity};
use super::batch::encode_batch;
use super::turn::encode_turn;
use crate::spans;

/// What another node has encoded already stays as it is.
pub(crate) fn encode(claimed: &Claimed) -> Result<EncodedWorkItem, MalformedEvent> {
    spans::delivered(claimed);
    match claimed {
        Claimed::Turn { token, turn } => {
            let item = encode_turn(turn, token);
            if item.0.len() > limits::WORK_ITEM_BYTES_MAX {
                tracing::warn!(
                    instance = %turn.context.key.id,
                    bytes = item.0.len(),
                    "a turn is larger than SDK workers accept by default; continue as new earlier or raise the \
                     worker's message limit"
                );
            }
            Ok(item)
        }
        Claimed::Batch { token, batch } => Ok(encode_batch(batch, token)),
        Claimed::Activity {
            token,
            key,
            activity,
        } => encode_activity(key, activity, token),
        Claimed::Encoded(item) => Ok(EncodedWorkItem(item.bytes.clone())),
    }
}

/// Encodes what workers of other nodes are given.
pub(crate) struct ForOthers;

impl Encoder for ForOthers {
    fn encode(&self, claimed: &Claimed) -> Result<Bytes, String> {
        let item = encode(claimed).map_err(|malformed| malformed.to_string())?;
        Ok(item.0)
    }
}
