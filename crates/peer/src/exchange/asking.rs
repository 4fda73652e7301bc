//! This node's questions to another: one link at a time, opened again for as long as it is kept.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use longhaul_proto::peer::v1 as proto;
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    task::coop,
    time::Instant,
};

use super::{
    AskError, Contact, Events,
    message::{self, BODY_BYTES_MAX, Content},
};
use crate::link::{Class, Link, LinkReceiver, LinkSender, Links};

/// Weight of the questions to one node that are not answered; whoever asks more waits.
pub(super) const WINDOW_BYTES: usize = 64 << 20;

/// The way to one node, link after link.
pub(super) struct Way {
    to: NodeId,
    state: Mutex<State>,
}

struct State {
    since: Instant,
    /// Or why there is none.
    session: Result<Arc<Session>, String>,
}

impl Way {
    pub(super) fn new(to: NodeId) -> Self {
        Self {
            to,
            state: Mutex::new(State {
                since: Instant::now(),
                session: Err("no link has been opened yet".to_owned()),
            }),
        }
    }

    pub(super) fn contact(&self) -> Contact {
        let state = self.state.lock();
        let since = state.since.elapsed();
        match state.session {
            Ok(_) => Contact::Up(since),
            Err(_) => Contact::Down(since),
        }
    }

    /// The link in use.
    ///
    /// # Errors
    /// Says why there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>, String> {
        self.state.lock().session.clone()
    }

    /// Failed attempts change the reason, and not since when there is no link.
    fn not_opened(&self, reason: String) {
        self.state.lock().session = Err(reason);
    }

    fn change(&self, session: Result<Arc<Session>, String>) {
        *self.state.lock() = State {
            since: Instant::now(),
            session,
        };
    }
}

/// Opens links, one after the other, for ever.
pub(super) async fn keep(
    way: Arc<Way>,
    links: Arc<dyn Links>,
    class: Class,
    events: Arc<dyn Events>,
) {
    loop {
        match links.open(way.to, class).await {
            Ok(link) => {
                let mut open = Open::begin(&way, &*events);
                open.reason = open
                    .session
                    .run(link, &mut |notice| {
                        events.told(way.to, notice);
                    })
                    .await;
                tracing::debug!(node = %way.to, %class, reason = open.reason, "a link is lost");
            }
            Err(error) => way.not_opened(error.to_string()),
        }
    }
}

/// A link in use. However it ends, its questions fail and its loss is told.
struct Open<'a> {
    way: &'a Way,
    events: &'a dyn Events,
    session: Arc<Session>,
    reason: String,
}

impl<'a> Open<'a> {
    fn begin(way: &'a Way, events: &'a dyn Events) -> Self {
        let session = Arc::new(Session::new());
        way.change(Ok(session.clone()));
        events.opened(way.to);
        Self {
            way,
            events,
            session,
            reason: "this node has closed the link".to_owned(),
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.way.change(Err(self.reason.clone()));
        self.session.end(&self.reason);
        self.events.lost(self.way.to);
    }
}

/// One link's worth of questions and answers.
pub(super) struct Session {
    talk: Mutex<Talk>,
    /// There is something to send.
    more: Notify,
    window: Arc<Semaphore>,
}

#[derive(Default)]
struct Talk {
    /// Number of the last question.
    last: u64,
    open: BTreeMap<u64, Question>,
    /// Bodies of the open questions that have not been sent.
    unsent: BTreeMap<u64, Bytes>,
    /// Questions that were sent and are not open any more.
    cancelled: VecDeque<u64>,
    /// Why no more are taken.
    over: Option<String>,
}

type Answer = Result<Bytes, AskError>;

/// Without an answer so far.
struct Question {
    reply: oneshot::Sender<Answer>,
    _place: OwnedSemaphorePermit,
}

/// A question somebody waits for. Dropped, it is taken back.
struct Waiting<'a> {
    session: &'a Session,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.session.take_back(self.number);
    }
}

impl Session {
    fn new() -> Self {
        Self {
            talk: Mutex::default(),
            more: Notify::new(),
            window: Arc::new(Semaphore::new(WINDOW_BYTES)),
        }
    }

    pub(super) async fn ask(&self, request: Bytes) -> Result<Bytes, AskError> {
        if request.len() > BODY_BYTES_MAX {
            let reason = format!("a request of {} bytes", request.len());
            return Err(AskError::NotSent(reason));
        }
        // One that is larger than the window waits until it is alone.
        let weight = message::weight(request.len()).min(WINDOW_BYTES);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let place = self.window.clone().acquire_many_owned(weight);
        // A task that has used up its turn must not lose its question's place to a later one.
        let place = coop::unconstrained(place).await;
        let place = place.map_err(|_| AskError::NotSent(self.reason()))?;
        let (waiting, answer) = self.begin(request, place)?;
        let answer = answer.await;
        drop(waiting);
        answer.unwrap_or_else(|_| Err(AskError::Unknown(self.reason())))
    }

