//! What this node answers about itself, and does for others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longhaul_partition::{Clock, Partitions};
use longhaul_proto::admin::v1 as wire;
use longhaul_replication::NodeId;
use longhaul_types::Timestamp;
use wire::node_answer::Kind as Answer;
use wire::node_request::Kind as Request;

use super::backup::Copies;
use super::view::milliseconds;

/// This node.
pub(super) struct Here {
    node: NodeId,
    clock: Arc<dyn Clock>,
    /// Where its data is.
    data: PathBuf,
    copies: Copies,
}

impl Here {
    pub(super) fn new(
        node: NodeId,
        partitions: Partitions,
        clock: Arc<dyn Clock>,
        data: PathBuf,
    ) -> Self {
        Self {
            node,
            clock,
            data,
            copies: Copies::new(partitions),
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// Milliseconds since 1970.
    pub(super) fn clock_ms(&self) -> u64 {
        milliseconds(self.clock.now().since(Timestamp::EPOCH))
    }

    pub(super) async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Report(_) => Answer::Report(self.report()),
            Request::Hold(hold) => {
                let time = Duration::from_millis(hold.milliseconds);
                self.copies.hold(time).await;
                Answer::Done(wire::Done {})
            }
            Request::Pin(pin) => self.copies.pin(pin.backup, pin.partition).await,
            Request::Read(read) => self.copies.read(read).await,
            Request::Keep(keep) => self.copies.keep(keep.backup),
            Request::Release(release) => {
                self.copies.release(release.backup);
                Answer::Done(wire::Done {})
            }
        }
    }

    fn report(&self) -> wire::NodeReport {
        // Zero if the system does not say.
        let disk = rustix::fs::statvfs(&self.data).ok();
        let bytes = |blocks: fn(&rustix::fs::StatVfs) -> u64| {
            disk.as_ref()
                .map_or(0, |disk| blocks(disk).saturating_mul(disk.f_frsize))
        };
        wire::NodeReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            disk_bytes: bytes(|disk| disk.f_blocks),
            disk_free_bytes: bytes(|disk| disk.f_bavail),
            clock_ms: self.clock_ms(),
        }
    }
}
