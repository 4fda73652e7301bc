//! Where nodes are found.

use std::{collections::BTreeMap, sync::Arc};

use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Where nodes are found now. Addresses may change at any time.
pub trait Addresses: Send + Sync + 'static {
    /// The address of a node, `host:port`, and every change of it; `None` while it is not known.
    fn of(&self, node: NodeId) -> watch::Receiver<Option<String>>;
}

/// Addresses that somebody writes down; clones are the same book.
#[derive(Debug, Clone, Default)]
pub struct AddressBook(Arc<Mutex<BTreeMap<NodeId, watch::Sender<Option<String>>>>>);

impl AddressBook {
    /// Notes where a node is from now on; `None` if that is no longer known.
    pub fn set(&self, node: NodeId, address: Option<String>) {
        let mut book = self.0.lock();
        let entry = book.entry(node).or_insert_with(|| watch::Sender::new(None));
        entry.send_if_modified(|current| {
            let modified = *current != address;
            *current = address;
            modified
        });
    }
}

impl Addresses for AddressBook {
    fn of(&self, node: NodeId) -> watch::Receiver<Option<String>> {
        let mut book = self.0.lock();
        let entry = book.entry(node).or_insert_with(|| watch::Sender::new(None));
        entry.subscribe()
    }
}
