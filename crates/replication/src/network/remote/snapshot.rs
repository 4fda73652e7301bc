//! State for a replica that is too far behind for the log: a link of its own, chunk by chunk.
//!
//! Nothing is installed before the last chunk has arrived and the counts agree. Whatever ends
//! earlier has to begin anew.

use std::{io, time::Duration};

use bytes::Bytes;
use longhaul_peer::{Broken, Class, Link, LinkReceiver, Links};
use longhaul_wal::GroupId;
use tokio::{task, time};

use super::{super::peer::StateSnapshot, RemoteConfig, Replicas, rate::Rate};
use crate::{
    codec::wire::{self, SnapshotPart},
    config::CheckpointThread,
    machine::{SnapshotContent, SnapshotReader, Stage},
    types::{NodeId, SnapshotMeta, Vote},
};

/// A snapshot on its way out.
pub(super) struct Sending<'a> {
    pub(super) links: &'a dyn Links,
    pub(super) rate: &'a Rate,
    pub(super) thread: CheckpointThread,
    pub(super) group: GroupId,
    pub(super) to: NodeId,
    /// With each chunk, and with the installation.
    pub(super) patience: Duration,
}

impl Sending<'_> {
    /// Sends a state, and answers the vote that stands where it has been installed.
    ///
    /// # Errors
    /// Says why it has not.
    pub(super) async fn send(&self, vote: Vote, snapshot: StateSnapshot) -> Result<Vote, String> {
        let StateSnapshot { meta, snapshot } = snapshot;
        let SnapshotContent::Exported(chunks) = snapshot else {
            return Err("a checkpoint of the replica's own cannot be sent".to_owned());
        };
        let link = self
            .patiently(self.links.open(self.to, Class::Bulk))
            .await?;
        let link = link.map_err(|error| error.to_string())?;
        let Link {
            sender, receiver, ..
        } = link;
        let mut answer = Box::pin(answer(receiver));
        let begin = SnapshotPart::Begin {
            group: self.group,
            vote,
            meta,
        };
        let sending = self.send_parts(&sender, begin, chunks);
        tokio::select! {
            // Before the end there is no answer but a refusal.
            early = &mut answer => return early,
            sent = sending => sent?,
        }
        self.patiently(answer).await?
    }

    async fn send_parts(
        &self,
        sender: &longhaul_peer::LinkSender,
        begin: SnapshotPart,
        mut chunks: Box<dyn SnapshotReader>,
    ) -> Result<(), String> {
        let send = async |part| {
            let frame = wire::encode_snapshot_part(part);
            let sent = self.patiently(sender.send(frame)).await?;
            sent.map_err(|broken: Broken| broken.to_string())
        };
        send(begin).await?;
        let (mut count, mut bytes) = (0, 0);
        loop {
            let (rest, chunk) = blocking(self.thread, move || {
                let chunk = chunks.next_chunk();
                (chunks, chunk)
            })
            .await;
            let chunk = chunk.map_err(|error| format!("the state cannot be read: {error}"))?;
            let Some(chunk) = chunk else { break };
            chunks = rest;
            count += 1;
            bytes += chunk.len() as u64;
            self.rate.take(chunk.len()).await;
            send(SnapshotPart::Chunk(chunk)).await?;
        }
        send(SnapshotPart::End {
            chunks: count,
            bytes,
        })
        .await
    }

    async fn patiently<T>(&self, future: impl Future<Output = T>) -> Result<T, String> {
        let done = time::timeout(self.patience, future).await;
        done.map_err(|_| format!("node {} takes too long with a snapshot", self.to))
    }
}

async fn answer(mut receiver: LinkReceiver) -> Result<Vote, String> {
    match receiver.next().await {
        Ok(Some(frame)) => {
            wire::decode_snapshot_answer(frame).map_err(|fault| fault.to_string())?
        }
        Ok(None) => Err("the other node has ended the link".to_owned()),
        Err(broken) => Err(broken.to_string()),
    }
}

/// Answers that no state is taken, and why.
///
/// # Errors
/// Always: that reason.
pub(super) async fn refuse(link: Link, config: &RemoteConfig, reason: &str) -> Result<(), String> {
    conclude(link, config, Err(reason.to_owned())).await
}

