//! Claims that other nodes make of what is ready in partitions led here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_partition::{
    Claimed, EncodedItem, Found, Look, Proxy, SessionSpec, Sessions, Watch, Watcher, WorkKind,
};
use longhaul_peer::{Asker, AskerId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::Encoder;
use super::wire::{self, Ask, ByKind, Claim, Given, Gone, Looked, Notice, Profile};

/// An answer is given no further item when it has reached this many bytes.
const ANSWER_BYTES: usize = 1 << 20;

/// Longest work item, in bytes: it has to fit into an answer together with the others.
const ITEM_BYTES_MAX: usize = 48 << 20;

/// Items that are taken at once, before their bytes are counted.
const ITEMS_AT_ONCE: u32 = 16;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Server(Arc<Shared>);

struct Shared {
    sessions: Sessions,
    encoder: watch::Sender<Option<Arc<dyn Encoder>>>,
    askers: Mutex<BTreeMap<AskerId, Arc<Node>>>,
    freed: Arc<FreedSlots>,
    _telling: JoinSet<()>,
}

/// A node, on one link.
struct Node {
    asker: Asker,
    profiles: Mutex<BTreeMap<u64, Arc<Watched>>>,
    streams: Mutex<BTreeMap<u64, Arc<Proxy>>>,
}

/// A profile, and who is told of work for it.
struct Watched {
    profile: Profile,
    watch: Watch,
}

/// Tells a node of work for one of its profiles.
struct Teller {
    asker: Asker,
    profile: u64,
}

impl Watcher for Teller {
    fn ready(&self, kind: WorkKind, look: Look) {
        let profile = self.profile;
        self.asker.tell(wire::encode_notice(Notice::Ready {
            profile,
            kind,
            look,
        }));
    }
}

/// Slots of other nodes' streams that are free again, until they are told.
#[derive(Default)]
struct FreedSlots {
    waiting: Mutex<BTreeMap<AskerId, (Asker, ByStream)>>,
    more: Notify,
}

type ByStream = BTreeMap<u64, ByKind<u32>>;

impl FreedSlots {
    fn add(&self, asker: &Asker, stream: u64, kind: WorkKind, slots: u32) {
        let mut waiting = self.waiting.lock();
        let (_, streams) = waiting
            .entry(asker.id)
            .or_insert_with(|| (asker.clone(), BTreeMap::new()));
        streams.entry(stream).or_default()[kind as usize] += slots;
        drop(waiting);
        self.more.notify_one();
    }

    /// Tells each node of all that has gathered.
    async fn tell(self: Arc<Self>) {
        loop {
            self.more.notified().await;
            let waiting = std::mem::take(&mut *self.waiting.lock());
            for (asker, streams) in waiting.into_values() {
                asker.tell(wire::encode_notice(Notice::Freed(streams)));
            }
        }
    }
}

impl Server {
    /// Must be called within a tokio runtime.
    pub(super) fn start(sessions: Sessions) -> Self {
        let freed: Arc<FreedSlots> = Arc::default();
        let mut telling = JoinSet::new();
        telling.spawn(freed.clone().tell());
        Self(Arc::new(Shared {
            sessions,
            encoder: watch::Sender::new(None),
            askers: Mutex::default(),
            freed,
            _telling: telling,
        }))
    }

    pub(super) fn appoint(&self, encoder: Arc<dyn Encoder>) {
        self.0.encoder.send_replace(Some(encoder));
    }

    pub(super) fn answer(&self, asker: Asker, request: Bytes) -> BoxFuture<'static, Bytes> {
        let server = self.clone();
        async move {
            match wire::decode_ask(request) {
                Ok(Ask::Claim(claim)) => server.claim(asker, claim).await,
                Ok(Ask::Gone(gone)) => {
                    server.gone(asker.id, &gone);
                    Bytes::new()
                }
                Err(malformed) => {
                    tracing::error!(node = %asker.id.node, %malformed, "a claim cannot be understood");
                    Bytes::new()
                }
            }
        }
        .boxed()
    }

    pub(super) fn asker_lost(&self, id: AskerId) {
        let lost = self.0.askers.lock().remove(&id);
        drop(lost);
        self.0.freed.waiting.lock().remove(&id);
    }

    /// Profiles of other nodes that are told of work.
    #[cfg(test)]
    pub(super) fn watches(&self) -> usize {
        let askers = self.0.askers.lock();
        askers.values().map(|node| node.profiles.lock().len()).sum()
    }

    async fn claim(&self, asker: Asker, claim: Claim) -> Bytes {
        let mut encoder = self.0.encoder.subscribe();
        let encoder = encoder.wait_for(Option::is_some).await;
        let Some(encoder) = encoder.ok().and_then(|encoder| encoder.clone()) else {
            return Bytes::new();
        };
        let node = {
            let mut askers = self.0.askers.lock();
            let node = askers.entry(asker.id).or_insert_with(|| {
                Arc::new(Node {
                    asker,
                    profiles: Mutex::default(),
                    streams: Mutex::default(),
                })
            });
            node.clone()
        };
        let Some(watched) = self.watched(&node, &claim) else {
            tracing::error!(node = %node.asker.id.node, "a claim of whom nobody has introduced");
            return Bytes::new();
        };
        let proxy = self.proxy(&node, claim.stream, &watched.profile);
        wire::encode_given(give(&*encoder, &proxy, &watched.watch, claim.slots))
    }

    fn watched(&self, node: &Node, claim: &Claim) -> Option<Arc<Watched>> {
        let number = claim.profile;
        let mut profiles = node.profiles.lock();
        if let Some(watched) = profiles.get(&number) {
            return Some(watched.clone());
        }
        let profile = claim.introduction.clone()?;
        let asker = node.asker.clone();
        let teller = Teller {
            asker,
            profile: number,
        };
        let sessions = &self.0.sessions;
        let watch = sessions.watch(profile.hub, profile.filters.clone(), teller);
        let watched = Arc::new(Watched { profile, watch });
        profiles.insert(number, watched.clone());
        Some(watched)
    }

    fn proxy(&self, node: &Node, stream: u64, profile: &Profile) -> Arc<Proxy> {
        let mut streams = node.streams.lock();
        let proxy = streams.entry(stream).or_insert_with(|| {
            let spec = SessionSpec {
                hub: profile.hub,
                worker_id: None,
                // Its own node counts.
                limits: [u32::MAX; 3],
                filters: profile.filters.clone(),
                capabilities: profile.capabilities,
            };
            let (freed, asker) = (self.0.freed.clone(), node.asker.clone());
            let freed = move |kind, slots| freed.add(&asker, stream, kind, slots);
            Arc::new(self.0.sessions.open_proxy(spec, freed))
        });
        proxy.clone()
    }

    fn gone(&self, id: AskerId, gone: &Gone) {
        let node = self.0.askers.lock().get(&id).cloned();
        let Some(node) = node else { return };
        // Dropped without a lock: that gives back what is out.
        let streams: Vec<_> = {
            let mut streams = node.streams.lock();
            let gone = gone.streams.iter();
            gone.map(|stream| streams.remove(stream)).collect()
        };
        drop(streams);
        let profiles: Vec<_> = {
            let mut profiles = node.profiles.lock();
            let gone = gone.profiles.iter();
            gone.map(|profile| profiles.remove(profile)).collect()
        };
        drop(profiles);
    }
}

