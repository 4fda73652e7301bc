//! Messages of a stream to frames and back.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use longhaul_proto::peer::v1 as proto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::{
    link::{Broken, LinkReceiver},
    meters::{ClassMeters, Counted, Traffic},
};

/// What is sent: the hello, then every frame until the sender is dropped or the link ends.
pub(super) fn outgoing(
    hello: proto::Frame,
    frames: mpsc::Receiver<Bytes>,
    ended: CancellationToken,
    sent: Traffic,
) -> impl Stream<Item = proto::Frame> + Send + 'static {
    let frames = ReceiverStream::new(frames).map(move |frame| {
        sent.note(frame.len());
        proto::Frame {
            content: Some(proto::frame::Content::Payload(frame)),
        }
    });
    stream::once(async { hello })
        .chain(frames)
        .take_until(ended.cancelled_owned())
}

/// Told what becomes of a link.
pub(super) trait Fate: Send + 'static {
    /// A frame has arrived.
    fn worked(&self) {}
    /// It has not ended as it should, or before it was of any use.
    fn broke(&self) {}
}

/// Nobody wants to know.
impl Fate for () {}

struct Receiving {
    messages: Streaming<proto::Frame>,
    /// Set where a link ends because it is to end.
    ended: CancellationToken,
    received: Traffic,
    fate: Box<dyn Fate>,
    /// Whether there was a frame.
    used: bool,
    over: bool,
    _counted: Counted,
}

/// What is received after the hello.
pub(super) fn incoming(
    messages: Streaming<proto::Frame>,
    ended: CancellationToken,
    meters: &ClassMeters,
    fate: impl Fate,
) -> LinkReceiver {
    let receiving = Receiving {
        messages,
        ended,
        received: meters.received.clone(),
        fate: Box::new(fate),
        used: false,
        over: false,
        _counted: meters.count(),
    };
    let frames = stream::unfold(receiving, |mut receiving| async {
        let next = receiving.next().await?;
        Some((next, receiving))
    });
    LinkReceiver::new(frames.boxed())
}

impl Receiving {
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if self.over {
            return None;
        }
        let next = tokio::select! {
            biased;
            () = self.ended.cancelled() => Err(Broken("the link was ended".to_owned())),
            message = self.messages.message() => payload(message),
        };
        match &next {
            Ok(Some(frame)) => {
                if !std::mem::replace(&mut self.used, true) {
                    self.fate.worked();
                }
                self.received.note(frame.len());
            }
            Ok(None) | Err(_) => {
                self.over = true;
                if next.is_err() || !self.used {
                    self.fate.broke();
                }
            }
        }
        next.transpose()
    }
}

fn payload(message: Result<Option<proto::Frame>, Status>) -> Result<Option<Bytes>, Broken> {
    match message {
        Ok(None) => Ok(None),
        Ok(Some(frame)) => match frame.content {
            Some(proto::frame::Content::Payload(payload)) => Ok(Some(payload)),
            Some(proto::frame::Content::Hello(_)) | None => {
                Err(Broken("a frame without a payload".to_owned()))
            }
        },
        Err(status) => Err(Broken(status.message().to_owned())),
    }
}
