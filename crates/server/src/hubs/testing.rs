//! Task hubs of a cluster that decides at once.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_cluster::catalog::{Catalog, Command, Founding, Reply};
use longhaul_types::{HubName, PartitionCount};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Creation, Decisions, HubRegistry};
use crate::config::{Config, Retention};

/// A catalog in memory. It can stop answering.
pub(crate) struct Decided {
    catalog: watch::Sender<Arc<Catalog>>,
    silent: Mutex<bool>,
}

impl Decided {
    pub(crate) fn new() -> Arc<Self> {
        let founding = Founding {
            cluster_id: [1; 16],
            partitions: PartitionCount::new(1).expect("a power of two"),
            replicas: 1,
            token_key: [2; 32],
        };
        Arc::new(Self {
            catalog: watch::Sender::new(Arc::new(Catalog::new(founding))),
            silent: Mutex::new(false),
        })
    }

    pub(crate) fn fall_silent(&self) {
        *self.silent.lock() = true;
    }
}

impl Decisions for Decided {
    fn decide(&self, command: Command) -> BoxFuture<'static, Result<Reply, String>> {
        let answer = if *self.silent.lock() {
            Err("nobody leads".to_owned())
        } else {
            let mut reply = Reply::Done;
            self.catalog
                .send_modify(|catalog| reply = Arc::make_mut(catalog).apply(command));
            Ok(reply)
        };
        std::future::ready(answer).boxed()
    }

    fn catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.subscribe()
    }

    fn newest(&self) -> BoxFuture<'static, Result<Arc<Catalog>, String>> {
        std::future::ready(Ok(self.catalog.borrow().clone())).boxed()
    }
}

pub(crate) fn follow(decided: &Arc<Decided>, creation: Creation) -> HubRegistry {
    follow_with(decided, creation, Config::server().retention)
}

pub(crate) fn follow_with(
    decided: &Arc<Decided>,
    creation: Creation,
    retention: Retention,
) -> HubRegistry {
    HubRegistry::follow(decided.clone(), creation, retention)
}

pub(crate) fn name(name: &str) -> HubName {
    HubName::parse(name).expect("valid")
}
