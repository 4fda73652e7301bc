//! Takes every step on both sides, and compares all that can be seen after each.
//!
//! ```text
//! steps.rs     what can happen, as drawn by proptest
//! worker.rs    random but valid answers to turns and batches
//! engine.rs    the real engine: partitions, outboxes, what a leader finds to do
//! work.rs      handing out work and taking answers, in time, late and repeated
//! world.rs     clients, time, and the roads between partitions
//! observe.rs   what the engine shows, decoded
//! names.rs     ids that the server makes up
//! ```

mod engine;
mod names;
mod observe;
pub(crate) mod steps;
mod work;
mod worker;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::rc::Rc;

use bytes::Bytes;
use longhaul_engine::dispatch::{Turn, committed_history};
use longhaul_engine::{InstanceView as EngineView, batch};
use longhaul_types::{ExecutionId, Timestamp};

use self::engine::{Engine, home, key};
use self::names::Names;
use self::steps::Step;
use self::worker::Fresh;
use crate::reference::{BatchItem, Map, Model, Slip, TaskItem, TurnItem};
use crate::values::{Event, Id};

/// When everything begins.
const START: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanos: 0,
};

/// The first thing in which the two sides differ.
pub(crate) type Difference = String;

/// Both sides, and what their leaders and workers have at hand.
pub(crate) struct World {
    model: Model,
    engine: Engine,
    names: Rc<RefCell<Names>>,
    fresh: Fresh,
    turns_out: BTreeMap<Id, TurnOut>,
    batches_out: BTreeMap<Id, BatchOut>,
    /// Everything that was ever handed out, to come back at the wrong time.
    old_turns: Vec<TurnOut>,
    old_batches: Vec<BatchOut>,
    old_tasks: Vec<(TaskItem, ExecutionId, u64)>,
    old_timers: Vec<(Id, u64, longhaul_engine::command::DueTimer)>,
    old_operations: Vec<(Id, u64, longhaul_engine::command::DueOperation)>,
    /// Histories as they were when they were last compared.
    compared: BTreeMap<Id, (Vec<Bytes>, Vec<Event>)>,
}

/// A turn in the hands of a worker: the same on both sides.
#[derive(Clone)]
struct TurnOut {
    model: TurnItem,
    engine: Turn,
}

/// A batch in the hands of a worker.
#[derive(Clone)]
struct BatchOut {
    model: BatchItem,
    engine: batch::Batch,
}

/// Takes the steps, and then lets whatever is underway arrive and whatever is due be seen.
pub(crate) fn play(steps: &[Step], slip: Option<Slip>) -> Result<(), Difference> {
    let mut world = World::new(slip);
    for (number, step) in steps.iter().enumerate() {
        let outcome = world.take(step).and_then(|()| world.compare());
        outcome.map_err(|difference| format!("step {number}, {step:?}: {difference}"))?;
    }
    world.look_around()
}

fn pick_from<T: Clone>(items: &[T], pick: usize) -> Option<T> {
    items.get(pick % items.len().max(1)).cloned()
}

impl World {
    fn new(slip: Option<Slip>) -> Self {
        let names = Rc::new(RefCell::new(Names::default()));
        let spelling = names.clone();
        let map: Map = Rc::new(move |id| home(&spelling.borrow().spelled(id)));
        Self {
            model: Model::new(START, map, slip),
            engine: Engine::new(START),
            names,
            fresh: Fresh::default(),
            turns_out: BTreeMap::new(),
            batches_out: BTreeMap::new(),
            old_turns: Vec::new(),
            old_batches: Vec::new(),
            old_tasks: Vec::new(),
            old_timers: Vec::new(),
            old_operations: Vec::new(),
            compared: BTreeMap::new(),
        }
    }

    /// The id as the server spells it.
    fn spelled(&self, id: &str) -> String {
        self.names.borrow().spelled(id)
    }

    /// Both sides have to say the same.
    fn agree<T: Debug>(&self, about: &str, model: &T, engine: &T) -> Result<(), Difference> {
        let said = (format!("{model:?}"), format!("{engine:?}"));
        if self.names.borrow_mut().agree(&said.0, &said.1) {
            return Ok(());
        }
        Err(format!(
            "{about}\nexpected {}\nseen     {}",
            self.spelled(&said.0),
            said.1
        ))
    }

