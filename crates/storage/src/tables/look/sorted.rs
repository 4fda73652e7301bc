//! A map ordered by bytes whose copies share what they have in common.
//!
//! Entries are in runs of at most [`RUN_MAX`], runs are shared between copies, and a change copies the run it is in.
//! So a copy costs nothing, and the first change after it a pointer per run and the entries of one.
//!
//! Our own because the well-kept crates with such a map are under a licence that `deny.toml` does not allow.

use std::ops::Range;
use std::sync::Arc;

use longhaul_engine::tables::TableFault;

use crate::rows::Cursor;

/// Entries of a run, at most; a full one is cut in half.
const RUN_MAX: usize = 128;

type Run<V> = Arc<Vec<(Arc<[u8]>, V)>>;

/// A map ordered by bytes; cheap to clone.
#[derive(Clone)]
pub(super) struct Sorted<V> {
    /// In order, none of them empty.
    runs: Arc<Vec<Run<V>>>,
}

/// A walk over the keys of a range.
pub(super) struct Walk<'a, V> {
    map: &'a Sorted<V>,
    run: usize,
    entry: usize,
    end: Vec<u8>,
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self {
            runs: Arc::default(),
        }
    }
}

impl<V> Sorted<V> {
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        let run = self.runs.get(self.run_of(key))?;
        let entry = run.binary_search_by(|(it, _)| (**it).cmp(key)).ok()?;
        Some(&run[entry].1)
    }

    pub(super) fn walk(&self, range: Range<Vec<u8>>) -> Walk<'_, V> {
        let run = self.run_of(&range.start);
        let entry = self.runs.get(run).map_or(0, |entries| {
            entries.partition_point(|(key, _)| **key < *range.start)
        });
        Walk {
            map: self,
            run,
            entry,
            end: range.end,
        }
        .within_a_run()
    }

    /// The run that holds a key, if any does.
    fn run_of(&self, key: &[u8]) -> usize {
        let after = self.runs.partition_point(|run| *run[0].0 <= *key);
        after.saturating_sub(1)
    }
}

impl<V> FromIterator<(Vec<u8>, V)> for Sorted<V> {
    /// Keys may come in any order, but each only once.
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut entries: Vec<_> = entries
            .map(|(key, value)| (Arc::from(key), value))
            .collect();
        entries.sort_unstable_by(|(a, _), (b, _)| Ord::cmp(a, b));
        let mut entries = entries.into_iter();
        let runs = std::iter::from_fn(|| {
            let run: Vec<_> = entries.by_ref().take(RUN_MAX / 2).collect();
            (!run.is_empty()).then(|| Arc::new(run))
        });
        Self {
            runs: Arc::new(runs.collect()),
        }
    }
}

