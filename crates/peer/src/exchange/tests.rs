//! Questions and answers over both kinds of links, on a paused clock.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, future};
use tokio::{
    sync::{Notify, watch},
    task::yield_now,
    time::{self, Instant},
};

use super::{asking::WINDOW_BYTES, *};
use crate::MemoryLinks;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// Two nodes, of which the first asks the second.
struct World {
    asking: Exchange,
    answering: Exchange,
    answers: Arc<Script>,
    heard: Arc<Heard>,
}

/// Answers as the request says:
///
/// | request | answer |
/// |---|---|
/// | `tell n…` | three notices with the text, then the text |
/// | `hold…` | none before [`Script::release`] |
/// | `panic` | none |
/// | `long` | a byte more than fits |
/// | any other | itself |
#[derive(Default)]
struct Script {
    seen: Mutex<Vec<Bytes>>,
    /// Requests being answered, and their bytes.
    working: watch::Sender<(usize, usize)>,
    released: watch::Sender<bool>,
    askers: Mutex<Vec<Asker>>,
    lost: watch::Sender<Vec<AskerId>>,
}

impl Script {
    fn release(&self) {
        self.released.send_replace(true);
    }

    fn seen(&self) -> Vec<Bytes> {
        self.seen.lock().clone()
    }
}

/// Counts a request as being worked at.
struct Working(Arc<Script>, usize);

impl Working {
    fn begin(script: &Arc<Script>, bytes: usize) -> Self {
        let begin = |(requests, held): &mut (usize, usize)| {
            *requests += 1;
            *held += bytes;
        };
        script.working.send_modify(begin);
        Self(script.clone(), bytes)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.send_modify(|(requests, held)| {
            *requests -= 1;
            *held -= self.1;
        });
    }
}

struct Scripted(Arc<Script>);

impl Answers for Scripted {
    fn answer(&self, asker: Asker, request: Bytes) -> BoxFuture<'static, Bytes> {
        let script = self.0.clone();
        script.seen.lock().push(request.clone());
        script.askers.lock().push(asker.clone());
        let working = Working::begin(&script, request.len());
        async move {
            let _working = working;
            if request.starts_with(b"tell") {
                (0..3).for_each(|_| asker.tell(request.clone()));
            }
            if request.starts_with(b"hold") {
                let mut released = script.released.subscribe();
                released.wait_for(|released| *released).await.expect("kept");
            }
            assert_ne!(&*request, b"panic", "as asked for");
            if &*request == b"long" {
                return vec![0; crate::FRAME_BYTES_MAX].into();
            }
            request
        }
        .boxed()
    }

    fn asker_lost(&self, asker: AskerId) {
        assert_eq!(
            *self.0.working.borrow(),
            (0, 0),
            "nobody works for it any more"
        );
        self.0.lost.send_modify(|lost| lost.push(asker));
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Opened(NodeId),
    Told(NodeId, Bytes),
    Lost(NodeId),
    /// Of the test's own question.
    Answered(Bytes),
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Event>>,
    more: Notify,
}

impl Heard {
    fn note(&self, event: Event) {
        self.events.lock().push(event);
        self.more.notify_one();
    }

    fn count(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events
            .lock()
            .iter()
            .filter(|event| what(event))
            .count()
    }

    async fn until(&self, so: impl Fn(&[Event]) -> bool) {
        soon(async {
            while !so(&self.events.lock()) {
                self.more.notified().await;
            }
        })
        .await;
    }
}

impl Events for Heard {
    fn opened(&self, node: NodeId) {
        self.note(Event::Opened(node));
    }

    fn told(&self, node: NodeId, notice: Bytes) {
        self.note(Event::Told(node, notice));
    }

    fn lost(&self, node: NodeId) {
        self.note(Event::Lost(node));
    }
}

/// Asks nobody, and answers nothing.
struct Mute;

impl Answers for Mute {
    fn answer(&self, _: Asker, _: Bytes) -> BoxFuture<'static, Bytes> {
        future::pending().boxed()
    }

    fn asker_lost(&self, _: AskerId) {}
}

async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    let patient = time::timeout(Duration::from_secs(60), awaited);
    patient.await.expect("within a minute")
}

impl World {
    fn new(first: Arc<dyn Links>, second: Arc<dyn Links>, class: Class) -> Self {
        let (answers, heard) = (Arc::new(Script::default()), Arc::new(Heard::default()));
        let answering = Exchange::start(ExchangeSetup {
            links: second,
            class,
            answers: Arc::new(Scripted(answers.clone())),
            events: Arc::new(Heard::default()),
        });
        let asking = Exchange::start(ExchangeSetup {
            links: first,
            class,
            answers: Arc::new(Mute),
            events: heard.clone(),
        });
        Self {
            asking,
            answering,
            answers,
            heard,
        }
    }

