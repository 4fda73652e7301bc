//! The node's disk: the log's files and the store behind the tables. Outlives every process.

use std::path::Path;

use longhaul_storage::MemStore;
use longhaul_wal::testing::SimFiles;
use xxhash_rust::xxh3::Xxh3;

use crate::moment::Ending;

/// What a machine keeps when its processes die.
#[derive(Clone, Default)]
pub struct Disk {
    /// The log.
    pub files: SimFiles,
    /// The rows.
    pub store: MemStore,
}

impl Disk {
    /// A process has ended. `seed` decides what becomes of bytes that were not synced when power is lost.
    pub fn left(&self, ending: Ending, seed: u64) {
        match ending {
            Ending::Stopped | Ending::Killed => self.files.kill(),
            Ending::PowerLost => self.files.crash(seed),
        }
        // The store keeps its unflushed rows in the process.
        self.store.crash();
    }

    /// A fingerprint of all files.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let mut hash = Xxh3::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for path in self.files.paths() {
            part(path_bytes(&path));
            part(&self.files.content(&path));
        }
        hash.digest128()
    }
}

fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