/// Takes one state: gathers its chunks, installs it, and answers.
///
/// # Errors
/// Says why it was not installed.
pub(super) async fn take(
    replicas: &Replicas,
    config: &RemoteConfig,
    node: NodeId,
    mut link: Link,
) -> Result<(), String> {
    let installed = receive(replicas, config, node, &mut link.receiver).await;
    conclude(link, config, installed).await
}

async fn conclude(
    mut link: Link,
    config: &RemoteConfig,
    outcome: Result<Vote, String>,
) -> Result<(), String> {
    let answer = wire::encode_snapshot_answer(outcome.as_ref().map_err(Clone::clone));
    let told = async {
        link.sender.send(answer).await?;
        // The other side has it when it ends the link; to drop this end earlier could be faster
        // than the answer.
        drop(link.sender);
        while link.receiver.next().await?.is_some() {}
        Ok::<_, Broken>(())
    };
    // Whoever does not hear the answer asks again.
    drop(time::timeout(config.snapshot_patience, told).await);
    outcome.map(|_| ())
}

async fn receive(
    replicas: &Replicas,
    config: &RemoteConfig,
    node: NodeId,
    receiver: &mut LinkReceiver,
) -> Result<Vote, String> {
    let begin = next_part(receiver, config.snapshot_patience).await?;
    let SnapshotPart::Begin { group, vote, meta } = begin else {
        return Err("a snapshot without a beginning".to_owned());
    };
    let replica = replicas.find(group, node)?;
    let staging = replica.staging.clone();
    let stage = blocking(config.snapshot_thread, move || staging.begin()).await;
    let stage = stage.map_err(not_kept)?;
    let stage = gather(config, receiver, stage).await?;
    let state = blocking(config.snapshot_thread, move || stage.finish()).await;
    let snapshot = StateSnapshot {
        meta: SnapshotMeta { ..meta },
        snapshot: SnapshotContent::Staged(state.map_err(not_kept)?),
    };
    let installed = replica.raft.install_full_snapshot(vote, snapshot).await;
    let response = installed.map_err(|fatal| fatal.to_string())?;
    Ok(response.vote)
}

/// Writes chunks up to the end.
async fn gather(
    config: &RemoteConfig,
    receiver: &mut LinkReceiver,
    mut stage: Box<dyn Stage>,
) -> Result<Box<dyn Stage>, String> {
    let mut so_far = (0, 0);
    loop {
        match next_part(receiver, config.snapshot_patience).await? {
            SnapshotPart::Chunk(chunk) => {
                so_far.0 += 1;
                so_far.1 += chunk.len() as u64;
                stage = write(config.snapshot_thread, stage, chunk)
                    .await
                    .map_err(not_kept)?;
            }
            SnapshotPart::End { chunks, bytes } if (chunks, bytes) == so_far => return Ok(stage),
            SnapshotPart::End { .. } => return Err("a snapshot with chunks missing".to_owned()),
            SnapshotPart::Begin { .. } => return Err("a snapshot that begins twice".to_owned()),
        }
    }
}

async fn write(
    thread: CheckpointThread,
    mut stage: Box<dyn Stage>,
    chunk: Bytes,
) -> io::Result<Box<dyn Stage>> {
    blocking(thread, move || stage.write(chunk).map(|()| stage)).await
}

async fn next_part(
    receiver: &mut LinkReceiver,
    patience: Duration,
) -> Result<SnapshotPart, String> {
    let frame = time::timeout(patience, receiver.next()).await;
    let frame = frame.map_err(|_| "the rest of a snapshot does not come".to_owned())?;
    match frame {
        Ok(Some(frame)) => wire::decode_snapshot_part(frame).map_err(|fault| fault.to_string()),
        Ok(None) => Err("a snapshot ended early".to_owned()),
        Err(broken) => Err(broken.to_string()),
    }
}

fn not_kept(error: io::Error) -> String {
    format!("the snapshot cannot be kept: {error}")
}

/// Runs what may block where it may.
async fn blocking<T: Send + 'static>(
    thread: CheckpointThread,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match thread {
        CheckpointThread::Caller => work(),
        CheckpointThread::Blocking => match task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and this job with it.
                Err(_) => std::future::pending().await,
            },
        },
    }
}
