//! Links between nodes of one process: over pipes on a paused clock, and over TCP in [`tls`].

mod port;
mod tls;

use std::{net::Ipv4Addr, sync::atomic::AtomicUsize, sync::atomic::Ordering};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
    time::{self, Instant},
};

use super::*;
use crate::{
    AddressBook, Broken, MemoryLinks,
    identity::ClusterId,
    link::{FRAME_BYTES_MAX, Link},
};

const CLUSTER: ClusterId = ClusterId([3; 16]);

/// Sockets by address; the wires between them can be stalled and cut.
#[derive(Clone)]
struct Pipes(Arc<PipesState>);

struct PipesState {
    listening: Mutex<BTreeMap<String, mpsc::Sender<Socket>>>,
    stalled: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    dials: AtomicUsize,
    /// Where everybody seems to be.
    seen_at: SocketAddr,
}

impl Pipes {
    fn at(seen_at: impl Into<SocketAddr>) -> Self {
        Self(Arc::new(PipesState {
            listening: Mutex::default(),
            stalled: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            dials: AtomicUsize::new(0),
            seen_at: seen_at.into(),
        }))
    }

    fn listen(&self, address: &str) -> PipeListener {
        let (sockets, waiting) = mpsc::channel(16);
        self.0.listening.lock().insert(address.to_owned(), sockets);
        PipeListener {
            waiting,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        }
    }

