//! What operators ask of the cluster, on the port of SDKs: `proto/longhaul/admin/v1/admin.proto`.
//!
//! ```text
//! service ─┬─ view, health     what there is, and what is wrong with it        pure
//!          ├─ wishes           what may be wanted of nodes and partitions      pure
//!          ├─ backup           copies of everything
//!          └─ nodes ═ here     asking other nodes, and answering them
//! sources                      what all this is learned from
//! restore                      a new cluster from a copy, before any node runs
//! ```
//!
//! It decides nothing by itself: what is granted becomes a command of the meta group, and the controller does the rest.

mod backup;
mod health;
mod here;
mod nodes;
pub mod restore;
mod service;
mod sources;
#[cfg(test)]
mod tests;
mod view;
mod wishes;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use longhaul_partition::{Clock, Partitions, Randomness};
use longhaul_proto::admin::v1::admin_server::AdminServer;
use longhaul_replication::NodeId;
use tonic::server::NamedService;

use self::backup::Coordinator;
use self::here::Here;
use self::nodes::Nodes;
use self::service::Service;

pub(crate) use nodes::OthersSetup;
pub(crate) use sources::{Cluster, Leaders};

/// What the administration is put together from.
pub(crate) struct AdminSetup {
    /// This node.
    pub(crate) node: NodeId,
    /// What the cluster agrees on: its meta group.
    pub(crate) cluster: Arc<dyn Cluster>,
    /// Who leads each partition.
    pub(crate) leaders: Leaders,
    /// The replicas here.
    pub(crate) partitions: Partitions,
    /// The way to other nodes, over class `Admin`; `None` on a node that stays alone.
    pub(crate) others: Option<OthersSetup>,
    /// Where this node's data is.
    pub(crate) data: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
}

/// The routes of the Admin service. Must be called within a tokio runtime; other nodes are answered from now on.
pub(crate) fn routes(setup: AdminSetup) -> Router {
    let path = format!(
        "/{}/{{*method}}",
        <AdminServer<Service> as NamedService>::NAME
    );
    Router::new().route_service(&path, AdminServer::new(service(setup)))
}

fn service(setup: AdminSetup) -> Service {
    let AdminSetup {
        node,
        cluster,
        leaders,
        partitions,
        others,
        data,
        clock,
        randomness,
    } = setup;
    let here = Arc::new(Here::new(node, partitions, clock, data));
    let nodes = Nodes::start(here.clone(), others);
    let backups = Coordinator {
        cluster: cluster.clone(),
        leaders: leaders.clone(),
        nodes: nodes.clone(),
        randomness,
        clock_ms: Arc::new(move || here.clock_ms()),
    };
    Service {
        node,
        cluster,
        leaders,
        nodes,
        backups,
    }
}
