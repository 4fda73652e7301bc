//! Workers: streams that come and go, and handlers that answer late, twice, or not at all.

mod batches;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::Stream;
use longhaul_engine::turn::{Action, Answer};
use longhaul_partition::{
    AbandonDelay, ActivityResult, Capabilities, Claimed, LeaseId, Partition, Partitions,
    ProposeError, SessionSpec, WorkKind,
};

use crate::dice::Dice;
use crate::history::{self, Entry};
use crate::moment::{Moment, Setback};
use crate::orchestrations;
use crate::sabotage::Sabotage;
use crate::world::{HUB, World};

/// One worker program.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) world: World,
    pub(crate) partitions: Partitions,
    pub(crate) dice: Dice,
}

/// What a handler does with its item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Properly,
    Twice,
    InParts,
    GivesBack(AbandonDelay),
    Forgets,
}

impl Worker {
    /// Opens streams one after another.
    pub(crate) async fn live(mut self) {
        loop {
            let mut limit = || u32::try_from(self.dice.between(1, 8)).expect("small");
            let mut stream = self.partitions.sessions().open(SessionSpec {
                hub: HUB,
                worker_id: None,
                limits: [limit(), limit(), limit()],
                filters: None,
                capabilities: Capabilities::default(),
            });
            let troubled = !self.world.healed() && self.world.plan().trouble > 0;
            let ends = match troubled {
                true => self.dice.millis(20, 4_000),
                false => Duration::from_secs(1 << 30),
            };
            let ends = tokio::time::sleep(ends);
            tokio::pin!(ends);
            loop {
                tokio::select! {
                    biased;
                    items = claim_all(&mut stream) => self.take(items),
                    () = &mut ends => break,
                }
            }
            drop(stream);
            self.world.note(Moment::Setback(Setback::StreamLost));
            let pause = self.dice.millis(0, 500);
            tokio::time::sleep(pause).await;
        }
    }

    fn take(&mut self, items: Vec<Claimed>) {
        for item in items {
            let delivery = self.world.number();
            let handler = Self {
                dice: Dice::new(self.dice.roll(), "handler"),
                ..self.clone()
            };
            match item {
                Claimed::Turn { token, turn } => {
                    let past = history::decode_framed(turn.past.inline());
                    let new: Result<Vec<Entry>, String> =
                        turn.new.iter().cloned().map(history::decode).collect();
                    let (past, new) = match (past, new) {
                        (Ok(past), Ok(new)) => (past, new),
                        (Err(problem), _) | (_, Err(problem)) => {
                            return self.world.broken("work items can be read", problem);
                        }
                    };
                    let turn = Turn {
                        delivery,
                        token,
                        instance: turn.context.key.id.to_string(),
                        execution: turn.context.execution.to_string(),
                        started: Entry {
                            id: -1,
                            at: turn.context.started_at,
                            what: history::What::TurnStarted,
                            raw: bytes::Bytes::new(),
                        },
                        past,
                        new,
                    };
                    self.world.note(Moment::TurnOut {
                        delivery,
                        instance: turn.instance.clone(),
                        execution: turn.execution.clone(),
                        past: turn.past.clone(),
                        new: turn.new.clone(),
                    });
                    tokio::spawn(handler.orchestrate(turn));
                }
                Claimed::Batch { token, batch } => {
                    if let Err(problem) = handler.take_batch(delivery, token, &batch) {
                        return self.world.broken("work items can be read", problem);
                    }
                }
                Claimed::Activity {
                    token,
                    key,
                    activity,
                } => {
                    let input = match history::decode(activity.event.clone()).map(|it| it.what) {
                        Ok(history::What::TaskScheduled { input }) => input,
                        other => {
                            let problem = format!("an activity item holds {other:?}");
                            return self.world.broken("work items can be read", problem);
                        }
                    };
                    self.world.note(Moment::ActivityOut {
                        delivery,
                        instance: key.id.to_string(),
                        execution: activity.execution.to_string(),
                        task: activity.task_id,
                        input: input.clone(),
                    });
                    tokio::spawn(handler.act(delivery, token, input));
                }
            }
        }
    }

