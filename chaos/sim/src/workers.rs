//! Workers: streams that come and go, and handlers that answer late, twice, or not at all.

mod batches;
mod desk;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::Stream;
use longhaul_engine::history::event as history_event;
use longhaul_engine::turn::{Action, Answer};
use longhaul_partition::{
    AbandonDelay, ActivityResult, Capabilities, Claimed, SessionSpec, WorkKind,
};
use longhaul_routing::{ProposeError, Router};

use crate::dice::Dice;
use crate::history::{self, Entry};
use crate::moment::{Moment, Setback};
use crate::orchestrations;
use crate::sabotage::Sabotage;
use crate::world::{HUB, World};

use desk::{Delivery, Handed, HandedTurn, Item, Saying, Word};
pub(crate) use desk::{Desk, Locked};

/// One worker program.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) world: World,
    pub(crate) router: Router,
    pub(crate) desk: Desk,
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
            let mut stream = self.router.sessions().open(SessionSpec {
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
            let handler = Self {
                dice: Dice::new(self.dice.roll(), "handler"),
                ..self.clone()
            };
            let handed = match self.desk.take(&item) {
                Ok(handed) => handed,
                Err(problem) => return self.world.broken("work items can be read", problem),
            };
            let Handed {
                delivery,
                token,
                item,
            } = handed;
            match item {
                Item::Turn(turn) => {
                    tokio::spawn(handler.orchestrate(Turn::new(delivery, token, turn)));
                }
                Item::Batch(batch) => {
                    tokio::spawn(handler.operate(delivery, token, batch));
                }
                Item::Activity(activity) => {
                    tokio::spawn(handler.act(delivery, token, activity.input));
                }
            }
        }
    }

    /// Takes down what a worker makes of a delivery.
    fn note(&self, delivery: Delivery, moment: Moment) {
        if !delivery.stale {
            self.world.note(moment);
        }
    }

    async fn orchestrate(mut self, turn: Turn) {
        let manner = self.manner();
        self.think().await;
        match manner {
            Manner::GivesBack(delay) => {
                return self
                    .give_back(turn.delivery, WorkKind::Orchestration, &turn.token, delay)
                    .await;
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
        self.note(turn.delivery, answered(&turn, &answer));
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

    async fn send_turn(&mut self, turn: &Turn, mut answer: Answer, in_parts: bool) {
        if in_parts && answer.actions.len() > 1 {
            let half = answer.actions.len() / 2;
            let first = Answer {
                actions: answer.actions.drain(..half).collect(),
                ..answer.clone()
            };
            self.say(
                turn.delivery,
                &turn.token,
                WorkKind::Orchestration,
                Saying::Part(first),
            )
            .await;
            tokio::time::sleep(self.dice.millis(0, 200)).await;
        }
        let whole = Saying::Turn {
            instance: turn.instance.clone(),
            execution: turn.execution.clone(),
            past: turn.past.len(),
            answer,
        };
        self.say(turn.delivery, &turn.token, WorkKind::Orchestration, whole)
            .await;
    }

    async fn act(mut self, delivery: Delivery, token: String, input: String) {
        let manner = self.manner();
        self.think().await;
        match manner {
            Manner::GivesBack(delay) => {
                return self
                    .give_back(delivery, WorkKind::Activity, &token, delay)
                    .await;
            }
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
        let result =
            (!fails).then(|| orchestrations::activity_result(&input, delivery.number, padding));
        let done = Moment::ActivityDone {
            delivery: delivery.number,
            result: result.clone(),
        };
        self.note(delivery, done);
        let times = 1 + u32::from(manner == Manner::Twice);
        for time in 0..times {
            if time > 0 {
                self.world.note(Moment::Setback(Setback::Repeated));
                self.think().await;
            }
            self.send_result(delivery, &token, result.as_deref()).await;
        }
    }

    async fn send_result(&mut self, delivery: Delivery, token: &str, result: Option<&str>) {
        let result = match result {
            Some(result) => ActivityResult::Completed(Some(result.to_owned().into())),
            None => ActivityResult::Failed(failure()),
        };
        self.say(delivery, token, WorkKind::Activity, Saying::Result(result))
            .await;
    }

    /// Says it to whoever leads, again and again until there is an answer.
    async fn say(&mut self, delivery: Delivery, token: &str, kind: WorkKind, what: Saying) {
        loop {
            let (home, lease) = self.router.by_token(HUB, kind, token).expect("our token");
            let word = Word {
                delivery,
                lease,
                what: what.clone(),
            };
            let said = match home.here() {
                Some(partition) => {
                    let judged = word.judge(&self.world, &partition).await;
                    judged.map_err(ProposeError::from)
                }
                None => home.answer(word.into_message(&self.world)).await,
            };
            match said {
                Ok(()) => return,
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

    async fn give_back(
        &mut self,
        delivery: Delivery,
        kind: WorkKind,
        token: &str,
        delay: AbandonDelay,
    ) {
        self.world.note(Moment::Setback(Setback::Abandoned));
        self.say(delivery, token, kind, Saying::GivenBack(kind, delay))
            .await;
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
    delivery: Delivery,
    token: String,
    instance: String,
    execution: String,
    started: Entry,
    past: Vec<Entry>,
    new: Vec<Entry>,
}

impl Turn {
    fn new(delivery: Delivery, token: String, handed: HandedTurn) -> Self {
        Self {
            delivery,
            token,
            instance: handed.instance,
            execution: handed.execution,
            started: Entry {
                id: -1,
                at: handed.started_at,
                what: history::What::TurnStarted,
                raw: bytes::Bytes::new(),
            },
            past: handed.past,
            new: handed.new,
        }
    }
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

fn failure() -> bytes::Bytes {
    history_event::failure_details("Simulated", "as the dice wanted it")
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
