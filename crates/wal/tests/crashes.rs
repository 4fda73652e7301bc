//! Random operations on several groups, with the machine or the process stopping at any step,
//! against a model.
//!
//! After every restart the log must hold exactly what the model held after some number of
//! operations: at least all that were acknowledged, at most all that were asked for.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Acks, Dice, Node, config, entry};
use longhaul_wal::testing::SimFiles;
use longhaul_wal::{Config, Entry, GroupId, GroupLog, Stats};

const GROUPS: u32 = 3;

/// What one group must hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    entries: Vec<Entry>,
    vote: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
    note: Option<Bytes>,
}

type Model = BTreeMap<u32, Group>;

impl Group {
    fn found(log: &GroupLog) -> Group {
        Group {
            entries: log.read(..).expect("readable"),
            vote: log.vote(),
            purged: log.purged(),
            note: log.note(),
        }
    }

    fn next(&self) -> u64 {
        let purged = self.purged.as_ref().map(|(index, _)| *index);
        self.entries
            .last()
            .map(|entry| entry.index)
            .or(purged)
            .map_or(0, |index| index + 1)
    }
}

/// Changes the log and the model alike.
fn operate(dice: &mut Dice, node: &Node, model: &mut Model, acks: &Acks) {
    let id = dice.below(u64::from(GROUPS)) as u32;
    let (log, group) = (
        node.group(GroupId(id)),
        model.get_mut(&id).expect("all exist"),
    );
    match dice.below(20) {
        0..=9 => {
            let (next, term) = (group.next(), dice.below(5));
            let sizes = [0, 10, 100, 1000, 9000];
            let count = 1 + dice.below(4);
            let largest = if dice.one_in(8) { 5 } else { 4 };
            let bytes = sizes[dice.below(largest) as usize];
            let new: Vec<_> = (next..next + count)
                .map(|index| entry(term, index, vec![dice.roll() as u8; bytes]))
                .collect();
            group.entries.extend(new.iter().cloned());
            log.append(new, acks.next());
        }
        10..=11 => {
            let vote = Bytes::from(dice.roll().to_le_bytes().to_vec());
            group.vote = Some(vote.clone());
            log.save_vote(vote, acks.next());
        }
        12 => {
            let keep = dice.below(group.entries.len() as u64 + 1) as usize;
            let after = match keep {
                0 => group.purged.as_ref().map(|(index, _)| *index),
                keep => Some(group.entries[keep - 1].index),
            };
            group.entries.truncate(keep);
            log.truncate_after(after, acks.next());
        }
        13..=18 => {
            // Mostly most of the log, so that segments die; sometimes beyond its end, as a snapshot
            // does.
            let ahead = if dice.one_in(10) { 5 } else { 0 };
            let first = group
                .entries
                .first()
                .map_or(group.next(), |entry| entry.index);
            let span = group.next() - first + ahead;
            let upto = first + span - dice.below(3).min(span);
            let id = Bytes::from(format!("log id {upto}"));
            if group
                .purged
                .as_ref()
                .is_none_or(|(purged, _)| *purged < upto)
            {
                group.entries.retain(|entry| entry.index > upto);
                group.purged = Some((upto, id.clone()));
            }
            log.purge(upto, id, acks.next());
        }
        _ => {
            if dice.one_in(4) {
                let (vote, note) = (group.vote.take(), group.note.take());
                *group = Group {
                    vote,
                    note,
                    ..Group::default()
                };
                if dice.one_in(2) {
                    let note = Bytes::from(dice.roll().to_le_bytes().to_vec());
                    group.note = Some(note.clone());
                    log.destroy_noting(note, acks.next());
                } else {
                    log.destroy(acks.next());
                }
            } else if dice.one_in(4) {
                let note = Bytes::from(dice.roll().to_le_bytes().to_vec());
                group.note = Some(note.clone());
                log.save_note(note, acks.next());
            } else {
                log.save_committed(Bytes::from(dice.roll().to_le_bytes().to_vec()));
            }
        }
    }
}

