//! This node's requests to another, and the answers it gets: one link at a time, kept open for as
//! long as somebody asks.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use longhaul_peer::{Class, Link, LinkReceiver, LinkSender, Links, OpenError};
use longhaul_wal::GroupId;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::{self, Instant},
};

use super::{RemoteConfig, outbox::Outbox};
use crate::{
    codec::wire::{self, answer, request},
    types::NodeId,
};

/// Requests without entries that one group may have unanswered: heartbeats, votes, transfers. They
/// have a window of their own, so that a slow disk there does not make this node look dead.
const CONTROL_WINDOW: usize = 16;

/// Which window of its group a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Carries this many bytes of entries.
    Entries(usize),
    /// Carries none.
    Control,
}

/// The conversation with one node, link after link.
pub(super) struct Dialogue {
    state: watch::Sender<State>,
    /// Somebody wants to ask.
    wanted: Notify,
    windows: WindowSizes,
}

#[derive(Clone)]
enum State {
    Up(Arc<Session>),
    Down {
        reason: String,
        /// Tells one failure from the next.
        failures: u64,
    },
}

#[derive(Debug, Clone, Copy)]
struct WindowSizes {
    bytes: u32,
    /// What a request takes at least, so that many small ones are bounded too.
    least: u32,
}

impl Dialogue {
    pub(super) fn new(config: &RemoteConfig) -> Self {
        let bytes = u32::try_from(config.window_bytes)
            .unwrap_or(u32::MAX >> 4)
            .max(1);
        let requests = u32::try_from(config.window_requests)
            .unwrap_or(u32::MAX)
            .max(1);
        Self {
            state: watch::Sender::new(State::Down {
                reason: "no link has been opened yet".to_owned(),
                failures: 0,
            }),
            wanted: Notify::new(),
            windows: WindowSizes {
                bytes,
                least: (bytes / requests).max(1),
            },
        }
    }

    /// The link in use, or the next one.
    ///
    /// # Errors
    /// Opening it fails, or takes longer than the deadline. Says why.
    pub(super) async fn session(&self, deadline: Instant) -> Result<Arc<Session>, String> {
        let mut state = self.state.subscribe();
        let seen = match &*state.borrow_and_update() {
            State::Up(session) => return Ok(session.clone()),
            State::Down { failures, .. } => *failures,
        };
        self.wanted.notify_one();
        let changed = state.wait_for(|state| match state {
            State::Up(_) => true,
            State::Down { failures, .. } => *failures != seen,
        });
        // The sender is here; only the deadline ends the wait early.
        drop(time::timeout_at(deadline, changed).await);
        match &*state.borrow() {
            State::Up(session) => Ok(session.clone()),
            State::Down { reason, .. } => Err(reason.clone()),
        }
    }

    fn up(&self, session: &Arc<Session>) {
        self.state.send_replace(State::Up(session.clone()));
    }

    fn down(&self, reason: String, failures: u64) {
        self.state.send_replace(State::Down { reason, failures });
    }
}

/// Opens links for a dialogue, for ever: again at once when one has broken, and otherwise when
/// somebody wants to ask. Whether the node has ended is told once for each link that broke.
pub(super) async fn keep(
    dialogue: Arc<Dialogue>,
    links: Arc<dyn Links>,
    to: NodeId,
    ended: impl Fn() + Send,
) {
    let mut broken = false;
    for failures in 1.. {
        if !broken {
            dialogue.wanted.notified().await;
        }
        match links.open(to, Class::Raft).await {
            Ok(link) => {
                let session = Arc::new(Session::new(dialogue.windows));
                dialogue.up(&session);
                let reason = session.run(link).await;
                dialogue.down(reason.clone(), failures);
                session.end(&reason);
                broken = true;
            }
            Err(error) => {
                if broken && matches!(error, OpenError::Absent { .. }) {
                    ended();
                }
                dialogue.down(error.to_string(), failures);
                broken = false;
            }
        }
    }
}

/// One link's worth of requests and answers.
pub(super) struct Session {
    exchange: Mutex<Exchange>,
    /// Number of the next request.
    next: AtomicU64,
    /// Something has been put into the outbox.
    more: Notify,
    windows: Mutex<BTreeMap<GroupId, Windows>>,
    sizes: WindowSizes,
}

#[derive(Default)]
struct Exchange {
    outbox: Outbox<(u64, Bytes)>,
    open: BTreeMap<u64, Open>,
    /// Why no more are taken.
    over: Option<Lost>,
}

/// A request without an answer.
struct Open {
    reply: oneshot::Sender<Result<answer::Body, Lost>>,
    /// Its place in the window. Kept although nobody waits for the answer: the other side is still
    /// at it.
    _place: OwnedSemaphorePermit,
}

#[derive(Clone)]
struct Windows {
    entries: Arc<Semaphore>,
    control: Arc<Semaphore>,
}

