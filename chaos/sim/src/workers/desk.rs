//! How work items and workers' answers travel, also between nodes: what is in a message stays in a locker, and the
//! message is the locker's number.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_engine::batch::BatchAnswer;
use longhaul_engine::turn::Answer;
use longhaul_partition::{
    AbandonDelay, ActivityResult, Claimed, LeaseId, Partition, Partitions, ProposeError, ReadError,
    WorkKind,
};
use longhaul_routing::claims::Encoder;
use longhaul_routing::{AnswerKind, Judge, WorkerAnswer};
use longhaul_types::Timestamp;

use crate::clients::key_of;
use crate::history::{self, Entry, Operation, What};
use crate::moment::{Moment, Setback};
use crate::sabotage::Sabotage;
use crate::world::{HUB, ProcessId, World};

/// What is in a locker.
#[derive(Clone)]
pub(crate) enum Locked {
    /// A work item on its way to the node of its worker.
    Item(Box<Handed>),
    /// An answer on its way to the leader.
    Word(Box<Word>),
}

/// A work item as a worker has it.
#[derive(Clone)]
pub(crate) struct Handed {
    pub(crate) delivery: Delivery,
    pub(crate) token: String,
    pub(crate) item: Item,
}

/// What names an item that was handed out.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) number: u64,
    /// Whoever handed it out did not know that somebody else led by then: nothing that is made of it counts.
    pub(crate) stale: bool,
}

#[derive(Clone)]
pub(crate) enum Item {
    Turn(HandedTurn),
    Batch(HandedBatch),
    Activity(HandedActivity),
}

#[derive(Clone)]
pub(crate) struct HandedTurn {
    pub(crate) instance: String,
    pub(crate) execution: String,
    pub(crate) started_at: Timestamp,
    pub(crate) past: Vec<Entry>,
    pub(crate) new: Vec<Entry>,
}

#[derive(Clone)]
pub(crate) struct HandedBatch {
    pub(crate) entity: String,
    pub(crate) batch: String,
    pub(crate) state: Option<String>,
    pub(crate) operations: Vec<Operation>,
}

#[derive(Clone)]
pub(crate) struct HandedActivity {
    pub(crate) instance: String,
    pub(crate) execution: String,
    pub(crate) task: i32,
    pub(crate) input: String,
}

/// What a worker says about an item.
#[derive(Clone)]
pub(crate) struct Word {
    pub(crate) delivery: Delivery,
    pub(crate) lease: LeaseId,
    pub(crate) what: Saying,
}

#[derive(Clone)]
pub(crate) enum Saying {
    /// The first part of an answer to a turn.
    Part(Answer),
    /// The answer to a turn, or the rest of it.
    Turn {
        instance: String,
        execution: String,
        past: usize,
        answer: Answer,
    },
    /// The result of an activity.
    Result(ActivityResult),
    /// What became of a batch.
    Batch(BatchAnswer),
    /// That the batch could not be run at all.
    CannotRun(BatchAnswer),
    /// That somebody else may have it.
    GivenBack(WorkKind, AbandonDelay),
}

impl Item {
    fn read(claimed: &Claimed) -> Result<Self, String> {
        Ok(match claimed {
            Claimed::Turn { turn, .. } => Self::Turn(HandedTurn {
                instance: turn.context.key.id.to_string(),
                execution: turn.context.execution.to_string(),
                started_at: turn.context.started_at,
                past: history::decode_framed(turn.past.inline())?,
                new: decode_all(&turn.new, Ok)?,
            }),
            Claimed::Batch { batch, .. } => Self::Batch(HandedBatch {
                entity: batch.context.key.id.to_string(),
                batch: batch.context.execution.to_string(),
                state: batch
                    .state
                    .as_ref()
                    .map(|state| String::from_utf8_lossy(state).into_owned()),
                operations: decode_all(&batch.events, operation)?,
            }),
            Claimed::Activity { key, activity, .. } => Self::Activity(HandedActivity {
                instance: key.id.to_string(),
                execution: activity.execution.to_string(),
                task: activity.task_id,
                input: input(history::decode(activity.event.clone())?)?,
            }),
            Claimed::Encoded(item) => return Err(format!("{:?} is encoded already", item.key)),
        })
    }