fn matching(model: &Model, node: &Node) -> bool {
    model
        .iter()
        .all(|(id, group)| *group == Group::found(&node.group(GroupId(*id))))
}

/// Lives through several starts; returns the disk and the counters of all lives.
fn live(seed: u64, config: &Config) -> (SimFiles, Vec<Stats>) {
    let mut dice = Dice(seed);
    let files = SimFiles::new();
    let start: Model = (0..GROUPS).map(|id| (id, Group::default())).collect();
    // What the log may hold: the model after each operation that was not surely acknowledged.
    let mut possible = vec![start];
    let mut stats = vec![];
    for life in 0..6 {
        if dice.one_in(4) {
            // The machine stops while the log is being opened.
            files.halt_after(dice.below(12));
            drop(Node::open_with(&files, config.clone()));
            end(&mut dice, &files);
        }
        let mut node = Node::open_with(&files, config.clone())
            .unwrap_or_else(|error| panic!("seed {seed}, life {life}: refused: {error}"));
        let found = possible.iter().rposition(|model| matching(model, &node));
        let Some(found) = found else {
            panic!("seed {seed}, life {life}: acknowledged operations are gone")
        };
        let mut model = possible.swap_remove(found);
        for (id, group) in &model {
            let durable = node.group(GroupId(*id)).durable_index();
            assert_eq!(
                durable,
                group.next().checked_sub(1),
                "seed {seed}, life {life}"
            );
        }
        possible = vec![model.clone()];

        let acks = Acks::default();
        let mut issued = vec![];
        match dice.below(4) {
            0 => files.halt_after(dice.below(150)),
            1 => files.fail_sync(1 + dice.below(40)),
            _ => {}
        }
        for _ in 0..dice.below(150) {
            if dice.one_in(3) {
                node.writer.run_once();
            } else if dice.one_in(30) {
                node.writer.settle();
            } else {
                let before = acks.issued();
                operate(&mut dice, &node, &mut model, &acks);
                if acks.issued() > before {
                    issued.push(model.clone());
                }
            }
        }
        assert!(
            matching(&model, &node),
            "seed {seed}, life {life}: readers see what was asked for"
        );
        stats.push(node.wal.stats());
        if dice.one_in(4) {
            let _ = node.wal.close();
            for _ in 0..1000 {
                node.writer.run_once();
            }
        }
        // One model per operation that completes, after the one the life began with.
        possible.extend(issued);
        possible.drain(..acks.acknowledged());
        end(&mut dice, &files);
    }
    (files, stats)
}

/// The process or the machine stops.
fn end(dice: &mut Dice, files: &SimFiles) {
    if dice.one_in(3) {
        files.kill();
    } else {
        files.crash(dice.roll());
    }
}

/// How many histories to try; a long run sets `LONGHAUL_SEEDS`.
fn seeds() -> u64 {
    std::env::var("LONGHAUL_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(600)
}

#[test]
fn no_crash_loses_what_was_acknowledged() {
    let mut all = vec![];
    for seed in 0..seeds() {
        let config = Config {
            // Everything on disk for some, everything in memory for others.
            cache_bytes: [0, 2000, 1 << 20][seed as usize % 3],
            watermark_batches: [1, 4, 32][seed as usize / 3 % 3],
            ..config()
        };
        all.extend(live(seed, &config).1);
    }
    assert!(
        all.iter().any(|stats| stats.moved > 0),
        "some seeds moved live records"
    );
    assert!(
        all.iter().any(|stats| stats.segments > 3),
        "some seeds filled several segments"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..20 {
        let (one, other) = (live(seed, &config()).0, live(seed, &config()).0);
        assert_eq!(one.paths(), other.paths());
        for path in one.paths() {
            assert!(
                one.content(&path) == other.content(&path),
                "seed {seed}: {}",
                path.display()
            );
        }
    }
}
