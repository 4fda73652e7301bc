//! Messages and the frames that hold them.

use bytes::Bytes;
use longhaul_proto::peer::v1 as proto;
pub(super) use longhaul_proto::peer::v1::message::Content;
use prost::Message;

use crate::link::FRAME_BYTES_MAX;

/// A frame takes no further message when it has reached this many bytes.
const FRAME_BYTES: usize = 256 << 10;

/// Longest body of a message, so that it fits into a frame.
pub(super) const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - 64;

/// What a message takes beside its body, about.
const OVERHEAD: usize = 512;

/// What a body of this length counts for where memory is bounded, in bytes.
pub(super) fn weight(body: usize) -> usize {
    body + OVERHEAD
}

/// A frame of as many messages as `next` has and belong into one; `None` if it has none.
pub(super) fn frame(mut next: impl FnMut() -> Option<Content>) -> Option<Bytes> {
    let mut messages = Vec::new();
    let mut bytes = 0;
    while bytes < FRAME_BYTES
        && let Some(content) = next()
    {
        bytes += body_of(&content) + 16;
        let content = Some(content);
        messages.push(proto::Message { content });
    }
    (!messages.is_empty()).then(|| proto::Messages { messages }.encode_to_vec().into())
}

fn body_of(content: &Content) -> usize {
    match content {
        Content::Request(request) => request.body.len(),
        Content::Answer(answer) => answer.body.len(),
        Content::Unanswered(unanswered) => unanswered.reason.len(),
        Content::Notice(notice) => notice.len(),
        Content::Cancelled(_) => 0,
    }
}

/// The messages of a frame.
///
/// # Errors
/// It holds something else: whatever follows makes no more sense.
pub(super) fn messages(frame: Bytes) -> Result<Vec<Content>, String> {
    let messages = proto::Messages::decode(frame)
        .map_err(|error| format!("a frame that cannot be understood: {error}"))?;
    let contents = messages.messages.into_iter();
    contents
        .map(|message| {
            message
                .content
                .ok_or_else(|| "a message of no kind".to_owned())
        })
        .collect()
}

/// Why a link cannot go on after a message.
pub(super) fn misplaced(content: &Content) -> String {
    let kind = match content {
        Content::Request(_) => "a request",
        Content::Cancelled(_) => "a cancellation",
        Content::Answer(_) => "an answer",
        Content::Unanswered(_) => "a refusal",
        Content::Notice(_) => "a notice",
    };
    format!("{kind} in the wrong direction")
}
