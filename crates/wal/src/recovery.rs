//! Finds out what the log holds after a start, or refuses.
//!
//! The writer puts batch *n + 1* on disk only after batch *n* was synced. So of all batches only
//! the very last may be incomplete without anything being lost, and each later header proves every
//! batch before it. From that follows what a batch that is not whole means:
//!
//! | what is found | meaning | outcome |
//! |---|---|---|
//! | a header of this segment beyond it, or another segment | acknowledged bytes changed | refuse |
//! | nothing; the watermark is at or before the last whole batch | a crash cut a write off | cut |
//! | nothing; the watermark is after the last whole batch | acknowledged batches are gone | refuse |

use std::sync::Arc;

use crate::batch::{Batch, Header as BatchHeader, Position, SECTOR_BYTES};
use crate::config::{Config, Identity};
use crate::error::{FileError, Loss, OpenError};
use crate::index::Index;
use crate::segment::{Header, SEGMENT_HEADER_BYTES, Segment};
use crate::volume::{Listing, Volume, read_all, write_at};
use crate::watermark::{Mark, Watermark};

/// What opening found, for the log of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// True if there was no log and one was created.
    pub created: bool,
    /// Segments read.
    pub segments: usize,
    /// Batches found whole.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// True if the last write was cut off by a crash. It was never acknowledged.
    pub torn_tail: bool,
}

/// Everything a writer continues from.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) watermark: Watermark,
    /// The newest segment, its salt, and where the next batch goes in it.
    pub(crate) segment: Arc<Segment>,
    pub(crate) salt: u32,
    pub(crate) at: u64,
    pub(crate) position: Position,
    pub(crate) report: Recovery,
}

/// Reads the log in `volume`. When it returns, everything it found is durable.
pub(crate) fn recover(
    volume: &Volume,
    config: &Config,
    identity: Identity,
) -> Result<Recovered, OpenError> {
    let listing = volume.list()?;
    let (mut watermark, mark) = match Watermark::open(volume, &config.watermark, identity)? {
        Some(found) => found,
        None if !listing.segments.is_empty() => {
            return Err(OpenError::WatermarkLost {
                path: config.watermark.clone(),
                reason: "is missing",
            });
        }
        None if config.must_exist => return Err(lost(volume, Loss::Everything)),
        None => (
            Watermark::create(volume, &config.watermark, identity)?,
            Mark::START,
        ),
    };
    let segments = clean(volume, listing, &mut watermark, &mark)?;
    let mut scan = Scan {
        volume,
        identity,
        mark,
        index: Index::default(),
        report: Recovery::default(),
        tail: None,
    };
    if segments.is_empty() && mark == Mark::START {
        scan.create(config)?;
    } else {
        check_complete(volume, &segments, &mark)?;
        for seq in segments {
            scan.segment(seq)?;
        }
    }
    let Scan {
        index,
        mut report,
        tail,
        ..
    } = scan;
    let tail = tail.expect("there is at least one segment");
    report.torn_tail = tail.finish(&mark, volume)?;
    if index.hole().is_some() {
        let reason = "an entry that others follow is in no segment";
        return Err(OpenError::Damaged {
            path: volume.dir().into(),
            offset: 0,
            reason,
        });
    }
    let first_segment = index
        .first_segment()
        .expect("there is at least one segment");
    watermark.settle(&Mark {
        position: tail.position,
        first_segment,
        last_segment: tail.segment.seq,
    })?;
    let Tail {
        segment,
        salt,
        at,
        position,
        ..
    } = tail;
    Ok(Recovered {
        index,
        watermark,
        segment,
        salt,
        at,
        position,
        report,
    })
}

fn lost(volume: &Volume, loss: Loss) -> OpenError {
    OpenError::LogLost {
        dir: volume.dir().into(),
        loss,
    }
}

/// Removes spares, whose state after a crash is not worth knowing, and segments that were being
/// freed.
fn clean(
    volume: &Volume,
    listing: Listing,
    watermark: &mut Watermark,
    mark: &Mark,
) -> Result<Vec<u64>, FileError> {
    for spare in &listing.spares {
        volume.remove(spare)?;
    }
    let freed = |seq: &u64| *seq < mark.first_segment;
    let (freed, segments): (Vec<_>, Vec<_>) = listing.segments.into_iter().partition(freed);
    if !freed.is_empty() {
        // What was read may be in the page cache only; a mark that outlives the segments must not
        // miss them.
        watermark.settle(mark)?;
    }
    for seq in freed {
        volume.remove(&volume.segment_path(seq))?;
    }
    Ok(segments)
}

/// Every segment the watermark knows must be there, and none missing between newer ones.
fn check_complete(volume: &Volume, segments: &[u64], mark: &Mark) -> Result<(), OpenError> {
    let newest = segments.last().copied().unwrap_or(0).max(mark.last_segment);
    let mut found = segments.iter().copied();
    match (mark.first_segment..=newest).find(|expected| found.next() != Some(*expected)) {
        Some(segment) => Err(lost(volume, Loss::Segment { segment })),
        None => Ok(()),
    }
}

/// Reads segments in order.
#[derive(Debug)]
struct Scan<'a> {
    volume: &'a Volume,
    identity: Identity,
    mark: Mark,
    index: Index,
    report: Recovery,
    tail: Option<Tail>,
}

