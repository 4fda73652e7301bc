//! What a replica writes down for those of the same group that this node will have after it.

use std::io;

use longhaul_wal::{GroupLog, WalFault};

use crate::{
    codec::{self, DecodeFault},
    divergence::Divergence,
    log_store::durable,
    types::LogId,
};

/// Kept beside the vote, however often the group's log is destroyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Up to where the logs of earlier replicas reached. Entries up to here may be committed because
    /// this node had them.
    pub(crate) had: Option<LogId>,
    /// The state is not what it should be.
    pub(crate) diverged: Option<Divergence>,
}

impl Note {
    /// # Errors
    /// The log holds something that is none.
    pub(crate) fn of(log: &GroupLog) -> Result<Self, DecodeFault> {
        let note = log.note().map(codec::decode_note).transpose()?;
        Ok(note.unwrap_or_default())
    }
}

/// Destroys the log of a replica that has stopped, durably. What it has voted for, and up to where its
/// log reached, stays known: hosted on this node again, the group's replica votes for nobody who has
/// less, and does not ask to be elected, until it has as much itself. A log that was destroyed before
/// may be destroyed again.
///
/// # Errors
/// The log has failed, or what is to be known cannot be read; then nothing was destroyed.
pub async fn destroy_log(log: &GroupLog) -> io::Result<()> {
    let last = log
        .last()
        .map(|(term, index)| LogId::new_term_index(term, index));
    let purged = log.purged().map(|(_, upto)| codec::decode_log_id(upto));
    let note = Note {
        had: Note::of(log)?.had.max(last).max(purged.transpose()?),
        diverged: None,
    };
    let (done, durable) = durable();
    log.destroy_noting(codec::encode_note(&note), done);
    durable.await.unwrap_or(Err(WalFault::Closed))?;
    Ok(())
}