/// What a stream is given for its slots.
fn give(encoder: &dyn Encoder, proxy: &Proxy, watch: &Watch, slots: ByKind<u32>) -> Given {
    let mut given = Given::default();
    let mut bytes = 0;
    for (kind, slots) in WorkKind::ALL.into_iter().zip(slots) {
        let (mut left, mut unsent) = (slots, 0);
        while left > 0 {
            // When nothing fits any more, there may be more.
            let room = bytes < ANSWER_BYTES;
            let at_once = if room { left.min(ITEMS_AT_ONCE) } else { 0 };
            let Found { look, items, more } = proxy.claim(watch, kind, at_once);
            let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
            for claimed in items {
                match encode(encoder, proxy, claimed) {
                    Some(item) => {
                        bytes += item.bytes.len();
                        given.items.push(item);
                    }
                    None => unsent += 1,
                }
            }
            given.kinds[kind as usize] = Some(Looked { look, more, unsent });
            if count < at_once || at_once == 0 {
                break;
            }
            left -= count;
        }
    }
    given
}

/// The item as it is sent; without one, it has been given back.
fn encode(encoder: &dyn Encoder, proxy: &Proxy, claimed: Claimed) -> Option<EncodedItem> {
    let encoded = encoder.encode(&claimed);
    let encoded = encoded.and_then(|bytes| match bytes.len() {
        0..=ITEM_BYTES_MAX => Ok(bytes),
        long => Err(format!("it has {long} bytes")),
    });
    match encoded {
        Ok(bytes) => Some(EncodedItem {
            kind: claimed.kind(),
            token: claimed.token().to_owned(),
            key: claimed.key().clone(),
            bytes,
        }),
        Err(reason) => {
            let instance = &claimed.key().id;
            tracing::error!(%instance, reason, "a work item cannot be sent to another node");
            proxy.give_back(&claimed);
            None
        }
    }
}
