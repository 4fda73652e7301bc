//! Reads of one instance or entity.

use bytes::Bytes;
use longhaul_routing::Router;

use super::{key_of, queries};
use crate::history;
use crate::moment::{EntityView, Moment};
use crate::sabotage::{self, Sabotage};
use crate::world::World;

/// Reads an instance and its history; answers whether what was read could be judged.
pub(crate) async fn look(world: &World, router: &Router, instance: &str) -> bool {
    let key = key_of(instance);
    let home = router.home(&key);
    let view = match world.sabotage() {
        Sabotage::LocalRead => Ok(sabotage::cluster::view_of_a_follower(world, &key)),
        _ => home.view(&key).await,
    };
    let Ok(view) = view else {
        return false;
    };
    world.note(Moment::Seen {
        instance: instance.to_owned(),
        view: view.as_ref().map(queries::seen),
    });
    let begun = world.begin_read();
    let Ok(read) = home.history(&key).await else {
        return false;
    };
    if !world.is_certain(begun) {
        return false;
    }
    let Some(read) = read else {
        return true;
    };
    match history::decode_framed(&read.runs) {
        Ok(history) => world.note(Moment::Read {
            instance: instance.to_owned(),
            execution: read.execution.to_string(),
            history,
        }),
        Err(problem) => world.broken("histories can be read", problem),
    }
    true
}

/// An entity's state as it was read.
#[derive(Default)]
pub(crate) struct Sight {
    pub(crate) state: Option<String>,
    /// Whether it could be judged.
    pub(crate) certain: bool,
}

/// Reads an entity.
pub(crate) async fn look_at_entity(world: &World, router: &Router, entity: &str) -> Sight {
    let key = key_of(entity);
    let begun = world.begin_read();
    let Ok(view) = router.home(&key).entity(&key, true).await else {
        return Sight::default();
    };
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let view = view.map(|view| EntityView {
        state: view.state.as_ref().map(text),
        locked_by: view.locked_by.map(|owner| owner.to_string()),
        backlog: view.backlog,
    });
    let state = view.as_ref().and_then(|view| view.state.clone());
    let certain = world.is_certain(begun);
    if certain {
        world.note(Moment::EntitySeen {
            entity: entity.to_owned(),
            view,
        });
    }
    Sight { state, certain }
}
