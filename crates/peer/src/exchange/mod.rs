//! Questions and answers between nodes, over the links of one class.
//!
//! ```text
//!   ask(node, request) ─► asking.rs ══ link, opened here ══► answering.rs ─► Answers::answer
//!        answer, notice ◄─          ◄═══════════════════════              ◄─ Asker::tell
//! ```
//!
//! A node keeps one link with each node it is told to, opens it again whenever it breaks, and asks
//! on it. Many questions are on their way at once and answered in any order; notices come in order
//! with the answers that were given before and after them. What others ask comes on links that they
//! have opened. What is in a request is the business of those who use the exchange.
//!
//! Memory is bounded: whoever asks waits for room in the window of the node, and an answer is not
//! worked at while those before it wait to be sent.

mod answering;
mod asking;
mod message;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::{runtime::Handle, task::JoinSet};

use self::{
    answering::Outgoing,
    asking::{Session, Way},
};
use crate::link::{Class, Links};

/// What an [`Exchange`] is started with.
pub struct ExchangeSetup {
    /// The node's links.
    pub links: Arc<dyn Links>,
    /// Which of them. Nobody else may use this class.
    pub class: Class,
    /// Answers what others ask.
    pub answers: Arc<dyn Answers>,
    /// Told what others say without being asked.
    pub events: Arc<dyn Events>,
}

/// Answers the requests of other nodes.
pub trait Answers: Send + Sync + 'static {
    /// Called for the requests of one link in their order; the answers may come in any. The future
    /// is dropped when the asker waits no more, or is lost. Must not block.
    fn answer(&self, asker: Asker, request: Bytes) -> BoxFuture<'static, Bytes>;

    /// The link is gone on which it has asked, or might have. Called once for each link, when no
    /// answer on it is being worked at any more.
    fn asker_lost(&self, asker: AskerId);
}

/// Told about the links that this node asks on. Calls about one node are never concurrent. Must not
/// block.
pub trait Events: Send + Sync + 'static {
    /// The node can be asked from now on.
    fn opened(&self, node: NodeId);
    /// A notice of the node. Answers that it gave before have been handed to whoever waits for them.
    fn told(&self, node: NodeId, notice: Bytes);
    /// The link that was opened last is gone, and all questions on it have failed.
    fn lost(&self, node: NodeId);
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The other node has certainly not seen the request.
    #[error("not asked: {0}")]
    NotSent(String),
    /// It may have.
    #[error("no answer: {0}")]
    Unknown(String),
}

/// Whether a node can be asked, and for how long that has been so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// There is a link.
    Up(Duration),
    /// There is none.
    Down(Duration),
}

/// One node on one of its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskerId {
    /// The node.
    pub node: NodeId,
    /// Tells its links apart; never used again.
    pub link: u64,
}

/// Whoever asks, and can be told more than the answer for as long as its link lives.
#[derive(Clone)]
pub struct Asker {
    /// Who it is.
    pub id: AskerId,
    outgoing: Arc<Outgoing>,
}

impl Asker {
    /// Says something without being asked: after the answers given before, and before later ones.
    /// Lost if the link is lost. An asker that does not read what it is told loses its link.
    pub fn tell(&self, notice: Bytes) {
        self.outgoing.tell(notice);
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asker").field(&self.id).finish()
    }
}

/// Questions and answers over one class of links. Clones are the same; it ends with the last one.
#[derive(Clone)]
pub struct Exchange(Arc<Running>);

struct Running {
    links: Arc<dyn Links>,
    class: Class,
    events: Arc<dyn Events>,
    runtime: Handle,
    kept: Mutex<BTreeMap<NodeId, Kept>>,
    _answering: JoinSet<()>,
}

/// A node with which a link is kept.
struct Kept {
    way: Arc<Way>,
    _job: JoinSet<()>,
}

impl Exchange {
    /// Answers from now on, and asks nobody yet. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(setup: ExchangeSetup) -> Self {
        let incoming = setup.links.accept(setup.class);
        let mut answering = JoinSet::new();
        answering.spawn(answering::accept(incoming, setup.answers));
        Self(Arc::new(Running {
            links: setup.links,
            class: setup.class,
            events: setup.events,
            runtime: Handle::current(),
            kept: Mutex::default(),
            _answering: answering,
        }))
    }

    /// With whom to keep a link from now on. Links with others are closed.
    pub fn keep(&self, nodes: BTreeSet<NodeId>) {
        let mut kept = self.0.kept.lock();
        let (stay, mut go) = std::mem::take(&mut *kept)
            .into_iter()
            .partition(|(node, _)| nodes.contains(node));
        *kept = stay;
        for node in nodes {
            kept.entry(node).or_insert_with(|| self.0.begin(node));
        }
        drop(kept);
        go.clear();
    }

    /// Asks a node with which a link is kept. Waits for room if many questions to it are open, and
    /// then for the answer, however long that takes. Questions that are asked one after another
    /// arrive in that order. A future that is dropped takes the question back: the other node stops
    /// working at it, if it can.
    ///
    /// # Errors
    /// [`AskError`]; at once, if there is no link.
    pub async fn ask(&self, to: NodeId, request: Bytes) -> Result<Bytes, AskError> {
        let way = self.0.kept.lock().get(&to).map(|kept| kept.way.clone());
        let way =
            way.ok_or_else(|| AskError::NotSent(format!("no link is kept with node {to}")))?;
        let session = way.session().map_err(AskError::NotSent)?;
        session.ask(request).await
    }

    /// The link with a node, if there is one now.
    #[must_use]
    pub fn line(&self, to: NodeId) -> Option<Line> {
        let kept = self.0.kept.lock();
        let session = kept.get(&to)?.way.session();
        session.ok().map(Line)
    }

    /// The same exchange, without keeping it alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakExchange {
        WeakExchange(Arc::downgrade(&self.0))
    }

    /// The nodes with which links are kept.
    #[must_use]
    pub fn contacts(&self) -> BTreeMap<NodeId, Contact> {
        let kept = self.0.kept.lock();
        let contacts = kept.iter().map(|(node, kept)| (*node, kept.way.contact()));
        contacts.collect()
    }
}

impl Running {
    fn begin(&self, node: NodeId) -> Kept {
        let way = Arc::new(Way::new(node));
        let mut job = JoinSet::new();
        let keeping = asking::keep(
            way.clone(),
            self.links.clone(),
            self.class,
            self.events.clone(),
        );
        job.spawn_on(keeping, &self.runtime);
        Kept { way, _job: job }
    }
}

/// One link with a node, for those who have to know on which link they ask. Clones are the same.
#[derive(Clone)]
pub struct Line(Arc<Session>);

impl Line {
    /// Asks as [`Exchange::ask`] does, on this link and no other.
    ///
    /// # Errors
    /// [`AskError`]; at once, if the link is gone.
    pub async fn ask(&self, request: Bytes) -> Result<Bytes, AskError> {
        self.0.ask(request).await
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// An [`Exchange`] that ends when others let go of it.
#[derive(Clone)]
pub struct WeakExchange(Weak<Running>);

impl WeakExchange {
    /// The exchange, if it has not ended.
    #[must_use]
    pub fn upgrade(&self) -> Option<Exchange> {
        self.0.upgrade().map(Exchange)
    }
}

impl fmt::Debug for WeakExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakExchange")
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exchange").field(&self.0.class).finish()
    }
}
