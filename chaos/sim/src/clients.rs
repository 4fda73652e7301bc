//! Clients: each follows one story over all processes of the node, and knows what it was told and what it was not.

mod management;
mod queries;
mod reads;
mod signals;

use longhaul_engine::command::{CreateInstance, PurgeTarget, ReusePolicy};
use longhaul_engine::history::entity_event::{OperationText, operation_signaled};
use longhaul_engine::history::event::{INBOUND, event_raised};
use longhaul_engine::message::Creation;
use longhaul_engine::{Command, InstanceKey, Reply, Status};
use longhaul_partition::{Clock, WaitFor};
use longhaul_routing::{ProposeError, Router};
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use crate::dice::Dice;
use crate::moment::{Answer, Moment, Request};
use crate::orchestrations::LAST;
use crate::plan::{Deed, Numbered, Story};
use crate::sabotage::{self, Sabotage};
use crate::stories::{Progress, Stories};
use crate::world::{HUB, World};

pub(crate) use management::age;
pub(crate) use queries::list;
pub(crate) use reads::{look, look_at_entity};

/// A client during one process of the node.
pub(crate) struct Client {
    pub(crate) world: World,
    pub(crate) router: Router,
    pub(crate) dice: Dice,
    pub(crate) story: Story,
    /// Tells its stories apart.
    pub(crate) number: usize,
    pub(crate) stories: Stories,
}

impl Client {
    /// Goes on with the story from where it is.
    pub(crate) async fn live(mut self) {
        let mut progress = self.stories.progress(self.number);
        let wait = self
            .story
            .begins
            .saturating_sub(self.world.clock().elapsed());
        tokio::time::sleep(wait).await;
        while self
            .story
            .after
            .is_some_and(|it| !self.stories.progress(it).started)
        {
            self.pause(50, 100).await;
        }
        match self.story.deed.clone() {
            Deed::Run { input, delay } => {
                if progress.not_before.is_none() {
                    progress.not_before = delay.map(|delay| self.world.clock().now() + delay);
                }
                self.start_until_done(&input, &mut progress).await;
            }
            Deed::Pester { input } => {
                self.start_until_done(&input, &mut progress).await;
                self.pester(&mut progress).await;
            }
            Deed::End { input, force } => {
                self.start_until_done(&input, &mut progress).await;
                self.end(force, &mut progress).await;
            }
            Deed::Tell { events } => {
                self.tell(events, &mut progress).await;
                return self.done(&mut progress);
            }
            Deed::Replace { input, times } => self.replace(&input, times, &mut progress).await,
            Deed::Rewind { input } => {
                self.start_until_done(&input, &mut progress).await;
                self.rewind(&input, &mut progress).await;
            }
            Deed::Revive { input, times } => {
                self.start_until_done(&input, &mut progress).await;
                self.revive(&input, times, &mut progress).await;
            }
            Deed::Purge { input } => {
                self.start_until_done(&input, &mut progress).await;
                if !progress.tried {
                    self.await_end().await;
                    progress.tried = true;
                    self.save(&progress);
                }
                self.purge_until_gone().await;
                self.look().await;
                return self.done(&mut progress);
            }
            Deed::Signal { sayings } => {
                self.signal_all(&sayings, &mut progress).await;
                return self.done(&mut progress);
            }
            Deed::Wipe { rounds } => {
                self.wipe(rounds, &mut progress).await;
                return self.done(&mut progress);
            }
            Deed::Query { times } => {
                self.query(times, &mut progress).await;
                return self.done(&mut progress);
            }
        }
        self.await_end().await;
        self.done(&mut progress);
    }

    fn done(&self, progress: &mut Progress) {
        progress.done = true;
        self.save(progress);
    }

    async fn query(&mut self, times: u64, progress: &mut Progress) {
        while progress.steps < times {
            progress.steps += 1;
            self.save(progress);
            self.pause(0, 3_000).await;
            let wanted = queries::wanted(&mut self.dice);
            queries::read(&self.world, &self.router, wanted, &mut self.dice).await;
        }
    }

    fn execution(&self, generation: u64) -> String {
        format!(
            "{:08x}{generation:08x}{:016x}",
            self.number,
            self.world.plan().seed
        )
    }

    fn start_request(
        &self,
        input: &str,
        generation: u64,
        not_before: Option<Timestamp>,
    ) -> Request {
        Request::Start {
            instance: self.story.instance.clone(),
            execution: self.execution(generation),
            input: input.to_owned(),
            not_before,
        }
    }