    fn in_memory() -> (Self, MemoryLinks) {
        let hub = MemoryLinks::new();
        (Self::new(hub.of(ONE), hub.of(TWO), Class::Forward), hub)
    }

    async fn open(&self) {
        let links = |events: &[Event]| {
            let opened = events.iter().filter(|it| **it == Event::Opened(TWO));
            let lost = events.iter().filter(|it| **it == Event::Lost(TWO));
            opened.count() > lost.count()
        };
        self.asking.keep(BTreeSet::from([TWO]));
        self.heard.until(links).await;
    }

    async fn ask(&self, request: &'static str) -> Result<Bytes, AskError> {
        soon(self.asking.ask(TWO, request.into())).await
    }

    async fn working(&self, requests: usize) {
        let mut working = self.answers.working.subscribe();
        soon(working.wait_for(|(now, _)| *now == requests))
            .await
            .expect("kept");
    }

    async fn lost(&self, links: usize) {
        let mut lost = self.answers.lost.subscribe();
        soon(lost.wait_for(|lost| lost.len() >= links))
            .await
            .expect("kept");
    }
}

/// What an exchange promises, over any links.
async fn keeps_the_contract(world: &World) {
    world.open().await;
    assert!(matches!(world.asking.contacts()[&TWO], Contact::Up(_)));

    // Many at once: seen in the order asked, answered each with its own answer.
    let requests: Vec<Bytes> = (0..2_000).map(|n| format!("request {n}").into()).collect();
    let answers = requests.iter().map(|it| world.asking.ask(TWO, it.clone()));
    let answers = soon(future::try_join_all(answers)).await.expect("answered");
    assert!(answers == requests, "each has its own");
    assert!(world.answers.seen() == requests, "in order");

    // One that takes long keeps no other waiting.
    let held = world.asking.ask(TWO, "hold".into());
    let mut held = Box::pin(held);
    assert!(held.as_mut().now_or_never().is_none());
    assert_eq!(world.ask("quick").await, Ok("quick".into()));
    assert!(held.as_mut().now_or_never().is_none());
    world.answers.release();
    assert_eq!(soon(held).await, Ok("hold".into()));

    // Notices come before the answer that was given after them, and all of them.
    for _ in 0..10 {
        let answer = world.ask("tell").await.expect("answered");
        world.heard.note(Event::Answered(answer));
    }
    let told = Event::Told(TWO, "tell".into());
    let round = [
        told.clone(),
        told.clone(),
        told,
        Event::Answered("tell".into()),
    ];
    let heard = world.heard.events.lock()[1..].to_vec();
    assert_eq!(heard, vec![round; 10].concat());

    // What cannot be sent is said, and the link lives on.
    let long = Bytes::from(vec![0; crate::FRAME_BYTES_MAX]);
    let refused = world.asking.ask(TWO, long).await;
    assert!(matches!(refused, Err(AskError::NotSent(_))), "{refused:?}");
    for impossible in ["long", "panic"] {
        let unanswered = world.ask(impossible).await;
        assert!(
            matches!(unanswered, Err(AskError::Unknown(_))),
            "{unanswered:?}"
        );
    }
    assert_eq!(world.ask("after").await, Ok("after".into()));
    let stranger = world.asking.ask(NodeId(3), "to whom?".into()).await;
    assert!(matches!(stranger, Err(AskError::NotSent(_))));

    // With the exchange its links end, and the other side hears of it.
    assert_eq!(world.heard.count(|it| *it == Event::Lost(TWO)), 0);
    world.asking.keep(BTreeSet::new());
    assert!(world.asking.contacts().is_empty());
    world.lost(1).await;
    world.heard.until(|it| it.contains(&Event::Lost(TWO))).await;
    let closed = world.ask("too late").await;
    assert!(matches!(closed, Err(AskError::NotSent(_))));
    let id = world.answers.askers.lock()[0].id;
    assert_eq!(*world.answers.lost.borrow(), [id]);
    assert_eq!(id.node, ONE);
}

#[tokio::test(start_paused = true)]
async fn over_memory_it_keeps_the_contract() {
    let (world, _hub) = World::in_memory();
    keeps_the_contract(&world).await;
}

