//! Ranges of rows and what is unwritten, walked as one.

use std::ops::Range;

use foldhash::HashSet;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::tables::TableFault;
use longhaul_types::InstanceId;

use super::order::{ById, ByTime};
use super::{Look, Record};
use crate::keys::{index, instance, text};
use crate::rows::Cursor;

/// A walk over several ranges in one order: that of what their keys hold behind the first bytes, the *place*.
///
/// Each place ends with an id. A row whose id is unwritten is left out, and what is unwritten comes at its own place.
pub(super) struct Merge<'a> {
    ranges: Vec<Box<dyn Cursor + 'a>>,
    /// Where in a key its place begins.
    place_at: usize,
    /// Where in a key its id begins.
    id_at: usize,
    /// How ids begin that are looked for.
    id_prefix: Vec<u8>,
    /// Ids that are unwritten.
    covered: HashSet<Vec<u8>>,
    /// What is unwritten and looked for, the first one last.
    unwritten: Vec<(Vec<u8>, &'a InstanceKey, &'a Record)>,
    /// The range whose row was handed out last.
    taken: Option<usize>,
    /// After so many rows with other ids the walk asks whether to go on.
    pub(super) patience: Option<usize>,
}

/// What comes next in a walk.
pub(super) enum Next<'m> {
    Row {
        key: &'m [u8],
        value: &'m [u8],
    },
    Unwritten {
        key: &'m InstanceKey,
        record: &'m Record,
    },
    /// Too many rows had other ids. Asked again, the walk goes on for good.
    OutOfPatience,
    End,
}

impl<'a> Merge<'a> {
    pub(super) fn by_time(look: &'a Look, order: &ByTime<'_>) -> Result<Self, TableFault> {
        let ranges = order.statuses.iter().map(|status| order.range(status));
        let id_at = index::LANE_LEN + index::TIME_LEN;
        let mut merge = Self::of_rows(look, ranges, index::LANE_LEN, id_at)?;
        text::put_prefix(order.id_prefix, &mut merge.id_prefix);
        let keys = look.unwritten.iter();
        for (key, record) in keys.filter(|(key, _)| order.concerns(key)) {
            merge.covered.insert(encoded(&key.id));
            let Some(record) = record else { continue };
            if let Some(position) = order.position(key, record) {
                let mut place = Vec::new();
                index::put_place(position.at.into(), &position.id, &mut place);
                merge.unwritten.push((place, key, record));
            }
        }
        Ok(merge.sorted())
    }

    pub(super) fn by_id(look: &'a Look, order: &ById<'_>) -> Result<Self, TableFault> {
        let ranges = order.kinds.iter().map(|kind| order.range(*kind));
        let mut merge = Self::of_rows(look, ranges, instance::HUB_LEN, instance::HUB_LEN)?;
        let keys = look.unwritten.iter();
        for (key, record) in keys.filter(|(key, _)| order.contains(key)) {
            let id = encoded(&key.id);
            merge.covered.insert(id.clone());
            let record = record.as_ref().map(|record| (id, key, record));
            merge.unwritten.extend(record);
        }
        Ok(merge.sorted())
    }

    fn of_rows(
        look: &'a Look,
        ranges: impl Iterator<Item = Range<Vec<u8>>>,
        place_at: usize,
        id_at: usize,
    ) -> Result<Self, TableFault> {
        let ranges = ranges
            .filter(|range| !range.is_empty())
            .map(|range| look.rows.walk(range));
        Ok(Self {
            ranges: ranges.collect::<Result<_, _>>()?,
            place_at,
            id_at,
            id_prefix: Vec::new(),
            covered: HashSet::default(),
            unwritten: Vec::new(),
            taken: None,
            patience: None,
        })
    }

    fn sorted(mut self) -> Self {
        self.unwritten.sort_unstable_by(|(a, ..), (b, ..)| b.cmp(a));
        self
    }

    /// What comes next; a row stays until the next call.
    pub(super) fn next(&mut self) -> Result<Next<'_>, TableFault> {
        if let Some(taken) = self.taken.take() {
            self.ranges[taken].advance()?;
        }
        while let Some((range, key)) = self.first_row() {
            let place = behind(key, self.place_at);
            if self
                .unwritten
                .last()
                .is_some_and(|(it, ..)| it[..] < *place)
            {
                break;
            }
            let id = behind(key, self.id_at);
            let is_other = !id.starts_with(&self.id_prefix);
            if !is_other && !self.covered.contains(id) {
                self.taken = Some(range);
                let (key, value) = self.ranges[range].row().expect("it comes first");
                return Ok(Next::Row { key, value });
            }
            self.ranges[range].advance()?;
            if is_other && self.is_out_of_patience() {
                return Ok(Next::OutOfPatience);
            }
        }
        Ok(match self.unwritten.pop() {
            Some((_, key, record)) => Next::Unwritten { key, record },
            None => Next::End,
        })
    }

    /// The range whose row comes first, and the key of that row.
    fn first_row(&self) -> Option<(usize, &[u8])> {
        let rows = self.ranges.iter().enumerate();
        rows.filter_map(|(range, cursor)| Some((range, cursor.row()?.0)))
            .min_by_key(|(_, key)| behind(key, self.place_at))
    }

    fn is_out_of_patience(&mut self) -> bool {
        let Some(patience) = &mut self.patience else {
            return false;
        };
        *patience = patience.saturating_sub(1);
        let is_out = *patience == 0;
        if is_out {
            self.patience = None;
        }
        is_out
    }
}

/// What a key holds behind its first bytes; nothing if it is malformed.
fn behind(key: &[u8], at: usize) -> &[u8] {
    key.get(at..).unwrap_or_default()
}

/// An id as it is in keys.
fn encoded(id: &InstanceId) -> Vec<u8> {
    let mut out = Vec::new();
    text::put(id.as_str(), &mut out);
    out
}