    async fn start_until_done(&mut self, input: &str, progress: &mut Progress) {
        self.save(progress);
        while !progress.started {
            let request = self.start_request(input, 0, progress.not_before);
            match self.call(request, ReusePolicy::Default).await {
                Answer::Done => progress.started = true,
                Answer::NotDone | Answer::Unknown => self.pause(1, 300).await,
                // Judged by the invariants.
                Answer::Exists(_) | Answer::NotFound => self.pause(100, 1_000).await,
            }
            self.save(progress);
        }
        self.look().await;
    }

    async fn pester(&mut self, progress: &mut Progress) {
        while progress.steps < 6 && !self.world.healed() {
            self.pause(10, 900).await;
            progress.steps += 1;
            self.save(progress);
            let instance = self.story.instance.clone();
            let request = match self.dice.percent(50) {
                true => Request::Suspend { instance },
                false => Request::Resume { instance },
            };
            self.call(request, ReusePolicy::Default).await;
            self.look().await;
        }
        let instance = self.story.instance.clone();
        self.until_done(Request::Resume { instance }, progress)
            .await;
    }

    async fn end(&mut self, force: bool, progress: &mut Progress) {
        self.pause(0, 2_000).await;
        if force {
            self.force().await;
        }
        let request = Request::Terminate {
            instance: self.story.instance.clone(),
            recurse: true,
        };
        self.until_done(request, progress).await;
    }

    async fn tell(&mut self, events: u64, progress: &mut Progress) {
        let sender = format!("client-{}", self.number);
        while progress.steps < events {
            let payload = format!("{sender}/{}", progress.steps);
            let request = Request::Raise {
                instance: self.story.instance.clone(),
                payload,
            };
            // Before the call: an event has no id, so a call without an answer is not made again.
            let retry = progress.clone();
            progress.steps += 1;
            self.save(progress);
            match self.call(request, ReusePolicy::Default).await {
                Answer::NotFound => {
                    *progress = retry;
                    self.pause(100, 500).await;
                }
                _ => self.pause(0, 400).await,
            }
        }
        let last = Request::Raise {
            instance: self.story.instance.clone(),
            payload: format!("{sender}/{LAST}"),
        };
        self.until_done(last, progress).await;
    }

    /// Starts the instance again and again, whether it has ended or not.
    async fn replace(&mut self, input: &Numbered, times: u64, progress: &mut Progress) {
        while progress.steps < times {
            progress.steps += 1;
            self.save(progress);
            let request = self.start_request(&input.at(progress.steps), progress.steps, None);
            let reuse = match self.dice.below(4) {
                0 => ReusePolicy::Default,
                1 => ReusePolicy::Replace(vec![]),
                2 => ReusePolicy::Replace(vec![Status::Completed, Status::Terminated]),
                _ => ReusePolicy::Replace(vec![
                    Status::Pending,
                    Status::Running,
                    Status::Completed,
                    Status::Failed,
                    Status::Terminated,
                ]),
            };
            self.call(request, reuse).await;
            self.look().await;
            self.pause(0, 1_500).await;
        }
        let request = self.start_request(&input.at(times + 1), 0, None);
        while !progress.closed {
            match self.call(request.clone(), ReusePolicy::Default).await {
                Answer::Done | Answer::Exists(_) => progress.closed = true,
                _ => self.pause(50, 500).await,
            }
            self.save(progress);
        }
    }

    async fn until_done(&mut self, request: Request, progress: &mut Progress) {
        while !progress.closed {
            progress.closed =
                self.call(request.clone(), ReusePolicy::Default).await == Answer::Done;
            self.save(progress);
            if !progress.closed {
                self.pause(50, 500).await;
            }
        }
    }

    fn save(&self, progress: &Progress) {
        self.stories.save(self.number, progress);
    }

    async fn pause(&mut self, low: u64, high: u64) {
        tokio::time::sleep(self.dice.millis(low, high)).await;
    }

    fn key(&self) -> InstanceKey {
        key_of(&self.story.instance)
    }

    async fn call_plainly(&mut self, request: Request) -> Answer {
        self.call(request, ReusePolicy::Default).await
    }

    async fn call(&mut self, request: Request, reuse: ReusePolicy) -> Answer {
        let call = self.world.number();
        self.world.note(Moment::Asked {
            call,
            request: request.clone(),
        });
        let command = command(&request, reuse, self.world.clock().now());
        let home = self.router.home(&self.key());
        let is_signal = matches!(request, Request::Signal { due: None, .. });
        let outcome = match self.world.sabotage() {
            Sabotage::EarlyAnswer => {
                tokio::spawn(async move { home.propose(command).await });
                Ok(Reply::Done)
            }
            Sabotage::LostSignal if is_signal && self.dice.percent(30) => Ok(Reply::Done),
            Sabotage::ForgottenRequest if is_signal => {
                let command = sabotage::as_another_request(command, call);
                home.propose(command).await
            }
            Sabotage::HastySignal => {
                let command = sabotage::due_at_once(command);
                home.propose(command).await
            }
            _ => home.propose(command).await,
        };
        let answer = answer(outcome);
        self.world.note(Moment::Answered {
            call,
            request,
            answer,
        });
        answer
    }

