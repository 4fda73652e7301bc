//! Notices work that is ready and that nobody is handed although workers are idle: a wake-up that was lost.

use std::time::Duration;

use longhaul_partition::Partitions;

use crate::world::World;

/// How often the queues are looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Work may be ready for so many looks without anything being handed out. Without faults, workers answer within a
/// fraction of this.
const LOOKS_MAX: u32 = 20;

/// Looks at the queues for as long as the process lives. For times without faults only: then no worker is ever busy for
/// long, so that ready work can only lie there if no stream was woken for it.
pub(crate) async fn watch(world: World, partitions: Partitions) {
    let mut looks = 0;
    let mut handed_out = 0;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let queued: u64 = partitions.iter().map(|it| it.figures().queued).sum();
        let before = std::mem::replace(&mut handed_out, world.handed_out());
        looks = if queued > 0 && before == handed_out {
            looks + 1
        } else {
            0
        };
        if looks == LOOKS_MAX {
            let text =
                format!("{queued} items are ready, and none was handed out for {looks} looks");
            return world.broken("ready work is handed out at once", text);
        }
    }
}