impl<V: Clone> Sorted<V> {
    /// Puts a value, and answers the one it replaces.
    pub(super) fn put(&mut self, key: &[u8], value: V) -> Option<V> {
        let at = self.run_of(key);
        let runs = Arc::make_mut(&mut self.runs);
        let Some(run) = runs.get_mut(at).map(Arc::make_mut) else {
            runs.push(Arc::new(vec![(Arc::from(key), value)]));
            return None;
        };
        match run.binary_search_by(|(it, _)| (**it).cmp(key)) {
            Ok(entry) => Some(std::mem::replace(&mut run[entry].1, value)),
            Err(entry) => {
                run.insert(entry, (Arc::from(key), value));
                if run.len() > RUN_MAX {
                    let upper = run.split_off(RUN_MAX / 2);
                    runs.insert(at + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        if self.get(key).is_none() {
            return;
        }
        let at = self.run_of(key);
        let runs = Arc::make_mut(&mut self.runs);
        let run = Arc::make_mut(&mut runs[at]);
        run.retain(|(it, _)| **it != *key);
        if run.is_empty() {
            runs.remove(at);
        }
    }
}

impl<V> Walk<'_, V> {
    /// Behind the last entry of a run is the first one of the next.
    fn within_a_run(mut self) -> Self {
        self.settle();
        self
    }

    fn settle(&mut self) {
        let runs = &self.map.runs;
        if runs
            .get(self.run)
            .is_some_and(|run| self.entry >= run.len())
        {
            self.run += 1;
            self.entry = 0;
        }
    }
}

impl<V> Cursor for Walk<'_, V> {
    fn row(&self) -> Option<(&[u8], &[u8])> {
        let (key, _) = self.map.runs.get(self.run)?.get(self.entry)?;
        (**key < *self.end).then_some((&key[..], &[]))
    }

    fn advance(&mut self) -> Result<(), TableFault> {
        self.entry += 1;
        self.settle();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<Vec<u8>, u32>;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u16, u32),
        Remove(u16),
        /// Many at once, so that runs are cut.
        PutFrom(u16),
        RemoveFrom(u16),
        /// A copy is kept to the end.
        Keep,
    }

    const MANY: u16 = 300;
    const KEYS: u16 = 600;

    fn any_step() -> impl Strategy<Value = Step> {
        let key = || 0..KEYS;
        prop_oneof![
            4 => (key(), any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
            4 => key().prop_map(Step::Remove),
            1 => key().prop_map(Step::PutFrom),
            1 => key().prop_map(Step::RemoveFrom),
            2 => Just(Step::Keep),
        ]
    }

    fn bytes(key: u16) -> Vec<u8> {
        key.to_be_bytes().to_vec()
    }

    fn put(map: &mut Sorted<u32>, model: &mut Model, key: u16, value: u32) {
        let before = map.put(&bytes(key), value);
        assert_eq!(before, model.insert(bytes(key), value));
    }

    fn remove(map: &mut Sorted<u32>, model: &mut Model, key: u16) {
        map.remove(&bytes(key));
        model.remove(&bytes(key));
    }

    fn check(map: &Sorted<u32>, model: &Model, range: &Range<u16>) {
        let range = bytes(range.start)..bytes(range.end);
        let mut walk = map.walk(range.clone());
        for (key, value) in model.range(range) {
            assert_eq!(walk.row().map(|(key, _)| key), Some(&key[..]));
            assert_eq!(map.get(key), Some(value));
            walk.advance().expect("it is in memory");
        }
        assert_eq!(walk.row(), None);
        for key in 0..KEYS + MANY {
            assert_eq!(map.get(&bytes(key)), model.get(&bytes(key)));
        }
        assert!(
            map.runs
                .iter()
                .all(|run| (1..=RUN_MAX).contains(&run.len()))
        );
    }

    proptest! {
        #[test]
        fn copies_agree_with_the_model_of_their_moment(
            begin in prop::collection::hash_map(0..KEYS, any::<u32>(), 0..400),
            steps in vec(any_step(), 0..40),
            (from, len) in (0..KEYS, 0..KEYS),
        ) {
            let begin = || begin.iter().map(|(key, value)| (bytes(*key), *value));
            let mut map: Sorted<u32> = begin().collect();
            let mut model: Model = begin().collect();
            let mut kept = Vec::new();
            for step in steps {
                match step {
                    Step::Put(key, value) => put(&mut map, &mut model, key, value),
                    Step::Remove(key) => remove(&mut map, &mut model, key),
                    Step::PutFrom(key) => {
                        (key..key + MANY).for_each(|key| put(&mut map, &mut model, key, 7));
                    }
                    Step::RemoveFrom(key) => {
                        (key..key + MANY).for_each(|key| remove(&mut map, &mut model, key));
                    }
                    Step::Keep => kept.push((map.clone(), model.clone())),
                }
            }
            kept.push((map, model));
            for (map, model) in kept {
                check(&map, &model, &(from..from + len));
            }
        }
    }

    #[test]
    fn a_change_copies_one_run_of_what_is_shared() {
        let mut map = Sorted::default();
        for key in 0..1_000 {
            map.put(&bytes(key), ());
        }
        let before = map.clone();
        map.put(&bytes(500), ());
        map.remove(&bytes(501));
        let same = map.runs.iter().zip(before.runs.iter());
        let copied = same.filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(copied, 1);
    }
}