    fn handed_out(&self, delivery: u64) -> Moment {
        match self.clone() {
            Self::Turn(turn) => Moment::TurnOut {
                delivery,
                instance: turn.instance,
                execution: turn.execution,
                past: turn.past,
                new: turn.new,
            },
            Self::Batch(batch) => Moment::BatchOut {
                delivery,
                entity: batch.entity,
                batch: batch.batch,
                state: batch.state,
                operations: batch.operations,
            },
            Self::Activity(activity) => Moment::ActivityOut {
                delivery,
                instance: activity.instance,
                execution: activity.execution,
                task: activity.task,
                input: activity.input,
            },
        }
    }
}

fn decode_all<T>(
    events: &[Bytes],
    read: impl Fn(Entry) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let events = events.iter().cloned();
    events.map(|event| read(history::decode(event)?)).collect()
}

fn operation(entry: Entry) -> Result<Operation, String> {
    match entry.what {
        What::Operation(operation) => Ok(operation),
        other => Err(format!("a batch holds {other:?}")),
    }
}

fn input(entry: Entry) -> Result<String, String> {
    match entry.what {
        What::TaskScheduled { input } => Ok(input),
        other => Err(format!("an activity item holds {other:?}")),
    }
}

impl Word {
    /// The word as a message for another node.
    pub(crate) fn into_message(self, world: &World) -> WorkerAnswer {
        let kind = match &self.what {
            Saying::Part(_) | Saying::Turn { .. } => AnswerKind::Turn,
            Saying::Result(_) => AnswerKind::Activity,
            Saying::Batch(_) | Saying::CannotRun(_) => AnswerKind::Batch,
            Saying::GivenBack(WorkKind::Orchestration, _) => AnswerKind::AbandonTurn,
            Saying::GivenBack(WorkKind::Activity, _) => AnswerKind::AbandonActivity,
            Saying::GivenBack(WorkKind::Entity, _) => AnswerKind::AbandonBatch,
        };
        WorkerAnswer {
            hub: HUB,
            kind,
            message: world.fill_locker(Locked::Word(Box::new(self))),
        }
    }

    /// Does what the leader has to do.
    pub(crate) async fn judge(
        self,
        world: &World,
        partition: &Partition,
    ) -> Result<(), ProposeError> {
        let Self {
            delivery,
            lease,
            what,
        } = self;
        let (delivery, stale) = (delivery.number, delivery.stale);
        let taken = |moment: Moment| match stale {
            false => world.note(moment),
            true => world.broken("deposed leaders commit nothing", moment.to_string()),
        };
        match what {
            Saying::Part(part) => {
                if partition.turn_lease(lease).is_none() {
                    return unknown(world, partition, Setback::Stale).await;
                }
                let kept = partition.buffer_partial(lease, 0, part, 100);
                kept.expect("a small part");
                Ok(())
            }
            Saying::Turn {
                instance,
                execution,
                past,
                answer,
            } => {
                if judge_turn(world, partition, lease, &instance, answer).await? {
                    taken(Moment::TurnTaken {
                        delivery,
                        instance,
                        execution,
                        past,
                    });
                }
                Ok(())
            }
            Saying::Result(result) => {
                if judge_result(world, partition, lease, result).await? {
                    taken(Moment::ActivityTaken { delivery });
                }
                Ok(())
            }
            Saying::Batch(answer) => {
                if judge_batch(world, partition, lease, answer).await? {
                    taken(Moment::BatchTaken { delivery });
                }
                Ok(())
            }
            Saying::CannotRun(answer) => {
                let Some(lease) = partition.batch_lease(lease) else {
                    return unknown(world, partition, Setback::BatchStale).await;
                };
                // Without an outcome the batch is lost with the stream, at the latest.
                drop(partition.complete_batch(lease, answer).await);
                Ok(())
            }
            Saying::GivenBack(kind, delay) => {
                let known = match kind {
                    WorkKind::Orchestration => partition.turn_lease(lease).is_some(),
                    WorkKind::Activity => partition.activity_lease(lease).is_some(),
                    WorkKind::Entity => partition.batch_lease(lease).is_some(),
                };
                if !known {
                    return unknown(world, partition, Setback::Stale).await;
                }
                partition.abandon(lease, delay);
                Ok(())
            }
        }
    }
}

/// A delivery that is not known is over, but only a leader knows that; and whoever leads does not know for certain that
/// nobody else does.
async fn unknown(
    world: &World,
    partition: &Partition,
    setback: Setback,
) -> Result<(), ProposeError> {
    let asked = partition.view(&key_of("nobody")).await;
    asked.map_err(|error| match error {
        ReadError::NotLeader { leader } => ProposeError::NotLeader { leader },
        _ => ProposeError::NotApplied("leadership could not be confirmed"),
    })?;
    world.note(Moment::Setback(setback));
    Ok(())
}

