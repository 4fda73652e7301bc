//! The views that this node keeps for backups, and the hold of what is shipped between partitions.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use longhaul_partition::{Partition, Partitions, ReadError};
use longhaul_proto::admin::v1 as wire;
use longhaul_types::PartitionId;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use wire::node_answer::Kind as Answer;

use super::pinned::Pinned;

/// A backup of which nothing was heard for so long has ended.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// No hold lasts longer, whatever was asked for: messages between partitions wait for it.
const HOLD_MAX: Duration = Duration::from_secs(10);

/// How long a hold waits for deliveries that have begun before it.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// Between two looks whether they have ended.
const SETTLE_POLL: Duration = Duration::from_millis(5);

/// Views by backup and partition.
pub(in crate::admin) struct Copies {
    partitions: Partitions,
    backups: Backups,
}

type Backups = Arc<Mutex<HashMap<u64, Backup>>>;

struct Backup {
    heard: Instant,
    views: HashMap<u32, Arc<Pinned>>,
}

impl Copies {
    pub(in crate::admin) fn new(partitions: Partitions) -> Self {
        Self {
            partitions,
            backups: Backups::default(),
        }
    }

    /// Has no partition here ship messages to others for a while, and waits until what is being shipped has arrived.
    pub(in crate::admin) async fn hold(&self, time: Duration) {
        let until = Instant::now() + time.min(HOLD_MAX);
        let hosted = self.partitions.all_hosted();
        for partition in &hosted {
            partition.hold_shipping(until);
        }
        let settled = async {
            while Instant::now() < until && hosted.iter().any(|it| it.shipping() > 0) {
                tokio::time::sleep(SETTLE_POLL).await;
            }
        };
        // If some have not ended, the copies may not fit together, and that is noticed.
        let _ = tokio::time::timeout(SETTLE_MAX, settled).await;
    }

    /// Keeps the state of a partition as it is now, if this node leads it.
    pub(in crate::admin) async fn pin(&self, backup: u64, partition: u32) -> Answer {
        let hosted = self
            .partitions
            .count()
            .all()
            .find(|it| u32::from(it.0) == partition);
        let hosted = hosted.and_then(|id: PartitionId| self.partitions.hosted(id));
        let Some(hosted) = hosted else {
            return Answer::NotLeader(wire::NotLeader { leader: None });
        };
        match pin(&hosted).await {
            Ok(pinned) => {
                let copy = pinned.copy().clone();
                let mut backups = self.backups.lock();
                let kept = backups.entry(backup).or_insert_with(|| {
                    tokio::spawn(end_after_silence(Arc::downgrade(&self.backups), backup));
                    Backup::new()
                });
                kept.heard = Instant::now();
                kept.views.insert(partition, Arc::new(pinned));
                Answer::Pinned(copy)
            }
            Err(answer) => answer,
        }
    }

    /// The next rows of a copy.
    pub(in crate::admin) async fn read(&self, read: wire::ReadRequest) -> Answer {
        let view = {
            let mut backups = self.backups.lock();
            backups.get_mut(&read.backup).and_then(|backup| {
                backup.heard = Instant::now();
                backup.views.get(&read.partition).cloned()
            })
        };
        let Some(view) = view else {
            return Answer::Failed("it has no such copy any more".to_owned());
        };
        let rows = spawn_blocking(move || view.read(&read.after)).await;
        match rows.expect("reading does not panic") {
            Ok(rows) => Answer::Rows(rows),
            Err(failure) => Answer::Failed(failure.to_string()),
        }
    }

    /// Notes that a backup goes on.
    pub(in crate::admin) fn keep(&self, backup: u64) -> Answer {
        match self.backups.lock().get_mut(&backup) {
            Some(backup) => {
                backup.heard = Instant::now();
                Answer::Done(wire::Done {})
            }
            None => Answer::Failed("it has no copy of this backup any more".to_owned()),
        }
    }

    /// Ends a backup.
    pub(in crate::admin) fn release(&self, backup: u64) {
        // Views are much to free: not under the lock.
        let ended = self.backups.lock().remove(&backup);
        drop(ended);
    }
}

/// Whoever takes the backup may be gone, and its word that it has ended lost.
async fn end_after_silence(backups: Weak<Mutex<HashMap<u64, Backup>>>, backup: u64) {
    let mut heard = Instant::now();
    loop {
        tokio::time::sleep_until(heard + SILENCE_MAX).await;
        let Some(backups) = backups.upgrade() else {
            return;
        };
        let mut backups = backups.lock();
        match backups.get(&backup) {
            Some(kept) if kept.heard > heard => heard = kept.heard,
            Some(_) => {
                backups.remove(&backup);
                return;
            }
            None => return,
        }
    }
}

impl Backup {
    fn new() -> Self {
        Self {
            heard: Instant::now(),
            views: HashMap::new(),
        }
    }
}

async fn pin(partition: &Partition) -> Result<Pinned, Answer> {
    let view = partition.pin().await.map_err(|error| match error {
        ReadError::NotLeader { leader } => Answer::NotLeader(wire::NotLeader {
            leader: leader.map(|node| node.0),
        }),
        error => Answer::Failed(error.to_string()),
    })?;
    let pinned = spawn_blocking(|| Pinned::new(view)).await;
    let pinned = pinned.expect("reading does not panic");
    pinned.map_err(|failure| Answer::Failed(failure.to_string()))
}