/// The end of the segment read last.
#[derive(Debug)]
struct Tail {
    segment: Arc<Segment>,
    salt: u32,
    bytes: Vec<u8>,
    /// The end of its last whole batch.
    at: u64,
    /// The end of what the watermark proves to have been synced.
    proven: u64,
    position: Position,
}

impl Scan<'_> {
    /// Begins the first log of this node.
    fn create(&mut self, config: &Config) -> Result<(), FileError> {
        let spare = self
            .volume
            .create_spare(0, config.segment_bytes, config.prewrite)?;
        let (segment_bytes, identity) = (config.segment_bytes, self.identity);
        let header = Header {
            seq: 1,
            segment_bytes,
            identity,
            begins_after: Position::START,
        };
        let segment = Segment::install(self.volume, spare, &header)?;
        self.index.add_segment(segment.clone());
        self.report.created = true;
        self.tail = Some(Tail {
            segment,
            salt: header.salt(),
            bytes: vec![],
            at: SEGMENT_HEADER_BYTES,
            proven: SEGMENT_HEADER_BYTES,
            position: Position::START,
        });
        Ok(())
    }

    /// Reads one segment, which must begin where the one before it ended.
    fn segment(&mut self, seq: u64) -> Result<(), OpenError> {
        let path = self.volume.segment_path(seq);
        let Some(file) = self.volume.open(&path)? else {
            return Err(lost(self.volume, Loss::Segment { segment: seq }));
        };
        let bytes = read_all(&*file, &path)?;
        let header = Header::decode(&bytes, path.clone(), seq, self.identity)?;
        if let Some(before) = self.tail.take()
            && before.position != header.begins_after
        {
            return Err(before.damaged("it ends before the next segment begins"));
        }
        let segment = Arc::new(Segment {
            seq,
            bytes: bytes.len() as u64,
            path,
            file,
        });
        self.index.add_segment(segment.clone());
        let (at, position) = (SEGMENT_HEADER_BYTES, header.begins_after);
        let mut tail = Tail {
            segment,
            salt: header.salt(),
            bytes,
            at,
            proven: at,
            position,
        };
        self.check_history(position)?;
        self.batches(&mut tail)?;
        self.report.segments += 1;
        self.tail = Some(tail);
        Ok(())
    }

    /// Applies the batches of a segment up to the first that is not whole.
    fn batches(&mut self, tail: &mut Tail) -> Result<(), OpenError> {
        while let Some(batch) = Batch::decode(tail.rest(), tail.salt, tail.position) {
            for record in batch.records() {
                let Some((offset, record)) = record else {
                    return Err(tail.damaged("a record has a kind this release does not know"));
                };
                if !self.index.admits(&record) {
                    return Err(tail.damaged("a record has an index that no record can have here"));
                }
                self.index
                    .apply(&record, tail.segment.seq, tail.at + offset as u64);
                self.report.records += 1;
            }
            self.report.batches += 1;
            let (sealed_len, position) = (batch.sealed_len, batch.position);
            self.check_history(position)?;
            tail.at += sealed_len;
            tail.position = position;
            if position.batch_seq <= self.mark.position.batch_seq {
                tail.proven = tail.at;
            }
        }
        Ok(())
    }

    /// Where the log passes the watermark, it must have the content it had then.
    fn check_history(&self, position: Position) -> Result<(), OpenError> {
        let expected = self.mark.position;
        if position.batch_seq == expected.batch_seq && position != expected {
            return Err(lost(
                self.volume,
                Loss::History {
                    batch_seq: position.batch_seq,
                },
            ));
        }
        Ok(())
    }
}

impl Tail {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.range(self.at)).unwrap_or_default()
    }

    fn range(&self, from: u64) -> std::ops::RangeFrom<usize> {
        usize::try_from(from).expect("the segment is in memory")..
    }

    fn damaged(&self, reason: &'static str) -> OpenError {
        OpenError::Damaged {
            path: self.segment.path.clone(),
            offset: self.at,
            reason,
        }
    }

    /// Decides what the end of the last segment means, and makes what is kept durable. Tells
    /// whether a write was cut.
    fn finish(&self, mark: &Mark, volume: &Volume) -> Result<bool, OpenError> {
        let mut torn = false;
        for (nth, sector) in self.rest().chunks(SECTOR_BYTES as usize).enumerate() {
            let Some(header) = BatchHeader::decode(sector, self.salt) else {
                continue;
            };
            if nth > 0 || header.previous != self.position {
                return Err(
                    self.damaged("a later batch proves that the bytes here were once whole")
                );
            }
            torn = true;
        }
        let (expected, found) = (mark.position.batch_seq, self.position.batch_seq);
        if found < expected {
            return Err(lost(volume, Loss::Tail { expected, found }));
        }
        // A process that died between write and sync, or because of a failed sync, leaves batches
        // that can be read but are not on disk, and that a mere sync would no longer write.
        if let Some(unproven) = self.bytes.get(self.range(self.proven)) {
            let kept = usize::try_from(self.at - self.proven).expect("the segment is in memory");
            write_at(
                &*self.segment.file,
                &self.segment.path,
                &unproven[..kept],
                self.proven,
            )?;
        }
        volume.sync(&*self.segment.file, &self.segment.path)?;
        volume.sync_dir()?;
        Ok(torn)
    }
}
