//! Where the administration learns what the cluster is, and has it changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_cluster::catalog::{Catalog, Command, Reply};
use longhaul_cluster::meta::{Meta, MetaStatus, TransferError, Unavailable};
use longhaul_replication::NodeId;
use longhaul_types::PartitionId;

/// What the cluster has agreed on, and who leads what.
pub(crate) trait Cluster: Send + Sync + 'static {
    /// This node's copy of the catalog, perhaps old; `None` before the first.
    fn copy(&self) -> Option<Arc<Catalog>>;

    /// The catalog as it is.
    fn read(&self) -> BoxFuture<'static, Result<Arc<Catalog>, Unavailable>>;

    /// Changes the catalog.
    fn propose(&self, command: Command) -> BoxFuture<'static, Result<Reply, Unavailable>>;

    /// What this node sees.
    fn status(&self) -> MetaStatus;

    /// What the leader of the meta group sees.
    fn leader_status(&self) -> BoxFuture<'static, Result<MetaStatus, Unavailable>>;

    /// Hands the leadership of a partition over; returns when it is.
    fn transfer(
        &self,
        partition: PartitionId,
        to: NodeId,
    ) -> BoxFuture<'static, Result<(), TransferError>>;
}

/// Who leads each partition, as far as this node knows.
pub(crate) type Leaders = Arc<dyn Fn() -> BTreeMap<PartitionId, Option<NodeId>> + Send + Sync>;

impl Cluster for Meta {
    fn copy(&self) -> Option<Arc<Catalog>> {
        self.catalog().borrow().clone()
    }

    fn read(&self) -> BoxFuture<'static, Result<Arc<Catalog>, Unavailable>> {
        let meta = self.clone();
        async move { Self::read(&meta).await }.boxed()
    }

    fn propose(&self, command: Command) -> BoxFuture<'static, Result<Reply, Unavailable>> {
        let meta = self.clone();
        async move { Self::propose(&meta, command).await }.boxed()
    }

    fn status(&self) -> MetaStatus {
        Self::status(self)
    }

    fn leader_status(&self) -> BoxFuture<'static, Result<MetaStatus, Unavailable>> {
        let meta = self.clone();
        async move { Self::leader_status(&meta).await }.boxed()
    }

    fn transfer(
        &self,
        partition: PartitionId,
        to: NodeId,
    ) -> BoxFuture<'static, Result<(), TransferError>> {
        let meta = self.clone();
        async move { Self::transfer(&meta, partition, to).await }.boxed()
    }
}