    fn begin(
        &self,
        request: Bytes,
        place: OwnedSemaphorePermit,
    ) -> Result<(Waiting<'_>, oneshot::Receiver<Answer>), AskError> {
        let (reply, answer) = oneshot::channel();
        let mut talk = self.talk.lock();
        if let Some(reason) = &talk.over {
            return Err(AskError::NotSent(reason.clone()));
        }
        talk.last += 1;
        let number = talk.last;
        let question = Question {
            reply,
            _place: place,
        };
        talk.open.insert(number, question);
        talk.unsent.insert(number, request);
        drop(talk);
        self.more.notify_one();
        let session = self;
        Ok((Waiting { session, number }, answer))
    }

    fn take_back(&self, number: u64) {
        let mut talk = self.talk.lock();
        if talk.open.remove(&number).is_some() && talk.unsent.remove(&number).is_none() {
            talk.cancelled.push_back(number);
            drop(talk);
            self.more.notify_one();
        }
    }

    fn reason(&self) -> String {
        let over = self.talk.lock().over.clone();
        over.unwrap_or_else(|| "the link is gone".to_owned())
    }

    /// Sends and receives until the link is broken; says why it is.
    async fn run(&self, link: Link, told: &mut (dyn FnMut(Bytes) + Send)) -> String {
        tokio::select! {
            reason = self.write(&link.sender) => reason,
            reason = self.read(link.receiver, told) => reason,
        }
    }

    async fn write(&self, sender: &LinkSender) -> String {
        loop {
            // Room first: what is taken to be sent counts as seen by the other side.
            let room = match sender.room().await {
                Ok(room) => room,
                Err(broken) => return broken.to_string(),
            };
            let frame = self.next_frame().await;
            if let Err(broken) = room.send(frame) {
                return broken.to_string();
            }
        }
    }

    async fn next_frame(&self) -> Bytes {
        loop {
            {
                let mut talk = self.talk.lock();
                if let Some(frame) = message::frame(|| talk.next()) {
                    return frame;
                }
            }
            self.more.notified().await;
        }
    }

    async fn read(
        &self,
        mut receiver: LinkReceiver,
        told: &mut (dyn FnMut(Bytes) + Send),
    ) -> String {
        loop {
            let frame = match receiver.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return "the other node has ended the link".to_owned(),
                Err(broken) => return broken.to_string(),
            };
            let messages = match message::messages(frame) {
                Ok(messages) => messages,
                Err(reason) => return reason,
            };
            for content in messages {
                match content {
                    Content::Answer(answer) => self.answered(answer.number, Ok(answer.body)),
                    Content::Unanswered(proto::Unanswered { number, reason }) => {
                        self.answered(number, Err(AskError::Unknown(reason)));
                    }
                    Content::Notice(notice) => told(notice),
                    Content::Request(_) | Content::Cancelled(_) => {
                        return message::misplaced(&content);
                    }
                }
            }
        }
    }

    fn answered(&self, number: u64, answer: Result<Bytes, AskError>) {
        let question = self.talk.lock().open.remove(&number);
        if let Some(question) = question {
            // Whoever asked may have given up.
            drop(question.reply.send(answer));
        }
    }

    /// Fails every question, open or to come.
    fn end(&self, reason: &str) {
        let (open, unsent) = {
            let mut talk = self.talk.lock();
            talk.over = Some(reason.to_owned());
            talk.cancelled.clear();
            (
                std::mem::take(&mut talk.open),
                std::mem::take(&mut talk.unsent),
            )
        };
        self.window.close();
        for (number, question) in open {
            let reason = reason.to_owned();
            let error = if unsent.contains_key(&number) {
                AskError::NotSent(reason)
            } else {
                AskError::Unknown(reason)
            };
            drop(question.reply.send(Err(error)));
        }
    }
}

impl Talk {
    /// What to send next. What was taken back first, so that the other side never works at more than
    /// the window holds.
    fn next(&mut self) -> Option<Content> {
        if let Some(number) = self.cancelled.pop_front() {
            return Some(Content::Cancelled(number));
        }
        let (number, body) = self.unsent.pop_first()?;
        Some(Content::Request(proto::Request { number, body }))
    }
}