    /// All that anybody can see.
    fn compare(&mut self) -> Result<(), Difference> {
        self.engine.check_records();
        self.compare_instances()?;
        self.compare_entities()?;
        self.compare_work()?;
        let mut letters: Vec<String> = self
            .model
            .letters()
            .map(|(town, to)| format!("{town} to {}", self.spelled(to)))
            .collect();
        letters.sort_unstable();
        self.agree("messages underway", &letters, &self.engine.letters())
    }

    fn compare_instances(&mut self) -> Result<(), Difference> {
        let ids = self.model.instance_ids();
        let mut spelled: Vec<String> = ids.iter().map(|id| self.spelled(id)).collect();
        spelled.sort_unstable();
        let mut seen: Vec<String> = Vec::new();
        for tables in &self.engine.partitions {
            seen.extend(tables.instances.keys().map(|key| key.id.to_string()));
        }
        seen.sort_unstable();
        self.agree("instances", &spelled, &seen)?;
        for id in ids {
            let text = self.spelled(&id);
            let instance = self.engine.instance(&text).expect("just seen");
            let seen = observe::view(&EngineView::of(&key(&text), instance));
            let view = self.model.view(&id).expect("just listed");
            self.agree("an instance", &view, &seen)?;
            self.compare_history(&id, &text)?;
        }
        Ok(())
    }

    fn compare_history(&mut self, id: &str, text: &str) -> Result<(), Difference> {
        let runs = committed_history(self.engine.tables(text), &key(text)).expect("readable");
        let runs = runs.expect("the instance is there");
        let expected = self.model.history(id).expect("the instance is there");
        let before = self.compared.get(id);
        if before.is_some_and(|before| before.0 == runs && before.1 == expected) {
            return Ok(());
        }
        let expected = expected.to_vec();
        self.agree(
            &format!("history of {text}"),
            &expected,
            &observe::framed(&runs),
        )?;
        self.compared.insert(id.to_owned(), (runs, expected));
        Ok(())
    }

    fn compare_entities(&mut self) -> Result<(), Difference> {
        let ids = self.model.entity_ids();
        let expected = ids.iter().filter_map(|id| self.model.entity_view(id));
        let mut expected: Vec<_> = expected.collect();
        expected.sort_by(|a, b| a.id.cmp(&b.id));
        let mut seen = Vec::new();
        for tables in &self.engine.partitions {
            let views = tables.entities.iter();
            let views = views.filter_map(|(key, entity)| entity.view(key, true));
            seen.extend(views.map(|view| observe::entity_view(&view)));
        }
        seen.sort_by(|a, b| a.id.cmp(&b.id));
        self.agree("entities", &expected, &seen)
    }

    /// What there is to do, as a leader finds it that has just begun.
    fn compare_work(&mut self) -> Result<(), Difference> {
        let model = &self.model;
        let mut expected = Vec::new();
        let say = |id: &str| self.spelled(id);
        expected.extend(
            model
                .turns_due()
                .iter()
                .map(|id| format!("turn {}", say(id))),
        );
        for task in model.tasks() {
            expected.push(format!("activity {} {}", say(&task.instance), task.name()));
        }
        for (id, _, due) in model.timers() {
            expected.push(format!("timer {} {due}", say(&id)));
        }
        for (id, at) in model.starts_planned() {
            expected.push(format!("start {} {at}", say(&id)));
        }
        expected.extend(
            model
                .batches_due()
                .iter()
                .map(|id| format!("batch {}", say(id))),
        );
        for (id, _, due) in model.scheduled_operations() {
            expected.push(format!("operation {} {due}", say(&id)));
        }
        expected.sort_unstable();
        let seen = self.engine.outstanding();
        self.agree("what there is to do", &expected, &seen)
    }

    /// The end of a run: everything that is underway arrives, and everything that is due is looked at.
    fn look_around(&mut self) -> Result<(), Difference> {
        self.deliver_all()?;
        self.crash();
        for id in self.model.turns_due() {
            self.take_turn_of(&id)?;
        }
        for id in self.model.batches_due() {
            self.take_batch_of(&id)?;
        }
        self.compare()?;
        self.engine.remove_all();
        match self.engine.is_empty() {
            true => Ok(()),
            false => Err("something outlives its task hub".to_owned()),
        }
    }
}
