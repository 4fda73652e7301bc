//! A disk in memory that knows what was synced and what was not.
//!
//! Every file has the content processes see and the content that would survive a power loss; every
//! directory likewise has two sets of names. Syncing brings the second up to the first. Losing
//! power keeps an arbitrary part of the difference, sector by sector, as a disk with a write cache
//! may.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{File, Files, Lock};
use crate::queue::lock;

const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk.
///
/// All damage functions panic if the file does not exist: they are for tests, which know what they
/// damage.
#[derive(Clone, Debug, Default)]
pub struct SimFiles {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    /// Counts losses of power and of processes. Handles of an earlier boot are dead.
    boot: u64,
    next_inode: u64,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    mutations: u64,
    /// No mutation succeeds from this one on.
    halt_at: Option<u64>,
    syncs: u64,
    /// This sync fails.
    fail_sync_at: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// What came after `durable`, in order.
    changes: Vec<(Change, Fate)>,
}

/// What a power loss does to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It may survive.
    Unsynced,
    /// Its sync failed: it may survive, but no later sync writes it.
    Forsaken,
    /// It survives, but is listed because it came after a forsaken one.
    Synced,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Grow(usize),
    Empty,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
}

impl NameChange {
    fn dir(&self) -> Option<&Path> {
        match self {
            NameChange::Link(path, _) | NameChange::Rename(path, _) | NameChange::Unlink(path) => {
                path.parent()
            }
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            NameChange::Unlink(path) => {
                names.remove(path);
            }
        }
    }
}

/// SplitMix64: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}

impl SimFiles {
    /// An empty disk.
    pub fn new() -> SimFiles {
        SimFiles::default()
    }

    /// Another disk with the same content, and no faults planned.
    pub fn fork(&self) -> SimFiles {
        let disk = Disk {
            halt_at: None,
            fail_sync_at: None,
            ..lock(&self.disk).clone()
        };
        SimFiles {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// The power fails and comes back. Of what was not synced, `seed` decides for every sector and
    /// every name whether it survives; names survive in order. Open files are dead, locks are gone,
    /// planned faults are forgotten.
    pub fn crash(&self, seed: u64) {
        let mut disk = lock(&self.disk);
        let mut dice = Dice(seed);
        for inode in disk.inodes.values_mut() {
            inode.lose_power(&mut dice);
        }
        let kept = dice.below(disk.unsynced_names.len() + 1);
        let changes = std::mem::take(&mut disk.unsynced_names);
        for change in &changes[..kept] {
            change.apply(&mut disk.durable_names);
        }
        disk.names = disk.durable_names.clone();
        disk.reboot();
    }

    /// The process dies, the machine does not: everything written stays readable, synced or not.
    pub fn kill(&self) {
        lock(&self.disk).reboot();
    }

    /// The `nth` sync of a file from now on fails, counting from one.
    pub fn fail_sync(&self, nth: u64) {
        let mut disk = lock(&self.disk);
        disk.fail_sync_at = Some(disk.syncs + nth);
    }

    /// After `count` more changes and syncs, none succeeds until the next crash: the machine stops
    /// in the middle.
    pub fn halt_after(&self, count: u64) {
        let mut disk = lock(&self.disk);
        disk.halt_at = Some(disk.mutations + count);
    }

    /// Changes and syncs so far.
    pub fn mutations(&self) -> u64 {
        lock(&self.disk).mutations
    }

    /// The paths of all files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        lock(&self.disk).names.keys().cloned().collect()
    }

    /// The content of a file as processes see it.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        lock(&self.disk).named(path).content.clone()
    }

    /// Replaces the content of a file, durably; creates it if there is none.
    pub fn replace(&self, path: &Path, content: Vec<u8>) {
        let mut disk = lock(&self.disk);
        let inode = Inode {
            durable: content.clone(),
            content,
            ..Inode::default()
        };
        let id = disk.new_inode(inode);
        disk.names.insert(path.into(), id);
        disk.durable_names.insert(path.into(), id);
    }

    /// Inverts the bits of `mask` in one byte.
    pub fn flip(&self, path: &Path, at: usize, mask: u8) {
        self.damage(path, |content| content[at] ^= mask);
    }

    /// Cuts a file off.
    pub fn truncate(&self, path: &Path, len: usize) {
        self.damage(path, |content| content.truncate(len));
    }

    /// Overwrites a part of a file with zeros.
    pub fn zero(&self, path: &Path, range: std::ops::Range<usize>) {
        self.damage(path, |content| content[range].fill(0));
    }

    /// Deletes a file, durably.
    pub fn delete(&self, path: &Path) {
        let mut disk = lock(&self.disk);
        disk.names.remove(path).expect("the file exists");
        disk.durable_names.remove(path);
    }

    fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.content(path);
        change(&mut content);
        self.replace(path, content);
    }
}

impl Disk {
    fn named(&self, path: &Path) -> &Inode {
        &self.inodes[self.names.get(path).expect("the file exists")]
    }

