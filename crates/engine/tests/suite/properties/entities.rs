//! What clients and workers do to entities.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_engine::batch::{Batch, Verdict, give_up, take_batch, unexplained_failure};
use longhaul_engine::command::{CompleteBatch, DueOperation};
use longhaul_engine::entity::RECENT_WINDOW;
use longhaul_engine::history::entity_event::{self, OperationText};
use longhaul_engine::history::event::INBOUND;
use longhaul_engine::{Command, Entity, InstanceKey, Reply};
use longhaul_proto::sidecar::history_event::EventType;

use super::step::{ENTITIES, Work};
use super::worker;
use super::world::{World, pick_from};
use crate::support::{Cluster, decode};

impl World {
    /// Requests that repeat one that was accepted lately have another input: it must not be seen.
    pub(super) fn signal(&mut self, entity: usize, request: u8, delay_millis: u16) {
        let key = Cluster::key(ENTITIES[entity]);
        self.signals += 1;
        let now = self.cluster.now;
        let delay = Duration::from_millis(u64::from(delay_millis));
        let due = (delay_millis > 0).then(|| now + delay);
        let (request_id, input) = (format!("client-{request}"), self.signals.to_string());
        let text = OperationText {
            request_id: &request_id,
            operation: "add",
            scheduled: due,
            input: Some(input.as_bytes()),
            target: key.id.as_str(),
        };
        let command = Command::SignalEntity {
            key: key.clone(),
            request_id: request_id.as_str().into(),
            event: entity_event::operation_signaled(INBOUND, now, text),
            due,
        };
        self.apply_at_home(command, &key);
    }

    fn ready_batches(&self) -> Vec<InstanceKey> {
        let partitions = self.cluster.partitions.iter();
        let entities = partitions.flat_map(|tables| &tables.entities);
        let ready = entities.filter(|(_, entity)| entity.batch_ready());
        ready.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn take_batch(&mut self, pick: usize) -> Option<Batch> {
        let key = pick_from(&self.ready_batches(), pick)?.clone();
        let home = self.cluster.home(&key);
        let tables = &mut self.cluster.partitions[home];
        let batch = take_batch(tables, &key).expect("memory does not fail");
        let batch = batch.expect("ready");
        self.batches.push((tables.partition.clock, batch.clone()));
        Some(batch)
    }

    /// No answer is on its way for so long that its entity could have been forgotten meanwhile.
    pub(super) fn answer_old_batch(&mut self, pick: usize, work: &Work) {
        if let Some(batch) = self.old_batch(pick) {
            self.answer_batch(&batch, work);
        }
    }

    pub(super) fn give_up(&mut self, pick: usize) {
        if let Some(batch) = self.old_batch(pick) {
            let now = self.cluster.now;
            let complete = give_up(&batch.context, &unexplained_failure(), now);
            self.complete_batch(&batch, complete);
        }
    }

    fn old_batch(&self, pick: usize) -> Option<Batch> {
        let (taken, batch) = pick_from(&self.batches, pick)?.clone();
        let home = self.cluster.home(&batch.context.key);
        let clock = self.cluster.partitions[home].partition.clock;
        (clock < taken + RECENT_WINDOW).then_some(batch)
    }

    pub(super) fn answer_batch(&mut self, batch: &Batch, work: &Work) {
        let answer = worker::work_off(batch, work, self.cluster.now);
        match self.cluster.judge(&batch.context, answer) {
            Verdict::Commit(complete) => self.complete_batch(batch, *complete),
            Verdict::Again | Verdict::Later(_) => {
                assert_eq!(work.done.min(batch.events.len()), 0);
            }
        }
    }

    /// SYS-2: what is committed is what the worker was asked to do.
    fn complete_batch(&mut self, batch: &Batch, complete: CompleteBatch) {
        let key = batch.context.key.clone();
        let done = complete.answers.len();
        let ready = self.cluster.entity(key.id.as_str()).map(requests);
        let command = Command::CompleteBatch(Box::new(complete));
        if self.apply_at_home(command, &key).reply == Reply::Done {
            let asked = batch.events.iter().map(|event| request(event));
            let asked: Vec<String> = asked.take(done).collect();
            assert_eq!(ready.expect("it was there")[..done], asked, "{key:?}");
        }
    }

    pub(super) fn release_due(&mut self) {
        let mut due: BTreeMap<usize, Vec<DueOperation>> = BTreeMap::new();
        for operation in &self.operations {
            let home = self.cluster.home(&operation.key);
            due.entry(home).or_default().push(operation.clone());
        }
        for (partition, operations) in due {
            self.apply(partition, Command::ReleaseOperations(operations));
        }
    }

    pub(super) fn expire_all(&mut self) {
        for partition in 0..self.cluster.partitions.len() {
            let entities = &self.cluster.partitions[partition].entities;
            let keys = entities.keys().cloned().collect();
            self.apply(partition, Command::ExpireEntities(keys));
        }
    }

    /// Every batch that is ready is done as a whole.
    pub(super) fn work_off_batches(&mut self) {
        let work = Work {
            done: usize::MAX,
            fails: false,
            deletes: false,
            sends: Vec::new(),
        };
        for key in self.ready_batches() {
            if let Some(batch) = self.cluster.take_batch(key.id.as_str()) {
                self.answer_batch(&batch, &work);
            }
        }
    }
}

fn requests(entity: &Entity) -> Vec<String> {
    let ready = entity.ready_operations();
    ready.map(|operation| request(&operation.event)).collect()
}

/// Request and input: a request whose repetition came too late to be known is another one.
fn request(event: &[u8]) -> String {
    match decode(event).event_type.expect("has a type") {
        EventType::EntityOperationSignaled(it) => format!("{} {:?}", it.request_id, it.input),
        EventType::EntityOperationCalled(it) => format!("{} {:?}", it.request_id, it.input),
        other => panic!("{other:?} is no operation"),
    }
}
