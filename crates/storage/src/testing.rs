//! Both stores, with a crash at hand.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::config::Config;
use crate::conformance::Subject;
use crate::mem::MemStore;
use crate::rocks::RocksStore;
use crate::rows::Store;

/// The store in memory.
pub(crate) struct InMemory {
    store: MemStore,
    dir: TempDir,
    scratches: u32,
}

/// The store on disk.
pub(crate) struct OnDisk {
    store: Option<RocksStore>,
    dir: TempDir,
    crashes: u32,
    scratches: u32,
}

impl InMemory {
    pub(crate) fn new() -> Self {
        Self {
            store: MemStore::new(),
            dir: new_dir(),
            scratches: 0,
        }
    }
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        let dir = new_dir();
        let store = Some(open(&dir.path().join("0")));
        Self {
            store,
            dir,
            crashes: 0,
            scratches: 0,
        }
    }

    pub(crate) fn rocks(&self) -> &RocksStore {
        self.store.as_ref().expect("open but during a crash")
    }

    /// Where the database is now.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join(self.crashes.to_string())
    }
}

impl Subject for InMemory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn crash(&mut self) {
        self.store.crash();
    }

    fn scratch(&mut self) -> PathBuf {
        scratch(&self.dir, &mut self.scratches)
    }
}

impl Subject for OnDisk {
    fn store(&self) -> &dyn Store {
        self.rocks()
    }

    /// Goes on with a copy of the files, made before the database is closed, as closing it would flush.
    fn crash(&mut self) {
        let before = self.database();
        self.crashes += 1;
        let after = self.database();
        self.rocks().keep_files();
        copy_database(&before, &after);
        self.store = None;
        self.store = Some(open(&after));
    }

    fn scratch(&mut self) -> PathBuf {
        scratch(&self.dir, &mut self.scratches)
    }
}

fn new_dir() -> TempDir {
    TempDir::new().expect("a directory for the test")
}

fn open(dir: &Path) -> RocksStore {
    RocksStore::open(dir, &Config::default()).expect("opened")
}

fn scratch(dir: &TempDir, count: &mut u32) -> PathBuf {
    *count += 1;
    let path = dir.path().join(format!("scratch-{count}"));
    std::fs::create_dir(&path).expect("created");
    path
}

/// Copies the files of a database that is in use and removes none: first those that say which tables there are, then
/// all the tables there are by then.
fn copy_database(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("created");
    for tables in [false, true] {
        for entry in std::fs::read_dir(from).expect("listed") {
            let entry = entry.expect("listed");
            if entry.file_type().expect("known").is_dir() {
                copy_files(&entry.path(), &to.join(entry.file_name()));
                continue;
            }
            let name = entry.file_name();
            let is_table = Path::new(&name)
                .extension()
                .is_some_and(|kind| kind == "sst");
            if is_table == tables {
                std::fs::copy(from.join(&name), to.join(&name)).expect("copied");
            }
        }
    }
}

/// Copies a directory with all that is in it.
fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