    fn new_inode(&mut self, inode: Inode) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, inode);
        self.next_inode
    }

    fn reboot(&mut self) {
        self.boot += 1;
        self.locks.clear();
        self.halt_at = None;
        self.fail_sync_at = None;
        let named: BTreeSet<_> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .copied()
            .collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    fn mutate(&mut self) -> io::Result<()> {
        if self
            .halt_at
            .is_some_and(|halt_at| self.mutations >= halt_at)
        {
            return Err(io::Error::other("the simulated machine has stopped"));
        }
        self.mutations += 1;
        Ok(())
    }

    fn rename_durably(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.content, |_| true);
        self.changes.push((change, Fate::Unsynced));
    }

    fn sync(&mut self, outcome: Fate) {
        for (_, fate) in self
            .changes
            .iter_mut()
            .filter(|(_, fate)| *fate == Fate::Unsynced)
        {
            *fate = outcome;
        }
        let settled = self
            .changes
            .iter()
            .take_while(|(_, fate)| *fate == Fate::Synced)
            .count();
        for (change, _) in self.changes.drain(..settled) {
            change.apply(&mut self.durable, |_| true);
        }
    }

    fn lose_power(&mut self, dice: &mut Dice) {
        // Everything, nothing, or a coin for each sector.
        let luck = dice.below(4);
        for (change, fate) in self.changes.drain(..) {
            change.apply(&mut self.durable, |_| match luck {
                _ if fate == Fate::Synced => true,
                0 => false,
                1 => true,
                _ => dice.next() & 1 == 1,
            });
        }
        self.content = self.durable.clone();
    }
}

impl Change {
    /// Applies the change sector by sector, as far as `survives` says so.
    fn apply(&self, content: &mut Vec<u8>, mut survives: impl FnMut(usize) -> bool) {
        match self {
            Change::Write { at, bytes } => {
                let mut from = *at;
                let end = at + bytes.len();
                while from < end {
                    let to = end.min((from / SECTOR + 1) * SECTOR);
                    if survives(from) {
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        content[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                    from = to;
                }
            }
            Change::Grow(len) => {
                if content.len() < *len && survives(*len) {
                    content.resize(*len, 0);
                }
            }
            Change::Empty => {
                if survives(0) {
                    content.clear();
                }
            }
        }
    }
}

impl Files for SimFiles {
    /// Directories always exist.
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = lock(&self.disk);
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = lock(&self.disk);
        disk.mutate()?;
        let inode = match disk.names.get(path).copied() {
            Some(inode) => {
                disk.inodes
                    .get_mut(&inode)
                    .expect("named")
                    .change(Change::Empty);
                inode
            }
            None => {
                let inode = disk.new_inode(Inode::default());
                disk.rename_durably(NameChange::Link(path.into(), inode));
                inode
            }
        };
        Ok(Arc::new(SimFile {
            disk: self.disk.clone(),
            boot: disk.boot,
            inode,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let disk = lock(&self.disk);
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile {
            disk: self.disk.clone(),
            boot: disk.boot,
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.mutate()?;
        if !disk.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.rename_durably(NameChange::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.mutate()?;
        if !disk.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.rename_durably(NameChange::Unlink(path.into()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.mutate()?;
        let changes = std::mem::take(&mut disk.unsynced_names);
        let (synced, others) = changes
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.dir() == Some(dir));
        disk.unsynced_names = others;
        for change in synced {
            change.apply(&mut disk.durable_names);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut disk = lock(&self.disk);
        if !disk.locks.insert(path.into()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock {
            disk: self.disk.clone(),
            boot: disk.boot,
            path: path.into(),
        }))
    }
}

/// An open file. Dead once its process is.
#[derive(Debug)]
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    boot: u64,
    inode: u64,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Disk, u64) -> io::Result<T>) -> io::Result<T> {
        let mut disk = lock(&self.disk);
        if disk.boot != self.boot {
            return Err(io::Error::other("the process that opened the file is gone"));
        }
        act(&mut disk, self.inode)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.with(|disk, inode| {
            disk.mutate()?;
            disk.inodes
                .get_mut(&inode)
                .expect("kept while its boot lasts")
                .change(change);
            Ok(())
        })
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|disk, inode| Ok(disk.inodes[&inode].content.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.with(|disk, inode| {
            let content = &disk.inodes[&inode].content;
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let found = content
                .get(at..at + buffer.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(found);
            Ok(())
        })
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        self.change(Change::Write {
            at,
            bytes: bytes.to_vec(),
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.change(Change::Grow(
            usize::try_from(len).map_err(io::Error::other)?,
        ))
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|disk, inode| {
            disk.mutate()?;
            disk.syncs += 1;
            let fails = disk.fail_sync_at == Some(disk.syncs);
            let inode = disk
                .inodes
                .get_mut(&inode)
                .expect("kept while its boot lasts");
            if fails {
                inode.sync(Fate::Forsaken);
                return Err(io::Error::other("the simulated disk failed to sync"));
            }
            inode.sync(Fate::Synced);
            Ok(())
        })
    }
}

/// Holds a simulated lock until dropped.
#[derive(Debug)]
struct SimLock {
    disk: Arc<Mutex<Disk>>,
    boot: u64,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = lock(&self.disk);
        if disk.boot == self.boot {
            disk.locks.remove(&self.path);
        }
    }
}