/// A request that gets no answer, because its link broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost(Arc<str>);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An answer to come.
pub(super) struct Reply(oneshot::Receiver<Result<answer::Body, Lost>>);

impl Future for Reply {
    type Output = Result<answer::Body, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(received.unwrap_or_else(|_| Err(Lost("the link is gone".into()))))
    }
}

impl Session {
    fn new(sizes: WindowSizes) -> Self {
        Self {
            exchange: Mutex::default(),
            next: AtomicU64::new(0),
            more: Notify::new(),
            windows: Mutex::default(),
            sizes,
        }
    }

    /// Waits for a place in the group's window, and sends. Calls of one task are sent in order.
    ///
    /// # Errors
    /// The link is gone.
    pub(super) async fn send(
        &self,
        group: GroupId,
        lane: Lane,
        body: request::Body,
    ) -> Result<Reply, Lost> {
        let place = self.place(group, lane).await?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = wire::encode_request(group, number, body);
        let (reply, answer) = oneshot::channel();
        let open = Open {
            reply,
            _place: place,
        };
        let mut exchange = self.exchange.lock();
        if let Some(lost) = &exchange.over {
            return Err(lost.clone());
        }
        exchange.open.insert(number, open);
        exchange.outbox.push(group, (number, frame));
        drop(exchange);
        self.more.notify_one();
        Ok(Reply(answer))
    }

    async fn place(&self, group: GroupId, lane: Lane) -> Result<OwnedSemaphorePermit, Lost> {
        let windows = self.windows_of(group);
        let (window, size) = match lane {
            Lane::Control => (windows.control, 1),
            Lane::Entries(bytes) => {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                // One that is larger than the window waits until it is alone.
                let size = bytes.clamp(self.sizes.least, self.sizes.bytes);
                (windows.entries, size)
            }
        };
        let place = window.acquire_many_owned(size).await;
        place.map_err(|_| self.lost())
    }

    fn windows_of(&self, group: GroupId) -> Windows {
        let over = self.exchange.lock().over.is_some();
        let mut windows = self.windows.lock();
        let sizes = self.sizes;
        let windows = windows.entry(group).or_insert_with(|| Windows {
            entries: Arc::new(Semaphore::new(sizes.bytes as usize)),
            control: Arc::new(Semaphore::new(CONTROL_WINDOW)),
        });
        if over {
            windows.close();
        }
        windows.clone()
    }

    fn lost(&self) -> Lost {
        let over = self.exchange.lock().over.clone();
        over.unwrap_or_else(|| Lost("the link is gone".into()))
    }

    /// Sends and receives until the link is broken; says why it is.
    async fn run(&self, link: Link) -> String {
        let Link {
            sender,
            receiver,
            peer: _,
        } = link;
        tokio::select! {
            reason = self.write(&sender) => reason,
            reason = self.read(receiver) => reason,
        }
    }

    async fn write(&self, sender: &LinkSender) -> String {
        loop {
            // Room first: what is taken from the outbox must not wait behind others any more.
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
            if let Some(frame) = self.exchange.lock().next_frame() {
                return frame;
            }
            self.more.notified().await;
        }
    }

    async fn read(&self, mut receiver: LinkReceiver) -> String {
        loop {
            let frame = match receiver.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return "the other node has ended the link".to_owned(),
                Err(broken) => return broken.to_string(),
            };
            match wire::decode_answer(frame) {
                Ok((number, body)) => self.answered(number, body),
                Err(fault) => return fault.to_string(),
            }
        }
    }

    fn answered(&self, number: u64, body: answer::Body) {
        let open = self.exchange.lock().open.remove(&number);
        if let Some(open) = open {
            // Whoever asked may have given up.
            drop(open.reply.send(Ok(body)));
        }
    }

    /// Fails every request, open or to come.
    fn end(&self, reason: &str) {
        let lost = Lost(reason.into());
        let open = {
            let mut exchange = self.exchange.lock();
            exchange.over = Some(lost.clone());
            exchange.outbox.clear();
            std::mem::take(&mut exchange.open)
        };
        for window in self.windows.lock().values() {
            window.close();
        }
        for open in open.into_values() {
            drop(open.reply.send(Err(lost.clone())));
        }
    }
}

impl Windows {
    fn close(&self) {
        self.entries.close();
        self.control.close();
    }
}

impl Exchange {
    /// The next frame to send. Requests that nobody waits for any more are not made.
    fn next_frame(&mut self) -> Option<Bytes> {
        while let Some((number, frame)) = self.outbox.pop() {
            let given_up = |open: &Open| open.reply.is_closed();
            if !self.open.get(&number).is_none_or(given_up) {
                return Some(frame);
            }
            self.open.remove(&number);
        }
        None
    }
}
