//! The contract of a stream between two nodes, whatever carries it.

use std::fmt;

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use longhaul_types::NodeId;
use tokio::sync::mpsc;

use crate::handshake::Refusal;

/// Longest frame, in bytes. Senders keep to far less, except for what cannot be divided.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Frames of one link that wait to be sent.
pub(crate) const FRAMES_WAITING: usize = 4;

/// Links that others opened and nobody has taken yet.
pub(crate) const LINKS_WAITING: usize = 16;

/// What a link is for. Links of different classes never wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Consensus: one link for all groups.
    Raft,
    /// State of a replica: a link for each transfer.
    Bulk,
    /// What the cluster is and what its nodes are to do: one link.
    Control,
    /// Calls and work for another node: one link.
    Forward,
    /// What operators ask, and copies of state for them: one link.
    Admin,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [
        Self::Raft,
        Self::Bulk,
        Self::Control,
        Self::Forward,
        Self::Admin,
    ];

    /// The name of the class in metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raft => "raft",
            Self::Bulk => "bulk",
            Self::Control => "control",
            Self::Forward => "forward",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A node's way to open links, and to be given those that others open.
pub trait Links: Send + Sync + 'static {
    /// Opens a link. Resolves when both nodes know who the other is.
    ///
    /// After a failed attempt the next to the same node and class waits before it begins: longer
    /// with each failure, and longest when the other node refused. A new address ends the wait.
    /// The future may be dropped at any time.
    fn open(&self, to: NodeId, class: Class) -> BoxFuture<'static, Result<Link, OpenError>>;

    /// The links of a class that others open from now on, instead of giving them to whoever asked
    /// before. Links of a class that nobody accepts are refused.
    fn accept(&self, class: Class) -> Incoming;
}

/// Links that others have opened. Dropped, its class is refused.
pub type Incoming = mpsc::Receiver<Link>;

/// A bidirectional stream of frames to another node. It ends when either side drops it.
#[derive(Debug)]
pub struct Link {
    /// The node at the other end, as both sides have checked.
    pub peer: NodeId,
    /// The way there.
    pub sender: LinkSender,
    /// The way back.
    pub receiver: LinkReceiver,
}

/// Sends frames, in order. Dropped, the other side sees the end after the last frame.
#[derive(Debug)]
pub struct LinkSender(mpsc::Sender<Bytes>);

/// Receives frames, in order.
pub struct LinkReceiver(BoxStream<'static, Result<Bytes, Broken>>);

/// A link that is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the link is broken: {0}")]
pub struct Broken(pub String);

/// A link that was not opened. Whether and when another attempt helps is not for the caller to say:
/// it may try again at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No answer, or none that could be understood.
    #[error("node {to} cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        to: NodeId,
        /// What happened.
        reason: String,
    },
    /// Its machine answers that nobody listens at its address: the node does not run.
    #[error("node {to} does not run: {reason}")]
    Absent {
        /// The node.
        to: NodeId,
        /// What happened.
        reason: String,
    },
    /// One of the two nodes does not want to talk to the other.
    #[error("no link with node {to}: {refusal}")]
    Refused {
        /// The node.
        to: NodeId,
        /// Why.
        refusal: Refusal,
    },
}

impl LinkSender {
    pub(crate) fn new(frames: mpsc::Sender<Bytes>) -> Self {
        Self(frames)
    }

    /// Waits for room and sends. A future that is dropped has sent all of the frame or nothing.
    ///
    /// # Errors
    /// The link is broken, or the other side has dropped it. That nothing is wrong here does not
    /// mean that the frame arrives.
    pub async fn send(&self, frame: Bytes) -> Result<(), Broken> {
        self.room().await?.send(frame)
    }

    /// Waits for room. A future that is dropped has taken none.
    ///
    /// # Errors
    /// As [`LinkSender::send`].
    pub async fn room(&self) -> Result<Room<'_>, Broken> {
        let room = self.0.reserve().await;
        room.map(Room).map_err(|_| nobody_receives())
    }
}

/// Room for one frame.
#[derive(Debug)]
pub struct Room<'a>(mpsc::Permit<'a, Bytes>);

impl Room<'_> {
    /// Sends, at once.
    ///
    /// # Errors
    /// The frame is too long.
    pub fn send(self, frame: Bytes) -> Result<(), Broken> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(Broken(format!("a frame of {} bytes", frame.len())));
        }
        self.0.send(frame);
        Ok(())
    }
}

fn nobody_receives() -> Broken {
    Broken("nobody receives".to_owned())
}

impl LinkReceiver {
    pub(crate) fn new(frames: BoxStream<'static, Result<Bytes, Broken>>) -> Self {
        Self(frames)
    }

    /// The next frame; `None` when the other side has dropped its sender, and sometimes when it has
    /// gone altogether: that all has arrived is for the frames to say. A future that is dropped has
    /// taken nothing.
    ///
    /// # Errors
    /// The link is broken. Frames that were on the way are lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        self.0.next().await.transpose()
    }
}

impl fmt::Debug for LinkReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkReceiver")
    }
}
