//! Clients: each follows one story over all processes of the node, and knows what it was told and what it was not.

use bytes::Bytes;
use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::history::event::event_raised;
use longhaul_engine::message::Creation;
use longhaul_engine::{Command, InstanceKey, Reply, Status};
use longhaul_partition::{Clock, Partitions, ProposeError, WaitFor};
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use crate::dice::Dice;
use crate::history;
use crate::moment::{Answer, Moment, Request, View};
use crate::orchestrations::LAST;
use crate::plan::{Deed, Story};
use crate::sabotage::Sabotage;
use crate::stories::{Progress, Stories};
use crate::world::{HUB, World};

/// A client during one process of the node.
pub(crate) struct Client {
    pub(crate) world: World,
    pub(crate) partitions: Partitions,
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
            Deed::End { input } => {
                self.start_until_done(&input, &mut progress).await;
                self.end(&mut progress).await;
            }
            Deed::Tell { events } => {
                self.tell(events, &mut progress).await;
                progress.done = true;
                return self.save(&progress);
            }
            Deed::Restart { times } => self.restart(times, &mut progress).await,
        }
        self.await_end().await;
        progress.done = true;
        self.save(&progress);
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

    async fn end(&mut self, progress: &mut Progress) {
        self.pause(0, 2_000).await;
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

    async fn restart(&mut self, times: u64, progress: &mut Progress) {
        while progress.steps < times {
            progress.steps += 1;
            self.save(progress);
            let request = self.start_request("seq:2", progress.steps, None);
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
        let request = self.start_request("seq:2", 0, None);
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

    async fn call(&mut self, request: Request, reuse: ReusePolicy) -> Answer {
        let call = self.world.number();
        self.world.note(Moment::Asked {
            call,
            request: request.clone(),
        });
        let command = command(&request, reuse, self.world.clock().now());
        let partitions = self.partitions.clone();
        let key = self.key();
        let outcome = if self.world.sabotage() == Sabotage::EarlyAnswer {
            tokio::spawn(async move { partitions.home(&key).propose(command).await });
            Ok(Reply::Done)
        } else {
            partitions.home(&key).propose(command).await
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
        look(&self.world, &self.partitions, &self.story.instance).await;
    }

    async fn await_end(&mut self) {
        loop {
            let key = self.key();
            let waiting = self.partitions.home(&key).wait(&key, WaitFor::Ended);
            let patience = self.dice.millis(200, 5_000);
            let waited = tokio::time::timeout(patience, waiting).await;
            self.look().await;
            match waited {
                Ok(Ok(_)) => return,
                Ok(Err(_)) => self.pause(10, 100).await,
                Err(_) => {}
            }
        }
    }
}

/// Reads an instance and its history.
pub(crate) async fn look(world: &World, partitions: &Partitions, instance: &str) {
    let key = key_of(instance);
    let partition = partitions.home(&key);
    if let Ok(view) = partition.view(&key).await {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        world.note(Moment::Seen {
            instance: instance.to_owned(),
            view: view.map(|view| View {
                execution: view.execution.to_string(),
                status: view.status,
                input: view.input.as_ref().map(text).unwrap_or_default(),
                output: view.output.as_ref().map(text),
            }),
        });
    }
    if let Ok(Some(read)) = partition.history(&key).await {
        match history::decode_framed(&read.runs) {
            Ok(history) => world.note(Moment::Read {
                instance: instance.to_owned(),
                execution: read.execution.to_string(),
                history,
            }),
            Err(problem) => world.broken("histories can be read", problem),
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
    }
}

fn answer(outcome: Result<Reply, ProposeError>) -> Answer {
    match outcome {
        Ok(Reply::Done | Reply::Stale | Reply::Received { .. }) => Answer::Done,
        Ok(Reply::NotFound) => Answer::NotFound,
        Ok(Reply::AlreadyExists(status)) => Answer::Exists(status),
        Ok(
            Reply::ContradictoryReuse
            | Reply::NotEnded(_)
            | Reply::NotFailed(_)
            | Reply::Refused
            | Reply::Purged { .. },
        )
        | Err(ProposeError::NotApplied(_) | ProposeError::Overloaded) => Answer::NotDone,
        Err(ProposeError::Unknown(_)) => Answer::Unknown,
    }
}
