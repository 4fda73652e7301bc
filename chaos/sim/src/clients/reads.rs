//! Reads of one instance or entity.

use bytes::Bytes;
use longhaul_partition::Partitions;

use super::{key_of, queries};
use crate::history;
use crate::moment::{EntityView, Moment};
use crate::world::World;

/// Reads an instance and its history.
pub(crate) async fn look(world: &World, partitions: &Partitions, instance: &str) {
    let key = key_of(instance);
    let partition = partitions.home(&key);
    if let Ok(view) = partition.view(&key).await {
        world.note(Moment::Seen {
            instance: instance.to_owned(),
            view: view.as_ref().map(queries::seen),
        });
    }
    if let Ok(Some(read)) = partition.history(&key).await {
        match history::decode_framed(&read.runs) {
            Ok(history) => world.note(Moment::Read {
                instance: instance.to_owned(),
                execution: read.execution.to_string(),
                history,
            }),
            Err(problem) => world.broken("histories can be read", problem),
        }
    }
}

/// Reads an entity; answers its state.
pub(crate) async fn look_at_entity(
    world: &World,
    partitions: &Partitions,
    entity: &str,
) -> Option<String> {
    let key = key_of(entity);
    let view = partitions.home(&key).entity(&key, true).await.ok()?;
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let view = view.map(|view| EntityView {
        state: view.state.as_ref().map(text),
        locked_by: view.locked_by.map(|owner| owner.to_string()),
        backlog: view.backlog,
    });
    let state = view.as_ref().and_then(|view| view.state.clone());
    world.note(Moment::EntitySeen {
        entity: entity.to_owned(),
        view,
    });
    state
}
