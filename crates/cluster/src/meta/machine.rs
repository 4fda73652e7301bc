//! The catalog as the state of a replicated group: in memory, and as a whole in one file.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_replication::{
    Applied, Checkpoint, Machine, MachineFault, Position, Snapshot, SnapshotReader, Stage,
    StagedState, Staging,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::State;
use crate::catalog::{Catalog, Reply};
use crate::codec::{decode_entry, decode_file, decode_state, encode_file, encode_state};
use crate::file;

/// Replies that wait for whoever proposed; more than can be on their way.
const REPLIES_MAX: usize = 1_024;

/// Of a state on its way to another replica.
const CHUNK_BYTES: usize = 512 << 10;

/// Largest state that is accepted from another replica.
const STATE_BYTES_MAX: usize = 256 << 20;

/// What everybody on this node sees of the state; clones are the same.
#[derive(Clone)]
pub(super) struct Copy(Arc<Shown>);

struct Shown {
    catalog: watch::Sender<Option<Arc<Catalog>>>,
    /// Index of the last entry in it.
    applied: watch::Sender<Option<u64>>,
    replies: Mutex<VecDeque<(Position, Reply)>>,
}

impl Copy {
    fn of(state: &State) -> Self {
        let applied = state.applied.position.map(|position| position.index);
        Self(Arc::new(Shown {
            catalog: watch::Sender::new(state.catalog.clone()),
            applied: watch::Sender::new(applied),
            replies: Mutex::default(),
        }))
    }

    pub(super) fn catalog(&self) -> watch::Receiver<Option<Arc<Catalog>>> {
        self.0.catalog.subscribe()
    }

    pub(super) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.0.applied.subscribe()
    }

    /// The reply to an entry that was proposed and applied here.
    pub(super) fn take_reply(&self, position: Position) -> Option<Reply> {
        let mut replies = self.0.replies.lock();
        let found = replies.iter().position(|(at, _)| *at == position)?;
        replies.remove(found).map(|(_, reply)| reply)
    }

    /// The catalog before its position, so that whoever waits for a position finds it.
    fn show(&self, state: &State) {
        self.0.catalog.send_if_modified(|shown| {
            let modified = match (&*shown, &state.catalog) {
                (Some(shown), Some(now)) => !Arc::ptr_eq(shown, now),
                (shown, now) => shown.is_some() != now.is_some(),
            };
            if modified {
                shown.clone_from(&state.catalog);
            }
            modified
        });
        let applied = state.applied.position.map(|position| position.index);
        self.0.applied.send_replace(applied);
    }
}

/// The state of the newest finished checkpoint, and how far it had got.
type Durable = Arc<Mutex<Option<(Applied, Bytes)>>>;

/// One replica's state.
pub(super) struct CatalogMachine {
    state: State,
    copy: Copy,
    file: StateFile,
    durable: Durable,
}

/// Where it is kept.
#[derive(Clone)]
pub(super) struct StateFile {
    pub(super) path: PathBuf,
    pub(super) sync: bool,
}

impl StateFile {
    fn write(&self, state: &Bytes) -> Result<(), MachineFault> {
        file::replace(&self.path, &encode_file(state), self.sync).map_err(MachineFault::new)
    }
}

impl CatalogMachine {
    /// Continues from the file, if there is one.
    pub(super) fn open(file: StateFile) -> Result<Self, MachineFault> {
        let content = file::read(&file.path).map_err(MachineFault::new)?;
        let encoded = content.map(|content| decode_file(&content)).transpose();
        let encoded = encoded.map_err(MachineFault::new)?;
        let state = encoded.as_deref().map(decode_state).transpose();
        let state = state.map_err(MachineFault::new)?.unwrap_or_default();
        let durable = encoded.map(|encoded| (state.applied.clone(), encoded));
        Ok(Self {
            copy: Copy::of(&state),
            state,
            file,
            durable: Arc::new(Mutex::new(durable)),
        })
    }

    pub(super) fn copy(&self) -> Copy {
        self.copy.clone()
    }

    fn advance_to(&mut self, position: Position) {
        self.state.applied.position = Some(position);
        self.copy.show(&self.state);
    }
}

impl Machine for CatalogMachine {
    fn applied(&self) -> Applied {
        self.state.applied.clone()
    }

    fn apply(&mut self, position: Position, commands: Bytes) -> Result<(), MachineFault> {
        let (request, command) = decode_entry(&commands).map_err(MachineFault::new)?;
        let reply = self.state.apply(request, command);
        {
            let mut replies = self.copy.0.replies.lock();
            if replies.len() >= REPLIES_MAX {
                replies.pop_front();
            }
            replies.push_back((position, reply));
        }
        self.advance_to(position);
        Ok(())
    }

    fn apply_membership(
        &mut self,
        position: Position,
        membership: Bytes,
    ) -> Result<(), MachineFault> {
        self.state.applied.membership = Some(membership);
        self.advance_to(position);
        Ok(())
    }

    fn advance(&mut self, position: Position) -> Result<(), MachineFault> {
        self.advance_to(position);
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, MachineFault> {
        let (state, file, durable) = (self.state.clone(), self.file.clone(), self.durable.clone());
        Ok(Box::new(move || {
            let encoded = encode_state(&state);
            file.write(&encoded)?;
            *durable.lock() = Some((state.applied, encoded));
            Ok(())
        }))
    }

    fn export(&mut self) -> Result<Option<Snapshot>, MachineFault> {
        let durable = self.durable.lock().clone();
        Ok(durable.map(|(applied, rest)| Snapshot {
            applied,
            chunks: Box::new(Chunks(rest)),
        }))
    }

    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(Gather)
    }

    fn install(&mut self, applied: Applied, staged: StagedState) -> Result<(), MachineFault> {
        let staged = staged.0.downcast::<State>();
        let staged = staged.map_err(|_| MachineFault::new("the state that arrived is another"))?;
        let state = State { applied, ..*staged };
        let encoded = encode_state(&state);
        self.file.write(&encoded)?;
        *self.durable.lock() = Some((state.applied.clone(), encoded));
        self.state = state;
        self.copy.show(&self.state);
        Ok(())
    }
}

/// The rest of an encoded state.
struct Chunks(Bytes);

impl SnapshotReader for Chunks {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let next = self.0.split_to(self.0.len().min(CHUNK_BYTES));
        Ok((!next.is_empty()).then_some(next))
    }
}

/// States are small: they are gathered in memory.
struct Gather;

impl Staging for Gather {
    fn begin(&self) -> io::Result<Box<dyn Stage>> {
        Ok(Box::new(Gathered(Vec::new())))
    }
}

struct Gathered(Vec<u8>);

impl Stage for Gathered {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        if self.0.len() + chunk.len() > STATE_BYTES_MAX {
            return Err(io::Error::other("the state is too large"));
        }
        self.0.extend_from_slice(&chunk);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<StagedState> {
        let state = decode_state(&self.0);
        let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(StagedState(Box::new(state)))
    }
}
