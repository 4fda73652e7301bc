//! Links that break when a test says so: just after a request went out, before its answer comes in. Or that only go silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_peer::{Class, Incoming, Link, Links, MemoryLinks, OpenError};
use longhaul_types::NodeId;
use tokio::sync::watch;

/// The links of a node. Those of [`Class::Forward`] that it opens go through here.
pub(crate) struct Cuts {
    links: Arc<dyn Links>,
    /// So many links break with the next frame that comes in on them.
    armed: Arc<AtomicUsize>,
    /// Nothing comes in, and nothing breaks.
    silent: watch::Sender<bool>,
}

impl Cuts {
    pub(crate) fn new(links: Arc<dyn Links>) -> Self {
        Self {
            links,
            armed: Arc::default(),
            silent: watch::Sender::default(),
        }
    }

    /// From now on nothing comes in.
    pub(crate) fn silence(&self) {
        self.silent.send_replace(true);
    }

    /// The next links on which something comes in lose it, and break.
    pub(crate) fn arm(&self, links: usize) {
        self.armed.store(links, Ordering::SeqCst);
    }

    pub(crate) fn armed(&self) -> usize {
        self.armed.load(Ordering::SeqCst)
    }
}

impl Links for Cuts {
    fn open(&self, to: NodeId, class: Class) -> BoxFuture<'static, Result<Link, OpenError>> {
        let opening = self.links.open(to, class);
        if class != Class::Forward {
            return opening;
        }
        let armed = self.armed.clone();
        let silent = self.silent.subscribe();
        async move {
            let there = opening.await?;
            let (here, near) = pipe(to).await?;
            tokio::spawn(carry(near, there, armed, silent));
            Ok(here)
        }
        .boxed()
    }

    fn accept(&self, class: Class) -> Incoming {
        self.links.accept(class)
    }
}

/// Two ends of a link of its own, the first as if it led to `to`.
async fn pipe(to: NodeId) -> Result<(Link, Link), OpenError> {
    let here = NodeId(u64::MAX);
    let hub = MemoryLinks::new();
    let mut incoming = hub.of(to).accept(Class::Forward);
    let first = hub.of(here).open(to, Class::Forward).await?;
    let second = incoming.recv().await.expect("just opened");
    Ok((first, second))
}

/// Carries frames both ways until either side ends, or the link is cut.
async fn carry(
    mut near: Link,
    mut there: Link,
    armed: Arc<AtomicUsize>,
    mut silent: watch::Receiver<bool>,
) {
    let out = async {
        while let Ok(Some(frame)) = near.receiver.next().await {
            if there.sender.send(frame).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        while let Ok(Some(frame)) = there.receiver.next().await {
            // With the sender gone, so is the test.
            let _ = silent.wait_for(|silent| !silent).await;
            let cut =
                armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
            if cut.is_ok() || near.sender.send(frame).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = out => {}
        () = back => {}
    }
}
