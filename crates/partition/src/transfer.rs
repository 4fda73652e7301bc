//! The partition's state on its way to another node's replica, and from one.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::TableFault;
use longhaul_replication::{
    Applied, Position, Snapshot, SnapshotReader, Stage, StagedState, Staging,
};
use longhaul_storage::{Arrived, Incoming, Outgoing, Rows, Store};
use longhaul_types::PartitionId;

/// The state as of the last written checkpoint; `None` before the first.
pub(crate) fn export(rows: &dyn Rows) -> Result<Option<Snapshot>, TableFault> {
    let outgoing = Outgoing::open(rows)?;
    Ok(outgoing.map(|outgoing| Snapshot {
        applied: applied(outgoing.applied(), outgoing.membership()),
        chunks: Box::new(Reader(outgoing)),
    }))
}

/// Where the states of other replicas are gathered: in the store, or nowhere.
pub(crate) fn staging(id: PartitionId, store: Option<Arc<dyn Store>>) -> Arc<dyn Staging> {
    match store {
        Some(store) => Arc::new(StoreStaging { id, store }),
        None => Arc::new(NoStaging),
    }
}

/// What was gathered, if it is the state that it was announced as.
pub(crate) fn arrived(announced: &Applied, state: StagedState) -> io::Result<Arrived> {
    let other = || io::Error::other("what arrived is not a state of this partition");
    let arrived = state.0.downcast::<Arrived>().map_err(|_| other())?;
    let found = applied(arrived.applied(), arrived.membership());
    if found != *announced {
        return Err(io::Error::other(format!(
            "the state that arrived is of {:?}, not of {:?}",
            found.position, announced.position
        )));
    }
    Ok(*arrived)
}

fn applied(
    position: Option<longhaul_storage::records::Position>,
    membership: Option<&Bytes>,
) -> Applied {
    Applied {
        position: position.map(|it| Position {
            term: it.term,
            index: it.index,
        }),
        membership: membership.cloned(),
    }
}

struct Reader(Outgoing);

impl SnapshotReader for Reader {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.0.next_chunk().map_err(io::Error::other)
    }
}

struct StoreStaging {
    id: PartitionId,
    store: Arc<dyn Store>,
}

impl Staging for StoreStaging {
    fn begin(&self) -> io::Result<Box<dyn Stage>> {
        let incoming = Incoming::begin(&*self.store, self.id).map_err(io::Error::other)?;
        Ok(Box::new(StoreStage(incoming)))
    }
}

struct StoreStage(Incoming);

impl Stage for StoreStage {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.0.write(&chunk).map_err(io::Error::other)
    }

    fn finish(self: Box<Self>) -> io::Result<StagedState> {
        let arrived = self.0.finish().map_err(io::Error::other)?;
        Ok(StagedState(Box::new(arrived)))
    }
}

/// Takes nothing.
struct NoStaging;

impl Staging for NoStaging {
    fn begin(&self) -> io::Result<Box<dyn Stage>> {
        Err(io::Error::other("this replica takes no state from others"))
    }
}
