//! Waits for searches, which run on a thread of their own, without letting chance in: whoever waits for one holds the
//! simulation's only thread until it is done, so that nothing depends on how long it took.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, ThreadId};

use tokio::runtime::{Handle, RuntimeMetrics};

/// Resolves with what resolves once the searches it begins are done.
pub(crate) async fn finished<T>(searching: impl Future<Output = T>) -> T {
    let mut searching = pin!(searching);
    let metrics = Handle::current().metrics();
    std::future::poll_fn(move |cx| {
        let listener = Arc::new(Listener {
            thread: thread::current().id(),
            waker: cx.waker().clone(),
            found: AtomicBool::new(false),
        });
        let waker = Waker::from(listener.clone());
        let mut here = Context::from_waker(&waker);
        loop {
            let polled = searching.as_mut().poll(&mut here);
            while is_searching(&metrics) {
                thread::yield_now();
            }
            let found = listener.found.swap(false, Ordering::AcqRel);
            if polled.is_ready() || !found {
                return polled;
            }
        }
    })
    .await
}

fn is_searching(metrics: &RuntimeMetrics) -> bool {
    metrics.blocking_queue_depth() > 0
        || metrics.num_blocking_threads() > metrics.num_idle_blocking_threads()
}

/// Passes on what the simulation's own thread says, and keeps what a search says to itself: when that comes is chance.
struct Listener {
    thread: ThreadId,
    waker: Waker,
    found: AtomicBool,
}

impl Wake for Listener {
    fn wake(self: Arc<Self>) {
        if thread::current().id() == self.thread {
            self.waker.wake_by_ref();
        } else {
            self.found.store(true, Ordering::Release);
        }
    }
}