/// Answers whether it was taken.
async fn judge_turn(
    world: &World,
    partition: &Partition,
    lease: LeaseId,
    instance: &str,
    mut rest: Answer,
) -> Result<bool, ProposeError> {
    let mut turn = partition.turn_lease(lease);
    if world.sabotage() == Sabotage::AnyToken && turn.is_none() {
        turn = partition.turn_lease_of(&key_of(instance));
    }
    let Some(turn) = turn else {
        return unknown(world, partition, Setback::Stale)
            .await
            .map(|()| false);
    };
    let mut whole = match partition.partial(lease) {
        Some(mut earlier) => {
            earlier.actions.append(&mut rest.actions);
            earlier
        }
        None => rest,
    };
    if world.sabotage() == Sabotage::TornTurn && whole.actions.len() > 1 {
        whole.actions.truncate(1);
    }
    partition.complete_turn(turn, whole).await?;
    Ok(true)
}

/// Answers whether it was taken.
async fn judge_result(
    world: &World,
    partition: &Partition,
    lease: LeaseId,
    result: ActivityResult,
) -> Result<bool, ProposeError> {
    let Some(activity) = partition.activity_lease(lease) else {
        return unknown(world, partition, Setback::Stale)
            .await
            .map(|()| false);
    };
    let completing = partition.complete_activity(activity, result);
    match world.sabotage() {
        Sabotage::LostResult => drop(completing),
        _ => completing.await?,
    }
    Ok(true)
}

/// Answers whether it was taken.
async fn judge_batch(
    world: &World,
    partition: &Partition,
    lease: LeaseId,
    answer: BatchAnswer,
) -> Result<bool, ProposeError> {
    let Some(batch) = partition.batch_lease(lease) else {
        return unknown(world, partition, Setback::BatchStale)
            .await
            .map(|()| false);
    };
    let completing = partition.complete_batch(batch, answer);
    match world.sabotage() {
        Sabotage::LostBatch => drop(completing),
        _ => completing.await?,
    }
    Ok(true)
}

/// A process's side of what travels.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) world: World,
    /// Which process it is of, if there is more than one.
    pub(crate) process: Option<ProcessId>,
    pub(crate) partitions: Partitions,
}

impl Desk {
    /// Takes an item that was just claimed, here or elsewhere.
    pub(crate) fn take(&self, claimed: &Claimed) -> Result<Handed, String> {
        match claimed {
            Claimed::Encoded(item) => match self.world.open_locker(&item.bytes) {
                Some(Locked::Item(item)) => {
                    let delivery = item.delivery.number;
                    self.world.note(Moment::Travelled { delivery });
                    Ok(*item)
                }
                _ => Err(format!("an item of {:?} is none", item.key)),
            },
            claimed => self.hand_out(claimed),
        }
    }

    /// Takes down that an item of a partition that is led here was handed out.
    fn hand_out(&self, claimed: &Claimed) -> Result<Handed, String> {
        let item = Item::read(claimed)?;
        let number = self.world.number();
        let stale = !self.leads(claimed);
        self.world.note(match stale {
            false => item.handed_out(number),
            true => Moment::Setback(Setback::HandedOutLate),
        });
        Ok(Handed {
            delivery: Delivery { number, stale },
            token: claimed.token().to_owned(),
            item,
        })
    }

    fn leads(&self, claimed: &Claimed) -> bool {
        let Some(process) = self.process else {
            return true;
        };
        let key = claimed.key();
        let id = self.partitions.count().partition_of(key.hub, &key.id);
        if let Some(partition) = self.partitions.hosted(id) {
            let leadership = *partition.leadership().borrow();
            self.world.observe(process, id, &leadership);
        }
        self.world.leader(id) == Some(process)
    }
}

impl Judge for Desk {
    fn judge(
        &self,
        partition: Partition,
        answer: WorkerAnswer,
    ) -> BoxFuture<'static, Result<(), ProposeError>> {
        let world = self.world.clone();
        async move {
            match world.open_locker(&answer.message) {
                Some(Locked::Word(word)) => word.judge(&world, &partition).await,
                _ => {
                    let problem = format!("{answer:?} is none");
                    world.broken("answers can be read", problem);
                    Ok(())
                }
            }
        }
        .boxed()
    }
}

impl Encoder for Desk {
    fn encode(&self, claimed: &Claimed) -> Result<Bytes, String> {
        let item = self.hand_out(claimed)?;
        Ok(self.world.fill_locker(Locked::Item(Box::new(item))))
    }
}
