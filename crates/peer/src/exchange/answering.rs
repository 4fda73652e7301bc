//! What other nodes ask, on the links that they open.
//!
//! Requests are handed over in the order in which they arrive, and answered as soon as the answer
//! is there. No answer is worked at while those before it are too many for the link.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use longhaul_proto::peer::v1 as proto;
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::{self, JoinSet},
};

use super::{
    Answers, Asker, AskerId,
    asking::WINDOW_BYTES,
    message::{self, BODY_BYTES_MAX, Content},
};
use crate::link::{Incoming, Link, LinkSender};

/// Answers wait to be worked at when this much waits to be sent.
const SENDING_BYTES_MAX: usize = 8 << 20;

/// Whoever is told this much without reading it loses its link.
const NOTICES_BYTES_MAX: usize = 32 << 20;

/// Answers each node on its newest link, until somebody else accepts.
pub(super) async fn accept(mut links: Incoming, answers: Arc<dyn Answers>) {
    let mut newest: BTreeMap<NodeId, task::AbortHandle> = BTreeMap::new();
    let mut serving = JoinSet::new();
    let mut last = 0;
    loop {
        tokio::select! {
            link = links.recv() => {
                let Some(link) = link else { return };
                last += 1;
                let node = link.peer;
                let id = AskerId { node, link: last };
                let served = serving.spawn(serve(link, id, answers.clone()));
                if let Some(older) = newest.insert(node, served) {
                    older.abort();
                }
            }
            Some(_) = serving.join_next() => {}
        }
    }
}

/// What is to be said on a link.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    /// Something was told.
    more: Notify,
}

#[derive(Default)]
struct Queue {
    contents: VecDeque<Content>,
    /// Weight of the answers.
    answers: usize,
    /// Weight of the notices.
    notices: usize,
    /// Nothing is said any more.
    over: bool,
}

impl Outgoing {
    pub(super) fn tell(&self, notice: Bytes) {
        let mut queue = self.queue.lock();
        if queue.over {
            return;
        }
        queue.notices += message::weight(notice.len());
        queue.contents.push_back(Content::Notice(notice));
        drop(queue);
        self.more.notify_one();
    }

    fn answer(&self, number: u64, answer: Result<Bytes, String>) {
        let answer = answer.and_then(|body| match body.len() {
            0..=BODY_BYTES_MAX => Ok(body),
            long => Err(format!("the answer has {long} bytes")),
        });
        let content = match answer {
            Ok(body) => Content::Answer(proto::Answer { number, body }),
            Err(reason) => Content::Unanswered(proto::Unanswered { number, reason }),
        };
        let mut queue = self.queue.lock();
        queue.answers += answer_weight(&content);
        queue.contents.push_back(content);
    }

    fn next_frame(&self) -> Option<Bytes> {
        let mut queue = self.queue.lock();
        message::frame(|| queue.next())
    }

    fn over(&self) {
        let mut queue = self.queue.lock();
        queue.over = true;
        queue.contents.clear();
    }
}

impl Queue {
    fn next(&mut self) -> Option<Content> {
        let content = self.contents.pop_front()?;
        match &content {
            Content::Notice(notice) => self.notices -= message::weight(notice.len()),
            _ => self.answers -= answer_weight(&content),
        }
        Some(content)
    }
}

fn answer_weight(content: &Content) -> usize {
    match content {
        Content::Answer(answer) => message::weight(answer.body.len()),
        _ => message::weight(0),
    }
}

/// The number of a request and its answer; `None` if it was cancelled.
type Answered = (u64, Option<Result<Bytes, String>>);

/// One node's questions on one link. Fields are dropped in this order.
struct Serving {
    open: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// How to stop each, and its weight.
    numbers: BTreeMap<u64, (AbortHandle, usize)>,
    /// Weight of the open requests.
    weight: usize,
    asker: Asker,
    answers: Arc<dyn Answers>,
    _lost: Lost,
}

/// Says so when an asker is gone.
struct Lost {
    id: AskerId,
    outgoing: Arc<Outgoing>,
    answers: Arc<dyn Answers>,
}

