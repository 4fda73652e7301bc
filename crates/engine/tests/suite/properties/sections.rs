//! Critical sections as those who are inside rely on them.

use std::collections::BTreeSet;

use longhaul_engine::instance::Instance;
use longhaul_engine::mem::MemTables;
use longhaul_engine::{Command, InstanceKey};
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::InstanceId;

use super::checks;
use crate::support::{Cluster, decode};

/// What is excused: purging an entity takes it away from whoever has locked it.
#[derive(Default)]
pub(super) struct Sections {
    purged: BTreeSet<(InstanceKey, String)>,
}

impl Sections {
    /// SYS-18: from its grant until it leaves or ends, an execution holds every entity that it has not left.
    pub(super) fn check(&mut self, before: &MemTables, cluster: &Cluster, command: &Command) {
        if let Command::Purge { targets } = command {
            let locked = targets.iter().filter_map(|target| {
                let lock = before.entities.get(&target.key)?.lock.as_ref()?;
                Some((target.key.clone(), lock.id.to_string()))
            });
            self.purged.extend(locked);
        }
        for tables in &cluster.partitions {
            let inside = tables.instances.iter();
            for (key, owner) in inside.filter(|(_, owner)| !owner.locks.is_empty()) {
                let granted = granted(tables, key, owner);
                for (section, locks) in &owner.locks {
                    assert_eq!(locks.granted, granted.contains(&**section), "{key:?}");
                    for entity in locks.entities.iter().filter(|_| locks.granted) {
                        self.check_held(cluster, key, owner, section, entity);
                    }
                }
            }
        }
    }

    fn check_held(
        &self,
        cluster: &Cluster,
        key: &InstanceKey,
        owner: &Instance,
        section: &str,
        entity: &InstanceId,
    ) {
        let entity_key = InstanceKey::new(key.hub, entity.clone());
        if self.purged.contains(&(entity_key, section.to_owned())) {
            return;
        }
        let lock = cluster
            .entity(entity.as_str())
            .and_then(|it| it.lock.as_ref());
        let lock = lock.map(|it| (&*it.id, &it.owner, &it.execution));
        assert_eq!(
            lock,
            Some((section, &key.id, &owner.execution)),
            "{key:?} is in {section} and does not hold {entity}"
        );
    }
}

/// Sections that the execution was told to be in.
fn granted(tables: &MemTables, key: &InstanceKey, owner: &Instance) -> BTreeSet<String> {
    let inbox = owner.inbox.iter().filter(|message| message.is_event());
    let inbox = inbox.map(|message| decode(&message.event));
    let events = checks::history(tables, key).into_iter().chain(inbox);
    let granted = events.filter_map(|event| match event.event_type {
        Some(EventType::EntityLockGranted(granted)) => Some(granted.critical_section_id),
        _ => None,
    });
    granted.collect()
}