    fn cut(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn dials(&self) -> usize {
        self.0.dials.load(Ordering::Relaxed)
    }

    async fn carry(self, near: DuplexStream, far: DuplexStream) {
        let (near_read, near_write) = tokio::io::split(near);
        let (far_read, far_write) = tokio::io::split(far);
        let mut cuts = self.0.cuts.subscribe();
        tokio::select! {
            _ = self.copy(near_read, far_write) => {}
            _ = self.copy(far_read, near_write) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn copy(
        &self,
        mut from: tokio::io::ReadHalf<DuplexStream>,
        mut to: tokio::io::WriteHalf<DuplexStream>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        let mut stalled = self.0.stalled.subscribe();
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            stalled.wait_for(|stalled| !stalled).await.expect("kept");
            to.write_all(&buffer[..read]).await?;
        }
    }
}

impl Dial for Pipes {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Socket>> {
        let pipes = self.clone();
        async move {
            pipes.0.dials.fetch_add(1, Ordering::Relaxed);
            let listener = pipes.0.listening.lock().get(&address).cloned();
            let listener = listener.ok_or(io::Error::from(io::ErrorKind::ConnectionRefused))?;
            let socket = |io: DuplexStream| Socket {
                io: Box::new(io),
                peer: pipes.0.seen_at,
            };
            let (here, near) = tokio::io::duplex(16 << 10);
            let (far, there) = tokio::io::duplex(16 << 10);
            tokio::spawn(pipes.clone().carry(near, far));
            let taken = listener.send(socket(there)).await;
            taken.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(socket(here))
        }
        .boxed()
    }
}

struct PipeListener {
    waiting: mpsc::Receiver<Socket>,
    address: SocketAddr,
}

impl Listen for PipeListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Socket>> {
        async {
            match self.waiting.recv().await {
                Some(socket) => Ok(socket),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

fn identity(node: u64) -> Identity {
    Identity {
        cluster: CLUSTER,
        node: NodeId(node),
        incarnation: 1,
        process: node,
    }
}

struct World {
    pipes: Pipes,
    book: AddressBook,
}

impl World {
    fn new() -> Self {
        Self {
            pipes: Pipes::at((Ipv4Addr::LOCALHOST, 1)),
            book: AddressBook::default(),
        }
    }

    /// Starts a node at an address of its own, where others find it.
    fn start(&self, identity: Identity) -> GrpcLinks {
        let address = format!("node-{}-{}", identity.node, identity.process);
        let links = self.start_at(identity, &address);
        self.book.set(identity.node, Some(address));
        links
    }

    fn start_at(&self, identity: Identity, address: &str) -> GrpcLinks {
        let setup = GrpcSetup {
            identity,
            config: GrpcConfig::default(),
            security: Security::PlainTextOnLoopback,
            addresses: Arc::new(self.book.clone()),
            dial: Arc::new(self.pipes.clone()),
            listen: Box::new(self.pipes.listen(address)),
        };
        GrpcLinks::start(setup).expect("on loopback")
    }
}

/// Two nodes that find each other.
pub(crate) fn pair() -> (GrpcLinks, GrpcLinks) {
    let world = World::new();
    (world.start(identity(1)), world.start(identity(2)))
}

/// A link from one node to another, and its other end.
async fn linked(from: &dyn Links, to: NodeId, incoming: &mut Incoming) -> (Link, Link) {
    let link = from.open(to, Class::Raft).await.expect("opened");
    let end = incoming.recv().await.expect("accepted");
    (link, end)
}

fn frame(n: usize) -> Bytes {
    format!("frame {n}").into()
}

/// What every kind of links promises.
async fn keeps_the_contract(first: &dyn Links, second: &dyn Links) {
    let (one, two) = (NodeId(1), NodeId(2));
    let refused = first.open(two, Class::Raft).await;
    refused.expect_err("nobody accepts");

    let mut incoming = second.accept(Class::Raft);
    let (mut link, mut end) = linked(first, two, &mut incoming).await;
    assert_eq!((link.peer, end.peer), (two, one));
    let sending = async {
        for n in 0..100 {
            link.sender.send(frame(n)).await.expect("up");
        }
        drop(link.sender);
    };
    let answering = async {
        for n in 0..100 {
            assert_eq!(end.receiver.next().await, Ok(Some(frame(n))));
            end.sender.send(frame(1_000 + n)).await.expect("up");
        }
        assert_eq!(end.receiver.next().await, Ok(None), "the end, in order");
        drop(end.sender);
    };
    let receiving = async {
        for n in 0..100 {
            assert_eq!(link.receiver.next().await, Ok(Some(frame(1_000 + n))));
        }
        assert_eq!(link.receiver.next().await, Ok(None));
    };
    tokio::join!(sending, answering, receiving);

    // Of two who accept, the later; of two classes, each its own.
    let mut later = second.accept(Class::Raft);
    let mut bulk = second.accept(Class::Bulk);
    let (_link, _end) = linked(first, two, &mut later).await;
    assert!(incoming.recv().await.is_none());
    first.open(two, Class::Bulk).await.expect("opened");
    bulk.recv().await.expect("accepted");

    // Whoever is not heard any more is not spoken to for ever.
    let (link, end) = linked(first, two, &mut later).await;
    drop(end);
    let told = async {
        while link.sender.send(frame(0)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let told = time::timeout(Duration::from_secs(30), told).await;
    told.expect("the sender hears of it");

    let (link, _end) = linked(first, two, &mut later).await;
    let too_long = Bytes::from(vec![0; FRAME_BYTES_MAX + 1]);
    link.sender.send(too_long).await.expect_err("too long");
}

#[tokio::test(start_paused = true)]
async fn grpc_keeps_the_contract() {
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    keeps_the_contract(&first, &second).await;
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract() {
    let hub = MemoryLinks::new();
    keeps_the_contract(&*hub.of(NodeId(1)), &*hub.of(NodeId(2))).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_stops_the_sender() {
    const FRAME: usize = 64 << 10;
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    let (link, mut end) = linked(&first, NodeId(2), &mut incoming).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = tokio::spawn({
        let sent = sent.clone();
        async move {
            while link.sender.send(vec![0; FRAME].into()).await.is_ok() {
                sent.fetch_add(FRAME, Ordering::Relaxed);
            }
        }
    });
    // tidy: the clock is paused; it goes on when nothing else can.
    time::sleep(Duration::from_secs(1)).await;
    let waiting = sent.load(Ordering::Relaxed);
    let window = GrpcConfig::default().window_bytes as usize;
    assert!(
        waiting < window + (2 << 20),
        "{waiting} bytes are on their way"
    );
    end.receiver.next().await.expect("up");
    for _ in 0..2 * waiting / FRAME {
        end.receiver.next().await.expect("up");
    }
    assert!(sent.load(Ordering::Relaxed) > waiting, "and it went on");
    sending.abort();
}

async fn refused(links: &GrpcLinks, to: u64) -> Refusal {
    match links.open(NodeId(to), Class::Raft).await {
        Err(OpenError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_of_other_clusters_are_refused_and_not_asked_again_soon() {
    let world = World::new();
    let stranger = Identity {
        cluster: ClusterId([4; 16]),
        ..identity(1)
    };
    let (first, second) = (world.start(stranger), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    let expected = Refusal::Theirs(Refusal::Cluster.to_string());
    assert_eq!(refused(&first, 2).await, expected);
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(refused(&first, 2).await, expected);
    }
    let longest = GrpcConfig::default().backoff.longest;
    assert!(begun.elapsed() >= 4 * longest / 2);
    assert_eq!(world.pipes.dials(), 5);
    assert!(incoming.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_node_at_the_address_of_another_is_refused() {
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let _incoming = second.accept(Class::Raft);
    world.book.set(NodeId(3), Some("node-2-2".to_owned()));
    let meant = Refusal::Node {
        theirs: NodeId(3),
        expected: NodeId(2),
    };
    assert_eq!(refused(&first, 3).await, Refusal::Theirs(meant.to_string()));
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_with_one_id_the_first_stands() {
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    let (link, mut end) = linked(&first, NodeId(2), &mut incoming).await;

    let copy = world.start_at(
        Identity {
            process: 77,
            ..identity(1)
        },
        "a copy",
    );
    let claimed = Refusal::Theirs(Refusal::Claimed(NodeId(1)).to_string());
    assert_eq!(refused(&copy, 2).await, claimed);
    link.sender.send(frame(1)).await.expect("up");
    assert_eq!(end.receiver.next().await, Ok(Some(frame(1))));

    // Nor is the copy taken for the node it says it is, where it is asked.
    world.book.set(NodeId(1), Some("a copy".to_owned()));
    let _incoming = copy.accept(Class::Raft);
    assert_eq!(refused(&second, 1).await, Refusal::Claimed(NodeId(1)));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_takes_the_place_of_its_predecessor() {
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    let (_link, mut end) = linked(&first, NodeId(2), &mut incoming).await;

    let restarted = world.start(Identity {
        incarnation: 2,
        process: 78,
        ..identity(1)
    });
    let (link, mut new_end) = linked(&restarted, NodeId(2), &mut incoming).await;
    end.receiver
        .next()
        .await
        .expect_err("it is of an earlier process");
    link.sender.send(frame(1)).await.expect("up");
    assert_eq!(new_end.receiver.next().await, Ok(Some(frame(1))));
    let superseded = Refusal::Theirs(Refusal::Superseded(NodeId(1)).to_string());
    assert_eq!(refused(&first, 2).await, superseded);
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_breaks_its_link_on_both_sides() {
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    let (mut link, mut end) = linked(&first, NodeId(2), &mut incoming).await;
    world.pipes.cut();
    let begun = Instant::now();
    link.receiver.next().await.expect_err("broken");
    end.receiver.next().await.expect_err("broken");
    assert_eq!(begun.elapsed(), Duration::ZERO, "noticed at once");
    let (link, mut end) = linked(&first, NodeId(2), &mut incoming).await;
    link.sender.send(frame(2)).await.expect("up");
    assert_eq!(end.receiver.next().await, Ok(Some(frame(2))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_found_dead() {
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    let (mut link, mut end) = linked(&first, NodeId(2), &mut incoming).await;
    let begun = Instant::now();
    // Alive, it may be silent for as long as it likes.
    let idle = time::timeout(Duration::from_secs(600), link.receiver.next()).await;
    idle.expect_err("nothing is sent, and nothing broken");
    world.pipes.0.stalled.send_replace(true);
    let stalled = Instant::now();
    link.receiver.next().await.expect_err("dead");
    let last = end.receiver.next().await;
    assert!(!matches!(last, Ok(Some(_))), "dead as well: {last:?}");
    let config = GrpcConfig::default();
    let patience = config.keepalive_interval + config.keepalive_timeout;
    let noticed = stalled.elapsed();
    assert!(
        noticed <= 2 * patience,
        "{noticed:?} after {:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_wait_longer_and_longer_until_the_address_changes() {
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    world.book.set(NodeId(2), Some("nowhere".to_owned()));
    let begun = Instant::now();
    let mut attempts = 0;
    while begun.elapsed() < Duration::from_secs(60) {
        let failed = first.open(NodeId(2), Class::Raft).await;
        assert!(
            matches!(failed, Err(OpenError::Absent { .. })),
            "{failed:?}"
        );
        attempts += 1;
    }
    let longest = GrpcConfig::default().backoff.longest;
    assert!(
        (12..40).contains(&attempts),
        "{attempts} attempts in a minute"
    );
    let moving = Instant::now();
    let (opened, ()) = tokio::join!(first.open(NodeId(2), Class::Raft), async {
        world.book.set(NodeId(2), Some("node-2-2".to_owned()));
    });
    opened.expect("found");
    incoming.recv().await.expect("accepted");
    assert!(moving.elapsed() < longest / 2, "nobody waited");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_not_waited_for() {
    let world = World::new();
    let second = world.start(identity(2));
    let _incoming = second.accept(Class::Raft);
    let mut silent = world
        .pipes
        .dial("node-2-2".to_owned())
        .await
        .expect("a socket");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    silent.io.write_all(preface).await.expect("taken");
    let mut rest = Vec::new();
    let ended = time::timeout(Duration::from_secs(60), silent.io.read_to_end(&mut rest)).await;
    drop(ended.expect("its keepalive is not answered"));

    // And nobody waits for one who takes the call but does not answer.
    world.book.set(NodeId(3), Some("mute".to_owned()));
    let first = world.start(identity(1));
    let _mute = world.pipes.listen("mute");
    let begun = Instant::now();
    first.open(NodeId(3), Class::Raft).await.expect_err("mute");
    assert!(begun.elapsed() <= GrpcConfig::default().handshake_timeout + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn plain_text_stays_on_this_machine() {
    let far = SocketAddr::from(([192, 0, 2, 1], 7070));
    let world = World {
        pipes: Pipes::at(far),
        ..World::new()
    };
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let _incoming = second.accept(Class::Raft);
    assert_eq!(refused(&first, 2).await, Refusal::PlainText(far));

    // Nor is it taken from elsewhere.
    let mut socket = world
        .pipes
        .dial("node-2-2".to_owned())
        .await
        .expect("a socket");
    let mut rest = Vec::new();
    let closed = time::timeout(Duration::from_secs(5), socket.io.read_to_end(&mut rest)).await;
    closed.expect("at once").expect("closed");
    assert!(rest.is_empty(), "without a word");

    // Nor offered there, unless somebody says so.
    let start = |security| {
        let mut listen = world.pipes.listen("far");
        listen.address = far;
        GrpcLinks::start(GrpcSetup {
            identity: identity(3),
            config: GrpcConfig::default(),
            security,
            addresses: Arc::new(world.book.clone()),
            dial: Arc::new(world.pipes.clone()),
            listen: Box::new(listen),
        })
    };
    let offered = start(Security::PlainTextOnLoopback);
    assert!(matches!(offered, Err(StartError::PlainText(address)) if address == far));
    let open = start(Security::PlainText).expect("allowed");
    let mut incoming = open.accept(Class::Raft);
    world.book.set(NodeId(3), Some("far".to_owned()));
    let fourth = GrpcLinks::start(GrpcSetup {
        identity: identity(4),
        config: GrpcConfig::default(),
        security: Security::PlainText,
        addresses: Arc::new(world.book.clone()),
        dial: Arc::new(world.pipes.clone()),
        listen: Box::new(world.pipes.listen("fourth")),
    });
    linked(&fourth.expect("allowed"), NodeId(3), &mut incoming).await;
}

#[tokio::test(start_paused = true)]
async fn with_the_last_handle_all_links_and_jobs_end() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let world = World::new();
    let (first, second) = (world.start(identity(1)), world.start(identity(2)));
    let mut incoming = second.accept(Class::Raft);
    let (mut link, mut end) = linked(&first, NodeId(2), &mut incoming).await;
    assert!(metrics.num_alive_tasks() > before);
    drop(second);
    let ended = |next: Result<Option<Bytes>, Broken>| !matches!(next, Ok(Some(_)));
    assert!(ended(end.receiver.next().await));
    assert!(ended(link.receiver.next().await));
    drop((first, link, end, incoming));
    let done = async {
        while metrics.num_alive_tasks() > before {
            // tidy: the clock is paused.
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    let done = time::timeout(Duration::from_secs(30), done).await;
    done.expect("no job is left");
}

mod properties {
    use longhaul_proto::peer::v1 as proto;
    use proptest::{collection, prelude::*};
    use prost::Message;

    use super::{ClusterId, Identity, NodeId, identity};
    use crate::handshake::{hello, introduced};

    proptest! {
        #[test]
        fn a_hello_says_who_speaks(
            node in 2..u64::MAX,
            incarnation in any::<u64>(),
            process in any::<u64>(),
            cluster in any::<[u8; 16]>(),
        ) {
            let cluster = ClusterId(cluster);
            let me = Identity { cluster, ..identity(1) };
            let them = Identity { cluster, node: NodeId(node), incarnation, process };
            let bytes = hello(&them, me.node).encode_to_vec();
            let frame = proto::Frame::decode(&*bytes).expect("valid");
            prop_assert_eq!(introduced(Some(frame), &me), Ok(them));
        }

        #[test]
        fn any_bytes_are_a_hello_or_refused(bytes in collection::vec(any::<u8>(), 0..200)) {
            if let Ok(frame) = proto::Frame::decode(&*bytes) {
                let _ = introduced(Some(frame), &identity(1));
            }
        }
    }
}