    async fn orchestrate(mut self, turn: Turn) {
        let manner = self.manner();
        self.think().await;
        match manner {
            Manner::GivesBack(delay) => {
                return self.give_back(WorkKind::Orchestration, &turn.token, delay);
            }
            Manner::Forgets => return self.forget(),
            Manner::Properly | Manner::Twice | Manner::InParts => {}
        }
        // Workers may answer to the first of the new events only.
        let seen = match self.dice.percent(self.world.plan().trouble) && turn.new.len() > 1 {
            true => self.dice.between(1, turn.new.len() as u64 - 1),
            false => turn.new.len() as u64,
        };
        let mut all = turn.past.clone();
        all.push(turn.started.clone());
        all.extend(
            turn.new
                .iter()
                .take(usize::try_from(seen).expect("few"))
                .cloned(),
        );
        let mut answer = match orchestrations::answer(&all) {
            Ok(answer) => answer,
            Err(problem) => return self.world.broken("histories replay", problem),
        };
        if seen < turn.new.len() as u64 {
            answer.events_processed = Some(u32::try_from(seen).expect("few"));
        }
        self.world.note(answered(&turn, &answer));
        if self.world.sabotage() == Sabotage::LooseLock {
            loosen(&mut answer);
        }
        let times = 1 + u32::from(manner == Manner::Twice);
        for time in 0..times {
            if time > 0 {
                self.world.note(Moment::Setback(Setback::Repeated));
                self.think().await;
            }
            self.send_turn(&turn, answer.clone(), manner == Manner::InParts)
                .await;
        }
    }

    async fn send_turn(&mut self, turn: &Turn, answer: Answer, in_parts: bool) {
        let (partition, delivery) = self.delivery(WorkKind::Orchestration, &turn.token);
        loop {
            let mut rest = answer.clone();
            if in_parts && rest.actions.len() > 1 {
                let half = rest.actions.len() / 2;
                let first = Answer {
                    actions: rest.actions.drain(..half).collect(),
                    ..rest.clone()
                };
                let kept = partition.buffer_partial(delivery, 0, first, 100);
                kept.expect("a small part");
                tokio::time::sleep(self.dice.millis(0, 200)).await;
            }
            let Some(lease) = partition.turn_lease(delivery) else {
                return self.world.note(Moment::Setback(Setback::Stale));
            };
            let whole = match partition.partial(delivery) {
                Some(mut earlier) => {
                    earlier.actions.append(&mut rest.actions);
                    earlier
                }
                None => rest,
            };
            match partition.complete_turn(lease, whole).await {
                Ok(()) => {
                    return self.world.note(Moment::TurnTaken {
                        delivery: turn.delivery,
                        instance: turn.instance.clone(),
                        execution: turn.execution.clone(),
                        past: turn.past.len(),
                    });
                }
                Err(error) => self.try_again(&error).await,
            }
        }
    }

    async fn act(mut self, delivery: u64, token: String, input: String) {
        let manner = self.manner();
        self.think().await;
        match manner {
            Manner::GivesBack(delay) => return self.give_back(WorkKind::Activity, &token, delay),
            Manner::Forgets => return self.forget(),
            Manner::Properly | Manner::Twice | Manner::InParts => {}
        }
        let brittle = input.ends_with('!') && !self.world.healed();
        let chance = if brittle {
            orchestrations::BRITTLE_PERCENT
        } else {
            self.world.plan().trouble / 4
        };
        let fails = self.dice.percent(chance);
        let padding = self.world.plan().padding;
        let result = (!fails).then(|| orchestrations::activity_result(&input, delivery, padding));
        self.world.note(Moment::ActivityDone {
            delivery,
            result: result.clone(),
        });
        let times = 1 + u32::from(manner == Manner::Twice);
        for time in 0..times {
            if time > 0 {
                self.world.note(Moment::Setback(Setback::Repeated));
                self.think().await;
            }
            self.send_result(delivery, &token, result.as_deref()).await;
        }
    }

