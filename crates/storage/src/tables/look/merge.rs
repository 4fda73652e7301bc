//! Ranges of rows and of what is unwritten, walked as one.

use longhaul_engine::key::InstanceKey;
use longhaul_engine::tables::TableFault;

use super::layer::Layer;
use super::order::{ById, ByTime};
use super::{Look, Record};
use crate::keys::{Kind, index, instance, text};
use crate::rows::Cursor;

/// A walk over several ranges in one order: that of what their keys hold behind the first bytes, the *place*.
///
/// Each place ends with an id. What a layer holds of an id takes the place of everything below.
pub(super) struct Merge<'a> {
    ranges: Vec<Source<'a>>,
    layers: &'a [Layer],
    ids: Ids,
    /// Where in a key its place begins.
    place_at: usize,
    /// Where in a key its id begins.
    id_at: usize,
    /// How ids begin that are looked for.
    id_prefix: Vec<u8>,
    /// The range whose row was handed out last.
    taken: Option<usize>,
    /// How many rows may be passed before the walk pauses.
    allowance: usize,
}

/// A range of the rows, or of a layer over them.
struct Source<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// How many layers are not above it.
    level: usize,
}

/// How to find the key of a record's row.
enum Ids {
    /// It is the key that is walked over.
    Keys,
    /// It begins like this, and an id follows.
    Behind([u8; instance::HUB_LEN]),
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
    /// The allowance is used up.
    Paused,
    End,
}

impl<'a> Merge<'a> {
    pub(super) fn by_time(look: &'a Look, order: &ByTime<'_>) -> Result<Self, TableFault> {
        let ranges = order.statuses.iter().map(|status| order.range(status));
        let mut merge = Self {
            ranges: Vec::new(),
            layers: look.layers(),
            ids: Ids::Behind(instance::hub(Kind::Instance, order.hub)),
            place_at: index::LANE_LEN,
            id_at: index::LANE_LEN + index::TIME_LEN,
            id_prefix: Vec::new(),
            taken: None,
            allowance: usize::MAX,
        };
        text::put_prefix(order.id_prefix, &mut merge.id_prefix);
        for range in ranges.filter(|range| !range.is_empty()) {
            merge.add(0, look.rows.walk(range.clone())?);
            for (layer, level) in merge.layers.iter().zip(1..) {
                merge.add(level, Box::new(layer.entries.walk(range.clone())));
            }
        }
        Ok(merge)
    }

    pub(super) fn by_id(look: &'a Look, order: &ById<'_>) -> Result<Self, TableFault> {
        let ranges = order.kinds.iter().map(|kind| order.range(*kind));
        let mut merge = Self {
            ranges: Vec::new(),
            layers: look.layers(),
            ids: Ids::Keys,
            place_at: instance::HUB_LEN,
            id_at: instance::HUB_LEN,
            id_prefix: Vec::new(),
            taken: None,
            allowance: usize::MAX,
        };
        for range in ranges.filter(|range| !range.is_empty()) {
            merge.add(0, look.rows.walk(range.clone())?);
            for (layer, level) in merge.layers.iter().zip(1..) {
                merge.add(level, Box::new(layer.records.walk(range.clone())));
            }
        }
        Ok(merge)
    }

    fn add(&mut self, level: usize, cursor: Box<dyn Cursor + 'a>) {
        if cursor.row().is_some() {
            self.ranges.push(Source { cursor, level });
        }
    }

    /// Lets the walk pass so many rows, those it answers included, before it pauses; at first it never does.
    pub(super) fn allow(&mut self, rows: usize) {
        self.allowance = rows;
    }

    /// What comes next; a row stays until the next call.
    pub(super) fn next(&mut self) -> Result<Next<'_>, TableFault> {
        if let Some(taken) = self.taken.take() {
            self.pass(taken)?;
        }
        while let Some(first) = self.first() {
            if self.allowance == 0 {
                return Ok(Next::Paused);
            }
            self.allowance -= 1;
            if self.is_answer(first) {
                self.taken = Some(first);
                return Ok(self.answer(first));
            }
            self.pass(first)?;
        }
        Ok(Next::End)
    }

    /// The range whose row comes first.
    fn first(&self) -> Option<usize> {
        let places = self.ranges.iter().enumerate();
        places
            .min_by_key(|(_, source)| behind(source.key(), self.place_at))
            .map(|(range, _)| range)
    }

    fn pass(&mut self, range: usize) -> Result<(), TableFault> {
        let cursor = &mut self.ranges[range].cursor;
        cursor.advance()?;
        if cursor.row().is_none() {
            self.ranges.swap_remove(range);
        }
        Ok(())
    }

    /// Whether the row of this range is looked for and says how it is at this moment.
    fn is_answer(&self, range: usize) -> bool {
        let source = &self.ranges[range];
        let key = source.key();
        if !behind(key, self.id_at).starts_with(&self.id_prefix) {
            return false;
        }
        let record = self.record_key(key);
        let mut above = self.layers[source.level..].iter();
        let is_covered = above.any(|layer| layer.records.get(&record).is_some());
        let is_removed = || matches!(self.unwritten(source), Some((_, None)));
        !is_covered && !is_removed()
    }

    fn answer(&self, range: usize) -> Next<'_> {
        let source = &self.ranges[range];
        if let Some((key, Some(record))) = self.unwritten(source) {
            return Next::Unwritten { key, record };
        }
        let (key, value) = source
            .cursor
            .row()
            .expect("ranges without one are left out");
        Next::Row { key, value }
    }

    /// What the source's layer holds of the id that it is at; `None` if the source is of rows.
    fn unwritten(&self, source: &Source<'a>) -> Option<&'a (InstanceKey, Option<Record>)> {
        let layer = &self.layers[source.level.checked_sub(1)?];
        layer.records.get(&self.record_key(source.key()))
    }

    fn record_key(&self, key: &[u8]) -> Vec<u8> {
        match self.ids {
            Ids::Keys => key.to_vec(),
            Ids::Behind(begin) => [&begin, behind(key, self.id_at)].concat(),
        }
    }
}

impl Source<'_> {
    fn key(&self) -> &[u8] {
        self.cursor.row().map_or(&[], |(key, _)| key)
    }
}

/// What a key holds behind its first bytes; nothing if it is malformed.
fn behind(key: &[u8], at: usize) -> &[u8] {
    key.get(at..).unwrap_or_default()
}
