//! The consensus library's own storage suite, on real and simulated files.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_wal::{Config, Files, GroupId, Identity, RealFiles, Wal, testing::SimFiles};
use openraft::{
    EntryPayload, StorageError,
    testing::log::{StoreBuilder, Suite},
};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::{
    config::CheckpointThread,
    state_machine::StateMachine,
    testing::{Ledger, LogDisk},
    types::Content,
};

const GROUP: GroupId = GroupId(9);

/// Builds a store on a log of its own each time.
struct Builder {
    files: fn() -> Arc<dyn Files>,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, (TempDir, Wal)> for Builder {
    async fn build(
        &self,
    ) -> Result<((TempDir, Wal), LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().expect("a temporary directory");
        let identity = Identity {
            cluster_id: [1; 16],
            node_id: 1,
        };
        let mut config = Config::new(dir.path().join("wal"));
        config.segment_bytes = 64 << 10;
        let wal = Wal::open(config, identity, (self.files)()).expect("a new log");
        let faults = Faults::new(GROUP, Arc::new(|_, _| ()));
        let log = LogStore::new(
            wal.group(GROUP),
            Solo::default(),
            Matched::default(),
            faults.clone(),
        );
        let ledger = Ledger::unordered().machine();
        let machine = StateMachine::new(ledger, log.clone(), CheckpointThread::Caller, faults);
        Ok(((dir, wal), log, machine.expect("a new ledger")))
    }
}

#[tokio::test]
async fn keeps_the_contract_on_files() {
    Suite::test_all(Builder {
        files: || Arc::new(RealFiles),
    })
    .await
    .expect("kept");
}

#[tokio::test]
async fn keeps_the_contract_on_a_simulated_disk() {
    Suite::test_all(Builder {
        files: || Arc::new(SimFiles::new()),
    })
    .await
    .expect("kept");
}

fn entry(term: u64, index: u64) -> Entry {
    let commands = Content::Commands(Bytes::from(format!("{term}.{index}")));
    Entry::new(
        LogId::new_term_index(term, index),
        EntryPayload::Normal(commands),
    )
}

/// A log on a disk, and the first fault it reported.
fn open(disk: &LogDisk) -> (LogStore, Arc<Mutex<Option<String>>>) {
    let fault = Arc::new(Mutex::new(None));
    let reported = fault.clone();
    let faults = Faults::new(
        GROUP,
        Arc::new(move |_, fault| *reported.lock() = Some(fault.to_string())),
    );
    (
        LogStore::new(
            disk.open(GROUP),
            Solo::default(),
            Matched::default(),
            faults,
        ),
        fault,
    )
}

async fn append(
    log: &mut LogStore,
    entries: impl IntoIterator<Item = Entry, IntoIter: Send> + Send,
) {
    log.append(entries, IOFlushed::noop())
        .await
        .expect("enqueued");
}

#[tokio::test]
async fn what_was_waited_for_survives_a_loss_of_power() {
    let disk = LogDisk::default();
    let (mut log, _) = open(&disk);
    append(&mut log, (0..10).map(|index| entry(1, index))).await;
    log.truncate_after(Some(LogId::new_term_index(1, 6)))
        .await
        .expect("enqueued");
    append(&mut log, (7..9).map(|index| entry(2, index))).await;
    log.purge(LogId::new_term_index(1, 2))
        .await
        .expect("enqueued");
    log.save_committed(Some(LogId::new_term_index(1, 5)))
        .await
        .expect("noted");
    let vote = Vote::new_committed(2, crate::NodeId(4));
    log.save_vote(&vote).await.expect("durable");
    assert!(log.is_durable(8));
    disk.crash();

    let (mut log, _) = open(&disk);
    let state = log.get_log_state().await.expect("readable");
    assert_eq!(state.last_log_id, Some(LogId::new_term_index(2, 8)));
    assert_eq!(state.last_purged_log_id, Some(LogId::new_term_index(1, 2)));
    assert_eq!(log.read_vote().await.expect("readable"), Some(vote));
    assert_eq!(
        log.read_committed().await.expect("readable"),
        Some(LogId::new_term_index(1, 5))
    );
    let entries = log.try_get_log_entries(..).await.expect("readable");
    let expected: Vec<Entry> = (3..7)
        .map(|index| entry(1, index))
        .chain((7..9).map(|index| entry(2, index)))
        .collect();
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn a_flush_waits_for_everything_before_it() {
    let disk = LogDisk::default();
    let (mut log, _) = open(&disk);
    append(&mut log, [entry(1, 0)]).await;
    assert!(!log.is_durable(0));
    log.flush().await.expect("durable");
    assert!(log.is_durable(0));
    assert!(!log.is_durable(1));
}

#[tokio::test]
async fn a_failed_sync_is_an_error_and_a_fault() {
    let disk = LogDisk::default();
    let (mut log, fault) = open(&disk);
    log.flush().await.expect("durable");
    disk.fail();
    log.save_vote(&Vote::new(1, crate::NodeId(1)))
        .await
        .expect_err("not durable");
    assert!(
        fault
            .lock()
            .as_ref()
            .expect("reported")
            .starts_with("the log failed")
    );
}

#[tokio::test]
async fn an_entry_that_does_not_decode_is_a_fault() {
    let disk = LogDisk::default();
    let (mut log, fault) = open(&disk);
    let damaged = longhaul_wal::Entry {
        term: 1,
        index: 0,
        payload: Bytes::from_static(b"\xff"),
    };
    let (done, durable) = durable();
    log.log.append(vec![damaged], done);
    durable.await.expect("an answer").expect("durable");
    let error = log
        .try_get_log_entries(0..1)
        .await
        .expect_err("not an entry");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(
        fault
            .lock()
            .as_ref()
            .expect("reported")
            .contains("does not decode")
    );
}