impl Drop for Lost {
    fn drop(&mut self) {
        self.outgoing.over();
        self.answers.asker_lost(self.id);
    }
}

fn serve(
    link: Link,
    id: AskerId,
    answers: Arc<dyn Answers>,
) -> impl Future<Output = ()> + Send + 'static {
    let outgoing: Arc<Outgoing> = Arc::default();
    // Made before the first poll, so that a link that is never served is lost as well.
    let serving = Serving {
        open: FuturesUnordered::new(),
        numbers: BTreeMap::new(),
        weight: 0,
        asker: Asker {
            id,
            outgoing: outgoing.clone(),
        },
        answers: answers.clone(),
        _lost: Lost {
            id,
            outgoing,
            answers,
        },
    };
    async move {
        let reason = serving.run(link).await;
        tracing::debug!(peer = %id.node, reason, "a node asks no more");
    }
}

impl Serving {
    /// Answers until the link ends; says why it has.
    async fn run(mut self, link: Link) -> String {
        let Link {
            sender,
            mut receiver,
            ..
        } = link;
        let outgoing = self.asker.outgoing.clone();
        loop {
            let (waiting, answers, notices) = {
                let queue = outgoing.queue.lock();
                (!queue.contents.is_empty(), queue.answers, queue.notices)
            };
            if notices > NOTICES_BYTES_MAX {
                return "it does not read what it is told".to_owned();
            }
            tokio::select! {
                frame = receiver.next() => {
                    let arrived = match frame {
                        Ok(Some(frame)) => self.arrived(frame),
                        Ok(None) => Err("it ended the link".to_owned()),
                        Err(broken) => Err(broken.to_string()),
                    };
                    if let Err(reason) = arrived {
                        return reason;
                    }
                }
                Some(answered) = self.open.next(), if answers < SENDING_BYTES_MAX => {
                    self.answered(answered);
                }
                sent = send(&sender, &outgoing), if waiting => {
                    if let Err(broken) = sent {
                        return broken.to_string();
                    }
                }
                () = outgoing.more.notified() => {}
            }
        }
    }

    /// # Errors
    /// Says what makes no sense.
    fn arrived(&mut self, frame: Bytes) -> Result<(), String> {
        for content in message::messages(frame)? {
            match content {
                Content::Request(request) => self.begin(request)?,
                Content::Cancelled(number) => self.cancel(number),
                Content::Answer(_) | Content::Unanswered(_) | Content::Notice(_) => {
                    return Err(message::misplaced(&content));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, request: proto::Request) -> Result<(), String> {
        let proto::Request { number, body } = request;
        let weight = message::weight(body.len()).min(WINDOW_BYTES);
        self.weight += weight;
        if self.weight > WINDOW_BYTES {
            return Err("it asks more than the window holds".to_owned());
        }
        let (abort, aborted) = AbortHandle::new_pair();
        if self.numbers.insert(number, (abort, weight)).is_some() {
            return Err("two requests with one number".to_owned());
        }
        let answer = self.answers.answer(self.asker.clone(), body);
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answer = Abortable::new(answer, aborted).map(move |answer| {
            let failed = || "the answer failed".to_owned();
            (
                number,
                answer.ok().map(|answer| answer.map_err(|_| failed())),
            )
        });
        self.open.push(answer.boxed());
        Ok(())
    }

    fn cancel(&mut self, number: u64) {
        // Answered in the meantime, if it is not there.
        if let Some((abort, weight)) = self.numbers.remove(&number) {
            self.weight -= weight;
            abort.abort();
        }
    }

    fn answered(&mut self, (number, answer): Answered) {
        if let Some((_, weight)) = self.numbers.remove(&number) {
            self.weight -= weight;
        }
        if let Some(answer) = answer {
            self.asker.outgoing.answer(number, answer);
        }
    }
}

async fn send(sender: &LinkSender, outgoing: &Outgoing) -> Result<(), crate::Broken> {
    let room = sender.room().await?;
    match outgoing.next_frame() {
        Some(frame) => room.send(frame),
        None => Ok(()),
    }
}