    async fn send_result(&mut self, delivery: u64, token: &str, result: Option<&str>) {
        loop {
            let (partition, lease) = self.delivery(WorkKind::Activity, token);
            let Some(lease) = partition.activity_lease(lease) else {
                return self.world.note(Moment::Setback(Setback::Stale));
            };
            let result = match result {
                Some(result) => ActivityResult::Completed(Some(result.to_owned().into())),
                None => ActivityResult::Failed(longhaul_engine::history::event::failure_details(
                    "Simulated",
                    "as the dice wanted it",
                )),
            };
            if self.world.sabotage() == Sabotage::LostResult {
                drop(partition.complete_activity(lease, result));
                return self.world.note(Moment::ActivityTaken { delivery });
            }
            match partition.complete_activity(lease, result).await {
                Ok(()) => return self.world.note(Moment::ActivityTaken { delivery }),
                Err(error) => self.try_again(&error).await,
            }
        }
    }

    async fn try_again(&mut self, error: &ProposeError) {
        if matches!(error, ProposeError::Unknown(_)) {
            self.world.note(Moment::Setback(Setback::NoOutcome));
        }
        tokio::time::sleep(self.dice.millis(5, 200)).await;
    }

    fn give_back(&self, kind: WorkKind, token: &str, delay: AbandonDelay) {
        self.world.note(Moment::Setback(Setback::Abandoned));
        let (partition, lease) = self.delivery(kind, token);
        partition.abandon(lease, delay);
    }

    fn delivery(&self, kind: WorkKind, token: &str) -> (Partition, LeaseId) {
        let found = self.partitions.by_token(HUB, kind, token);
        let (partition, lease) = found.expect("our token");
        (partition.clone(), lease)
    }

    fn forget(&self) {
        self.world.note(Moment::Setback(Setback::Forgotten));
    }

    fn manner(&mut self) -> Manner {
        if self.world.healed() || !self.dice.percent(self.world.plan().trouble) {
            return Manner::Properly;
        }
        match self.dice.below(10) {
            0..3 => Manner::Twice,
            3..6 => Manner::InParts,
            6 => Manner::GivesBack(AbandonDelay::None),
            7 | 8 => Manner::GivesBack(AbandonDelay::Backoff),
            _ => Manner::Forgets,
        }
    }

    async fn think(&mut self) {
        let time = match self.dice.below(20) {
            0 if !self.world.healed() => self.dice.millis(500, 6_000),
            1..8 => self.dice.millis(1, 80),
            _ => return tokio::task::yield_now().await,
        };
        tokio::time::sleep(time).await;
    }
}

/// A turn as a worker has it.
struct Turn {
    delivery: u64,
    token: String,
    instance: String,
    execution: String,
    started: Entry,
    past: Vec<Entry>,
    new: Vec<Entry>,
}

/// What a worker answers, as far as critical sections care.
fn answered(turn: &Turn, answer: &Answer) -> Moment {
    let (mut locks, mut unlocks) = (vec![], vec![]);
    let mut ends = false;
    for decided in &answer.actions {
        match &decided.action {
            Action::LockEntities {
                section, lock_set, ..
            } => locks.push((section.clone(), lock_set.clone())),
            Action::UnlockEntity { target, .. } => unlocks.push(target.clone()),
            Action::Complete { .. } | Action::ContinueAsNew { .. } => ends = true,
            _ => {}
        }
    }
    Moment::TurnAnswered {
        instance: turn.instance.clone(),
        execution: turn.execution.clone(),
        locks,
        unlocks,
        ends,
    }
}

/// Locks the first entity of each section only.
fn loosen(answer: &mut Answer) {
    for decided in &mut answer.actions {
        if let Action::LockEntities { lock_set, .. } = &mut decided.action {
            lock_set.truncate(1);
        }
    }
}

/// Waits for items and takes all there are, so that what is handed out is known at once.
async fn claim_all(stream: &mut longhaul_partition::Session) -> Vec<Claimed> {
    futures::future::poll_fn(|cx| {
        let mut items = Vec::new();
        while let Poll::Ready(Some(item)) = Pin::new(&mut *stream).poll_next(cx) {
            items.push(item);
        }
        if items.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(items)
        }
    })
    .await
}