#[tokio::test(start_paused = true)]
async fn over_grpc_it_keeps_the_contract_in_both_classes() {
    for class in [Class::Control, Class::Forward] {
        let (first, second) = crate::grpc::tests::pair();
        let world = World::new(Arc::new(first), Arc::new(second), class);
        keeps_the_contract(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_dropped_is_taken_back() {
    let (world, _hub) = World::in_memory();
    world.open().await;
    let mut held: Vec<_> = (0..3)
        .map(|n| Box::pin(world.asking.ask(TWO, format!("hold {n}").into())))
        .collect();
    for held in &mut held {
        assert!(held.as_mut().now_or_never().is_none());
    }
    world.working(3).await;
    drop(held.remove(1));
    world.working(2).await;
    // One that was not sent is never seen.
    drop(held.remove(0));
    let mut unsent = Box::pin(world.asking.ask(TWO, "never".into()));
    assert!(unsent.as_mut().now_or_never().is_none());
    drop(unsent);
    world.working(1).await;
    assert_eq!(world.ask("last").await, Ok("last".into()));
    assert!(!world.answers.seen().contains(&"never".into()));
    world.answers.release();
    assert_eq!(soon(held.remove(0)).await, Ok("hold 2".into()));
}

#[tokio::test(start_paused = true)]
async fn a_cut_fails_what_was_sent_and_what_was_not_and_the_link_is_opened_again() {
    let (world, hub) = World::in_memory();
    let early = world.ask("early").await;
    assert!(matches!(early, Err(AskError::NotSent(_))), "{early:?}");
    world.open().await;
    let mut sent = Box::pin(world.asking.ask(TWO, "hold".into()));
    assert!(sent.as_mut().now_or_never().is_none());
    world.working(1).await;
    let mut unsent = Box::pin(world.asking.ask(TWO, "unsent".into()));
    assert!(unsent.as_mut().now_or_never().is_none());
    hub.cut_off(TWO);
    // This task has not let the link's task send it.
    let (sent, unsent) = soon(future::join(sent, unsent)).await;
    assert!(matches!(sent, Err(AskError::Unknown(_))), "{sent:?}");
    let seen = world.answers.seen().contains(&"unsent".into());
    assert!(
        matches!(unsent, Err(AskError::NotSent(_))) && !seen
            || matches!(unsent, Err(AskError::Unknown(_))),
        "{unsent:?}, seen: {seen}"
    );
    world.lost(1).await;
    world.heard.until(|it| it.contains(&Event::Lost(TWO))).await;
    assert!(matches!(world.asking.contacts()[&TWO], Contact::Down(_)));
    let cut = world.ask("while it is cut off").await;
    assert!(matches!(cut, Err(AskError::NotSent(_))));

    let down = Instant::now();
    time::advance(Duration::from_secs(7)).await;
    assert_eq!(world.asking.contacts()[&TWO], Contact::Down(down.elapsed()));
    hub.reconnect(TWO);
    world.open().await;
    assert_eq!(world.ask("again").await, Ok("again".into()));
    let askers = world.answers.askers.lock();
    let (first, last) = (askers[0].id, askers[askers.len() - 1].id);
    assert_ne!(first, last, "another link");
    assert_eq!(*world.answers.lost.borrow(), [first], "the first, once");
    // What is told to the one that is gone is nobody's.
    askers[0].tell("lost".into());
    let told = world.heard.count(|it| matches!(it, Event::Told(..)));
    assert_eq!(told, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_link_has_not_taken_is_known_not_to_be_sent() {
    let hub = MemoryLinks::new();
    let mut unread = hub.of(TWO).accept(Class::Forward);
    let heard = Arc::new(Heard::default());
    let asking = Exchange::start(ExchangeSetup {
        links: hub.of(ONE),
        class: Class::Forward,
        answers: Arc::new(Mute),
        events: heard.clone(),
    });
    asking.keep(BTreeSet::from([TWO]));
    let link = soon(unread.recv()).await.expect("a link");
    heard.until(|it| it.contains(&Event::Opened(TWO))).await;
    // Each fills a frame, of which the link takes a few.
    let body = Bytes::from(vec![0; 1 << 20]);
    let questions = (0..32).map(|_| asking.ask(TWO, body.clone()));
    let mut questions = Box::pin(future::join_all(questions));
    for _ in 0..100 {
        assert!(questions.as_mut().now_or_never().is_none());
        yield_now().await;
    }
    drop(link);
    let failed = soon(questions).await;
    let sent = |it: &Result<Bytes, AskError>| matches!(it, Err(AskError::Unknown(_)));
    let first_unsent = failed
        .iter()
        .position(|it| !sent(it))
        .expect("most of them");
    assert!(first_unsent > 0, "some were sent");
    for unsent in &failed[first_unsent..] {
        assert!(matches!(unsent, Err(AskError::NotSent(_))), "{unsent:?}");
    }
}

/// Bytes of a large request.
const BODY: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn whoever_asks_more_than_the_window_holds_waits() {
    let (world, _hub) = World::in_memory();
    world.open().await;
    let mut body = vec![0; BODY];
    body[..4].copy_from_slice(b"hold");
    let body = Bytes::from(body);
    let count = 2 * WINDOW_BYTES / BODY;
    let questions = (0..count).map(|_| world.asking.ask(TWO, body.clone()));
    let mut questions = Box::pin(future::join_all(questions));
    let fill = WINDOW_BYTES / BODY - 1;
    let mut working = world.answers.working.subscribe();
    let full = working.wait_for(|(requests, _)| *requests >= fill);
    soon(future::select(&mut questions, Box::pin(full))).await;
    for _ in 0..1_000 {
        assert!(questions.as_mut().now_or_never().is_none());
        yield_now().await;
        let (requests, bytes) = *world.answers.working.borrow();
        assert!(
            bytes <= WINDOW_BYTES,
            "{requests} requests of {bytes} bytes"
        );
    }
    let most = Arc::new(AtomicUsize::new(0));
    let watching = tokio::spawn({
        let (most, mut working) = (most.clone(), world.answers.working.subscribe());
        async move {
            while working.changed().await.is_ok() {
                most.fetch_max(working.borrow_and_update().1, Ordering::Relaxed);
            }
        }
    });
    world.answers.release();
    for answer in soon(questions).await {
        assert_eq!(answer.expect("answered").len(), BODY);
    }
    assert!(most.load(Ordering::Relaxed) <= WINDOW_BYTES);
    assert_eq!(world.answers.seen().len(), count);
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_what_it_is_told_loses_its_link() {
    let hub = MemoryLinks::new();
    let answers = Arc::new(Script::default());
    let _answering = Exchange::start(ExchangeSetup {
        links: hub.of(TWO),
        class: Class::Forward,
        answers: Arc::new(Scripted(answers.clone())),
        events: Arc::new(Heard::default()),
    });
    let link = hub.of(ONE).open(TWO, Class::Forward).await.expect("a link");
    let request = message::Content::Request(longhaul_proto::peer::v1::Request {
        number: 1,
        body: "hold".into(),
    });
    let mut request = Some(request);
    let frame = message::frame(|| request.take()).expect("a message");
    link.sender.send(frame).await.expect("up");
    let mut working = answers.working.subscribe();
    soon(working.wait_for(|(requests, _)| *requests == 1))
        .await
        .expect("kept");
    let asker = answers.askers.lock()[0].clone();
    let notice = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..64 {
        asker.tell(notice.clone());
    }
    let mut lost = answers.lost.subscribe();
    soon(lost.wait_for(|lost| *lost == [asker.id]))
        .await
        .expect("kept");
}

#[tokio::test(start_paused = true)]
async fn nonsense_ends_the_link() {
    let (world, hub) = World::in_memory();
    let nonsense: [&'static [u8]; 3] = [
        b"\xff\xff\xff",
        // A message without content.
        b"\x0a\x00",
        // A notice, which only the other side gives.
        b"\x0a\x03\x2a\x01x",
    ];
    for (n, frame) in nonsense.into_iter().enumerate() {
        let mut link = hub.of(ONE).open(TWO, Class::Forward).await.expect("a link");
        link.sender
            .send(Bytes::from_static(frame))
            .await
            .expect("up");
        assert_eq!(soon(link.receiver.next()).await, Ok(None));
        world.lost(n + 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_link_of_a_node_takes_the_place_of_the_one_before() {
    let (world, hub) = World::in_memory();
    let mut first = hub.of(ONE).open(TWO, Class::Forward).await.expect("a link");
    let _second = hub.of(ONE).open(TWO, Class::Forward).await.expect("a link");
    assert_eq!(soon(first.receiver.next()).await, Ok(None));
    world.lost(1).await;
}

#[tokio::test(start_paused = true)]
async fn with_the_last_handle_links_and_jobs_end() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let (world, _hub) = World::in_memory();
    world.open().await;
    let clone = world.asking.clone();
    let held = tokio::spawn(async move { clone.ask(TWO, "hold".into()).await });
    world.working(1).await;
    let World {
        asking,
        answering,
        answers,
        ..
    } = world;
    drop(answering);
    let failed = soon(held).await.expect("no panic");
    assert!(matches!(failed, Err(AskError::Unknown(_))), "{failed:?}");
    let mut lost = answers.lost.subscribe();
    soon(lost.wait_for(|lost| lost.len() == 1))
        .await
        .expect("kept");
    drop(asking);
    soon(async {
        while metrics.num_alive_tasks() > before {
            yield_now().await;
        }
    })
    .await;
}