    /// Reads the instance and its history.
    async fn look(&self) {
        look(&self.world, &self.router, &self.story.instance).await;
    }

    /// A call whose answer this client did not wait for may have come last.
    async fn resume_again(&mut self) {
        if self.world.plan().alone || !matches!(self.story.deed, Deed::Pester { .. }) {
            return;
        }
        let instance = self.story.instance.clone();
        self.call_plainly(Request::Resume { instance }).await;
    }

    /// Waits for the instance's end; answers how it ended.
    async fn await_end(&mut self) -> Status {
        loop {
            let key = self.key();
            let home = self.router.home(&key);
            let waiting = home.wait(&key, WaitFor::Ended);
            let patience = self.dice.millis(200, 5_000);
            let waited = tokio::time::timeout(patience, waiting).await;
            self.look().await;
            match waited {
                Ok(Ok(view)) => return view.status,
                Ok(Err(_)) => self.pause(10, 100).await,
                Err(_) => self.resume_again().await,
            }
        }
    }
}

/// The key of an instance.
pub(crate) fn key_of(instance: &str) -> InstanceKey {
    InstanceKey::new(HUB, InstanceId::trusted(instance))
}

fn command(request: &Request, reuse: ReusePolicy, now: Timestamp) -> Command {
    let key = key_of(request.instance());
    match request {
        Request::Start {
            execution,
            input,
            not_before,
            ..
        } => Command::CreateInstance(Box::new(CreateInstance {
            key,
            creation: Creation {
                execution: ExecutionId::new(execution.as_str()),
                name: "simulated".into(),
                version: None,
                input: Some(input.clone().into()),
                scheduled_start: *not_before,
                tags: None,
                parent: None,
                parent_trace: None,
                request_fingerprint: xxhash_rust::xxh3::xxh3_64(execution.as_bytes()),
            },
            reuse,
        })),
        Request::Raise { payload, .. } => Command::RaiseEvent {
            key,
            event: event_raised(now, "said", Some(payload.as_bytes())),
        },
        Request::Suspend { .. } => Command::Suspend { key, reason: None },
        Request::Resume { .. } => Command::Resume { key, reason: None },
        Request::Terminate { recurse, .. } => Command::Terminate {
            key,
            output: Some("ended".into()),
            recurse: *recurse,
        },
        Request::Force { .. } => Command::ForceTerminate {
            key,
            reason: Some("ended".into()),
        },
        Request::Purge { .. } => Command::Purge {
            targets: vec![PurgeTarget {
                key,
                completed_at: None,
            }],
        },
        Request::Restart { execution, .. } => Command::Restart {
            key,
            execution: ExecutionId::new(execution.as_str()),
        },
        Request::Rewind { execution, .. } => Command::Rewind {
            key,
            execution: ExecutionId::new(execution.as_str()),
            reason: None,
        },
        Request::Signal {
            entity,
            request,
            said,
            due,
            ..
        } => Command::SignalEntity {
            key,
            request_id: request.as_str().into(),
            event: operation_signaled(
                INBOUND,
                now,
                OperationText {
                    request_id: request,
                    operation: said.name,
                    scheduled: *due,
                    input: Some(said.input().as_bytes()),
                    target: entity,
                },
            ),
            due: *due,
        },
    }
}

fn answer(outcome: Result<Reply, ProposeError>) -> Answer {
    match outcome {
        Ok(Reply::Done | Reply::Stale | Reply::Received { .. }) => Answer::Done,
        Ok(Reply::Purged { count: 1.., .. }) => Answer::Done,
        Ok(Reply::NotFound | Reply::Purged { count: 0, live: 0 }) => Answer::NotFound,
        Ok(Reply::AlreadyExists(status)) => Answer::Exists(status),
        Ok(
            Reply::ContradictoryReuse
            | Reply::NotEnded(_)
            | Reply::NotFailed(_)
            | Reply::Refused
            | Reply::Purged { .. },
        )
        | Err(ProposeError::NotApplied(_) | ProposeError::Overloaded | ProposeError::Full { .. }) => {
            Answer::NotDone
        }
        Err(ProposeError::Unknown(_)) => Answer::Unknown,
    }
}
